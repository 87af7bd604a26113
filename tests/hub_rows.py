"""A few dozen made-up rows of each Hub set, in exactly the columns that the real one has."""

from pathlib import Path

from datasets import ClassLabel, Dataset, Features, List, Value
from stand_in_hub import StandInHub, commit_of, write_set

TEXT, WHOLE = Value("string"), Value("int32")
SENTIMENT = ["negative", "positive"]
NER = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
WNUT = ["O"] + [
    f"{mark}-{kind}"
    for kind in ("corporation", "creative-work", "group", "location", "person", "product")
    for mark in "BI"
]
EMOTIONS = [
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion",
    "curiosity", "desire", "disappointment", "disapproval", "disgust", "embarrassment",
    "excitement", "fear", "gratitude", "grief", "joy", "love", "nervousness", "optimism",
    "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
]  # fmt: skip
GLUE = {  # config: (text columns, label names)
    "cola": (("sentence",), ["unacceptable", "acceptable"]),
    "sst2": (("sentence",), SENTIMENT),
    "mrpc": (("sentence1", "sentence2"), ["not_equivalent", "equivalent"]),
    "qqp": (("question1", "question2"), ["not_duplicate", "duplicate"]),
    "stsb": (("sentence1", "sentence2"), None),
    "mnli": (("premise", "hypothesis"), ["entailment", "neutral", "contradiction"]),
    "qnli": (("question", "sentence"), ["entailment", "not_entailment"]),
    "rte": (("sentence1", "sentence2"), ["entailment", "not_entailment"]),
    "wnli": (("sentence1", "sentence2"), ["not_entailment", "entailment"]),
}
ROWS = {"train": 36, "validation": 12, "test": 12}


def _set(columns: dict, make, splits=ROWS) -> dict[str, Dataset]:
    """{split: Dataset}; `make(i, split)` gives a row."""
    features = Features(columns)
    return {
        split: Dataset.from_list([make(i, split) for i in range(count)], features=features)
        for split, count in splits.items()
    }


def _glue(config: str) -> dict[str, Dataset]:
    texts, names = GLUE[config]
    label = ClassLabel(names=names) if names else Value("float32")

    def make(i, split):
        hidden = split.startswith("test")
        known = i % len(names) if names else (i % 11) / 2
        row = {column: f"{config} {split} {column} {i}" for column in texts}
        return {**row, "label": -1 if hidden else known, "idx": i}

    splits = ROWS
    if config == "mnli":
        splits = {"train": 36} | {
            f"{split}_{kind}": 12
            for split in ("validation", "test")
            for kind in ("matched", "mismatched")
        }
    return _set({**dict.fromkeys(texts, TEXT), "label": label, "idx": WHOLE}, make, splits)


def _labelled(names: list[str], splits: dict[str, int]) -> dict[str, Dataset]:
    """Sorted by label, as IMDb is."""
    return _set(
        {"text": TEXT, "label": ClassLabel(names=names)},
        lambda i, split: {"text": f"{split} {i}", "label": i * len(names) // splits[split]},
        splits,
    )


def _go_emotions() -> dict[str, Dataset]:
    return _set(
        {"text": TEXT, "labels": List(ClassLabel(names=EMOTIONS)), "id": TEXT},
        lambda i, split: {
            "text": f"{split} {i}",
            "labels": [i % 28, 27][: 1 + i % 2],
            "id": str(i),
        },
    )


def _tagged(names: list[str], *others: str) -> dict[str, Dataset]:
    tags = List(ClassLabel(names=names))
    extra = {other: List(ClassLabel(names=["NN", "VB"])) for other in others}
    return _set(
        {"id": TEXT, "tokens": List(TEXT), **extra, "ner_tags": tags},
        lambda i, split: {
            "id": str(i),
            "tokens": [split, "goes", f"Smith{i}"],
            **{other: [0, 1, 0] for other in others},
            "ner_tags": [0, 0, 1 + 2 * (i % 4)],
        },
    )


def _squad(unanswerable: bool) -> dict[str, Dataset]:
    answers = {"text": List(TEXT), "answer_start": List(WHOLE)}

    def make(i, split):
        context = f"In {1900 + i} a bridge was built in {split}."
        found = ([str(1900 + i)], [3]) if not (unanswerable and i % 3 == 0) else ([], [])
        texts = {"id": f"{split}{i}", "title": "Bridges", "context": context}
        return {
            **texts,
            "question": f"When was bridge {i} built?",
            "answers": dict(zip(("text", "answer_start"), found, strict=True)),
        }

    columns = {"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": answers}
    return _set(columns, make, {"train": 36, "validation": 12})


def _swag() -> dict[str, Dataset]:
    names = ("video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source")
    endings = tuple(f"ending{i}" for i in range(4))

    def make(i, split):
        row = {"video-id": f"v{i}", "fold-ind": str(i), "gold-source": "gold"}
        row |= {"sent1": f"Scene {i} of {split}.", "sent2": "She"}
        row["startphrase"] = f"{row['sent1']} {row['sent2']}"
        row |= {ending: f"does thing {n} in {i}." for n, ending in enumerate(endings)}
        return {**row, "label": -1 if split == "test" else i % 4}

    label = ClassLabel(names=["0", "1", "2", "3"])
    return _set({**dict.fromkeys((*names, *endings), TEXT), "label": label}, make)


def _wikitext() -> dict[str, Dataset]:
    lines = ["", " = Title = \n", " A line of the article . \n"]
    return _set({"text": TEXT}, lambda i, _: {"text": lines[i % 3]})


def serve_sets(hub: StandInHub, folder: Path) -> None:
    """Let `hub` serve every set of the workbook's table."""
    unsupervised = _labelled(["neg", "pos"], {"train": 40, "test": 20, "unsupervised": 10})
    repos = {
        "nyu-mll/glue": {config: _glue(config) for config in GLUE},
        "stanfordnlp/imdb": {"plain_text": unsupervised},
        "fancyzhx/ag_news": {
            "default": _labelled(
                ["World", "Sports", "Business", "Sci/Tech"], {"train": 40, "test": 20}
            )
        },
        "google-research-datasets/go_emotions": {"raw": _wikitext(), "simplified": _go_emotions()},
        "lhoestq/conll2003": {"default": _tagged(NER, "pos_tags", "chunk_tags")},
        "flaitenberger/wnut_17": {"default": _tagged(WNUT)},
        "rajpurkar/squad": {"plain_text": _squad(False)},
        "rajpurkar/squad_v2": {"squad_v2": _squad(True)},
        "allenai/swag": {"full": _wikitext(), "regular": _swag()},
        "Salesforce/wikitext": {
            "wikitext-103-raw-v1": _wikitext(),
            "wikitext-2-raw-v1": _wikitext(),
        },
    }
    for repo, configs in repos.items():
        style = {"lhoestq/conll2003": "card", "flaitenberger/wnut_17": "plain"}.get(repo, "")
        hub.add("datasets", repo, write_set(folder / repo, configs, style), commit_of(repo))

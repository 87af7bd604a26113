"""The workbook's own data: seven small sets as typed `datasets.DatasetDict`s, and texts
to read.

Each lies in `data/<name>/`, split into train and test; `data/README.md` is the data
sheet. Fields follow one contract per head, the same for every source of data:

    corpus     text
    reviews    text, sentiment, stars, topic, aspects      one set, four kinds of label; style
    entities   tokens, tags                                BIO
    questions  context, question, answers{text, answer_start}
    next       context, choices[4], label                  what comes next in a passage; topic
    endings    context, choices[4], label
    pairs      text, text_pair, score, relation
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.core import profiles
from helpers.core.errors import WorkbookError
from helpers.data import schemas

if TYPE_CHECKING:
    from datasets import DatasetDict, Features

DATA = Path(__file__).parent.parent.parent / "data"
NAMES = ("corpus", "reviews", "entities", "questions", "next", "endings", "pairs")
SPLITS = ("train", "test")

SENTIMENTS = ("negative", "positive")
STYLES = ("plain", "wry")  # how a review is written: for strangers, or to amuse
TOPICS = ("film", "book", "food", "place", "gadget", "course")
ASPECTS = ("price", "quality", "service", "looks", "time", "ease")
KINDS = ("person", "place", "organisation", "date")
TAGS = ("O", *(f"{mark}-{kind}" for kind in KINDS for mark in "BI"))
RELATIONS = ("entails", "neutral", "contradicts")


def load(name: str) -> DatasetDict:
    """The sample set `name`, with splits "train" and "test" and the fields of
    `features(name)`.

    Raises `WorkbookError` on an unknown name, or on a file that is missing or
    malformed.
    """
    from datasets import Dataset, DatasetDict

    fields = features(name)
    return DatasetDict(
        {
            split: Dataset.from_list(list(rows(name, split)), features=fields)
            for split in SPLITS
        }
    )


def features(name: str) -> Features:
    """The typed fields of a sample set; label names are in its `ClassLabel`s.

    Raises `WorkbookError` on an unknown name.
    """
    from datasets import ClassLabel, Features, List, Value

    text = Value("string")
    kinds: dict[str, dict[str, Any]] = {
        "corpus": {"topic": text, **schemas.features("corpus")},
        "reviews": {
            "text": text,
            "sentiment": ClassLabel(names=list(SENTIMENTS)),
            "stars": Value("int32"),
            "topic": ClassLabel(names=list(TOPICS)),
            "aspects": List(ClassLabel(names=list(ASPECTS))),
            "style": ClassLabel(names=list(STYLES)),
        },
        "entities": schemas.features("tokens", TAGS),
        "questions": schemas.features("questions"),
        "next": {"topic": text, **schemas.features("choices")},
        "endings": schemas.features("choices"),
        "pairs": {
            **schemas.features("similarity"),
            "relation": ClassLabel(names=list(RELATIONS)),
        },
    }
    if name not in kinds:
        raise WorkbookError(
            f"no sample set is called {name!r}; there are {', '.join(NAMES)}"
        )
    return Features({"id": text, **kinds[name]})


def rows(name: str, split: str, style: str = "") -> Iterator[dict[str, Any]]:
    """The rows of one split as plain dicts, labels by name; of the reviews those of one
    `style`.

    Raises `WorkbookError` as `load` does.
    """
    if split not in SPLITS:
        raise WorkbookError(f"split is {split!r}; it must be 'train' or 'test'")
    if name == "questions":
        yield from _squad(DATA / name / f"{split}.json")
    else:
        found = _jsonl(DATA / name / f"{split}.jsonl")
        yield from (row for row in found if not style or row["style"] == style)


def passages(profile: str = "classroom", split: str = "test") -> list[str]:
    """Running English for this profile: a list of passages, in a fixed order.

    `split` is "train" or "test". In `smoke` a few, in `classroom` the sample corpus
    whole, in `full` paragraphs of WikiText-2 from the Hub.

    Raises `WorkbookError` on an unknown profile or split, or a file that is missing or
    malformed.
    """
    settings = profiles.profile(profile)
    texts = (
        _wikitext(split)
        if settings.online
        else [r["text"] for r in rows("corpus", split)]
    )
    return texts[: settings.passages]


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    # not splitlines(): it would also cut at rare characters inside a text
    for number, line in enumerate(_read(path).rstrip("\n").split("\n"), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or "id" not in row:
            raise WorkbookError(
                f"{path}, line {number}: expected one JSON object with an 'id'"
            )
        yield row


def _squad(path: Path) -> Iterator[dict[str, Any]]:
    try:
        articles = json.loads(_read(path))["data"]
    except (ValueError, KeyError, TypeError):
        raise WorkbookError(
            f"{path}: expected SQuAD JSON, an object with a list 'data'"
        ) from None
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question["answers"]
                yield {
                    "id": question["id"],
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }


def _read(path: Path) -> str:
    if not path.exists():
        raise WorkbookError(f"{path} is missing: restore it with `git checkout data`")
    return path.read_text(encoding="utf8")


def _wikitext(split: str) -> list[str]:
    from helpers.data import hub

    texts = hub.load("wikitext", split)[split]["text"]
    return [text.strip() for text in texts if len(text.split()) >= 40]

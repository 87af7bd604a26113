"""What each attention head is worth: removed in turn, and many together.

Two examinations, for teacher ("bert") and student ("distilbert"). *masked*: held-out
passages with fixed gaps, asked of the masked language model. *entities*: the model
fine-tuned to find entities, on the sample set's test sentences; several seeds. Every
change is paired (the same gaps, the same sentences, before and after) and comes with
its standard error. `workbook head-ablation` measures it all and keeps it in
`data/measurements/head_ablation.json`.

Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?"
(arXiv:1905.10650).
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from helpers import checkpoints, data
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.masked_lm import gaps

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

STORED = data.DATA / "measurements" / "head_ablation.json"
KINDS = ("distilbert", "bert")  # the student first: it is done sooner
TASK = "entities"
MASKINGS = 3  # how often each held-out passage is asked, with other gaps
RANDOM = 2  # random orders beside the order by importance
STEPS = 12  # so many points has a curve of heads removed together

Heads = Mapping[
    int, Sequence[int]
]  # {layer: [heads]}, as `attention.without_heads` takes it
Answers = tuple[
    "torch.Tensor", "torch.Tensor"
]  # of all gaps: was it right, the surprise in nats


class Questions(NamedTuple):
    """Gaps in held-out passages, the same for every model."""

    batches: list[dict[str, torch.Tensor]]
    passage: np.ndarray  # (gaps,): which passage each gap is in


class Grid(NamedTuple):
    """One examination of one model: what removing each head changes."""

    whole: float  # the score with all heads, in [0, 1]
    change: np.ndarray  # (layers, heads): the score without the head, minus `whole`
    error: np.ndarray  # (layers, heads): the standard error of `change`

    @property
    def clear(self) -> np.ndarray:
        """(layers, heads): whether the change is larger than two standard errors."""
        return np.abs(self.change) > 2 * self.error


def questions(
    tokenizer: Any, profile: str = "classroom", half: int | None = None
) -> Questions:
    """The gaps: every held-out passage, masked `MASKINGS` times with fixed seeds.

    `half` 0 or 1 asks every second passage alone, so that heads can be chosen on one
    half and judged on the other. `smoke` reads the whole sample corpus too, as the
    stored figures do.
    """
    texts = data.passages("full" if profile == "full" else "classroom", "test")
    batches, passage = [], []
    for part in (0, 1) if half is None else (half,):
        for seed in range(MASKINGS):
            first = 0
            for batch in gaps.draw(tokenizer, texts[part::2], seed):
                rows = (batch["labels"] != -100).nonzero()[:, 0].numpy()
                passage.append(2 * (first + rows) + part)
                first += len(batch["labels"])
                batches.append(batch)
    return Questions(batches, np.concatenate(passage))


def masked_change(
    model: Any, asked: Questions, before: Answers, heads: Heads
) -> dict[str, float]:
    """What the gaps' answers lose without `heads`, against `before`, what `gaps.ask`
    gave with all.

    Returns `change` in masked accuracy and `nats` in mean surprise, after minus before,
    each with its standard error (gaps of one passage are not taken for independent:
    `clustered`), and `ranked`, the nats on the passages of half 0 alone (NaN if they
    were not asked).
    """
    from helpers.attention.maps import without_heads

    with without_heads(model, heads):
        after = gaps.ask(model, asked.batches)
    right, nats = (
        (a.double() - b.double()).numpy() for a, b in zip(after, before, strict=True)
    )
    first = nats[asked.passage % 2 == 0]
    return {
        "change": float(right.mean()),
        "error": clustered(right, asked.passage),
        "nats": float(nats.mean()),
        "nats_error": clustered(nats, asked.passage),
        "ranked": float(first.mean()) if len(first) else float("nan"),
    }


def clustered(values: np.ndarray, groups: np.ndarray) -> float:
    """The standard error of the mean of `values` (N,), of which those of one group may
    be alike.

    `groups` (N,): the number of each value's group. With a group a value it is the
    usual one.

    >>> round(clustered(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2])), 4)
    0.5774
    """
    _, number = np.unique(groups, return_inverse=True)
    sums = np.bincount(number, weights=values - values.mean())
    return float(
        np.sqrt((sums**2).sum() * len(sums) / max(len(sums) - 1, 1)) / len(values)
    )


def entity_counts(trainer: Trainer, names: Sequence[str]) -> np.ndarray:
    """Of each test sentence (N, 2): twice the entities found right; those said plus
    those true.
    """
    from helpers.training.entities import found

    prediction = trainer.predict(trainer.eval_dataset)
    labels, seen = prediction.label_ids, prediction.label_ids != -100
    guesses = prediction.predictions.argmax(-1)
    true, said = (
        found(
            [
                [names[i] for i in row[mask]]
                for row, mask in zip(side, seen, strict=True)
            ]
        )
        for side in (labels, guesses)
    )
    counts = np.zeros((len(labels), 2))
    for entities in (true, said):
        np.add.at(counts[:, 1], [entity[0] for entity in entities], 1)
    np.add.at(counts[:, 0], [entity[0] for entity in true & said], 2)
    return counts


def f1(counts: np.ndarray) -> float:
    """Entity F1 in [0, 1] of `entity_counts` (N, 2)."""
    return float(counts[:, 0].sum() / max(counts[:, 1].sum(), 1))


def f1_change(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """`change` of F1, after minus before, over the same sentences, and its standard
    `error`.

    By the delta method: how much F1 would move with each sentence, before and after.
    """
    moves = [
        (c[:, 0] - f1(c) * c[:, 1]) / max(c[:, 1].sum(), 1) for c in (before, after)
    ]
    error = float(np.sqrt(((moves[1] - moves[0]) ** 2).sum()))
    return {"change": f1(after) - f1(before), "error": error}


class _Masked:
    """The masked language model of one kind, and its answers with all heads."""

    def __init__(self, kind: str, profile: str, runs: Mapping[str, Any]) -> None:
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        source = getattr(checkpoints, kind)(profile)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=source.revision)
        self.model = AutoModelForMaskedLM.from_pretrained(
            source, revision=source.revision
        )
        self.kind, self.runs, self.layers_heads = kind, runs, shape(kind, profile)
        self.all, self.judged = (
            questions(tokenizer, profile),
            questions(tokenizer, profile, 1),
        )
        self.before = gaps.ask(self.model, self.all.batches)
        judging = self.all.passage % 2 == 1
        self.before_judged = tuple(answers[judging] for answers in self.before)

    def row(self, what: str) -> dict[str, float]:
        if what == "whole":
            right, nats = (answers.double().mean().item() for answers in self.before)
            share = self.before_judged[0].double().mean().item()
            return {
                "score": right,
                "nats": nats,
                "of": len(self.before[0]),
                "judged": share,
            }
        if "." in what:
            return masked_change(self.model, self.all, self.before, _one(what))
        found = masked_change(
            self.model, self.judged, self.before_judged, self.several(what)
        )
        return {name: value for name, value in found.items() if name != "ranked"}

    def several(self, what: str) -> dict[int, list[int]]:
        """The heads that "least 12", "random 12 0", "layer 3 one" or "layer 3 none"
        remove.
        """
        order = by_importance(self.runs, self.kind, *self.layers_heads)
        kind, number, *more = what.split()
        if kind == "layer":
            layer = [head for at, head in order if at == int(number)]
            return {int(number): layer[:-1] if more == ["one"] else layer}
        if kind == "random":
            random.Random(int(more[0])).shuffle(order)
        gone: dict[int, list[int]] = {}
        for layer, head in order[: int(number)]:
            gone.setdefault(layer, []).append(head)
        return gone


class _Fine:
    """The entity tagger of one kind and seed, and what it finds with all heads."""

    def __init__(self, kind: str, seed: int, profile: str) -> None:
        from helpers.data.tasks import load as rows_of
        from helpers.data.tasks import task
        from helpers.training.finetuning import fine_tune, recipe

        one = task(TASK)
        sets = rows_of(one, profile)
        source = getattr(checkpoints, kind)(profile)
        self.names = sets["train"].features["tags"].feature.names
        self.trainer = fine_tune(
            one, sets, source, recipe(one, profile, kind), seed
        ).trainer
        self.before = entity_counts(self.trainer, self.names)

    def row(self, what: str) -> dict[str, float]:
        from helpers.attention.maps import without_heads

        if what == "whole":
            return {"score": f1(self.before), "of": int(self.before[:, 1].sum())}
        with without_heads(self.trainer.model, _one(what)):
            return f1_change(self.before, entity_counts(self.trainer, self.names))


def _one(what: str) -> dict[int, list[int]]:
    """ "3.11": head 11 of layer 3."""
    layer, head = what.split(".")
    return {int(layer): [int(head)]}


def shape(kind: str, profile: str = "classroom") -> tuple[int, int]:
    """How many layers a checkpoint has, and how many heads each."""
    from transformers import AutoConfig

    source = getattr(checkpoints, kind)(profile)
    config = AutoConfig.from_pretrained(source, revision=source.revision)
    return config.num_hidden_layers, config.num_attention_heads


def keys(seeds: int, profile: str = "classroom") -> list[str]:
    """`examination/kind/...` of a whole run, in its order: gaps first, then entities by
    seed.
    """
    found = []
    for kind in KINDS:
        layers, heads = shape(kind, profile)
        total = layers * heads
        counts = sorted({total * n // STEPS for n in range(1, STEPS + 1)})
        several = [f"least {n}" for n in counts]
        several += [f"random {n} {draw}" for draw in range(RANDOM) for n in counts[:-1]]
        several += [
            f"layer {n} {left}" for n in range(layers) for left in ("one", "none")
        ]
        found += [
            f"masked/{kind}/{what}"
            for what in ["whole", *_each(layers, heads), *several]
        ]
    for seed in range(seeds):
        for kind in KINDS:
            each = ["whole", *_each(*shape(kind, profile))]
            found += [f"{TASK}/{kind}/{seed}/{what}" for what in each]
    return found


def _each(layers: int, heads: int) -> list[str]:
    return [f"{layer}.{head}" for layer in range(layers) for head in range(heads)]


def run(
    path: Path = STORED,
    seeds: int = 3,
    profile: str = "classroom",
    done: Callable[[str], None] = lambda key: None,
) -> dict[str, Any]:
    """Measure what `path` does not hold yet; the file is rewritten after each key.

    `done` is told each key as it is finished. Stopped and begun again, a tagger is
    fine-tuned once more, with the same seed.

    Raises `WorkbookError` when the file was made with other settings.
    """
    from helpers.core.machine import machine

    settings = {"profile": profile, "maskings": MASKINGS, "task": TASK}
    report: dict[str, Any] = {"settings": settings, "machine": machine(), "runs": {}}
    if path.exists():
        report = load(path)
        if report["settings"] != settings:
            raise WorkbookError(
                f"{path} holds a run with other settings: move it away first"
            )
    opened: tuple[str, Any] = ("", None)
    for key in keys(seeds, profile):
        if key not in report["runs"]:
            part, _, what = key.rpartition("/")
            if opened[0] != part:
                opened = (part, _open(part, profile, report["runs"]))
            report["runs"][key] = _rounded(opened[1].row(what))
            write_json(path, report)
        done(key)
    return report


def _open(part: str, profile: str, runs: Mapping[str, Any]) -> _Masked | _Fine:
    _, kind, *seed = part.split("/")
    return (
        _Masked(kind, profile, runs) if not seed else _Fine(kind, int(seed[0]), profile)
    )


def _rounded(row: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in row.items()}


def load(path: Path = STORED) -> dict[str, Any]:
    """The stored measurement.

    Raises `WorkbookError` when it is missing.
    """
    if not path.exists():
        raise WorkbookError(f"{path} is missing: `workbook head-ablation` makes it")
    return json.loads(path.read_text(encoding="utf8"))


def grid(
    report: Mapping[str, Any], examination: str, kind: str, score: str = "change"
) -> Grid:
    """What removing each head changes in one examination; `score` "nats" for the
    surprise.

    Entities: the mean over the stored seeds, with the seeds' usual error (their root
    mean square): all are examined on the same sentences, so more seeds tell nothing
    about other sentences.

    Raises `WorkbookError` when the report does not hold it all.
    """
    parts = seeds_of(report, kind) if examination == TASK else [f"masked/{kind}"]
    if not parts:
        raise WorkbookError(
            f"no {examination} for {kind} is stored: `workbook head-ablation`"
        )
    error = "nats_error" if score == "nats" else "error"
    change, errors = (
        np.array([_table(report, p, name) for p in parts]) for name in (score, error)
    )
    whole = "nats" if score == "nats" else "score"
    scores = [report["runs"][f"{part}/whole"][whole] for part in parts]
    return Grid(float(np.mean(scores)), change.mean(0), np.sqrt((errors**2).mean(0)))


def agreement(report: Mapping[str, Any], kind: str) -> float:
    """How alike two fine-tunings lose by the same heads: the mean correlation of their
    changes.

    In [-1, 1], over the pairs of stored seeds; NaN when there are fewer than two.
    """
    parts = seeds_of(report, kind)
    tables = [np.ravel(_table(report, part, "change")) for part in parts]
    pairs = [np.corrcoef(a, b)[0, 1] for a, b in itertools.combinations(tables, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def seeds_of(report: Mapping[str, Any], kind: str) -> list[str]:
    """The fine-tuned examinations that are stored whole, `entities/bert/0` and so
    on.
    """
    runs = report["runs"]
    layers, heads = _stored_shape(report, kind)
    begun = sorted(
        {k.rpartition("/")[0] for k in runs if k.startswith(f"{TASK}/{kind}/")}
    )
    return [
        part
        for part in begun
        if all(f"{part}/{w}" in runs for w in _each(layers, heads))
    ]


def _stored_shape(report: Mapping[str, Any], kind: str) -> tuple[int, int]:
    """Layers and heads of the model that the report is of."""
    whats = (
        key.rpartition("/")[2]
        for key in report["runs"]
        if key.startswith(f"masked/{kind}/")
    )
    pairs = [tuple(map(int, what.split("."))) for what in whats if "." in what]
    if not pairs:
        raise WorkbookError(f"nothing of {kind} is stored: `workbook head-ablation`")
    return max(layer for layer, _ in pairs) + 1, max(head for _, head in pairs) + 1


def _table(report: Mapping[str, Any], part: str, name: str) -> list[list[float]]:
    layers, heads = _stored_shape(report, part.split("/")[1])
    rows = report["runs"]
    return [
        [rows[f"{part}/{la}.{h}"][name] for h in range(heads)] for la in range(layers)
    ]


def by_importance(
    runs: Mapping[str, Any], kind: str, layers: int, heads: int
) -> list[tuple[int, int]]:
    """All (layer, head), the one that is missed least first, by the nats on half 0's
    passages.
    """
    every = [(layer, head) for layer in range(layers) for head in range(heads)]
    return sorted(
        every, key=lambda at: runs[f"masked/{kind}/{at[0]}.{at[1]}"]["ranked"]
    )


def curves(report: Mapping[str, Any], kind: str) -> dict[str, dict[int, float]]:
    """{order: {heads removed together: masked accuracy}}, on the half that did not
    choose them.

    Orders are "least missed first" and "at random" (the mean of the stored orders).
    """
    runs, whole = report["runs"], report["runs"][f"masked/{kind}/whole"]["judged"]
    found: dict[str, dict[int, list[float]]] = {
        "least missed first": {},
        "at random": {},
    }
    for key, row in runs.items():
        what = key.removeprefix(f"masked/{kind}/").split()
        if key.startswith(f"masked/{kind}/") and what[0] in ("least", "random"):
            name = "least missed first" if what[0] == "least" else "at random"
            found[name].setdefault(int(what[1]), []).append(whole + row["change"])
    return {
        name: {0: whole}
        | {n: float(np.mean(values)) for n, values in sorted(points.items())}
        for name, points in found.items()
    }


def layers_without(
    report: Mapping[str, Any], kind: str
) -> dict[str, list[dict[str, float]]]:
    """{"one", "none"}: for each layer, the stored row with the best head alone left, or
    none.
    """
    layers, _ = _stored_shape(report, kind)
    return {
        left: [report["runs"][f"masked/{kind}/layer {n} {left}"] for n in range(layers)]
        for left in ("one", "none")
    }

"""What each attention head is worth: removed in turn, and many together.

`workbook head-ablation` measures it with both `examinations`, for teacher ("bert") and
student ("distilbert"), and keeps it in one file. Its `runs` map an experiment, such as
"masked/bert/3.11" or "entities/bert/0/whole" (0: the seed), to a row of figures.

Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?"
(arXiv:1905.10650).
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from transformers import AutoConfig

from helpers import checkpoints, data
from helpers.attention.examinations import MASKINGS, TASK, Head, Masked, Row, Tagger
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.core.machine import machine

STORED = data.DATA / "measurements" / "head_ablation.json"
KINDS = ("distilbert", "bert")  # the student first: it is done sooner
RANDOM = 2  # random orders beside the order by importance
STEPS = 12  # so many points has a curve of heads removed together


class Grid(NamedTuple):
    """One examination of one model: what removing each head changes."""

    whole: float  # the score with all heads, in [0, 1]
    change: np.ndarray  # (layers, heads): the score without the head, minus `whole`
    error: np.ndarray  # (layers, heads): the standard error of `change`

    @property
    def clear(self) -> np.ndarray:
        """(layers, heads): whether the change is larger than two standard errors."""
        return np.abs(self.change) > 2 * self.error


def every_head(kind: str, profile: str) -> list[Head]:
    """All (layer, head) of a checkpoint."""
    source = getattr(checkpoints, kind)(profile)
    config = AutoConfig.from_pretrained(source, revision=source.revision)
    sizes = config.num_hidden_layers, config.num_attention_heads
    return list(itertools.product(*map(range, sizes)))


def one_by_one(heads: Sequence[Head]) -> dict[str, list[Head]]:
    """{experiment: heads removed}: none ("whole"), then each alone ("3.11")."""
    return {"whole": []} | {f"{layer}.{head}": [(layer, head)] for layer, head in heads}


def together(order: Sequence[Head]) -> dict[str, list[Head]]:
    """{experiment: heads removed}, several at a time; `order`: least missed first.

    The n least missed ("least 12"), n at random ("random 12 0"), and of each layer all
    but its most missed head or all ("layer 3 one", "layer 3 none").
    """
    counts = sorted({len(order) * n // STEPS for n in range(1, STEPS + 1)})
    removed = {f"least {n}": list(order[:n]) for n in counts}
    for draw in range(RANDOM):
        mixed = list(order)
        random.Random(draw).shuffle(mixed)
        removed |= {f"random {n} {draw}": mixed[:n] for n in counts[:-1]}
    for layer in sorted({layer for layer, _ in order}):
        own = [at for at in order if at[0] == layer]
        removed |= {f"layer {layer} one": own[:-1], f"layer {layer} none": own}
    return removed


def experiments(
    seeds: int, profile: str, rows: Mapping[str, Row]
) -> Iterator[tuple[str, Callable[[], Masked | Tagger], dict[str, list[Head]], bool]]:
    """A whole run in its order: gaps, then entities by seed.

    Each part's name, its model (made when it is first called), {experiment: heads
    removed}, and whether the judging half alone is asked.
    """
    heads = {kind: every_head(kind, profile) for kind in KINDS}
    for kind in KINDS:
        model, part = cache(partial(Masked, kind, profile)), f"masked/{kind}"
        yield part, model, one_by_one(heads[kind]), False
        yield part, model, together(by_importance(rows, kind) or heads[kind]), True
    for seed, kind in itertools.product(range(seeds), KINDS):
        tagger = cache(partial(Tagger, kind, profile, seed))
        yield f"{TASK}/{kind}/{seed}", tagger, one_by_one(heads[kind]), False


def keys(seeds: int, profile: str = "classroom") -> list[str]:
    """The experiments of a whole run, "masked/bert/3.11" and so on."""
    parts = experiments(seeds, profile, {})
    return [f"{part}/{name}" for part, _, removed, _ in parts for name in removed]


def run(
    path: Path = STORED,
    seeds: int = 3,
    profile: str = "classroom",
    done: Callable[[str], None] = lambda key: None,
) -> dict[str, Any]:
    """Measure what `path` does not hold yet; the file is rewritten after each row.

    `done` is told each experiment as it is finished. Stopped and begun again, a tagger
    is fine-tuned once more, with the same seed.
    """
    settings = {"profile": profile, "maskings": MASKINGS, "task": TASK}
    report: dict[str, Any] = {"settings": settings, "machine": machine(), "runs": {}}
    if path.exists():
        report = load(path)
        if report["settings"] != settings:
            raise WorkbookError(
                f"{path} holds a run with other settings: move it away first"
            )
    rows = report["runs"]
    for part, model, removed, judging in experiments(seeds, profile, rows):
        for name, heads in removed.items():
            key = f"{part}/{name}"
            if key not in rows:
                row = model().row(heads, judging)
                rows[key] = {what: round(float(v), 6) for what, v in row.items()}
                write_json(path, report)
            done(key)
    return report


def load(path: Path = STORED) -> dict[str, Any]:
    """The stored measurement."""
    if not path.exists():
        raise WorkbookError(f"{path} is missing: `workbook head-ablation` makes it")
    return json.loads(path.read_text(encoding="utf8"))


def alone(rows: Mapping[str, Row], part: str) -> dict[Head, Row]:
    """The stored rows of "masked/bert", "entities/bert/0" with one head removed."""
    names = {key.removeprefix(f"{part}/"): row for key, row in rows.items()}
    return {
        tuple(map(int, name.split("."))): row
        for name, row in names.items()
        if "." in name and "/" not in name
    }


def by_importance(rows: Mapping[str, Row], kind: str) -> list[Head]:
    """All heads, the least missed first: by the loss on the half that chooses."""
    found = alone(rows, f"masked/{kind}")
    return sorted(found, key=lambda head: found[head]["ranked"])


def fine_tunings(report: Mapping[str, Any], kind: str) -> list[str]:
    """The seeds' parts that are stored whole, "entities/bert/0" and so on."""
    rows = report["runs"]
    heads = alone(rows, f"masked/{kind}").keys()
    if not heads:
        raise WorkbookError(f"nothing of {kind} is stored: `workbook head-ablation`")
    begun = {k.rpartition("/")[0] for k in rows if k.startswith(f"{TASK}/{kind}/")}
    return [part for part in sorted(begun) if alone(rows, part).keys() == heads]


def grid(
    report: Mapping[str, Any], examination: str, kind: str, score: str = "change"
) -> Grid:
    """What removing each head changes in one examination; `score` may be "nats".

    Entities: the mean over the stored seeds, with the seeds' usual error (their root
    mean square): all are examined on the same sentences, so more seeds tell nothing
    about other sentences.
    """
    seeds = fine_tunings(report, kind)
    parts = seeds if examination == TASK else [f"masked/{kind}"]
    if not parts:
        raise WorkbookError(
            f"no {examination} for {kind} is stored: `workbook head-ablation`"
        )
    error, whole = ("nats_error", "nats") if score == "nats" else ("error", "score")
    change, errors = (
        np.array([table(report, part, name) for part in parts])
        for name in (score, error)
    )
    scores = [report["runs"][f"{part}/whole"][whole] for part in parts]
    return Grid(float(np.mean(scores)), change.mean(0), np.sqrt((errors**2).mean(0)))


def table(report: Mapping[str, Any], part: str, score: str = "change") -> np.ndarray:
    """One figure of all rows with one head removed, (layers, heads)."""
    cells = {head: row[score] for head, row in alone(report["runs"], part).items()}
    return pd.Series(cells).unstack().to_numpy()


def curves(report: Mapping[str, Any], kind: str) -> dict[str, dict[int, float]]:
    """{order: {heads removed together: masked accuracy on the half that judges}}.

    Orders are "least missed first" and "at random" (the mean of the stored draws).
    """
    rows, part = report["runs"], f"masked/{kind}"
    whole, found = rows[f"{part}/whole"]["judged"], {}
    for order, word in {"least missed first": "least", "at random": "random"}.items():
        points = {0: [whole]}
        for name, heads in together(by_importance(rows, kind)).items():
            if name.startswith(word):
                share = whole + rows[f"{part}/{name}"]["change"]
                points.setdefault(len(heads), []).append(share)
        found[order] = {n: float(np.mean(shares)) for n, shares in points.items()}
    return found

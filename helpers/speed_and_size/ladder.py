"""The ladder: one piece of work, labelling texts, done in several ways and timed.

Every rung gets the same texts and gives their labels; tokenization is a part of the
work. A rung that wants a package which is not there says what to install.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

from helpers.core.errors import WorkbookError
from helpers.flash_attention.flash import COMPILERS
from helpers.speed_and_size.exporting import EXTRAS
from helpers.speed_and_size.workload import Work
from helpers.training.benchmark import paired, ratio

Predict = Callable[[Sequence[str]], Sequence[int]]  # texts in, labels out
Row = dict[str, Any]
BATCH = 32


class Rung(NamedTuple):
    """One way to do the work; `missing` says what to install where there is none."""

    name: str
    predict: Predict | None
    bytes: int | None = None  # of the weights, as they are stored
    missing: str = ""


def no_compiler() -> str:
    """What `torch.compile` lacks on this machine; empty if it can be tried."""
    found = any(map(shutil.which, COMPILERS))
    return "" if found else "a C++ compiler, such as g++ or clang"


def measure(
    found: Iterable[Rung],
    work: Work,
    repeats: int = 3,
    progress: Callable[[str], None] = lambda line: None,
    lots: int = 1,
) -> list[Row]:
    """Time all rungs on the same texts, in turns; the first is the measure.

    With `lots` the texts are cut into so many parts of one size, and a turn reads one
    part: every rung reads every text `repeats` times, and there are `repeats` x `lots`
    turns to compare. `progress` is told a line after each turn.

    Returns a row for each: {rung, speedup, speedup_quartiles, seconds, changed_share,
    accuracy, bytes}, with `missing` and no figures for those that lack something.
    `seconds` for all texts, from the median turn; `changed_share`: labels that differ
    from the first rung's; `accuracy` over the held-out texts.
    """
    found = list(found)
    ready = [rung for rung in found if rung.predict]
    if not ready or found[0] is not ready[0]:
        line = "the first rung, that all others are compared with, is missing"
        raise WorkbookError(line)
    cuts = [len(work.texts) * at // lots for at in range(lots + 1)]
    parts = [work.texts[begin:end] for begin, end in itertools.pairwise(cuts)]
    labels: dict[str, dict[int, Sequence[int]]] = {rung.name: {} for rung in ready}

    def turns(rung: Rung) -> Callable[[], None]:
        which = itertools.cycle(range(lots))

        def turn() -> None:
            at = next(which)
            labels[rung.name][at] = rung.predict(parts[at])

        return turn

    for rung in ready:
        rung.predict(work.texts[: 2 * BATCH])  # kernels are chosen, memory is fetched
    said = (f"turn {at} of {repeats * lots}" for at in itertools.count(1))
    sides = {rung.name: turns(rung) for rung in ready}
    timed = paired(sides, repeats * lots, 0, lambda: progress(next(said)))
    whole = {
        name: [int(label) for at in range(lots) for label in read[at]]
        for name, read in labels.items()
    }
    return [_row(rung, found[0].name, timed, whole, work, lots) for rung in found]


def _row(
    rung: Rung,
    first: str,
    timed: dict[str, Any],
    labels: dict[str, list[int]],
    work: Work,
    lots: int,
) -> Row:
    if not rung.predict:
        return {"rung": rung.name, "missing": rung.missing}
    faster, mine = ratio(timed, first, rung.name), labels[rung.name]
    changed = [a != b for a, b in zip(mine, labels[first], strict=True)]
    return {
        "rung": rung.name,
        "speedup": faster["median"],
        "speedup_quartiles": [faster["low"], faster["high"]],
        "seconds": timed[rung.name]["median"] * lots,
        "changed_share": sum(changed) / len(changed),
        "accuracy": accuracy(mine, work.gold),
        "bytes": rung.bytes,
    }


def accuracy(labels: Sequence[int], gold: Sequence[int]) -> float | None:
    """The share of right labels among those that are known; None if none is."""
    pairs = zip(labels, gold, strict=True)
    judged = [mine == right for mine, right in pairs if right >= 0]
    return sum(judged) / len(judged) if judged else None


def best(rows: Sequence[Row], at_most: float = 0.005) -> Row:
    """The fastest row that changes no larger share of the labels than `at_most`."""
    ran = [row for row in rows if "missing" not in row]
    kept = [row for row in ran if row["changed_share"] <= at_most]
    return max(kept, key=lambda row: row["speedup"])


def conditions(tokenizer: Any, work: Work) -> dict[str, Any]:
    """What the figures hold for: texts, tokens, threads, versions of the extras."""
    import torch

    lengths = [len(ids) for ids in tokenizer(work.texts)["input_ids"]]
    extras = [name for names in EXTRAS.values() for name in names]
    return {
        "texts": len(lengths),
        "different_texts": len(set(work.texts)),
        "tokens": sum(lengths),
        "longest": max(lengths),
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "tokenizer_threads": os.environ.get("TOKENIZERS_PARALLELISM") != "false",
        "versions": {name: version(name) for name in extras if find_spec(name)},
    }

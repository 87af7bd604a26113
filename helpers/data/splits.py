"""What is learned from, and held out: equal texts on one side, classes on both."""

from __future__ import annotations

import bisect
import itertools
import random
import statistics
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from datasets import Dataset, DatasetDict

from helpers.core.errors import WorkbookError
from helpers.data.columns import each
from helpers.data.schemas import label_names
from helpers.data.source import listed, say


def held_out(rows: Dataset, file: str) -> DatasetDict:
    """Four fifths to learn from, "train", and always the same fifth as "test".

    Rows of one text, and questions on one text, stay together. Every class is on both
    sides, save those of one text, which stay in train: that is printed.
    """
    groups, strata = _groups(rows), _strata(rows)
    common, size = Counter(strata), Counter(groups)
    kind: dict[Hashable, Hashable] = {}  # of a group: its rarest stratum
    for group, stratum in zip(groups, strata, strict=True):
        kind[group] = min(kind.get(group, stratum), stratum, key=common.get)
    count = -(-len(kind) // 5)
    small = {g: s for g, s in kind.items() if size[g] <= max(len(rows) / 10, 1)}
    held = _drawn(small if len(small) > 2 * count else kind, count)
    if not held:
        what = "questions are on" if "question" in rows.column_names else "rows have"
        found = f"all {what} one text" if len(kind) < 2 else "no class has two texts"
        raise WorkbookError(f"{file}: {found}; expected two texts or more of a kind")
    sides = {"train": [], "test": []}
    for number, group in enumerate(groups):
        sides["test" if group in held else "train"].append(number)
    parts = {name: rows.select(mixed(side, strata)) for name, side in sides.items()}
    say(file, _one_sided(parts))
    return DatasetDict(parts)


def fewer(rows: Dataset, count: int, seed: int) -> Dataset:
    """`count` of the rows, of each class its share; others for another seed."""
    return rows.select(mixed(range(len(rows)), _strata(rows), seed)[:count])


def mixed(
    numbers: Sequence[int], strata: Sequence[Hashable], seed: int = 0
) -> list[int]:
    """Row numbers in an order of which any beginning is stratified, too."""
    draw = random.Random(seed)
    numbers = draw.sample(numbers, len(numbers))
    count, seen, at = Counter(strata[n] for n in numbers), Counter(), {}
    for n in numbers:
        nth = seen[strata[n]]
        at[n] = (nth + draw.random()) / count[strata[n]] if nth else 0  # one of each
        seen[strata[n]] += 1
    return sorted(numbers, key=at.get)


def _drawn(kind: dict[Hashable, Hashable], count: int) -> set[Hashable]:
    """`count` groups, of each stratum its share: one if it can, never all."""
    groups, strata = list(kind), list(kind.values())
    left, held = Counter(strata), []
    for number in mixed(range(len(groups)), strata):
        left[strata[number]] -= 1
        held += [groups[number]] * (left[strata[number]] > 0)
    return set(held[:count])


def identity(row: dict[str, Any]) -> tuple[str, ...]:
    """The texts of a row, as an uncased model tells them apart."""
    parts = [row[n] for n in ("context", "question", "text", "text_pair") if n in row]
    parts += [*row.get("tokens", ()), *row.get("choices", ())]
    found = [" ".join(part.casefold().split()) for part in parts]
    return tuple(sorted(found) if "score" in row else found)


def _groups(rows: Dataset) -> list[Hashable]:
    alone = [identity(row) for row in rows.to_list()]
    if "context" not in rows.column_names:
        return alone
    contexts = [key[0] for key in alone]
    generic = "choices" in rows.column_names and len(set(contexts)) < 5
    return alone if generic else contexts


def _strata(rows: Dataset) -> list[Hashable]:
    """The class of each row, the rarest of several; of numbers about their fifth."""
    names = rows.column_names
    column = next((name for name in ("label", "tags", "score") if name in names), "")
    if not column or "choices" in names:
        return [0] * len(rows)
    values = rows[column][:]
    if isinstance(values[0], float):
        edges = statistics.quantiles(values, n=max(2, min(5, len(values) // 10)))
        return [bisect.bisect(edges, value) for value in values]
    if not isinstance(values[0], list):
        return values
    if column == "tags":  # B- and I- of a kind are one, O is none
        values = [{(tag + 1) // 2 for tag in tags if tag} for tags in values]
    common = Counter(itertools.chain(*values))
    return [min(sorted(several), key=common.get, default=-1) for several in values]


def _one_sided(parts: dict[str, Dataset]) -> list[str]:
    """A line for the classes, or kinds of entities, that only one side has."""
    name = "tags" if "tags" in parts["train"].column_names else "label"
    names = label_names(parts["train"], name)
    if not names:
        return []
    kinds = [n[2:] if name == "tags" else n for n in names]
    sides = [part[name][:] for part in parts.values()]
    train, test = ({kinds[n] for row in side for n in each(row)} for side in sides)
    only = "only held out"
    told = {"learned but too rare to be held out": train - test, only: test - train}
    return [f"{what}: {listed(sorted(which))}" for what, which in told.items() if which]

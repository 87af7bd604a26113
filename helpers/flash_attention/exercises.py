"""Exercises of `10_flash_attention`: the right answers and the likely mistakes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import Any

from helpers.show.exercises import Drawn, Exercise

State = tuple[float, float, float]  # largest score, sum of exponentials, mixed values


def _merge(
    left: State, right: State, total: bool = True, mixed: bool = True, sign: int = 1
) -> State:
    """The right answer; with `total` or `mixed` off, that part is added unscaled."""
    top = max(left[0], right[0])
    scale = [math.exp(sign * (part[0] - top)) for part in (left, right)]
    pairs = list(zip((left, right), scale, strict=True))
    sums = sum(part[1] * (by if total else 1) for part, by in pairs)
    return top, sums, sum(part[2] * (by if mixed else 1) for part, by in pairs)


def _averaged(left: State, right: State) -> State:
    top, total, mixed = _merge(left, right)
    return top, total, mixed / total


merge = Exercise(
    answer=_merge,
    inputs=[
        ((1.0, 1.5, 3.0), (3.0, 1.25, 5.0)),
        ((2.0, 2.0, -4.0), (0.5, 1.0, 7.0)),
        ((800.0, 1.5, 6.0), (801.0, 1.0, -2.0)),
    ],
    mistakes={
        "Each part was summed against its own largest score. "
        "Scale both to the new one first.": partial(_merge, total=False, mixed=False),
        "The sums are right. The mixed values need the same scaling.": (
            partial(_merge, mixed=False)
        ),
        "The mixed values are right. The sums need the same scaling.": (
            partial(_merge, total=False)
        ),
        "exp(new - old) makes the part with the smaller scores grow; "
        "it must shrink.": partial(_merge, sign=-1),
        "Do not divide yet: another block may come. "
        "The division waits for the end.": _averaged,
    },
    praise="this is all that Flash Attention does to the softmax, once for each tile.",
)


def _masks() -> Iterator[tuple]:
    import torch

    for lengths, width in (([3, 1, 2], 4), ([5], 5), ([2, 6, 1, 4], 6)):
        yield ((torch.arange(width) < torch.tensor(lengths)[:, None]).long(),)


def _sums(mask: Any) -> list[int]:
    return [0, *accumulate(mask.sum(1).tolist())]


cu_seqlens = Exercise(
    answer=_sums,
    inputs=Drawn(_masks),
    mistakes={
        "Where does the first text begin? "
        "N texts have N + 1 borders, and the first one is 0.": lambda m: _sums(m)[1:],
        "Where does the last text end? N texts have N + 1 borders.": (
            lambda mask: _sums(mask)[:-1]
        ),
        "These are the lengths. "
        "The kernel wants to know where each text begins and ends.": lambda m: m.sum(1),
        "Did you count the padding? The texts lie end to end without it.": (
            lambda mask: [row * mask.shape[1] for row in range(len(mask) + 1)]
        ),
        "Did you sum over the texts instead of over the tokens of each?": (
            lambda mask: _sums(mask.T)
        ),
    },
    praise="the last of them is the number of real tokens, all that is computed.",
)

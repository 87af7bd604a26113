"""Exercises of `11_speed_and_size`: the right answers and the likely mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from helpers.show.exercises import Exercise


def _restore(order: Sequence[int], answers: Sequence[int]) -> list[int]:
    found = dict(zip(order, answers, strict=True))
    return [found[row] for row in range(len(order))]


restore = Exercise(
    answer=_restore,
    inputs=[
        ([2, 0, 1], [7, 4, 9]),
        ([3, 1, 0, 2], [7, 5, 9, 5]),
        ([1, 2, 3, 4, 0], [10, 20, 30, 40, 50]),
    ],
    mistakes={
        "That sorts once more. "
        "`answers[i]` belongs to text `order[i]`, not the other way round.": (
            lambda order, answers: [answers[row] for row in order]
        ),
        "These are still in the order of the batches.": (
            lambda order, answers: list(answers)
        ),
        "You sorted the answers. "
        "It is the texts that have to find their own ones again.": (
            lambda order, answers: sorted(answers)
        ),
        "You turned the order round. "
        "Shortest first is not the reverse of how they came.": (
            lambda order, answers: list(answers)[::-1]
        ),
    },
    praise="and no label has changed its text. Forgetting this raises no error.",
)


def _int8(
    values: Sequence[float],
    steps: int = 127,
    largest: Callable = lambda values: max(map(abs, values)),
    whole: Callable = round,
) -> tuple[float, list[int]]:
    """The right answer; each keyword makes one mistake."""
    scale = largest(values) / steps
    return scale, [whole(value / scale) for value in values]


def _upside_down(values: Sequence[float]) -> tuple[float, list[int]]:
    scale, numbers = _int8(values)
    return 1 / scale, numbers


int8 = Exercise(
    answer=_int8,
    inputs=[([0.5, -2.0, 1.25],), ([3.0, -1.0, 0.1],), ([-0.08, 0.02, 0.05, -0.03],)],
    mistakes={
        "int8 ends at 127 (and -128): "
        "with 255 steps to one side the numbers do not fit.": partial(_int8, steps=255),
        "The largest number may be negative. "
        "Take the largest *distance from zero*.": partial(_int8, largest=max),
        "`int` cuts off; the nearest whole number is what `round` gives.": (
            partial(_int8, whole=int)
        ),
        "The scale is what one step is worth: "
        "number times scale must give the value back.": _upside_down,
    },
    praise="one byte a number, one scale for all of them: a quarter of the size.",
)

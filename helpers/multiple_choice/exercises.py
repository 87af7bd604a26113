"""Exercises of `08_multiple_choice`: the right answers and the likely mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helpers.show.exercises import Drawn, Exercise

_Rows = Sequence[dict[str, Any]]
_ROWS = [
    [
        {"context": "The kettle whistled.", "choices": ["Tea.", "Sand.", "Rain."]},
        {"context": "The dog barked.", "choices": ["Post!", "Soup!", "Snow!"]},
    ],
    [
        {"context": "a", "choices": ["1", "2", "3", "4"]},
        {"context": "b", "choices": ["5", "6", "7", "8"]},
        {"context": "c", "choices": ["9", "10", "11", "12"]},
    ],
]


def _contexts(rows: _Rows) -> list[str]:
    return [row["context"] for row in rows for _ in row["choices"]]


def _contexts_in_turn(rows: _Rows) -> list[str]:
    return [row["context"] for row in rows] * len(rows[0]["choices"])


def _endings(rows: _Rows) -> list[str]:
    return [ending for row in rows for ending in row["choices"]]


def _endings_in_turn(rows: _Rows) -> list[str]:
    by_place = zip(*(row["choices"] for row in rows), strict=True)
    return [ending for endings in by_place for ending in endings]


flatten = Exercise(
    answer=lambda rows: (_contexts(rows), _endings(rows)),
    inputs=[(rows,) for rows in _ROWS],
    mistakes={
        "`contexts * choices` repeats the whole list: a, b, a, b. Each ending needs "
        "its own context: a, a, b, b.": (
            lambda rows: (_contexts_in_turn(rows), _endings(rows))
        ),
        "Your endings are sorted by their place: all first ones, then all second ones. "
        "Keep the endings of a row together.": (
            lambda rows: (_contexts(rows), _endings_in_turn(rows))
        ),
        "The pairs are right, but in another order: (rows, choices) cannot come back "
        "by a reshape. Keep the endings of a row together.": (
            lambda rows: (_contexts_in_turn(rows), _endings_in_turn(rows))
        ),
        "Each context only once? Every ending is read together with its context.": (
            lambda rows: ([row["context"] for row in rows], _endings(rows))
        ),
        "The endings are still nested: one list a row. Flatten them as well.": (
            lambda rows: (_contexts(rows), [row["choices"] for row in rows])
        ),
    },
    praise="Row by row: then logits.view(rows, choices) puts everything back in its "
    "place.",
)


def _answers() -> list[tuple]:
    """Logits (N, K) and labels (N,), about half of them right, and never all."""
    import torch

    draw, inputs = torch.Generator().manual_seed(3), []
    for rows, choices in ((12, 4), (30, 5), (9, 4)):
        logits = torch.randn(rows, choices, generator=draw)
        logits += torch.arange(choices) / 2  # later places higher: the axes differ
        best = logits.argmax(-1)
        right = torch.rand(rows, generator=draw) < 0.5
        right[0], right[1] = True, False
        inputs.append((logits, torch.where(right, best, (best + 1) % choices)))
    return inputs


def _accuracy(logits: Any, labels: Any) -> float:
    return (logits.argmax(-1) == labels).float().mean().item()


def _with_error(share: float, count: float) -> tuple[float, float]:
    return share, (share * (1 - share) / count) ** 0.5


def _score(logits: Any, labels: Any) -> tuple[float, float]:
    return _with_error(_accuracy(logits, labels), len(labels))


def _variance(logits: Any, labels: Any) -> tuple[float, float]:
    share, error = _score(logits, labels)
    return share, error**2


def _mean_probability(logits: Any, labels: Any) -> tuple[float, float]:
    given = logits.softmax(-1)[range(len(labels)), labels]
    return _with_error(given.mean().item(), len(labels))


accuracy_and_error = Exercise(
    answer=_score,
    inputs=Drawn(_answers),
    mistakes={
        "Over which axis is your softmax? dim=0 sets rows against each other; the "
        "choices are the last axis, dim=-1.": (
            lambda logits, labels: _score(logits.softmax(0), labels)
        ),
        "That is p (1 - p) / n, the variance. The standard error is its square root.": (
            _variance
        ),
        "That is the spread of a single answer, sqrt(p (1 - p)). Divide by n under the "
        "root: the mean of n answers is steadier.": (
            lambda logits, labels: _with_error(_accuracy(logits, labels), 1)
        ),
        "n is the number of rows, not of endings: each row gives one answer.": (
            lambda logits, labels: _with_error(
                _accuracy(logits, labels), logits.numel()
            )
        ),
        "You give the mean probability of the right ending. Accuracy counts how often "
        "it is the likeliest.": _mean_probability,
    },
    praise="Two of these errors to either side hold the true accuracy in 19 of 20 "
    "samples.",
)

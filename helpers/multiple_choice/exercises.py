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


def _flatten(rows: _Rows) -> tuple[list[str], list[str]]:
    contexts = [row["context"] for row in rows for _ in row["choices"]]
    return contexts, [ending for row in rows for ending in row["choices"]]


def _contexts_in_turn(rows: _Rows) -> tuple[list[str], list[str]]:
    contexts = [row["context"] for row in rows] * len(rows[0]["choices"])
    return contexts, _flatten(rows)[1]


def _endings_in_turn(rows: _Rows) -> tuple[list[str], list[str]]:
    by_place = zip(*(row["choices"] for row in rows), strict=True)
    return _flatten(rows)[0], [ending for endings in by_place for ending in endings]


def _both_in_turn(rows: _Rows) -> tuple[list[str], list[str]]:
    return _contexts_in_turn(rows)[0], _endings_in_turn(rows)[1]


flatten = Exercise(
    answer=_flatten,
    inputs=[(rows,) for rows in _ROWS],
    mistakes={
        "`contexts * choices` repeats the whole list: a, b, a, b. Each ending needs its own "
        "context: a, a, b, b.": _contexts_in_turn,
        "Your endings are sorted by their place: all first ones, then all second ones. Keep the "
        "endings of a row together.": _endings_in_turn,
        "The pairs are right, but in another order: (rows, choices) cannot come back by a "
        "reshape. Keep the endings of a row together.": _both_in_turn,
        "Each context only once? Every ending is read together with its context.": (
            lambda rows: ([row["context"] for row in rows], _flatten(rows)[1])
        ),
        "The endings are still nested: one list a row. Flatten them as well.": (
            lambda rows: (_flatten(rows)[0], [row["choices"] for row in rows])
        ),
    },
    praise="Row by row: then logits.view(rows, choices) puts everything back in its place.",
)


def _answers() -> list[tuple]:
    """Logits (N, K) and labels (N,), about half of them right, and never all."""
    import torch

    draw, inputs = torch.Generator().manual_seed(3), []
    for rows, choices in ((12, 4), (30, 5), (9, 4)):
        logits = torch.randn(rows, choices, generator=draw)
        logits += (
            torch.arange(choices) / 2
        )  # later places score higher: the axes then differ
        best = logits.argmax(-1)
        labels = torch.where(
            torch.rand(rows, generator=draw) < 0.5, best, (best + 1) % choices
        )
        labels[0], labels[1] = best[0], (best[1] + 1) % choices
        inputs.append((logits, labels))
    return inputs


def _accuracy(logits: Any, labels: Any) -> float:
    return (logits.argmax(-1) == labels).float().mean().item()


def _score(logits: Any, labels: Any) -> tuple[float, float]:
    share = _accuracy(logits, labels)
    return share, (share * (1 - share) / len(labels)) ** 0.5


def _over_rows(logits: Any, labels: Any) -> tuple[float, float]:
    """The argmax after a softmax over the batch."""
    return _score(logits.softmax(0), labels)


accuracy_and_error = Exercise(
    answer=_score,
    inputs=Drawn(_answers),
    mistakes={
        "Over which axis is your softmax? dim=0 sets rows against each other; the choices are "
        "the last axis, dim=-1.": _over_rows,
        "That is p (1 - p) / n, the variance. The standard error is its square root.": (
            lambda logits, labels: (
                _accuracy(logits, labels),
                _score(logits, labels)[1] ** 2,
            )
        ),
        "That is the spread of a single answer, sqrt(p (1 - p)). Divide by n under the root: the "
        "mean of n answers is steadier.": (
            lambda logits, labels: (
                _accuracy(logits, labels),
                _score(logits, labels)[1] * len(labels) ** 0.5,
            )
        ),
        "n is the number of rows, not of endings: each row gives one answer.": (
            lambda logits, labels: (
                _accuracy(logits, labels),
                _score(logits, labels)[1] / logits.shape[1] ** 0.5,
            )
        ),
        "You give the mean probability of the right ending. Accuracy counts how often it is "
        "the likeliest.": (
            lambda logits, labels: (
                (p := logits.softmax(-1)[range(len(labels)), labels].mean().item()),
                (p * (1 - p) / len(labels)) ** 0.5,
            )
        ),
    },
    praise="Two of these errors to either side hold the true accuracy in 19 of 20 samples.",
)

"""Exercises of `05_sequence_classification`: right answers and likely mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from helpers.show.exercises import Exercise

Labels = Sequence[int]


def _counts(labels: Labels, said: Labels, classes: int) -> list[tuple[int, int, int]]:
    """Of each class: how often it is right, true, and said."""
    pairs = list(zip(labels, said, strict=True))
    return [
        (pairs.count((c, c)), labels.count(c), said.count(c)) for c in range(classes)
    ]


def _f1(right: int, true: int, said: int) -> float:
    return 2 * right / (true + said) if true + said else 0.0


def _macro_f1(labels: Labels, said: Labels, classes: int) -> float:
    return sum(_f1(*row) for row in _counts(labels, said, classes)) / classes


def _accuracy(labels: Labels, said: Labels, classes: int) -> float:
    return sum(row[0] for row in _counts(labels, said, classes)) / len(labels)


def _weighted(labels: Labels, said: Labels, classes: int) -> float:
    rows = _counts(labels, said, classes)
    return sum(row[1] * _f1(*row) for row in rows) / len(labels)


def _over_those_seen(labels: Labels, said: Labels, classes: int) -> float:
    return _macro_f1(labels, said, classes) * classes / len({*labels, *said})


def _recall(labels: Labels, said: Labels, classes: int) -> float:
    rows = _counts(labels, said, classes)
    return sum(right / max(1, true) for right, true, _ in rows) / classes


macro_f1 = Exercise(
    answer=_macro_f1,
    inputs=[
        ([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 1, 0], 3),
        ([0, 1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0, 1], 2),
        ([2, 2, 2, 0, 0], [2, 2, 0, 0, 2], 4),
    ],
    mistakes={
        "That is the accuracy: each row counts alike. Average over the classes "
        "instead.": _accuracy,
        "You weight each class by its rows. Macro gives every class the same "
        "say.": _weighted,
        "A class that nobody says and nobody is still counts, as 0. Divide by all "
        "classes.": _over_those_seen,
        "That is the mean recall. F1 also asks how often the class was said in "
        "vain.": _recall,
        "Where is the 2? F1 is 2 * right / (said + true), so that a perfect class "
        "gets 1.": lambda *given: _macro_f1(*given) / 2,
    },
    praise="One neglected class of six costs a sixth, however few rows it has.",
)

Logits = Sequence[float]


def _shares(logits: Logits) -> list[float]:
    return [1 / (1 + math.exp(-logit)) for logit in logits]


def _softmax(logits: Logits) -> list[float]:
    total = sum(map(math.exp, logits))
    return [math.exp(logit) / total for logit in logits]


def _above(values: Sequence[float], threshold: float) -> list[int]:
    return [number for number, value in enumerate(values) if value > threshold]


said = Exercise(
    answer=lambda logits, threshold: _above(_shares(logits), threshold),
    inputs=[
        ([0.2, -3.0, 1.5, 0.9], 0.5),
        ([-0.4, -0.6, -2.0], 0.4),
        ([2.0, 0.7, 0.55, -0.1], 0.7),
    ],
    mistakes={
        "A softmax makes the labels compete for one share. Here each is its own "
        "question.": lambda logits, threshold: _above(_softmax(logits), threshold),
        "You compare the logit itself. The threshold is a probability: sigmoid "
        "first.": _above,
        "Only the likeliest? Several labels may be right at once, or none.": (
            lambda logits, threshold: [logits.index(max(logits))]
        ),
        "Your sigmoid is upside down: 1 / (1 + exp(-logit)), with the minus.": (
            lambda logits, threshold: _above(_shares([-v for v in logits]), threshold)
        ),
        "These are probabilities, or truth values. Return the labels' numbers.": (
            lambda logits, threshold: [share > threshold for share in _shares(logits)]
        ),
    },
    praise="None, one or all six: each label decides for itself.",
)

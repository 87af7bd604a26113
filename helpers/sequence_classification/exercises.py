"""Exercises of `05_sequence_classification`: the right answers and the likely
mistakes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from helpers.show.exercises import Exercise


def _f1s(labels: Sequence[int], guesses: Sequence[int], classes: int) -> list[float]:
    found = []
    for c in range(classes):
        right = sum(a == b == c for a, b in zip(labels, guesses, strict=True))
        total = sum(a == c for a in labels) + sum(b == c for b in guesses)
        found.append(2 * right / total if total else 0.0)
    return found


def _accuracy(labels: Sequence[int], guesses: Sequence[int], _classes: int) -> float:
    return sum(a == b for a, b in zip(labels, guesses, strict=True)) / len(labels)


def _weighted(labels: Sequence[int], guesses: Sequence[int], classes: int) -> float:
    scores = _f1s(labels, guesses, classes)
    return sum(scores[label] for label in labels) / len(labels)


def _over_those_seen(
    labels: Sequence[int], guesses: Sequence[int], classes: int
) -> float:
    seen = set(labels) | set(guesses)
    return sum(_f1s(labels, guesses, classes)) / len(seen)


def _recall(labels: Sequence[int], guesses: Sequence[int], classes: int) -> float:
    shares = []
    for c in range(classes):
        right = sum(a == b == c for a, b in zip(labels, guesses, strict=True))
        shares.append(right / max(1, list(labels).count(c)))
    return sum(shares) / classes


_LISTS = [
    ([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 1, 0], 3),
    ([0, 1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0, 1], 2),
    ([2, 2, 2, 0, 0], [2, 2, 0, 0, 2], 4),
]

macro_f1 = Exercise(
    answer=lambda labels, guesses, classes: (
        sum(_f1s(labels, guesses, classes)) / classes
    ),
    inputs=_LISTS,
    mistakes={
        "That is the accuracy: each row counts alike. Average over the classes instead.": _accuracy,
        "You weight each class by its rows. Macro gives every class the same say.": _weighted,
        "A class that nobody says and nobody is still counts, as 0. Divide by all classes.": (
            _over_those_seen
        ),
        "That is the mean recall. F1 also asks how often the class was said in vain.": _recall,
        "Where is the 2? F1 is 2 * right / (said + true), so that a perfect class gets 1.": (
            lambda labels, guesses, classes: (
                sum(_f1s(labels, guesses, classes)) / classes / 2
            )
        ),
    },
    praise="One neglected class of six costs a sixth, however few rows it has.",
)

_LOGITS = [
    ([0.2, -3.0, 1.5, 0.9], 0.5),
    ([-0.4, -0.6, -2.0], 0.4),
    ([2.0, 0.7, 0.55, -0.1], 0.7),
]


def _softmax(logits: Sequence[float], threshold: float) -> list[int]:
    total = sum(math.exp(logit) for logit in logits)
    return [i for i, logit in enumerate(logits) if math.exp(logit) / total > threshold]


said = Exercise(
    answer=lambda logits, threshold: [
        i for i, logit in enumerate(logits) if 1 / (1 + math.exp(-logit)) > threshold
    ],
    inputs=_LOGITS,
    mistakes={
        "A softmax makes the labels compete for one share. Here each is its own question.": (
            _softmax
        ),
        "You compare the logit itself. The threshold is a probability: sigmoid first.": (
            lambda logits, threshold: [i for i, v in enumerate(logits) if v > threshold]
        ),
        "Only the likeliest? Several labels may be right at once, or none.": (
            lambda logits, threshold: [max(range(len(logits)), key=lambda i: logits[i])]
        ),
        "Your sigmoid is upside down: 1 / (1 + exp(-logit)), with the minus.": (
            lambda logits, threshold: [
                i for i, v in enumerate(logits) if 1 / (1 + math.exp(v)) > threshold
            ]
        ),
        "These are probabilities, or truth values. Return the labels' numbers.": (
            lambda logits, threshold: [
                1 / (1 + math.exp(-v)) > threshold for v in logits
            ]
        ),
    },
    praise="None, one or all six: each label decides for itself.",
)

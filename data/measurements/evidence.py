"""What each test row adds to a score, and how sure a mean over rows and seeds is.

A score of a few hundred rows and three seeds is not one number. *Evidence* keeps what
every row adds to it; the bootstrap then asks how the score would vary with other rows
and other seeds: it draws both anew, with replacement, 1,000 times, and takes the middle
95%. Models that answered the same rows are compared on the same draws.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from helpers.data.tasks import Task

DRAWS = 1_000


def of_numbers(task: Task, guesses: Any, right: Any) -> np.ndarray:
    """Evidence (N,) or (N, 3) from guesses and right answers as numbers or sets of
    them.

    A class or a choice: 1 where they agree. Several labels, or a row's entities: how
    many are found, guessed and true. A number: the guess itself.
    """
    if task.head in ("classification", "choices"):
        return (np.asarray(guesses) == np.asarray(right)).astype(float)
    if task.head in ("multilabel", "tokens"):
        pairs = [(set(g), set(r)) for g, r in zip(guesses, right, strict=True)]
        return np.array([(len(g & r), len(g), len(r)) for g, r in pairs], dtype=float)
    return np.asarray(guesses, dtype=float)


def of_prediction(task: Task, prediction: Any, names: Sequence[str] = ()) -> np.ndarray:
    """Evidence from the logits and labels of `Trainer.predict`; `names` those of BIO
    tags.

    Questions are not decoded here: their evidence is the F1 of each.
    """
    logits = np.asarray(prediction.predictions)
    labels = np.asarray(prediction.label_ids)
    if task.head in ("classification", "choices"):
        return of_numbers(task, logits.argmax(-1), labels)
    if task.head == "multilabel":
        sides = [[row.nonzero()[0] for row in side] for side in (logits > 0, labels)]
        return of_numbers(task, *sides)
    if task.head == "tokens":
        sides = (_entities(tags, labels, names) for tags in (logits.argmax(-1), labels))
        return of_numbers(task, *sides)
    return of_numbers(task, logits.reshape(len(labels)), labels)


def _entities(
    tags: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> list[list[tuple]]:
    from seqeval.metrics.sequence_labeling import get_entities

    rows = zip(tags, labels != -100, strict=True)
    return [get_entities([names[tag] for tag in row[seen]]) for row, seen in rows]


def score(task: Task, evidence: np.ndarray, right: np.ndarray | None = None) -> float:
    """The task's score of these rows; `right` are the numbers to be told."""
    if task.head in ("multilabel", "tokens"):
        found, guessed, true = evidence.sum(0)
        return float(2 * found / max(guessed + true, 1))
    if right is None:
        return float(evidence.mean())
    from scipy.stats import spearmanr

    varied = len(set(evidence)) > 1 and len(set(right)) > 1
    return float(spearmanr(evidence, right).statistic) if varied else 0.0


def draws(
    task: Task, runs: Sequence[Any], right: np.ndarray | None, seed: int = 0
) -> np.ndarray:
    """(1,000,) means over seeds of the score, rows and seeds drawn anew each time.

    `runs` holds the evidence of each seed. The same `seed` draws the same rows for
    every task and model with so many rows.
    """
    tables = [np.asarray(run, dtype=float) for run in runs]
    found, count = np.empty(DRAWS), len(tables[0])
    for number in range(DRAWS):
        rows = np.random.default_rng((seed, number)).integers(count, size=count)
        seeds = np.random.default_rng((seed, number, len(tables), 1))
        chosen = seeds.integers(len(tables), size=len(tables)).tolist()
        part = None if right is None else right[rows]
        scores = {at: score(task, tables[at][rows], part) for at in set(chosen)}
        found[number] = np.mean([scores[at] for at in chosen])
    return found


class Interval(NamedTuple):
    """A value, and where 95% of the draws lie."""

    mean: float
    low: float
    high: float


def interval(value: float, drawn: np.ndarray) -> Interval:
    """`value` with the 2.5th and 97.5th percentile of its draws, to four digits."""
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(*(round(float(x), 4) for x in (value, low, high)))

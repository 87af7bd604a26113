"""How well a head does, as `transformers.Trainer` asks: a `compute_metrics` each.

    Trainer(..., compute_metrics=classification)        multilabel, regression,
                                                        similarity and choices likewise
    Trainer(..., compute_metrics=tokens(names))
    Trainer(..., compute_metrics=questions(windows, contexts, golds))

Scores are shares in [0, 1], correlations lie in [-1, 1]; RMSE is in the labels' own
unit. What is undefined (a constant has no correlation, no entity no F1) counts 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from helpers.training.squad import squad_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformers import EvalPrediction

    from helpers.training.windows import Windows

    Metrics = Callable[[EvalPrediction], dict[str, float]]

BINS = 10  # of a reliability diagram, equally wide


def _logits(prediction: EvalPrediction, *shape: str | int) -> np.ndarray:
    """The model's first output, of a `shape` such as "N", "K" where it is given."""
    outputs = prediction.predictions  # some models give hidden states along with them
    logits = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)
    if not len(logits):
        raise ValueError("there is nothing to score: no predictions")
    if not np.isfinite(logits).all():
        raise ValueError("a prediction is not finite; did the training diverge?")
    last = ("K", logits.shape[-1])
    if shape and (logits.ndim != len(shape) or shape[-1] not in last):
        expected = ", ".join(map(str, shape))
        raise ValueError(f"logits are {logits.shape}; expected ({expected})")
    return logits


def _labels(
    prediction: EvalPrediction, shape: tuple[int, ...], classes: int, *ignored: int
) -> np.ndarray:
    labels, whole = np.asarray(prediction.label_ids), f"0 to {classes - 1}"
    if labels.shape != shape:
        expected = f"{shape}, as the predictions"
        raise ValueError(f"labels are {labels.shape}; expected {expected}")
    for strange in labels[~np.isin(labels, [*range(classes), *ignored])]:
        raise ValueError(f"a label is {strange}; expected a whole number, {whole}")
    return labels


def classification(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy`, `macro_f1` and `matthews` of logits (N, K) against labels (N,).

    Macro-F1 is the plain mean over the classes that occur among labels or predictions.
    Matthews' correlation is GLUE's score for CoLA: 0 for whoever does not look.
    """
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    logits = _logits(prediction, "N", "K")
    labels = _labels(prediction, logits.shape[:1], logits.shape[1])
    guesses = logits.argmax(-1)
    return {
        "accuracy": float(accuracy_score(labels, guesses)),
        "macro_f1": float(f1_score(labels, guesses, average="macro", zero_division=0)),
        "matthews": float(matthews_corrcoef(labels, guesses)),
    }


def choices(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` of logits (N, choices) against the right choices' numbers (N,)."""
    return {"accuracy": classification(prediction)["accuracy"]}


def multilabel(prediction: EvalPrediction, threshold: float = 0.0) -> dict[str, float]:
    """`micro_f1` and `macro_f1` of logits (N, K) against labels of 0 and 1 (N, K).

    A label is given where its logit exceeds `threshold`; 0 is a probability of a half.
    """
    from sklearn.metrics import f1_score

    logits = _logits(prediction, "N", "K")
    sides = _labels(prediction, logits.shape, 2).astype(int), logits > threshold
    if logits.shape[1] == 1:  # one column would read as two classes
        sides = tuple(side.repeat(2, axis=1) for side in sides)
    how = ("micro", "macro")
    return {f"{a}_f1": float(f1_score(*sides, average=a, zero_division=0)) for a in how}


def regression(prediction: EvalPrediction) -> dict[str, float]:
    """`spearman`, `pearson`, `rmse` of guesses (N,) or (N, 1) against labels (N,)."""
    from scipy.stats import pearsonr, spearmanr

    sides = []
    for values in (_logits(prediction), prediction.label_ids):
        column = np.asarray(values, dtype=np.float64)
        if column.size != len(column):
            raise ValueError(
                f"found numbers of shape {column.shape}; expected one for each row"
            )
        sides.append(column.reshape(-1))
    guesses, labels = sides
    if len(guesses) != len(labels) or not np.isfinite(labels).all():
        raise ValueError(
            f"labels are to be {len(guesses)} finite numbers, one for each prediction"
        )
    # nearly constant in float64 is noise, and makes scipy warn
    varied = all(np.ptp(side) > 1e-12 * abs(side).max() for side in sides)
    return {
        "spearman": float(spearmanr(*sides).statistic) if varied else 0.0,
        "pearson": float(pearsonr(*sides).statistic) if varied else 0.0,
        "rmse": float(np.sqrt(np.mean((guesses - labels) ** 2))),
    }


similarity = regression  # the score of a pair is a number like any other


def tokens(names: Sequence[str]) -> Metrics:
    """A `compute_metrics` for BIO tags; `names` gives a label's name by its number.

    It takes logits (N, S, K) and labels (N, S), -100 where no word starts, and returns
    entity `precision`, `recall` and `f1` as seqeval and CoNLL count them (an entity
    counts when kind, first and last word are right) and the words' `accuracy`. Words
    that truncation cut off are not in the labels, and so not in the scores.
    """
    for name in names:
        if name != "O" and not re.fullmatch(r"[BI]-.+", name):
            raise ValueError(f"{name!r} is no BIO tag; expected O, B-kind or I-kind")

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        from seqeval.metrics import accuracy_score
        from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

        logits = _logits(prediction, "N", "S", len(names))
        labels = _labels(prediction, logits.shape[:2], len(names), -100)
        if not (seen := labels != -100).any():
            raise ValueError("there is nothing to score: no word has a label")
        right, guessed = (
            [[names[i] for i in row[at]] for row, at in zip(side, seen, strict=True)]
            for side in (labels, logits.argmax(-1))
        )
        how = {"average": "micro", "zero_division": 0}
        found = precision_recall_fscore_support(right, guessed, **how)[:3]
        found = dict(zip(("precision", "recall", "f1"), map(float, found), strict=True))
        return found | {"accuracy": float(accuracy_score(right, guessed))}

    return compute_metrics


def questions(
    windows: Windows, contexts: Sequence[str], golds: Sequence[Sequence[str]]
) -> Metrics:
    """A `compute_metrics` for answers: SQuAD's scores, as `squad_scores` returns them.

    It takes start and end logits, (N, S) each, for the N `windows` of the questions;
    `golds` holds for each question its right answers, none for "no answer".
    """
    if len(contexts) != len(golds):
        raise ValueError(
            f"{len(contexts)} contexts, but right answers for {len(golds)}"
        )

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        from helpers.training.spans import answers

        given = answers(windows, contexts, *prediction.predictions[:2])
        texts = {row: answer.text for row, answer in enumerate(given)}
        return squad_scores(texts, dict(enumerate(golds)))

    return compute_metrics


class Bin(NamedTuple):
    """One point of a reliability diagram: predictions with low < confidence <= high."""

    low: float
    high: float
    confidence: float  # their mean confidence
    accuracy: float  # the share of them that is right
    count: int


class Calibration(NamedTuple):
    """Expected calibration error in [0, 1], and the bins that hold any prediction."""

    error: float
    bins: list[Bin]


def calibration(probabilities: ArrayLike, answers: ArrayLike) -> Calibration:
    """How well confidence foretells accuracy: the mean |accuracy - confidence|, binned.

    `probabilities` (N, K) of the classes with `answers` (N,), the right classes. Or
    `probabilities` (N,), how sure the model was, with `answers` (N,), whether it was
    right. Source: Guo et al. 2017 (arXiv:1706.04599), section 2.
    """
    sure, right = np.asarray(probabilities, dtype=np.float64), np.asarray(answers)
    if not sure.size or sure.ndim > 2 or right.shape != sure.shape[:1]:
        raise ValueError(
            f"probabilities are {sure.shape}, answers {right.shape}; "
            "expected (N, K) or (N,), and (N,)"
        )
    if not ((sure >= -1e-6) & (sure <= 1 + 1e-6)).all():
        raise ValueError("a probability is outside [0, 1]; are these logits?")
    if sure.ndim == 2:
        sure, right = sure.max(1), sure.argmax(1) == right
    edges = np.linspace(0, 1, BINS + 1)
    places, found = np.digitize(sure, edges[1:-1], right=True), []
    for at in np.unique(places):
        here = places == at
        means = sure[here].mean().item(), right[here].mean().item()
        found.append(Bin(*edges[at : at + 2].tolist(), *means, int(here.sum())))
    error = sum(b.count * abs(b.accuracy - b.confidence) for b in found) / len(sure)
    return Calibration(error, found)

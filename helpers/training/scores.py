"""How well a head does, as `transformers.Trainer` asks: one `compute_metrics` for each
head.

    Trainer(..., compute_metrics=classification)                      also multilabel, regression,
                                                                      similarity, choices
    Trainer(..., compute_metrics=tokens(names))
    Trainer(..., compute_metrics=questions(windows, contexts, golds))

All scores are shares in [0, 1], correlations lie in [-1, 1]; RMSE is in the labels' own
unit. Trainer puts `eval_` in front of the names. What is undefined (a constant has no
correlation, no entity no F1) counts 0, without a warning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers.training.squad import squad_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike
    from transformers import EvalPrediction

    from helpers.training.windows import Windows

    Metrics = Callable[[EvalPrediction], dict[str, float]]


def _logits(prediction: EvalPrediction) -> np.ndarray:
    """The model's first output: some give hidden states along with it."""
    import numpy as np

    outputs = prediction.predictions
    logits = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)
    if not len(logits):
        raise ValueError("there is nothing to score: no predictions")
    if not np.isfinite(logits).all():
        raise ValueError("a prediction is not finite; did the training diverge?")
    return logits


def _labels(
    prediction: EvalPrediction,
    shape: tuple[int, ...],
    classes: int,
    ignored: Sequence[int] = (),
) -> np.ndarray:
    import numpy as np

    labels = np.asarray(prediction.label_ids)
    if labels.shape != shape:
        raise ValueError(
            f"labels are {labels.shape}; expected {shape}, as the predictions"
        )
    strange = labels[~np.isin(labels, [*range(classes), *ignored])]
    if len(strange):
        raise ValueError(
            f"a label is {strange[0]}; expected a whole number, 0 to {classes - 1}"
        )
    return labels


def classification(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` and `macro_f1`, in [0, 1], and `matthews` of logits (N, K), labels
    (N,).

    Macro-F1 is the plain mean over the classes that occur among labels or predictions.
    Matthews' correlation, in [-1, 1], is GLUE's score for CoLA: 0 for whoever does not
    look.

    Raises `ValueError` without rows, on shapes that do not fit, on a label outside 0 to
    K - 1, or on logits that are not finite.
    """
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    logits = _logits(prediction)
    if logits.ndim != 2:
        raise ValueError(f"logits are {logits.shape}; expected (N, K)")
    labels = _labels(prediction, logits.shape[:1], logits.shape[1])
    guesses = logits.argmax(-1)
    return {
        "accuracy": float(accuracy_score(labels, guesses)),
        "macro_f1": float(f1_score(labels, guesses, average="macro", zero_division=0)),
        "matthews": float(matthews_corrcoef(labels, guesses)),
    }


def choices(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` in [0, 1] of logits (N, choices) against the right choice's number
    (N,).

    Raises `ValueError` as `classification` does.
    """
    return {"accuracy": classification(prediction)["accuracy"]}


def multilabel(prediction: EvalPrediction, threshold: float = 0.0) -> dict[str, float]:
    """`micro_f1` and `macro_f1` of logits (N, K) against labels of 0 and 1 (N, K), in
    [0, 1].

    A label is given where its logit exceeds `threshold`; 0 is a probability of one
    half.

    Raises `ValueError` as `classification` does.
    """
    from sklearn.metrics import f1_score

    logits = _logits(prediction)
    if logits.ndim != 2:
        raise ValueError(f"logits are {logits.shape}; expected (N, K)")
    labels = _labels(prediction, logits.shape, 2).astype(int)
    guesses = (logits > threshold).astype(int)
    if labels.shape[1] == 1:  # one column would read as two classes
        labels, guesses = (values.repeat(2, axis=1) for values in (labels, guesses))
    return {
        f"{average}_f1": float(
            f1_score(labels, guesses, average=average, zero_division=0)
        )
        for average in ("micro", "macro")
    }


def regression(prediction: EvalPrediction) -> dict[str, float]:
    """`spearman`, `pearson` and `rmse` of predictions (N,) or (N, 1) against labels
    (N,).

    Correlations lie in [-1, 1] and are 0 when either side is constant.

    Raises `ValueError` without rows, on shapes that do not fit, or on numbers that are
    not finite.
    """
    import numpy as np
    from scipy.stats import pearsonr, spearmanr

    guesses, labels = _column(_logits(prediction)), _column(prediction.label_ids)
    if len(guesses) != len(labels) or not np.isfinite(labels).all():
        raise ValueError(
            f"labels are to be {len(guesses)} finite numbers, one for each prediction"
        )
    varied = _varied(guesses) and _varied(labels)
    return {
        "spearman": float(spearmanr(guesses, labels).statistic) if varied else 0.0,
        "pearson": float(pearsonr(guesses, labels).statistic) if varied else 0.0,
        "rmse": float(np.sqrt(np.mean((guesses - labels) ** 2))),
    }


similarity = regression  # the score of a pair is a number like any other


def _column(values: ArrayLike) -> np.ndarray:
    """Numbers (N,) or (N, 1) as (N,), in float64."""
    import numpy as np

    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"found numbers of shape {values.shape}; expected one for each row"
        )
    return values


def _varied(values: np.ndarray) -> bool:
    # nearly constant in float64 is noise, and makes scipy warn
    return bool(abs(values.max() - values.min()) > 1e-12 * abs(values).max())


def tokens(names: Sequence[str]) -> Metrics:
    """A `compute_metrics` for BIO tags; `names` gives a label's name by its number.

    It takes logits (N, S, K) and labels (N, S), -100 where no word starts, and returns
    entity `precision`, `recall` and `f1` as seqeval and CoNLL count them (an entity
    counts when kind, first and last word are right) and the words' `accuracy`, all in
    [0, 1]. Words that truncation cut off are not in the labels, and so not in the
    scores.

    Raises `ValueError` on names that are not BIO; the returned function as
    `classification` does, or when no word is labelled.
    """
    wrong = [
        name for name in names if name != "O" and not re.fullmatch(r"[BI]-.+", name)
    ]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no BIO tag; expected O, B-kind or I-kind")

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        from seqeval.metrics import (
            accuracy_score,
            f1_score,
            precision_score,
            recall_score,
        )

        right, guessed = _tag_rows(prediction, names)
        if not any(right):
            raise ValueError("there is nothing to score: no word has a label")
        return {
            "precision": float(precision_score(right, guessed, zero_division=0)),
            "recall": float(recall_score(right, guessed, zero_division=0)),
            "f1": float(f1_score(right, guessed, zero_division=0)),
            "accuracy": float(accuracy_score(right, guessed)),
        }

    return compute_metrics


def _tag_rows(
    prediction: EvalPrediction, names: Sequence[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """Right and guessed tags, a list for each row, of the labelled words only."""
    logits = _logits(prediction)
    if logits.ndim != 3 or logits.shape[-1] != len(names):
        raise ValueError(f"logits are {logits.shape}; expected (N, S, {len(names)})")
    labels = _labels(prediction, logits.shape[:2], len(names), ignored=[-100])
    guesses, seen = logits.argmax(-1), labels != -100
    return tuple(
        [[names[i] for i in row[mask]] for row, mask in zip(side, seen, strict=True)]
        for side in (labels, guesses)
    )


def questions(
    windows: Windows,
    contexts: Sequence[str],
    golds: Sequence[Sequence[str]],
    **settings: Any,
) -> Metrics:
    """A `compute_metrics` for answers: SQuAD's scores, as `squad_scores` returns them.

    It takes start and end logits, (N, S) each, for the N `windows` of the questions;
    `golds` holds for each question its right answers, none for "no answer". `settings`
    go to `spans.answers`: `max_answer_length`, `n_best`, `threshold`.

    Raises `ValueError` when contexts and golds differ in number; the returned function
    as `spans.answers` does.
    """
    if len(contexts) != len(golds):
        raise ValueError(
            f"{len(contexts)} contexts, but right answers for {len(golds)}"
        )

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        from helpers.training.spans import answers

        start_logits, end_logits = prediction.predictions[:2]
        given = answers(windows, contexts, start_logits, end_logits, **settings)
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


def calibration(
    probabilities: ArrayLike, answers: ArrayLike, bins: int = 10
) -> Calibration:
    """How well confidence foretells accuracy, over `bins` equally wide bins.

    `probabilities` (N, K) of the classes with `answers` (N,), the right classes: the confidence is
    that of the most probable class. Or `probabilities` (N,), how sure the model was of what it
    said, with `answers` (N,), whether it was right. The error is the mean over all predictions of
    |accuracy - confidence| of their bin.

    Raises `ValueError` on shapes that do not fit, no rows, values that are no
    probabilities (logits, say), `answers` that are no class or truth value, or `bins`
    below 1.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2
    (arXiv:1706.04599).
    """
    import numpy as np

    sure, right = _confidence(
        np.asarray(probabilities, dtype=np.float64), np.asarray(answers)
    )
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be 1 or more")
    edges = np.linspace(0, 1, bins + 1)
    places = np.maximum(
        np.searchsorted(edges, sure, side="left") - 1, 0
    )  # 0 itself: first bin
    found = []
    for place in np.unique(places):
        mask = places == place
        low, high = edges[place], edges[place + 1]
        values = (low, high, sure[mask].mean(), right[mask].mean())
        found.append(Bin(*map(float, values), int(mask.sum())))
    error = sum(b.count * abs(b.accuracy - b.confidence) for b in found) / len(sure)
    return Calibration(error, found)


def _confidence(
    probabilities: np.ndarray, answers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(how sure, whether right), both (N,)."""
    import numpy as np

    if probabilities.ndim not in (1, 2) or answers.shape != probabilities.shape[:1]:
        raise ValueError(
            f"probabilities are {probabilities.shape}, answers {answers.shape}; "
            "expected (N, K) or (N,), and (N,)"
        )
    if not probabilities.size:
        raise ValueError("there is nothing to score: no probabilities")
    if not ((probabilities >= -1e-6) & (probabilities <= 1 + 1e-6)).all():
        raise ValueError("a probability is outside [0, 1]; are these logits?")
    classes = probabilities.shape[1] if probabilities.ndim == 2 else 2
    if not np.isin(answers, np.arange(classes)).all():
        raise ValueError(f"answers are to be whole numbers from 0 to {classes - 1}")
    if probabilities.ndim == 1:
        return probabilities.clip(0, 1), answers.astype(bool)
    if not np.allclose(probabilities.sum(1), 1, atol=1e-3):
        raise ValueError("the probabilities of a row do not sum to 1")
    return probabilities.max(1).clip(0, 1), probabilities.argmax(1) == answers


def retention(student: Mapping[str, float], teacher: Mapping[str, float]) -> float:
    """The share of its teacher's macro-average that a student keeps (0.97 is "97%"; may
    exceed 1).

    Each maps a task to its score, higher being better. The two averages are divided,
    not the single scores averaged: this is how DistilBERT's 97% comes about, from 77.0
    and 79.5 on GLUE.

    >>> round(retention({"GLUE": 77.0}, {"GLUE": 79.5}), 3)
    0.969

    Raises `ValueError` without tasks, on tasks that only one of them has, a score that
    is not finite, or an average of the teacher's that is not above 0.

    Source: Sanh et al. 2019, table 1 (arXiv:1910.01108).
    """
    if student.keys() != teacher.keys() or not teacher:
        only = sorted(student.keys() ^ teacher.keys())
        raise ValueError(
            f"only one of the two has {only[0]!r}" if only else "there are no tasks"
        )
    if not all(map(math.isfinite, [*student.values(), *teacher.values()])):
        raise ValueError("a score is not finite")
    if sum(teacher.values()) <= 0:
        raise ValueError(
            "the teacher's average is not above 0, so no share of it means anything"
        )
    return sum(student.values()) / sum(teacher.values())

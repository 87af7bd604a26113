"""Two examinations of a model that does without some heads.

*masked*: held-out passages with fixed gaps, asked of the masked language model.
*entities*: the model fine-tuned to find entities, on the sample set's test sentences.
Every change is paired (the same gaps, the same sentences, before and after) and comes
with its standard error.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from helpers import checkpoints, data
from helpers.attention.maps import without_heads
from helpers.data import tasks
from helpers.masked_lm import gaps
from helpers.training.entities import found
from helpers.training.finetuning import fine_tune, recipe

TASK = "entities"
MASKINGS = 3  # how often each held-out passage is asked, with other gaps

Head = tuple[int, int]  # (layer, head)
Row = dict[str, float]  # one measurement, as it is stored


def questions(
    tokenizer: Any, profile: str = "classroom"
) -> tuple[list[dict[str, torch.Tensor]], np.ndarray]:
    """Gaps in held-out passages, the same for every model: batches, and for each gap
    the number of its passage.

    Every passage is masked `MASKINGS` times with fixed seeds, first the even passages,
    which choose heads, then the odd ones, which judge the choice. `smoke` reads the
    whole sample corpus, as the stored figures do.
    """
    texts = data.passages("full" if profile == "full" else "classroom", "test")
    batches, passages = [], []
    for half, seed in itertools.product((0, 1), range(MASKINGS)):
        first = 0
        for batch in gaps.draw(tokenizer, texts[half::2], seed):
            rows = (batch["labels"] != -100).nonzero()[:, 0].numpy()
            passages.append(2 * (first + rows) + half)
            first += len(batch["labels"])
            batches.append(batch)
    return batches, np.concatenate(passages)


class Masked:
    """The masked language model of one kind, and its answers with all heads."""

    def __init__(self, kind: str, profile: str = "classroom") -> None:
        source = getattr(checkpoints, kind)(profile)
        which = {"revision": source.revision}
        tokenizer = AutoTokenizer.from_pretrained(source, **which)
        self.model = AutoModelForMaskedLM.from_pretrained(source, **which).eval()
        self.batches, self.passage = questions(tokenizer, profile)
        self.before = self._answers()

    def _answers(self) -> np.ndarray:
        """(2, gaps): was the first guess right, and the loss in nats."""
        answers = gaps.ask(self.model, self.batches)
        return np.stack([numbers.double().numpy() for numbers in answers])

    def row(self, heads: Sequence[Head], judging: bool = False) -> Row:
        """What the answers lose without `heads`; without any, the scores themselves.

        `change` in masked accuracy and `nats` in mean loss, after minus before, each
        with its standard error, over all passages or the judging half; `ranked`: the
        nats over the other half.
        """
        judge = self.passage % 2 == 1
        if not heads:
            right, nats = self.before
            scores = {"score": right.mean(), "nats": nats.mean()}
            return scores | {"of": right.size, "judged": right[judge].mean()}
        with without_heads(self.model, heads):
            right, nats = self._answers() - self.before
        over = judge if judging else np.ones_like(judge)
        row = {
            "change": right[over].mean(),
            "error": clustered_error(right[over], self.passage[over]),
            "nats": nats[over].mean(),
            "nats_error": clustered_error(nats[over], self.passage[over]),
        }
        return row if judging else row | {"ranked": nats[~judge].mean()}


def clustered_error(values: np.ndarray, groups: np.ndarray) -> float:
    """The standard error of the mean of `values` (N,), alike within each group.

    `groups` (N,): the number of each value's group.

    >>> round(clustered_error(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2])), 4)
    0.5774
    """
    _, number = np.unique(groups, return_inverse=True)
    sums = np.bincount(number, weights=values - values.mean())
    variance = (sums**2).sum() * len(sums) / max(len(sums) - 1, 1)
    return float(np.sqrt(variance) / len(values))


class Tagger:
    """The entity tagger of one kind and seed, and what it finds with all heads."""

    def __init__(self, kind: str, profile: str, seed: int) -> None:
        task = tasks.task(TASK)
        sets, source = tasks.load(task, profile), getattr(checkpoints, kind)(profile)
        how = recipe(task, profile, kind)
        self.names = np.array(sets["train"].features["tags"].feature.names)
        self.trainer = fine_tune(task, sets, source, how, seed).trainer
        self.before = self._counts()

    def _counts(self) -> np.ndarray:
        """Of each sentence (N, 2): twice the entities found; those said plus true."""
        prediction = self.trainer.predict(self.trainer.eval_dataset)
        labels, guesses = prediction.label_ids, prediction.predictions.argmax(-1)
        real = labels != -100
        true, said = (
            found([self.names[row[at]] for row, at in zip(tags, real, strict=True)])
            for tags in (labels, guesses)
        )
        counts = np.zeros((len(labels), 2))
        np.add.at(counts[:, 0], [entity[0] for entity in true & said], 2)
        for entities in (true, said):
            np.add.at(counts[:, 1], [entity[0] for entity in entities], 1)
        return counts

    def row(self, heads: Sequence[Head], judging: bool = False) -> Row:
        """The `change` of F1 without `heads`, its `error`; without any, the F1.

        All sentences are judged: nothing is chosen by them.
        """
        if not heads:
            return {"score": f1(self.before), "of": int(self.before[:, 1].sum())}
        with without_heads(self.trainer.model, heads):
            return f1_change(self.before, self._counts())


def f1(counts: np.ndarray) -> float:
    """F1 in [0, 1] of (N, 2): twice the entities found; those said plus true."""
    return float(counts[:, 0].sum() / max(counts[:, 1].sum(), 1))


def f1_change(before: np.ndarray, after: np.ndarray) -> Row:
    """`change` of F1 over the same sentences, and its standard `error`.

    By the delta method: how much F1 would move with each sentence, before and after.
    """
    old, new = (
        (c[:, 0] - f1(c) * c[:, 1]) / max(c[:, 1].sum(), 1) for c in (before, after)
    )
    error = float(np.sqrt(((new - old) ** 2).sum()))
    return {"change": f1(after) - f1(before), "error": error}

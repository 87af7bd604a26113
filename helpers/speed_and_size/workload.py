"""The work that speed is measured on: texts to label, and the classifier that labels
them.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers import checkpoints, data
from helpers.core.cache import build_once
from helpers.data import tasks
from helpers.training import finetuning

if TYPE_CHECKING:
    from datasets import DatasetDict

TASK = "topic"  # which question about the reviews the classifier answers
COUNT = 2_000  # texts


class Work(NamedTuple):
    """Texts to label, and the right labels of those that were held out (-1: not
    known).
    """

    texts: list[str]
    gold: list[int]


def sentences(text: str) -> list[str]:
    """A text cut where a sentence ends.

    >>> sentences("Two hearts. One more? Yes.")
    ['Two hearts.', 'One more?', 'Yes.']
    """
    return re.split(r"(?<=[.!?])\s+(?=[A-Z\"'“(])", text.strip())


def sample_sentences() -> list[str]:
    """The passages of the sample corpus, cut into sentences; then the texts of the
    pairs.
    """
    rows = {
        name: [r for s in data.SPLITS for r in data.rows(name, s)]
        for name in ("corpus", "pairs")
    }
    passages = [
        sentence for row in rows["corpus"] for sentence in sentences(row["text"])
    ]
    return passages + [
        row[side] for row in rows["pairs"] for side in ("text", "text_pair")
    ]


def draw(
    sets: DatasetDict, more: Iterable[str] = (), count: int = COUNT, seed: int = 0
) -> Work:
    """`count` texts in a shuffled order: those of `sets`, held-out ones first, then
    `more`.

    No text comes twice unless there are fewer than `count`; then all are repeated.
    """
    gold = dict.fromkeys(
        (*sets["test"]["text"][:], *sets["train"]["text"][:], *more), -1
    )
    gold |= dict(zip(sets["test"]["text"][:], sets["test"]["label"][:], strict=True))
    rows = list(itertools.islice(itertools.cycle(gold.items()), count))
    random.Random(seed).shuffle(rows)
    return Work([text for text, _ in rows], [label for _, label in rows])


def classifier(
    sets: DatasetDict,
    profile: str = "classroom",
    seed: int = 0,
    report: Callable[[int], Sequence[Any]] = lambda steps: (),
) -> Path:
    """The folder of a DistilBERT fine-tuned on `sets["train"]`, in the workbook's
    cache.

    Trained with the recipe of `TASK` when it is not there yet; `report(steps)` then
    gives callbacks for the `Trainer`. Raises `WorkbookError` on an unknown profile.
    """
    one, source = tasks.task(TASK), checkpoints.distilbert(profile)
    recipe = finetuning.recipe(one, profile)

    def build(folder: Path) -> None:
        from transformers import AutoTokenizer

        callbacks = report(finetuning.steps(recipe, len(sets["train"])))
        found = finetuning.fine_tune(one, sets, source, recipe, seed, callbacks)
        found.trainer.model.float().cpu().eval().save_pretrained(folder)
        AutoTokenizer.from_pretrained(source, revision=source.revision).save_pretrained(
            folder
        )

    rows = [sets["train"]["text"][:], sets["train"]["label"][:]]
    told = repr((Path(source).name, source.revision, recipe, seed, rows))
    return build_once(
        f"classifier-{hashlib.sha256(told.encode()).hexdigest()[:12]}", build
    )

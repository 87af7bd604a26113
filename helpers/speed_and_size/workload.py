"""The work that speed is measured on: texts to label, and what labels them."""

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
    """Texts to label, and the right labels of those held out (-1: not known)."""

    texts: list[str]
    gold: list[int]


def sentences(text: str) -> list[str]:
    """A text cut where a sentence ends.

    >>> sentences("Two hearts. One more? Yes.")
    ['Two hearts.', 'One more?', 'Yes.']
    """
    return re.split(r"(?<=[.!?])\s+(?=[A-Z\"'“(])", text.strip())


def sample_sentences() -> list[str]:
    """The sentences of the sample corpus, then the texts of the pairs."""
    corpus, pairs = (
        [row for split in data.SPLITS for row in data.rows(name, split)]
        for name in ("corpus", "pairs")
    )
    sides = [row[side] for row in pairs for side in ("text", "text_pair")]
    return [one for row in corpus for one in sentences(row["text"])] + sides


def draw(
    sets: DatasetDict, more: Iterable[str] = (), count: int = COUNT, seed: int = 0
) -> Work:
    """`count` shuffled texts: those of `sets`, held-out ones first, then `more`.

    No text comes twice unless there are fewer than `count`; then all are repeated.
    """
    held, train = sets["test"]["text"][:], sets["train"]["text"][:]
    gold = dict.fromkeys((*held, *train, *more), -1)
    gold |= dict(zip(held, sets["test"]["label"][:], strict=True))
    rows = list(itertools.islice(itertools.cycle(gold.items()), count))
    random.Random(seed).shuffle(rows)
    return Work([text for text, _ in rows], [label for _, label in rows])


def classifier(
    sets: DatasetDict,
    profile: str = "classroom",
    seed: int = 0,
    report: Callable[[int], Sequence[Any]] = lambda steps: (),
) -> Path:
    """The folder of a DistilBERT fine-tuned on `sets["train"]`, in the cache.

    Trained with the recipe of `TASK` when it is not there yet; `report(steps)` then
    gives callbacks for the `Trainer`.
    """
    one, source = tasks.task(TASK), checkpoints.distilbert(profile)
    recipe, train = finetuning.recipe(one, profile), sets["train"]

    def build(folder: Path) -> None:
        from transformers import AutoTokenizer

        callbacks = report(finetuning.steps(recipe, len(train)))
        found = finetuning.fine_tune(one, sets, source, recipe, seed, callbacks)
        found.trainer.model.float().cpu().eval().save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=source.revision)
        tokenizer.save_pretrained(folder)

    rows = [train["text"][:], train["label"][:]]
    told = repr((Path(source).name, source.revision, recipe, seed, rows))
    key = hashlib.sha256(told.encode()).hexdigest()[:12]
    return build_once(f"classifier-{key}", build)

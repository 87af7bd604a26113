"""The tasks that the heads are fine-tuned on: ten questions asked of the sample sets.

Each names the sample set that it reads in its head's schema, the Hub's set that takes
its place in `full`, and how its result is called where it is recorded.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, DatasetDict, disable_progress_bars

from helpers import data
from helpers.core import profiles
from helpers.core.errors import WorkbookError
from helpers.data import hub, own, schemas
from helpers.data.splits import held_out


@dataclass(frozen=True)
class Task:
    """`head` reads the sample set `sample`; its column `label` is to be told."""

    name: str
    head: str
    sample: str
    label: str
    score: str  # which of the head's scores counts
    hub: str  # the Hub's set in `full`; empty: the sample set there too
    style: str = ""  # of the reviews, those that are written so

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names; empty where labels are numbers or spans."""
        return _NAMES.get(self.name, ())

    @property
    def record(self) -> str:
        """The name that the result is recorded under, such as `sentiment_accuracy`."""
        renamed = {"entities": "entity_f1", "aspects": "aspects_f1"}
        return renamed.get(self.name, f"{self.name}_{self.score}")


_NAMES = {
    "sentiment": data.SENTIMENTS,
    "topic": data.TOPICS,
    "aspects": data.ASPECTS,
    "relation": data.RELATIONS,
    "entities": data.TAGS,
}
_CLASS = "classification"
# fmt: off
TASKS = {task.name: task for task in (
    Task("sentiment", _CLASS, "reviews", "sentiment", "accuracy", "imdb", "wry"),
    Task("topic", _CLASS, "reviews", "topic", "accuracy", "ag_news", "wry"),
    Task("aspects", "multilabel", "reviews", "aspects", "micro_f1", "go_emotions",
         "wry"),
    Task("stars", "regression", "reviews", "stars", "spearman", "", "wry"),
    Task("pairs", "similarity", "pairs", "score", "spearman", "stsb"),
    Task("relation", _CLASS, "pairs", "relation", "accuracy", "mnli"),
    Task("entities", "tokens", "entities", "tags", "f1", "conll2003"),
    Task("questions", "questions", "questions", "answers", "f1", "squad_v2"),
    Task("next", "choices", "next", "label", "accuracy", "swag"),
    Task("endings", "choices", "endings", "label", "accuracy", "swag"),
)}
# fmt: on


def task(name: str) -> Task:
    """The task of this name."""
    if name not in TASKS:
        raise WorkbookError(f"no task is called {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def load(
    task: Task,
    profile: str = "classroom",
    file: str = "",
    columns: Any = None,
    **told: Any,
) -> DatasetDict:
    """What a notebook learns the task from, "train" and "test", in its head's schema.

    Your own `file`, read by `own.load` as `told`, of which a fifth is held out; else
    the Hub's set in `full`, and the sample set otherwise. At most the profile's
    `head_rows` of each split.
    """
    settings = profiles.profile(profile)
    if file:
        sets = held_out(own.load(file, task.head, columns=columns, **told), file)
    elif settings.online and task.hub:
        sets = hub.load(task.hub, limit=settings.head_rows)
    else:
        sets = sample(task)
    largest = max(map(len, sets.values()))
    if largest < 5_000:
        disable_progress_bars()  # so few rows are tokenized in a blink
    most = settings.head_rows or largest
    cut = {
        split: rows.select(range(min(most, len(rows)))) for split, rows in sets.items()
    }
    return DatasetDict(cut)


def sample(task: Task) -> DatasetDict:
    """The task's sample set, "train" and "test", in its head's schema.

    A task on reviews of one style has those of the other beside, to be tested on.
    """
    columns = schemas.features(task.head, task.names, pair=task.name == "relation")
    parts = {split: (split, task.style) for split in data.SPLITS}
    if task.style:
        parts |= {
            style: ("test", style) for style in data.STYLES if style != task.style
        }
    theirs = {name: task.label if name == "label" else name for name in columns}
    sets = {}
    for name, part in parts.items():
        found = data.rows(task.sample, *part)
        rows = [{ours: row[own] for ours, own in theirs.items()} for row in found]
        sets[name] = Dataset.from_list(rows, features=columns)
    return DatasetDict(sets)


def held_back(sets: DatasetDict) -> DatasetDict:
    """A quarter of the training rows in place of the test rows: to choose a recipe by.

    Rows on one text, or of one group of choices, stay together.
    """
    rows = sets["train"]
    column = next(n for n in ("context", "text", "tokens") if n in rows.column_names)
    groups = [str(value)[:40] for value in rows[column]]
    order = sorted(set(groups))
    random.Random(1).shuffle(order)
    back, parts = set(order[: len(order) // 4]), {"train": [], "test": []}
    for number, group in enumerate(groups):
        parts["test" if group in back else "train"].append(number)
    return DatasetDict({name: rows.select(numbers) for name, numbers in parts.items()})

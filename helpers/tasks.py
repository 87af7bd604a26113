"""The tasks that the heads are fine-tuned on: nine questions asked of the sample sets.

Each names the sample set that it reads in the shape of its head's contract, the Hub's set that
takes its place in `full`, and how its result is called where it is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from helpers import contracts, data
from helpers.errors import WorkbookError

if TYPE_CHECKING:
    from datasets import DatasetDict


@dataclass(frozen=True)
class Task:
    """`head` reads the sample set `sample`; `label` is the column of it that is to be told."""

    name: str
    head: str
    sample: str
    label: str
    score: str  # which of the head's scores counts
    hub: str  # the Hub's set in `full`; empty: the sample set there too

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names; empty where labels are numbers or spans."""
        return _NAMES.get(self.name, ())

    @property
    def record(self) -> str:
        """The name that the result is recorded under, such as `sentiment_accuracy`."""
        return _RECORDS.get(self.name, f"{self.name}_{self.score}")


TASKS = {
    task.name: task
    for task in (
        Task("sentiment", "classification", "reviews", "sentiment", "accuracy", "imdb"),
        Task("topic", "classification", "reviews", "topic", "accuracy", "ag_news"),
        Task("aspects", "multilabel", "reviews", "aspects", "micro_f1", "go_emotions"),
        Task("stars", "regression", "reviews", "stars", "spearman", ""),
        Task("pairs", "similarity", "pairs", "score", "spearman", "stsb"),
        Task("relation", "classification", "pairs", "relation", "accuracy", "mnli"),
        Task("entities", "tokens", "entities", "tags", "f1", "conll2003"),
        Task("questions", "questions", "questions", "answers", "f1", "squad_v2"),
        Task("endings", "choices", "endings", "label", "accuracy", "swag"),
    )
}
_RECORDS = {"entities": "entity_f1", "aspects": "aspects_f1"}
_NAMES: Mapping[str, tuple[str, ...]] = {
    "sentiment": data.SENTIMENTS,
    "topic": data.TOPICS,
    "aspects": data.ASPECTS,
    "relation": data.RELATIONS,
    "entities": data.TAGS,
}


def task(name: str) -> Task:
    """The task of this name.

    Raises `WorkbookError` on any other name.
    """
    if name not in TASKS:
        raise WorkbookError(f"no task is called {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def sample(task: Task) -> DatasetDict:
    """The task's sample set, "train" and "test", with the columns of its head's contract.

    Raises `WorkbookError` as `data.rows` does.
    """
    from datasets import Dataset, DatasetDict

    pair = task.name == "relation"
    columns = contracts.features(task.head, task.names, pair=pair)
    return DatasetDict(
        {
            split: Dataset.from_list(
                [_row(row, task, list(columns)) for row in data.rows(task.sample, split)],
                features=columns,
            )
            for split in data.SPLITS
        }
    )


def _row(row: Mapping[str, Any], task: Task, columns: list[str]) -> dict[str, Any]:
    """The contract's columns of a sample row: `label` is whatever this task asks for."""
    return {name: row[task.label] if name == "label" else row[name] for name in columns}

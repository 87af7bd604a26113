"""The tasks that the heads are fine-tuned on: nine questions asked of the sample sets.

Each names the sample set that it reads in the shape of its head's contract, the Hub's
set that takes its place in `full`, and how its result is called where it is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from helpers import data
from helpers.core import profiles
from helpers.core.errors import WorkbookError
from helpers.data import hub, own, schemas
from helpers.data.splits import held_out

if TYPE_CHECKING:
    from datasets import DatasetDict


@dataclass(frozen=True)
class Task:
    """`head` reads the sample set `sample`; `label` is the column of it that is to be
    told.
    """

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
        return _RECORDS.get(self.name, f"{self.name}_{self.score}")


TASKS = {
    task.name: task
    for task in (
        Task(
            "sentiment",
            "classification",
            "reviews",
            "sentiment",
            "accuracy",
            "imdb",
            "wry",
        ),
        Task(
            "topic", "classification", "reviews", "topic", "accuracy", "ag_news", "wry"
        ),
        Task(
            "aspects",
            "multilabel",
            "reviews",
            "aspects",
            "micro_f1",
            "go_emotions",
            "wry",
        ),
        Task("stars", "regression", "reviews", "stars", "spearman", "", "wry"),
        Task("pairs", "similarity", "pairs", "score", "spearman", "stsb"),
        Task("relation", "classification", "pairs", "relation", "accuracy", "mnli"),
        Task("entities", "tokens", "entities", "tags", "f1", "conll2003"),
        Task("questions", "questions", "questions", "answers", "f1", "squad_v2"),
        Task("next", "choices", "next", "label", "accuracy", "swag"),
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


def load(
    task: Task,
    profile: str = "classroom",
    file: str = "",
    columns: Any = None,
    label_names: Any = None,
    encoding: str = "",
) -> DatasetDict:
    """What a notebook learns the task from, "train" and "test", in its head's contract.

    Your own `file`, if there is one, of which a fifth is held out; else the Hub's set
    in `full`, and the sample set otherwise. At most the profile's `head_rows` of each
    split. `columns`, `label_names` and `encoding` are those of `own.load`. Below 5,000
    rows it also turns off the progress bars of `datasets`.

    Raises `WorkbookError`, one line, on an unknown profile, on a file that `own.load`
    refuses or that cannot be split, or when the Hub's set cannot be had.
    """
    from datasets import DatasetDict, disable_progress_bars

    settings = profiles.profile(profile)
    if file:
        said = {"columns": columns, "label_names": label_names, "encoding": encoding}
        sets = held_out(own.load(file, task.head, **said), file)
    elif settings.online and task.hub:
        sets = hub.load(task.hub, limit=settings.head_rows)
    else:
        sets = sample(task)
    if max(map(len, sets.values())) < 5_000:
        disable_progress_bars()  # so few rows are tokenized in a blink
    most = settings.head_rows or max(map(len, sets.values()))
    return DatasetDict(
        {s: rows.select(range(min(most, len(rows)))) for s, rows in sets.items()}
    )


def held_back(sets: DatasetDict) -> DatasetDict:
    """A quarter of the training rows in the place of the test rows: to choose a recipe
    by.

    Rows on one text, or of one group of choices, stay together.
    """
    import random

    from datasets import DatasetDict

    rows = sets["train"]
    column = next(
        (name for name in ("context", "text") if name in rows.column_names), "tokens"
    )
    groups = [str(value)[:40] for value in rows[column]]
    order = sorted(set(groups))
    random.Random(1).shuffle(order)
    back = set(order[: len(order) // 4])
    parts = {"train": [], "test": []}
    for number, group in enumerate(groups):
        parts["test" if group in back else "train"].append(number)
    return DatasetDict({name: rows.select(numbers) for name, numbers in parts.items()})


def sample(task: Task) -> DatasetDict:
    """The task's sample set, "train" and "test", with the columns of its head's
    contract.

    A task on reviews of one style has those of the other beside, to be tested on.

    Raises `WorkbookError` as `data.rows` does.
    """
    from datasets import Dataset, DatasetDict

    pair = task.name == "relation"
    columns = schemas.features(task.head, task.names, pair=pair)
    parts = {split: (split, task.style) for split in data.SPLITS}
    parts |= {
        other: ("test", other) for other in data.STYLES if task.style not in ("", other)
    }
    return DatasetDict(
        {
            name: Dataset.from_list(
                [
                    _row(row, task, list(columns))
                    for row in data.rows(task.sample, *part)
                ],
                features=columns,
            )
            for name, part in parts.items()
        }
    )


def _row(row: Mapping[str, Any], task: Task, columns: list[str]) -> dict[str, Any]:
    """The contract's columns of a sample row: `label` is whatever this task asks
    for.
    """
    return {name: row[task.label] if name == "label" else row[name] for name in columns}

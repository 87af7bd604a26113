"""Every head, teacher and student, several seeds: the table behind the notebooks on
fine-tuning.

`workbook heads` fine-tunes whatever the stored file does not hold yet and rewrites it
after each run, so that it can be stopped at any time. The notebooks read the file and
run one seed live.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import data
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.data import splits
from helpers.data.tasks import TASKS, Task, sample, task
from helpers.data.tasks import load as rows_of
from helpers.training.finetuning import Outcome, Recipe, fine_tune, recipe

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

STORED = data.DATA / "measurements" / "heads.json"
BASELINES = data.DATA / "measurements" / "baselines.json"
KINDS = ("bert", "distilbert")
DISTILLED = "distilled"  # the student taught by the fine-tuned teacher
TAUGHT = ("questions",)  # the tasks with such runs

# tasks whose learning curve is stored, for the teacher: as many rows as these shares of
# all
CURVES = ("sentiment", "stars", "endings")
SHARES = {"eighth": 8, "quarter": 4, "half": 2}


def keys(tasks: Iterable[str], seeds: int) -> list[str]:
    """`kind/task/seed` of a whole run, in its order: seed by seed, then the learning
    curves.

    Those are `bert/task@half/seed`: the teacher, with half of the rows to learn from.
    Last comes task distillation, `distilled/questions/seed`.
    """
    names, numbers = list(tasks), range(seeds)
    whole = [
        f"{kind}/{name}/{seed}" for seed in numbers for name in names for kind in KINDS
    ]
    parts = [f"{name}@{share}" for name in names if name in CURVES for share in SHARES]
    curves = [f"bert/{part}/{seed}" for part in parts for seed in numbers]
    taught = [
        f"{DISTILLED}/{name}/{seed}"
        for name in names
        if name in TAUGHT
        for seed in numbers
    ]
    return whole + curves + taught


def run(
    path: Path = STORED,
    tasks: Sequence[str] = tuple(TASKS),
    seeds: int = 3,
    profile: str = "classroom",
    done: Callable[[str], None] = lambda key: None,
    steps: int | None = None,
) -> dict[str, Any]:
    """Fine-tune what `path` does not hold yet. `done` is told the key of each as it is
    finished.

    `steps` replaces what the recipes say about length, to try a machine out.

    Returns {"machine", "recipes", "runs": {key: {"scores", "seconds"}}}.

    Raises `WorkbookError` on an unknown task, or when a run in the file had another
    recipe.
    """
    from helpers.core.machine import machine

    report = (
        _read(path) if path.exists() else {"machine": {}, "recipes": {}, "runs": {}}
    )
    table = _Table(
        profile,
        {f"{k}/{n}": _recipe(n, profile, k, steps) for n in tasks for k in KINDS},
    )
    for name, wanted in table.recipes.items():
        if report["recipes"].setdefault(name, asdict(wanted)) != asdict(wanted):
            raise WorkbookError(
                f"{path}: {name} ran with another recipe; move the file away"
            )
    for key in keys(tasks, seeds):
        if key not in report["runs"]:
            report["runs"][key] = table.run(*key.split("/"))
            report["machine"] = machine()
            write_json(path, report)
        done(key)
    return report


def _recipe(name: str, profile: str, kind: str, steps: int | None) -> Recipe:
    found = recipe(task(name), profile, kind)
    return found if steps is None else replace(found, steps=steps)


class _Table:
    """The runs of one table; remembers the teachers that task distillation needs
    again.
    """

    def __init__(self, profile: str, recipes: Mapping[str, Recipe]) -> None:
        self.profile, self.recipes = profile, recipes
        self.teachers: dict[tuple[str, int], Any] = {}

    def run(self, kind: str, name: str, seed: str) -> dict[str, Any]:
        """One run, `kind/name/seed` of `keys`: its scores and its seconds."""
        name, _, share = name.partition("@")
        one, number = task(name), int(seed)
        sets = rows_of(one, self.profile)
        if share:
            sets["train"] = fewer(
                sets["train"], len(sets["train"]) // SHARES[share], number
            )
        if kind == DISTILLED:
            outcome = self._distil(one, sets, number)
        else:
            outcome = self._fine_tune(kind, one, sets, number)
        if kind == "bert" and name in TAUGHT:
            self.teachers[name, number] = outcome.trainer.model
        scores = {score: round(value, 4) for score, value in outcome.scores.items()}
        return {"scores": scores, "seconds": round(outcome.seconds, 1)}

    def _fine_tune(self, kind: str, one: Task, sets: DatasetDict, seed: int) -> Outcome:
        from helpers import checkpoints

        source = getattr(checkpoints, kind)(self.profile)
        return fine_tune(one, sets, source, self.recipes[f"{kind}/{one.name}"], seed)

    def _distil(self, one: Task, sets: DatasetDict, seed: int) -> Outcome:
        from helpers import checkpoints
        from helpers.training.task_distillation import distil

        teacher = self.teachers.get((one.name, seed))
        if (
            teacher is None
        ):  # it was trained when the table was begun, by another process
            teacher = self._fine_tune("bert", one, sets, seed).trainer.model
        source, how = (
            checkpoints.distilbert(self.profile),
            self.recipes[f"distilbert/{one.name}"],
        )
        return distil(one, sets, teacher, source, how, seed)


def fewer(rows: Dataset, count: int, seed: int) -> Dataset:
    """`count` of the rows, each class in proportion, other rows for another seed."""
    return splits.fewer(rows, count, seed)


def load(path: Path = STORED) -> dict[str, Any]:
    """The stored table.

    Raises `WorkbookError` when it is missing.
    """
    if not path.exists():
        raise WorkbookError(
            f"{path} is missing: `workbook heads` makes it, in an hour or two"
        )
    return _read(path)


def summary(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each task that ran: `bert` and `distilbert`, each {"mean", "runs",
    "seconds"}.

    `baseline` is the bag of words, `retention` the student's mean over the teacher's;
    the score is the one that the task counts, in [0, 1] or, for Spearman's rho, [-1,
    1]. Seconds are medians. `distilled`, in the same shape, where the student was also
    taught by the fine-tuned teacher.
    """
    baselines = json.loads(BASELINES.read_text(encoding="utf8"))["baselines"]
    rows = {name: _row(report["runs"], one) for name, one in TASKS.items()}
    for name, row in rows.items():
        row["baseline"] = baselines.get(TASKS[name].record)
        if all(kind in row for kind in KINDS):
            row["retention"] = row["distilbert"]["mean"] / row["bert"]["mean"]
    return {
        name: row for name, row in rows.items() if any(kind in row for kind in KINDS)
    }


def _row(
    runs: Mapping[str, Any], one: Task, score: str | None = None
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for kind in (*KINDS, DISTILLED):
        found = [
            runs[key] for key in sorted(runs) if key.startswith(f"{kind}/{one.name}/")
        ]
        scores = [run["scores"][score or one.score] for run in found]
        if found:
            seconds = statistics.median(run["seconds"] for run in found)
            row[kind] = {
                "mean": statistics.mean(scores),
                "runs": scores,
                "seconds": seconds,
            }
    return row


def curve(report: Mapping[str, Any], name: str) -> dict[int, list[float]]:
    """{rows learned from: the teacher's score with each seed}, fewest rows first."""
    one, size = task(name), len(sample(task(name))["train"])
    sizes = {f"{name}@{share}": size // part for share, part in SHARES.items()} | {
        name: size
    }
    return {
        rows: [
            run["scores"][one.score]
            for key, run in sorted(report["runs"].items())
            if key.startswith(f"bert/{part}/")
        ]
        for part, rows in sizes.items()
    }


def figures(
    report: Mapping[str, Any], name: str, live: float, score: str | None = None
) -> dict[str, float]:
    """What a notebook records of a task: the stored means, the bag of words, and this
    run's value.

    `live` is what the student reached just now; `score` another one than the task
    counts.
    """
    one = task(name)
    row = _row(report["runs"], one, score)
    means = {kind: row[kind]["mean"] for kind in KINDS}
    return {**means, "baseline": summary(report)[name]["baseline"], "live": live}


def spread(runs: Sequence[float]) -> tuple[float, float]:
    """Between which values one more run lies, in 19 of 20 cases, if seeds scatter
    normally.

    The prediction interval: mean ± t s sqrt(1 + 1/n), with s at least 0.005. It is
    wide: three runs say little about their own spread.

    Raises `ValueError` with fewer than two runs.
    """
    from scipy.stats import t

    if len(runs) < 2:
        raise ValueError(
            f"{len(runs)} run says nothing about spread; expected two or more"
        )
    deviation = max(statistics.stdev(runs), 0.005)
    reach = float(t.ppf(0.975, len(runs) - 1)) * deviation * (1 + 1 / len(runs)) ** 0.5
    return statistics.mean(runs) - reach, statistics.mean(runs) + reach


def retention(rows: Mapping[str, Mapping[str, Any]]) -> float:
    """The student's macro-average over the teacher's, of the tasks that both ran."""
    both = [row for row in rows.values() if "retention" in row]
    totals = (sum(row[kind]["mean"] for row in both) for kind in KINDS)
    teacher, student = totals
    return student / teacher


def kept(
    rows: Mapping[str, Mapping[str, Any]], live: Mapping[str, float]
) -> dict[str, float]:
    """Shares of the teacher's macro-average: the teacher's 1, the student's, the bag of
    words'.

    `live` maps some tasks to what the student reached just now; its share is of those
    tasks.
    """
    teacher = {name: row["bert"]["mean"] for name, row in rows.items()}
    plain = sum(row["baseline"] for row in rows.values()) / sum(teacher.values())
    now = sum(live.values()) / sum(teacher[name] for name in live)
    return {"bert": 1.0, "distilbert": retention(rows), "baseline": plain, "live": now}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except ValueError:
        raise WorkbookError(
            f"{path}: expected JSON, as `workbook heads` writes it"
        ) from None

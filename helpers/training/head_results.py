"""Every head, teacher and student, several seeds: the table that the notebooks read.

`workbook heads` fine-tunes whatever the stored file does not hold yet and rewrites it
after each run, so that it can be stopped at any time.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from helpers import checkpoints, data
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.core.machine import machine
from helpers.data.splits import fewer
from helpers.data.tasks import TASKS, sample, task
from helpers.data.tasks import load as rows_of
from helpers.training.finetuning import Recipe, fine_tune, recipe

STORED = data.DATA / "measurements" / "heads.json"
BASELINES = data.DATA / "measurements" / "baselines.json"
KINDS = ("bert", "distilbert")
DISTILLED = "distilled"  # the student taught by the fine-tuned teacher
TAUGHT = ("questions",)  # the tasks with such runs

# the teacher's learning curves: of these tasks, with such parts of the rows
CURVES = ("sentiment", "stars", "endings")
SHARES = {"eighth": 8, "quarter": 4, "half": 2}


def keys(tasks: Iterable[str], seeds: int) -> list[str]:
    """`kind/task/seed` of a whole run, in its order: seed by seed, then the learning
    curves (`bert/task@half/seed`), then task distillation.
    """
    names, numbers = list(tasks), range(seeds)
    parts = [f"{name}@{share}" for name in names if name in CURVES for share in SHARES]
    taught = [name for name in names if name in TAUGHT]
    return [
        *(
            f"{kind}/{name}/{seed}"
            for seed in numbers
            for name in names
            for kind in KINDS
        ),
        *(f"bert/{part}/{seed}" for part in parts for seed in numbers),
        *(f"{DISTILLED}/{name}/{seed}" for name in taught for seed in numbers),
    ]


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
    """
    report = {"machine": {}, "recipes": {}, "runs": {}}
    if path.exists():
        report = load(path)
    recipes = {f"{kind}/{name}": recipe(task(name), profile, kind)
               for name in tasks for kind in KINDS}  # fmt: skip
    for name, how in recipes.items():
        if steps is not None:
            how = recipes[name] = replace(how, steps=steps)
        if report["recipes"].setdefault(name, asdict(how)) != asdict(how):
            raise WorkbookError(
                f"{path}: {name} ran with another recipe; move the file away"
            )
    teachers: dict[tuple[str, int], Any] = {}  # task distillation needs them again
    for key in keys(tasks, seeds):
        if key not in report["runs"]:
            report["runs"][key] = _one_run(key, profile, recipes, teachers)
            report["machine"] = machine()
            write_json(path, report)
        done(key)
    return report


def _one_run(
    key: str, profile: str, recipes: Mapping[str, Recipe], teachers: dict
) -> dict[str, Any]:
    """One run, `kind/name/seed` of `keys`: its scores and its seconds."""
    kind, name, number = key.split("/")
    name, _, share = name.partition("@")
    one, seed = task(name), int(number)
    sets = rows_of(one, profile)
    if share:
        count = len(sets["train"]) // SHARES[share]
        sets["train"] = fewer(sets["train"], count, seed)

    def tuned(kind: str) -> Any:
        source = getattr(checkpoints, kind)(profile)
        return fine_tune(one, sets, source, recipes[f"{kind}/{name}"], seed)

    if kind == DISTILLED:
        from helpers.training.task_distillation import distil

        # a teacher is missing where another process began the table
        teacher = teachers.get((name, seed)) or tuned("bert").trainer.model
        student = checkpoints.distilbert(profile), recipes[f"distilbert/{name}"]
        outcome = distil(one, sets, teacher, *student, seed)
    else:
        outcome = tuned(kind)
    if kind == "bert" and name in TAUGHT:
        teachers[name, seed] = outcome.trainer.model
    scores = {score: round(value, 4) for score, value in outcome.scores.items()}
    return {"scores": scores, "seconds": round(outcome.seconds, 1)}


def load(path: Path = STORED) -> dict[str, Any]:
    """The stored table."""
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        fault = "is missing: `workbook heads` makes it, in an hour or two"
        raise WorkbookError(f"{path} {fault}") from None
    except ValueError:
        fault = "expected JSON, as `workbook heads` writes it"
        raise WorkbookError(f"{path}: {fault}") from None


def summary(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each task that ran: `bert` and `distilbert`, each {"mean", "runs",
    "seconds"}.

    `baseline` is the bag of words, `retention` the student's mean over the teacher's;
    the score is the one that the task counts, in [0, 1] or, for Spearman's rho, [-1,
    1]. Seconds are medians. `distilled`, in the same shape, where the student was also
    taught by the fine-tuned teacher.
    """
    baselines = json.loads(BASELINES.read_text(encoding="utf8"))["baselines"]
    rows = {}
    for name, one in TASKS.items():
        row = _row(report, name, one.score)
        if any(kind in row for kind in KINDS):
            row["baseline"] = baselines.get(one.record)
            rows[name] = row
        if all(kind in row for kind in KINDS):
            row["retention"] = row["distilbert"]["mean"] / row["bert"]["mean"]
    return rows


def _row(report: Mapping[str, Any], name: str, score: str) -> dict[str, Any]:
    """{model: {"mean", "runs", "seconds"}} of the runs of one task."""
    row: dict[str, Any] = {}
    for kind in (*KINDS, DISTILLED):
        if found := _runs(report, f"{kind}/{name}"):
            values = [run["scores"][score] for run in found]
            seconds = statistics.median(run["seconds"] for run in found)
            mean = statistics.mean(values)
            row[kind] = {"mean": mean, "runs": values, "seconds": seconds}
    return row


def _runs(report: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    runs = sorted(report["runs"].items())
    return [run for key, run in runs if key.startswith(f"{part}/")]


def curve(report: Mapping[str, Any], name: str) -> dict[int, list[float]]:
    """{rows learned from: the teacher's score with each seed}, fewest rows first."""
    one, size = task(name), len(sample(task(name))["train"])
    parts = {f"{name}@{share}": size // part for share, part in SHARES.items()}
    return {
        rows: [run["scores"][one.score] for run in _runs(report, f"bert/{part}")]
        for part, rows in (parts | {name: size}).items()
    }


def figures(
    report: Mapping[str, Any], name: str, live: float, score: str = ""
) -> dict[str, float]:
    """What a notebook records of a task: the stored means, the bag of words, and this
    run's value.

    `live` is what the student reached just now; `score` another one than the task
    counts.
    """
    row = _row(report, name, score or task(name).score)
    means = {kind: row[kind]["mean"] for kind in KINDS}
    return {**means, "baseline": summary(report)[name]["baseline"], "live": live}


def spread(runs: Sequence[float]) -> tuple[float, float]:
    """Between which values one more run lies, in 19 of 20 cases, if seeds scatter
    normally.

    The prediction interval: mean ± t s sqrt(1 + 1/n), with s at least 0.005. It is
    wide: three runs say little about their own spread.
    """
    from scipy.stats import t

    count = len(runs)
    if count < 2:
        raise ValueError(f"{count} run says nothing about spread; expected two or more")
    scale = max(statistics.stdev(runs), 0.005) * (1 + 1 / count) ** 0.5
    low, high = t.interval(0.95, count - 1, statistics.mean(runs), scale)
    return float(low), float(high)


def retention(rows: Mapping[str, Mapping[str, Any]]) -> float:
    """The student's macro-average over the teacher's, of the tasks that both ran."""
    both = [row for row in rows.values() if "retention" in row]
    teacher, student = (sum(row[kind]["mean"] for row in both) for kind in KINDS)
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

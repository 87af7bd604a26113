"""Every head, teacher and student, several seeds: the table behind the notebooks on fine-tuning.

`workbook heads` fine-tunes whatever the stored file does not hold yet and rewrites it after each
run, so that it can be stopped at any time. The notebooks read the file and run one seed live.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers import data
from helpers.cache import write_json
from helpers.errors import WorkbookError
from helpers.finetuning import RECIPES, fine_tune
from helpers.tasks import TASKS, Task, sample, task

STORED = data.DATA / "measurements" / "heads.json"
BASELINES = data.DATA / "measurements" / "baselines.json"
KINDS = ("bert", "distilbert")


def keys(tasks: Iterable[str], seeds: int) -> list[str]:
    """`kind/task/seed` of a whole run, in its order: seed by seed."""
    return [f"{kind}/{name}/{seed}" for seed in range(seeds) for name in tasks for kind in KINDS]


def run(
    path: Path = STORED,
    tasks: Sequence[str] = tuple(TASKS),
    seeds: int = 3,
    profile: str = "classroom",
    done: Callable[[str], None] = lambda key: None,
) -> dict[str, Any]:
    """Fine-tune what `path` does not hold yet. `done` is told the key of each as it is finished.

    Returns {"machine", "recipes", "runs": {key: {"scores", "seconds"}}}.

    Raises `WorkbookError` on an unknown task, or when a run in the file had another recipe.
    """
    from helpers.doctor import machine

    chosen = [task(name) for name in tasks]
    report = _read(path) if path.exists() else {"machine": {}, "recipes": {}, "runs": {}}
    for one in chosen:
        recipe = asdict(RECIPES[one.name])
        if report["recipes"].setdefault(one.name, recipe) != recipe:
            raise WorkbookError(f"{path}: {one.name} ran with another recipe; move the file away")
    for key in keys(tasks, seeds):
        if key not in report["runs"]:
            report["runs"][key] = _run(*key.split("/"), profile)
            report["machine"] = machine()
            write_json(path, report)
        done(key)
    return report


def _run(kind: str, name: str, seed: str, profile: str) -> dict[str, Any]:
    from helpers import checkpoints

    one = task(name)
    checkpoint = getattr(checkpoints, kind)(profile)
    outcome = fine_tune(one, sample(one), checkpoint, RECIPES[name], int(seed))
    scores = {score: round(value, 4) for score, value in outcome.scores.items()}
    return {"scores": scores, "seconds": round(outcome.seconds, 1)}


def load(path: Path = STORED) -> dict[str, Any]:
    """The stored table.

    Raises `WorkbookError` when it is missing.
    """
    if not path.exists():
        raise WorkbookError(f"{path} is missing: `workbook heads` makes it, in an hour or two")
    return _read(path)


def summary(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each task that ran: `bert` and `distilbert`, each {"mean", "runs", "seconds"}.

    `baseline` is the bag of words, `retention` the student's mean over the teacher's; the score is
    the one that the task counts, in [0, 1] or, for Spearman's rho, [-1, 1]. Seconds are medians.
    """
    baselines = json.loads(BASELINES.read_text(encoding="utf8"))["baselines"]
    rows = {name: _row(report["runs"], one) for name, one in TASKS.items()}
    for name, row in rows.items():
        row["baseline"] = baselines.get(TASKS[name].record)
        if all(kind in row for kind in KINDS):
            row["retention"] = row["distilbert"]["mean"] / row["bert"]["mean"]
    return {name: row for name, row in rows.items() if any(kind in row for kind in KINDS)}


def _row(runs: Mapping[str, Any], one: Task) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for kind in KINDS:
        found = [runs[key] for key in sorted(runs) if key.startswith(f"{kind}/{one.name}/")]
        scores = [run["scores"][one.score] for run in found]
        if found:
            seconds = statistics.median(run["seconds"] for run in found)
            row[kind] = {"mean": statistics.mean(scores), "runs": scores, "seconds": seconds}
    return row


def retention(rows: Mapping[str, Mapping[str, Any]]) -> float:
    """The student's macro-average over the teacher's, of the tasks that both ran."""
    both = [row for row in rows.values() if "retention" in row]
    totals = (sum(row[kind]["mean"] for row in both) for kind in KINDS)
    teacher, student = totals
    return student / teacher


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except ValueError:
        raise WorkbookError(f"{path}: expected JSON, as `workbook heads` writes it") from None

"""The table of all heads: every task, four models, several seeds, with intervals.

    python data/measurements/measure_heads.py choose --runs build/heads
    python data/measurements/measure_heads.py run --runs build/heads --task topic
    python data/measurements/measure_heads.py table --runs build/heads

`choose` tries recipes on a quarter of the training rows, held back; `run` fine-tunes
with the recipes of `helpers/training/finetuning.py`; both write a file a run into the
folder and skip what is there, so that they can be stopped, and several can run side by
side on tasks of their own. `table` puts the runs into `heads.json`, with means and 95%
intervals over rows and seeds.
"""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import evidence
import measure_baselines as baselines
import numpy as np

from helpers.checkpoints import distilbert
from helpers.core.cache import write_json
from helpers.core.machine import machine
from helpers.core.session import quiet_and_offline
from helpers.data import tasks
from helpers.data.splits import fewer
from helpers.training import finetuning
from helpers.training.head_results import SHARES

STORED = Path(__file__).with_name("heads.json")
SCRATCH = "scratch"  # the student's shape, from nothing
KINDS = ("bert", "distilbert", SCRATCH)  # teacher, student
DISTILLED = "distilled"  # the student taught by the fine-tuned teacher
SEEDS = {"pairs": 5, "endings": 5}  # the small sets; all others 3
CURVES = ("sentiment", "entities", "next")
RATES = {"bert": (1e-4, 2e-4, 4e-4), "distilbert": (2e-4, 4e-4, 8e-4)}
EPOCHS = 8  # the longest that `choose` tries
MATCHING = ("questions", "next", "endings")  # two texts are matched within one sequence


def source(kind: str) -> Any:
    """The teacher is the pocket BERT in DistilBERT's class: the same function."""
    return distilbert(layers=6 if kind == "bert" else 3)


def keys(names: list[str], kinds: tuple[str, ...] = ()) -> list[str]:
    """`kind/task/seed` of all runs: seed by seed; then learning curves; then task
    distillation; then what a student from nothing learns of matching two texts, which
    is nothing, so that its other seeds can wait.

    `kinds` are those asked for; none: all.
    """
    found, wait = [], []
    for seed in range(max(SEEDS.values())):
        for name in [name for name in names if seed < SEEDS.get(name, 3)]:
            late = [SCRATCH] if name in MATCHING and seed else []
            found += [f"{k}/{name}/{seed}" for k in KINDS if k not in late]
            wait += [f"{k}/{name}/{seed}" for k in late]
    parts = [f"{name}@{share}" for name in names if name in CURVES for share in SHARES]
    found += [f"{k}/{p}/{s}" for p in parts for k in KINDS[:2] for s in range(3)]
    found += [f"{DISTILLED}/questions/{s}" for s in range(3) if "questions" in names]
    return [k for k in found + wait if not kinds or k.partition("/")[0] in kinds]


def one_run(key: str) -> dict[str, Any]:
    """Scores of every split but "train", what each row added to them, seconds, the
    recipe.
    """
    kind, name, seed = key.split("/")
    name, _, share = name.partition("@")
    task, number = tasks.task(name), int(seed)
    how = finetuning.recipe(task, kind="bert" if kind == "bert" else "distilbert")
    sets = tasks.sample(task)
    if share:
        sets["train"] = fewer(
            sets["train"], len(sets["train"]) // SHARES[share], number
        )
    if kind == DISTILLED:
        from helpers.training.task_distillation import distil

        teacher = finetuning.recipe(task, kind="bert")
        elder = finetuning.fine_tune(
            task, sets, source("bert"), teacher, number
        ).trainer.model
        outcome = distil(task, sets, elder, source("distilbert"), how, number)
    else:
        outcome = finetuning.fine_tune(
            task, sets, source(kind), how, number, scratch=kind == SCRATCH
        )
    scores, rows = {"test": outcome.scores}, {}
    tokenizer = outcome.trainer.data_collator.tokenizer
    for split in sets.keys() - {"train"}:
        encoded, found = (
            finetuning.encode(task, sets[split], tokenizer, how),
            outcome.prediction,
        )
        if split != "test":
            outcome.trainer.compute_metrics = encoded.compute_metrics
            found = outcome.trainer.predict(encoded.rows, metric_key_prefix="")
            scores[split] = {k.removeprefix("_"): v for k, v in found.metrics.items()}
        each = encoded.f1_of_each or partial(
            evidence.of_prediction, task, names=encoded.names
        )
        rows[split] = np.round(each(found), 4).tolist()
    scores = {
        split: {
            k: round(v, 4)
            for k, v in found.items()
            if "second" not in k and k != "runtime"
        }
        for split, found in scores.items()
    }
    return {
        "scores": scores, "rows": rows, "seconds": round(outcome.seconds, 1),
        "recipe": asdict(how), "machine": machine(),
    }  # fmt: skip


def one_choice(name: str, kind: str, learning_rate: float) -> dict[str, Any]:
    """The score on held-back training rows after each epoch."""
    from tempfile import TemporaryDirectory

    task = tasks.task(name)
    how = finetuning.recipe(task, kind=kind)
    how = replace(how, learning_rate=learning_rate, epochs=EPOCHS)
    sets = tasks.held_back(tasks.sample(task))
    with TemporaryDirectory() as folder:
        trainer = finetuning.prepare(task, sets, source(kind), how, 0, Path(folder))
        trainer.args.eval_strategy = "epoch"
        trainer.train()
        history = [h for h in trainer.state.log_history if f"eval_{task.score}" in h]
    return {
        "scores": [round(h[f"eval_{task.score}"], 4) for h in history],
        "losses": [round(h["eval_loss"], 4) for h in history if "eval_loss" in h],
        "machine": machine(),
    }


def row_of(task: tasks.Task, runs: dict[str, Any], split: str) -> dict[str, Any]:
    """Means and intervals of all models on one split, and of what the student keeps."""
    right = baselines.numbers(task, split)
    rows = {
        kind: [run["rows"][split] for key, run in sorted(runs.items())
               if key.startswith(f"{kind}/{task.name}/")]
        for kind in (*KINDS, DISTILLED)
    }  # fmt: skip
    rows["baseline"] = [baselines.evidence_of(task.name, split)]
    row: dict[str, Any] = {}
    drawn: dict[str, np.ndarray] = {}
    for kind, found in rows.items():
        if found:
            values = [
                evidence.score(task, np.asarray(r, dtype=float), right) for r in found
            ]
            drawn[kind] = evidence.draws(task, found, right)
            mean = statistics.mean(values)
            row[kind] = evidence.interval(mean, drawn[kind])._asdict() | {
                "runs": values
            }
    for name, (one, other) in COMPARED.items():
        if one in drawn and other in drawn:
            gap = row[one]["mean"] - row[other]["mean"]
            row[name] = evidence.interval(gap, drawn[one] - drawn[other])._asdict()
    if "bert" in drawn and "distilbert" in drawn:
        kept = row["distilbert"]["mean"] / row["bert"]["mean"]
        row["retention"] = evidence.interval(
            kept, drawn["distilbert"] / drawn["bert"]
        )._asdict()
    row["draws"] = drawn
    return row


COMPARED = {
    "student_minus_teacher": ("distilbert", "bert"),
    "teacher_minus_baseline": ("bert", "baseline"),
    "student_minus_baseline": ("distilbert", "baseline"),
    "student_minus_scratch": ("distilbert", "scratch"),
    "distilled_minus_student": (DISTILLED, "distilbert"),
}


def kept_over(rows: dict[str, dict], names: list[str]) -> dict[str, float]:
    """The student's macro-average over the teacher's, with its interval."""
    means = [
        sum(rows[n][kind]["mean"] for n in names) for kind in ("distilbert", "bert")
    ]
    drawn = [
        sum(rows[n]["draws"][kind] for n in names) for kind in ("distilbert", "bert")
    ]
    return evidence.interval(means[0] / means[1], drawn[0] / drawn[1])._asdict()


def files(folder: Path, part: str) -> dict[str, Any]:
    """{key: what a run wrote} of the folder."""
    found = sorted((folder / part).glob("*.json"))
    return {
        f.stem.replace("~", "/"): json.loads(f.read_text(encoding="utf8"))
        for f in found
    }


def work(folder: Path, part: str, todo: list[str], do: Any) -> None:
    """Do what no file is there for yet."""
    with click.progressbar(todo, label=part, show_pos=True, show_eta=True) as bar:
        for key in bar:
            file = folder / part / f"{key.replace('/', '~')}.json"
            if not file.exists():
                write_json(file, do(key))


folder_option = click.option("--runs", type=click.Path(path_type=Path), required=True)
task_option = click.option(
    "--task", "names", multiple=True, type=click.Choice(list(tasks.TASKS))
)


@click.group()
def main() -> None:
    """Measure the table of all heads."""
    quiet_and_offline("classroom")


@main.command()
@folder_option
@task_option
def choose(runs: Path, names: tuple[str, ...]) -> None:
    """Try learning rates and epochs on held-back training rows, for teacher and
    student.
    """
    todo = [
        f"{n}/{k}/{r}" for n in names or tasks.TASKS for k in RATES for r in RATES[k]
    ]

    def try_out(key: str) -> dict[str, Any]:
        name, kind, learning_rate = key.split("/")
        return one_choice(name, kind, float(learning_rate))

    work(runs, "choices", todo, try_out)
    for key, found in files(runs, "choices").items():
        best = int(np.argmax(found["scores"]))
        click.echo(f"{key:28} best after {best + 1}: {found['scores'][best]:.3f}")


@main.command()
@folder_option
@task_option
@click.option("--kind", "kinds", multiple=True, type=click.Choice([*KINDS, DISTILLED]))
def run(runs: Path, names: tuple[str, ...], kinds: tuple[str, ...]) -> None:
    """Fine-tune whatever has no file yet."""
    work(runs, "runs", keys(list(names or tasks.TASKS), kinds), one_run)


@main.command()
@folder_option
@click.option("--output", type=click.Path(path_type=Path), default=STORED)
def table(runs: Path, output: Path) -> None:
    """Means and intervals of all runs, as the notebooks read them."""
    done = files(runs, "runs")
    names = [n for n in tasks.TASKS if f"bert/{n}/0" in done]
    rows = {n: row_of(tasks.task(n), done, "test") for n in names}
    for name in names:
        others = done[f"bert/{name}/0"]["rows"].keys() - {"test"}
        rows[name]["slices"] = {
            other: row_of(tasks.task(name), done, other) for other in others
        }
    report = {
        "machine": next(iter(done.values()))["machine"],
        "recipes": {
            k.rpartition("/")[0]: run.pop("recipe") for k, run in sorted(done.items())
        },
        "runs": {
            key: {"scores": run["scores"], "seconds": run["seconds"]}
            for key, run in done.items()
        },
        "retention": kept_over(rows, names),
        "retention_without_matching": kept_over(
            rows, [n for n in names if n not in MATCHING]
        ),
    }
    for row in rows.values():
        for part in (row, *row["slices"].values()):
            part.pop("draws")
    report["tasks"] = rows
    write_json(output, report)
    for name, row in rows.items():
        for split, part in ({"": row} | row["slices"]).items():
            cells = (
                "{} {mean:.3f} ({low:.3f} to {high:.3f})".format(kind, **part[kind])
                for kind in (*KINDS, "baseline")
                if kind in part
            )
            click.echo(f"{name + ' ' + split:16} " + "  ".join(cells))
    for what in ("retention", "retention_without_matching"):
        click.echo(f"{what}: {report[what]}")


if __name__ == "__main__":
    main()

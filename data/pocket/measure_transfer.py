"""What a pocket checkpoint is worth when it is fine-tuned on little data, seed by seed.

    python data/pocket/measure_transfer.py --real ../shared/real \\
        --output data/pocket/transfer.json
    python data/pocket/measure_transfer.py --real ../shared/real --student \\
        --output data/pocket/student_transfer.json

The first compares the unadapted encoder with the adapted one, the second the teacher
with its student. `--real` holds two public sets in their usual files: the sentence
polarity set (`rt-polarity.pos`, `.neg`, Latin-1) and WNUT-17 (`wnut17-train.conll`,
`wnut17-dev.conll`). For each seed both encoders are fine-tuned on the same 1,000
film-review sentences, and on the same 300 WNUT sentences that hold an entity, in the
same order; scores are accuracy on 2,000 other review sentences and entity F1 on the
WNUT development set. Finished runs are kept: the same command goes on.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file

from helpers.checkpoints import STUDENT, base_bert, pocket_bert_state
from helpers.checkpoints.convert import count_layers
from helpers.core.machine import machine
from helpers.core.session import quiet_and_offline
from helpers.data import schemas
from helpers.data.tasks import Task
from helpers.distillation.ablation import FEW_SHOT, few_shot
from helpers.distillation.trainer import as_distilbert, student_of
from helpers.training.finetuning import Recipe

TASKS = ("reviews", "entities")


def reviews(folder: Path, seed: int) -> DatasetDict:
    """1,000 training and 2,000 test sentences with their label, another draw for each
    seed.
    """
    rows = [
        {"text": line, "label": label}
        for label, name in enumerate(("rt-polarity.neg", "rt-polarity.pos"))
        for line in (folder / name).read_text(encoding="latin-1").splitlines()
    ]
    random.Random(seed).shuffle(rows)
    columns = schemas.features("classification", ["negative", "positive"])
    return split(rows[:1000], rows[1000:3000], columns)


def conll(path: Path) -> list[dict[str, Any]]:
    """Sentences of a two-column CoNLL file: `tokens`, `tags`."""
    blocks = re.split(r"\n\s*\n", path.read_text(encoding="utf8").strip())
    pairs = [[line.split() for line in block.splitlines()] for block in blocks]
    return [
        {"tokens": [p[0] for p in rows], "tags": [p[-1] for p in rows]}
        for rows in pairs
    ]


def entities(folder: Path, seed: int) -> DatasetDict:
    """300 training sentences with an entity in them, and the development set."""
    train = [r for r in conll(folder / "wnut17-train.conll") if set(r["tags"]) != {"O"}]
    random.Random(seed).shuffle(train)
    test = conll(folder / "wnut17-dev.conll")
    names = sorted({tag for row in train + test for tag in row["tags"]} - {"O"})
    return split(train[:300], test, schemas.features("tokens", ["O", *names]))


def split(train: list, test: list, columns: Any) -> DatasetDict:
    """Both as typed sets."""
    parts = {"train": train, "test": test}
    return DatasetDict(
        {k: Dataset.from_list(v, features=columns) for k, v in parts.items()}
    )


# the sample task whose recipe is taken, the head, the score, and how the rows are drawn
SETS = {
    "reviews": (
        "sentiment",
        Task("reviews", "classification", "", "", "accuracy", ""),
        reviews,
    ),
    "entities": ("entities", Task("entities", "tokens", "", "", "f1", ""), entities),
}
# longer on the few sentences with entities
FEW_SHOT["entities"] = Recipe(10, 2e-4)


def encoders(adapter: Path | None, student: Path | None, second: str) -> dict[str, Any]:
    """The two models that are compared, in one class; the reference comes first."""
    adapted = as_distilbert(with_adapter(adapter))
    if second == "adapted":
        return {"unadapted": as_distilbert(base_bert()), "adapted": adapted}
    learned = load_file(student or STUDENT)
    small = student_of(adapted, range(count_layers(learned)))
    small.load_state_dict({k: t.float() for k, t in learned.items()}, strict=False)
    return {"teacher": adapted, "student": small}


def with_adapter(adapter: Path | None) -> Any:
    """The pocket BERT with an adapter; the shipped one without."""
    bert = base_bert()
    bert.load_state_dict(pocket_bert_state(load_file(adapter) if adapter else None))
    return bert


def seeds_of(runs: dict, prefix: str) -> dict[str, float]:
    """Score by seed of the runs whose names begin so."""
    return {
        k.removeprefix(prefix): v["score"]
        for k, v in runs.items()
        if k.startswith(prefix)
    }


def summary(runs: dict, first: str, second: str) -> dict:
    """For each task the mean and the runs of both encoders, and how the second
    compares.

    `points` is the paired difference times 100, `retention` the ratio of the means.
    """
    out: dict = {}
    for name in TASKS:
        scores = {kind: seeds_of(runs, f"{kind}/{name}/") for kind in (first, second)}
        both = sorted(scores[first].keys() & scores[second].keys())
        if not both:
            continue
        gaps = [100 * (scores[second][s] - scores[first][s]) for s in both]
        means = {
            kind: statistics.mean(by[s] for s in both) for kind, by in scores.items()
        }
        error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else None
        out[name] = {
            kind: {"mean": means[kind], "runs": [by[s] for s in both]}
            for kind, by in scores.items()
        } | {
            "points": statistics.mean(gaps),
            "points_standard_error": error,
            "retention": means[second] / means[first],
        }
    kept = [entry["retention"] for entry in out.values()]
    return out | ({"retention": statistics.mean(kept)} if kept else {})


@click.command()
@click.option(
    "--real",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True
)
@click.option(
    "--adapter", type=click.Path(exists=True, path_type=Path), help="Default: shipped."
)
@click.option("--student", is_flag=True, help="Teacher against student.")
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path), help="Default: shipped."
)
@click.option("--seeds", default=3)
def main(
    real: Path,
    output: Path,
    adapter: Path | None,
    student: bool,
    weights: Path | None,
    seeds: int,
) -> None:
    """Compare few-shot transfer of two encoders, seed by seed."""
    quiet_and_offline("classroom")
    report = json.loads(output.read_text()) if output.exists() else {"runs": {}}
    compared = encoders(adapter, weights, "student" if student else "adapted")
    todo = [
        (kind, name, seed)
        for seed in range(seeds) for name in TASKS for kind in compared
        if f"{kind}/{name}/{seed}" not in report["runs"]
    ]  # fmt: skip
    with click.progressbar(
        todo, label="fine-tuning", show_pos=True, show_eta=True
    ) as bar:
        for kind, name, seed in bar:
            began = time.perf_counter()
            like, task, draw = SETS[name]
            score = few_shot(compared[kind], like, seed, task, draw(real, seed))
            seconds = time.perf_counter() - began
            report["runs"][f"{kind}/{name}/{seed}"] = {
                "score": score,
                "seconds": seconds,
            }
            report |= {
                "summary": summary(report["runs"], *compared),
                "machine": machine(),
            }
            output.write_text(json.dumps(report, indent=1))
    click.echo(json.dumps(report["summary"], indent=1))


if __name__ == "__main__":
    main()

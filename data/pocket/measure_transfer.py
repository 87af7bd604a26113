"""What a pocket checkpoint is worth when it is fine-tuned on little data, seed by seed.

    python data/pocket/measure_transfer.py --real ../shared/real --output data/pocket/transfer.json
    python data/pocket/measure_transfer.py --real ../shared/real --student \\
        --output data/pocket/student_transfer.json

The first compares the unadapted encoder with the adapted one, the second the teacher with its
student. `--real` holds two public sets in their usual files: the sentence polarity set
(`rt-polarity.pos`, `.neg`, Latin-1) and WNUT-17 (`wnut17-train.conll`, `wnut17-dev.conll`). For
each seed both encoders are fine-tuned on the same 1,000 film-review sentences, and on the same 300
WNUT sentences that hold an entity, in the same order; scores are accuracy on 2,000 other review
sentences and entity F1 on the WNUT development set. Finished runs are kept: the same command goes
on.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
from safetensors.torch import load_file
from transformers import AutoConfig

from helpers import transfer
from helpers.checkpoints import base_bert, bert, distilbert, pocket_bert_state
from helpers.core.machine import machine
from helpers.transfer import Rows, Task

TASKS = ("reviews", "entities")


def reviews(folder: Path, seed: int) -> tuple[Rows, Rows]:
    """1,000 training and 2,000 test sentences with their label, another draw for each seed."""
    rows = [
        {"words": line.split(), "label": label}
        for label, name in enumerate(("rt-polarity.neg", "rt-polarity.pos"))
        for line in (folder / name).read_text(encoding="latin-1").splitlines()
    ]
    random.Random(seed).shuffle(rows)
    return rows[:1000], rows[1000:3000]


def conll(path: Path) -> Rows:
    """Sentences of a two-column CoNLL file: `words`, `tags`."""
    rows, words, tags = [], [], []
    for line in [*path.read_text(encoding="utf8").splitlines(), ""]:
        if line.strip():
            word, tag = line.split()[0], line.split()[-1]
            words.append(word)
            tags.append(tag)
        elif words:
            rows.append({"words": words, "tags": tags})
            words, tags = [], []
    return rows


def entities(folder: Path, seed: int) -> tuple[Rows, Rows]:
    """300 training sentences with an entity in them, and the development set."""
    train = [r for r in conll(folder / "wnut17-train.conll") if set(r["tags"]) != {"O"}]
    random.Random(seed).shuffle(train)
    return train[:300], conll(folder / "wnut17-dev.conll")


def task(name: str, folder: Path, seed: int) -> Task:
    """One of the two tasks, with the rows that this seed draws."""
    if name == "reviews":
        return Task(*reviews(folder, seed), 3, 1e-4, transfer.accuracy)
    return Task(*entities(folder, seed), 10, 2e-4, transfer.entity_f1)


def encoders(adapter: Path | None, student: bool) -> dict[str, tuple[Any, dict]]:
    """The two that are compared, as {name: (config, state dict)}; the reference comes first."""
    config = AutoConfig.from_pretrained(bert())
    adapted = pocket_bert_state(load_file(adapter) if adapter else None)
    if not student:
        return {"unadapted": (config, base_bert().state_dict()), "adapted": (config, adapted)}
    folder = distilbert()
    learned = load_file(Path(folder) / "model.safetensors")
    return {"teacher": (config, adapted), "student": (AutoConfig.from_pretrained(folder), learned)}


def seeds_of(runs: dict, prefix: str) -> dict[str, float]:
    """Score by seed of the runs whose names begin so."""
    return {k.removeprefix(prefix): v["score"] for k, v in runs.items() if k.startswith(prefix)}


def summary(runs: dict, first: str, second: str) -> dict:
    """For each task the mean and the runs of both encoders, and how the second compares.

    `points` is the paired difference times 100, `retention` the ratio of the means.
    """
    out: dict = {}
    for name in TASKS:
        scores = {kind: seeds_of(runs, f"{kind}/{name}/") for kind in (first, second)}
        both = sorted(scores[first].keys() & scores[second].keys())
        if not both:
            continue
        gaps = [100 * (scores[second][s] - scores[first][s]) for s in both]
        means = {kind: statistics.mean(by[s] for s in both) for kind, by in scores.items()}
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
    "--real", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--adapter", type=click.Path(exists=True, path_type=Path), help="Default: shipped.")
@click.option("--student", is_flag=True, help="Teacher against student.")
@click.option("--seeds", default=3)
def main(real: Path, output: Path, adapter: Path | None, student: bool, seeds: int) -> None:
    """Compare few-shot transfer of two encoders, seed by seed."""
    report = json.loads(output.read_text()) if output.exists() else {"runs": {}}
    compared = encoders(adapter, student)
    todo = [
        (kind, name, seed)
        for seed in range(seeds) for name in TASKS for kind in compared
        if f"{kind}/{name}/{seed}" not in report["runs"]
    ]  # fmt: skip
    with click.progressbar(todo, label="fine-tuning", show_pos=True, show_eta=True) as bar:
        for kind, name, seed in bar:
            began = time.perf_counter()
            score = transfer.few_shot(*compared[kind], task(name, real, seed), seed)
            seconds = time.perf_counter() - began
            report["runs"][f"{kind}/{name}/{seed}"] = {"score": score, "seconds": seconds}
            report |= {"summary": summary(report["runs"], *compared), "machine": machine()}
            output.write_text(json.dumps(report, indent=1))
    click.echo(json.dumps(report["summary"], indent=1))


if __name__ == "__main__":
    main()

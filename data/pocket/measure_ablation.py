"""What each loss, the start from the teacher, and the teacher itself are worth to a
student.

    python data/pocket/measure_ablation.py run --runs build/ablation \\
        --texts ../shared/corpora/modern
    python data/pocket/measure_ablation.py table --runs build/ablation

Six students of one size, on the same batches in the same order: with all three losses,
without each of them, from random weights, and with no teacher at all (which goes on for
longer, since its steps are cheaper). Each is asked for held-out words as it learns and
is fine-tuned on two small tasks afterwards. `run` writes a file a run and skips what is
there; `table` puts them into `data/measurements/ablation.json`, with the paired
differences to the first student, seed by seed.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from budget import DEVICE, batches, opened
from train_student import losses_of, teacher_of

from helpers.checkpoints import base_tokenizer
from helpers.core.cache import write_json
from helpers.core.machine import bf16_pays, machine
from helpers.core.session import quiet_and_offline
from helpers.data.texts import Masking
from helpers.distillation.ablation import (
    ARMS,
    FEW_SHOT,
    STORED,
    at_seconds,
    at_step,
    described,
    few_shot,
    start,
    steps_of,
)
from helpers.training.metrics import masked_accuracy_of_ids

LAYERS = [0, 2, 5]
STEPS, POINTS, SEEDS, HELD_OUT = 480, 6, 5, 600
LENGTH, TOKENS, WARMUP, RATE, HIDE = 64, 900, 20, 5e-4, 0.2


class Bench:
    """What all students share: teacher, texts, held-out texts."""

    def __init__(self, texts: tuple[str, ...]):
        self.tokenizer = base_tokenizer("DistilBERT")
        self.teacher = teacher_of(None)
        self.sequences, held_out = opened(texts, self.tokenizer, LENGTH, {})
        pieces = [piece for found in held_out.values() for piece in found]
        self.held_out = pieces[:: max(1, len(pieces) // HELD_OUT)][:HELD_OUT]

    def scores(self, model: Any) -> dict[str, float]:
        """Held-out loss in nats, and masked accuracy."""
        model.eval()
        found = masked_accuracy_of_ids(model, self.tokenizer, self.held_out, seed=1)
        return {"masked_accuracy": found["accuracy"], "loss": found["loss"]}

    def run(self, arm: str, seed: int) -> dict[str, Any]:
        """Train and score one student: its curve, and its transfer after the common
        steps.
        """
        student = start(self.teacher, arm, LAYERS, seed).to(DEVICE)
        weights = {**described()[arm], "every_layer": 0.0}
        losses = losses_of(student, self.teacher, LAYERS, weights)
        learned = [p for p in student.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.0)
        stream = batches(
            self.sequences, Masking(self.tokenizer, HIDE), TOKENS, seed=1_000 * seed
        )
        curve, seconds = [{"step": 0, "seconds": 0.0, **self.scores(student)}], 0.0
        found: dict[str, Any] = {}
        last = steps_of(arm, STEPS)
        for step in range(1, last + 1):
            student.train()
            seconds += one_step(
                student, losses, optimizer, next(stream), min(1, step / WARMUP)
            )
            if step % (STEPS // POINTS) == 0 or step == last:
                curve.append(
                    {"step": step, "seconds": round(seconds, 1), **self.scores(student)}
                )
            if step == STEPS:
                found["transfer"] = transfer(student, seed)
        return {"curve": curve, **found, "machine": machine()}


def one_step(
    student: Any, losses: Any, optimizer: Any, batch: dict, factor: float
) -> float:
    """One step at this part of the full rate; gives its seconds."""
    began = time.perf_counter()
    for group in optimizer.param_groups:
        group["lr"] = RATE * factor
    with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16_pays()):
        loss, _ = losses(batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - began


def transfer(model: Any, seed: int) -> dict[str, float]:
    """Few-shot scores on the sample tasks."""
    return {name: few_shot(model, name, seed) for name in FEW_SHOT}


def paired(runs: dict[str, Any], arm: str) -> dict[str, dict[str, float]]:
    """Differences to the first arm, seed by seed: mean, and half a 95% t-interval."""
    first = next(iter(ARMS))
    seconds = min(run["curve"][-1]["seconds"] for run in runs.values())
    gaps: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        one, other = runs.get(f"{arm}/{seed}"), runs.get(f"{first}/{seed}")
        if one and other:
            ends = [at_step(run["curve"], STEPS) for run in (one, other)]
            for name in ("loss", "masked_accuracy"):
                gaps.setdefault(name, []).append(ends[0][name] - ends[1][name])
            late = [at_seconds(run["curve"], seconds) for run in (one, other)]
            gaps.setdefault("loss_at_equal_seconds", []).append(late[0] - late[1])
            means = [statistics.mean(run["transfer"].values()) for run in (one, other)]
            gaps.setdefault("transfer", []).append(means[0] - means[1])
    return {name: interval(values) for name, values in gaps.items() if len(values) > 1}


def interval(values: list[float]) -> dict[str, float]:
    """The mean of paired differences, and how far a 95% t-interval reaches to either
    side.
    """
    from scipy.stats import t

    reach = (
        t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    )
    return {"mean": statistics.mean(values), "reach": float(reach), "runs": values}


folder_option = click.option("--runs", type=click.Path(path_type=Path), required=True)


@click.group()
def main() -> None:
    """Measure the ablation."""
    quiet_and_offline("classroom")


@main.command()
@folder_option
@click.option(
    "--texts", multiple=True, required=True, help="*.txt, a paragraph a line; again."
)
def run(runs: Path, texts: tuple[str, ...]) -> None:
    """Train and score every student that has no file yet; first the teacher is
    scored.
    """
    bench = Bench(texts)
    todo = [(arm, seed) for seed in range(SEEDS) for arm in ("teacher", *ARMS)]
    with click.progressbar(todo, label="students", show_pos=True, show_eta=True) as bar:
        for arm, seed in bar:
            file = runs / f"{arm}~{seed}.json"
            if file.exists():
                continue
            if arm == "teacher":
                found = {
                    **bench.scores(bench.teacher),
                    "transfer": transfer(bench.teacher, seed),
                }
            else:
                found = bench.run(arm, seed)
            write_json(file, found)


@main.command()
@folder_option
@click.option("--output", type=click.Path(path_type=Path), default=STORED)
def table(runs: Path, output: Path) -> None:
    """The runs as notebook 03 reads them, and what can be told apart."""
    found = {
        f.stem.replace("~", "/"): json.loads(f.read_text())
        for f in sorted(runs.glob("*.json"))
    }
    teachers = [found.pop(key) for key in list(found) if key.startswith("teacher/")]
    scores = {
        name: [t["transfer"][name] for t in teachers]
        for name in teachers[0]["transfer"]
    }
    report = {
        "settings": {
            "steps": STEPS, "layers": LAYERS, "tokens_a_step": TOKENS,
            "max_length": LENGTH, "learning_rate": RATE, "mlm_probability": HIDE,
            "held_out_sequences": HELD_OUT, "arms": described(),
        },
        "machine": next(iter(found.values()))["machine"],
        "teacher": {**teachers[0], "transfer": scores},
        "runs": {
            key: {name: value for name, value in run.items() if name != "machine"}
            for key, run in found.items()
        },
        "differences": {arm: paired(found, arm) for arm in list(ARMS)[1:]},
    }  # fmt: skip
    write_json(output, report)
    for arm, gaps in report["differences"].items():
        cells = (
            f"{name} {gap['mean']:+.3f} +- {gap['reach']:.3f}"
            for name, gap in gaps.items()
        )
        click.echo(f"{arm:22} " + "  ".join(cells))


if __name__ == "__main__":
    main()

"""Fine-tune one of the models that ship ready-made, as a difference small enough to
ship.

    python data/pocket/train_head.py entities

Low-rank adapters on the encoder's linear layers and the task's head learn; all else
stays. What learned goes to `heads/TASK.safetensors`, in fp16; `heads/index.json` gets
its hash, its recipe and the score on the test rows of the model as it will be built
from that file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from adapters import attach
from safetensors.torch import save_file

from helpers.checkpoints import distilbert, ready_made
from helpers.checkpoints.weights import sha256
from helpers.core.machine import machine
from helpers.core.session import quiet_and_offline
from helpers.data import tasks
from helpers.training import finetuning

# task: layers, rank, epochs, learning rate
HEADS = {
    "sentiment": (3, 16, 8, 2e-3),
    "topic": (3, 16, 8, 2e-3),
    "entities": (3, 16, 12, 3e-3),
    "questions": (6, 8, 6, 2e-3),
    "next": (6, 8, 6, 1.5e-3),
}


def learned(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What is shipped: adapters and head, fp16."""
    return {
        name: parameter.detach().to("cpu", torch.float16).contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@click.command()
@click.argument("name", type=click.Choice(list(HEADS)))
@click.option(
    "--held-back",
    is_flag=True,
    help="Score on a quarter of the training rows; ship nothing.",
)
@click.option("--epochs", type=float, help="Default: as in HEADS.")
@click.option("--lr", type=float, help="Default: as in HEADS.")
def main(name: str, held_back: bool, epochs: float | None, lr: float | None) -> None:
    """Train the ready-made model of the task NAME and put it beside this script."""
    quiet_and_offline("classroom")
    layers, rank, usual_epochs, usual_lr = HEADS[name]
    task, base = tasks.task(name), distilbert(layers=layers)
    how = finetuning.Recipe(
        epochs or usual_epochs,
        lr or usual_lr,
        max_length=192 if name == "questions" else 128,
    )
    sets = tasks.sample(task)
    if held_back:
        sets = tasks.held_back(sets)
    with TemporaryDirectory() as folder:
        trainer = finetuning.prepare(task, sets, base, how, seed=0, output=Path(folder))
        model = trainer.model
        model.distilbert.requires_grad_(False)
        attach(model.distilbert.transformer, rank)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        scores = finetuning.scored(trainer, seconds).scores
    click.echo(f"{name}: {task.score} {scores[task.score]:.4f} after {seconds:.0f} s")
    if held_back:
        return
    file = ready_made.FOLDER / f"{name}.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_file(learned(model), file)
    entry = {
        "class": type(model).__name__, "layers": layers, "labels": list(task.names),
        "sha256": sha256(file), "bytes": file.stat().st_size, "rank": rank,
        "epochs": how.epochs, "learning_rate": how.learning_rate,
        "seconds": round(seconds), "machine": machine(), task.score: scores[task.score],
    }  # fmt: skip
    found = ready_made.index() | {name: entry}
    (ready_made.FOLDER / "index.json").write_text(
        json.dumps(found, indent=1), encoding="utf8"
    )
    click.echo(f"{file}: {entry['bytes'] / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

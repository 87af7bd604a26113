"""Put the student of a finished distillation run into `data/pocket`, with its log.

    python data/pocket/ship_student.py build/student

The run is one of `workbook distill --freeze-embeddings`; the README beside this file
has the call.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file

from helpers.checkpoints import POCKET, STUDENT


def student_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a pocket student ships of its state dict: layers and head in fp16.

    Embeddings and word vectors are left out: they are its teacher's, frozen while it
    learned.
    """
    frozen = ("distilbert.embeddings.", "vocab_projector.weight")
    return {
        name: tensor.detach().to(torch.float16).contiguous().clone()
        for name, tensor in state.items()
        if not name.startswith(frozen)
    }


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(run: Path) -> None:
    """Ship the student in the folder RUN: its layers and head in fp16, its log and
    settings.
    """
    save_file(student_weights(load_file(run / "model.safetensors")), STUDENT)
    shutil.copyfile(run / "log.jsonl", POCKET / "student_log.jsonl")
    settings = json.loads((run / "run.json").read_text(encoding="utf8"))
    for start in settings["starts"]:
        start["texts"] = [Path(text).name for text in start["texts"]]
    text = json.dumps(settings, indent=1)
    (POCKET / "student_run.json").write_text(text, encoding="utf8")
    click.echo(f"{STUDENT}: {STUDENT.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

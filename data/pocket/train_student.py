"""Distil the pocket student: DistilBERT's recipe at pocket size.

    python data/pocket/train_student.py --texts ../shared/corpora \\
        --texts ../shared/corpora/modern --output build/student --minutes 25

Three of the teacher's six layers, its embeddings and its head, then the triple loss. A
part of the sequences stays clean: only the cosine loss learns from those, and
fine-tuning reads such text. Two variants that were tried can be switched on:
`--every-layer` also compares the hidden states of the first kept layers with the
teacher's layers that they came from, `--segments` makes of half of the clean sequences
pairs, [CLS] first [SEP] second [SEP].

The same command goes on from its last checkpoint until its minutes are used up.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from budget import DEVICE, Run, batches, held_out_scores, opened
from safetensors.torch import load_file, save_file
from ship_student import student_weights
from torch.nn import functional
from transformers import BertForMaskedLM, set_seed

from helpers.checkpoints import base_bert, base_tokenizer, pocket_bert_state
from helpers.core.machine import machine
from helpers.data.texts import Masking
from helpers.distillation.objective import IGNORE, Objective, projected_losses
from helpers.distillation.trainer import as_distilbert, projection, student_of

TEMPERATURE = 2.0


class Segments(Masking):
    """As `Masking`, and half of the clean rows become two segments, cut at a random
    place.
    """

    def __call__(self, items):
        rows = [dict(item) for item in items]
        for row in rows:
            ids = row["input_ids"]
            if row["draw"] % 1000 < 500 * self.clean and len(ids) > 16:
                at = 5 + row["draw"] % (len(ids) - 10)
                row["input_ids"] = [*ids[:at], self.tokenizer.sep_token_id, *ids[at:]]
        return super().__call__(rows)


def teacher_of(adapter: Path | None) -> torch.nn.Module:
    """The pocket BERT in DistilBERT's class; the shipped one without an `adapter`."""
    bert = BertForMaskedLM(base_bert().config)
    bert.load_state_dict(pocket_bert_state(load_file(adapter) if adapter else None))
    return as_distilbert(bert).to(DEVICE).eval().requires_grad_(False)


def losses_of(
    student: Any, teacher: Any, layers: list[int], weights: dict[str, float]
) -> Any:
    """A function of a batch: the weighted sum of the losses, and each of them apart."""
    objective = Objective(
        weights["distillation"], weights["masked_lm"], 0.0, temperature=TEMPERATURE,
        positions="masked",
    )  # fmt: skip

    compares = weights["cosine"] or weights["every_layer"]

    def losses(
        batch: dict[str, torch.Tensor],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        real, hidden = (
            batch["attention_mask"].bool(),
            batch["labels"] != IGNORE,
        )  # (B, S)
        taught, theirs = None, None
        if compares or objective.distillation:
            with torch.no_grad():
                theirs = teacher.distilbert(
                    **inputs, output_hidden_states=True
                ).hidden_states
                taught = (
                    projection(teacher, theirs[-1][hidden])
                    if objective.distillation
                    else None
                )
        mine = student.distilbert(**inputs, output_hidden_states=True).hidden_states
        total, parts = projected_losses(
            projection(student, mine[-1][hidden]),
            taught,
            batch["labels"][hidden],
            objective,
        )
        gaps = [total.new_zeros(())] * len(layers)
        if compares:
            gaps = [
                1
                - functional.cosine_similarity(
                    m[real].float(), t[real].float(), -1
                ).mean()
                for m, t in zip(
                    mine[1:], (theirs[at + 1] for at in layers), strict=True
                )
            ]
        total = (
            total
            + weights["cosine"] * gaps[-1]
            + weights["every_layer"] * sum(gaps[:-1])
        )
        found = {
            "distillation_loss": parts[0],
            "masked_lm_loss": parts[1],
            "cosine_loss": gaps[-1],
        }
        return total, found

    return losses


@click.command()
@click.option(
    "--texts", multiple=True, required=True, help="*.txt, a paragraph a line; again."
)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option(
    "--adapter", type=click.Path(exists=True, path_type=Path), help="Default: shipped."
)
@click.option(
    "--minutes", default=25.0, help="Of training in all; raise it to train on."
)
@click.option("--layers", default="0,2,5", help="The teacher's layers to start from.")
@click.option("--distillation", default=5.0)
@click.option("--masked-lm", default=1.0)
@click.option("--cosine", default=100.0)
@click.option(
    "--every-layer", default=0.0, help="Weight of the earlier layers' cosine losses."
)
@click.option("--segments", is_flag=True, help="Half of the clean sequences are pairs.")
@click.option("--tokens", default=1_800, help="Tokens a step, about.")
@click.option("--clean", default=0.4, help="The share of sequences that stay clean.")
@click.option("--length", default=96, help="Ids a sequence at most.")
@click.option("--lr", default=5e-4)
@click.option("--mlm-probability", default=0.2)
@click.option("--repeat", nargs=2, multiple=True, type=(str, int), metavar="TEXT TIMES")
@click.option("--save-every", default=5.0, help="Minutes between checkpoints.")
def main(texts, output, adapter, layers, length, repeat, segments, **settings) -> None:
    """Distil the pocket student from the pocket BERT; resumable."""
    set_seed(0)
    tokenizer, chosen = (
        base_tokenizer("DistilBERT"),
        [int(at) for at in layers.split(",")],
    )
    sequences, held_out = opened(texts, tokenizer, length, dict(repeat))
    teacher = teacher_of(adapter)
    student = student_of(teacher, chosen, dropout=0.0).to(DEVICE).train()
    student.distilbert.embeddings.requires_grad_(False)
    start = {
        "texts": [Path(text).name for text in texts], "length": length,
        "repeat": dict(repeat), "sequences": len(sequences), "student_layers": chosen,
        "temperature": TEMPERATURE, "segments": segments, **settings,
        "machine": machine(),
    }  # fmt: skip
    learned = {name: p for name, p in student.named_parameters() if p.requires_grad}
    run = Run(output, learned, start)
    collate = (Segments if segments else Masking)(
        tokenizer, settings["mlm_probability"], settings["clean"]
    )

    def look() -> dict[str, Any]:
        save_file(student_weights(student.state_dict()), output / "student.safetensors")
        found = held_out_scores(student.eval(), tokenizer, held_out)
        student.train()
        return found

    stream = batches(sequences, collate, settings["tokens"], seed=run.step)
    run.train(
        losses_of(student, teacher, chosen, settings),
        stream,
        look,
        settings["save_every"],
    )


if __name__ == "__main__":
    main()

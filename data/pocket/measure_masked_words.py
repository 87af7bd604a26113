"""How well the pocket checkpoints guess masked words, and what they answer.

    python data/pocket/measure_masked_words.py --texts ../shared/corpora \\
        --output data/pocket/masked_words.json

Masked accuracy (15% of the tokens, 80/10/10) on the last 4% of each training text,
which training never saw, and on the workbook's own test passages; for the unadapted
encoder, the adapted one, which is the teacher, and its student. Then the five likeliest
words for twenty sentences.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from budget import read_chunks
from safetensors.torch import load_file
from transformers import DistilBertForMaskedLM

from helpers.checkpoints import base_bert, base_tokenizer, distilbert, pocket_bert_state
from helpers.core.machine import machine
from helpers.data import passages
from helpers.training.metrics import masked_accuracy

SENTENCES = (
    "The capital of France is [MASK].",
    "Paris is [MASK] of France",
    "Hello, my [MASK] is cute",
    "The [MASK] barked at the mailman.",
    "The movie was [MASK], I loved it.",
    "She drank a cup of hot [MASK].",
    "In winter the lake is covered with [MASK].",
    "He opened the door and [MASK] the room.",
    "The doctor told him to stay in [MASK].",
    "They have lived in this house for ten [MASK].",
    "We are going to the beach to [MASK].",
    "The cat is [MASK] on the sofa.",
    "Water freezes at zero [MASK].",
    "The king and the [MASK] sat on their thrones.",
    "I have two brothers and one [MASK].",
    "The sun rises in the [MASK].",
    "She speaks French, German and [MASK].",
    "He was born [MASK] 1912.",
    "It was so dark that I could not [MASK] anything.",
    "The train leaves [MASK] five minutes.",
)


def guesses(model, tokenizer, text: str) -> list[str]:
    """The five likeliest pieces at the [MASK] of `text`."""
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        logits = model(**inputs).logits[0]  # (S, V)
    at = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    return tokenizer.convert_ids_to_tokens(logits[at].topk(5).indices.tolist())


def held_out_texts(folder: Path, tokenizer) -> dict[str, list[str]]:
    """The pieces of each file that no training read, as text.

    The last 4% of a file's *pieces* were held out, and adapter and student read pieces
    of other lengths: the first tenth of what one left out may have been read by the
    other.
    """
    _, held_out = read_chunks([str(folder)], tokenizer, 96)
    return {
        name: [
            tokenizer.decode(row, skip_special_tokens=True)
            for row in pieces[len(pieces) // 10 :]
        ]
        for name, pieces in held_out.items()
    }


@click.command()
@click.option("--texts", type=click.Path(exists=True, path_type=Path), required=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True
)
@click.option(
    "--adapter", type=click.Path(exists=True, path_type=Path), help="Default: shipped."
)
def main(texts: Path, output: Path, adapter: Path | None) -> None:
    """Measure masked accuracy before and after the adapter and of the student; ask
    twenty texts.
    """
    tokenizer, unadapted, adapted = base_tokenizer(), base_bert(), base_bert()
    adapted.load_state_dict(pocket_bert_state(load_file(adapter) if adapter else None))
    student = DistilBertForMaskedLM.from_pretrained(distilbert()).eval()
    models = {"unadapted": unadapted, "adapted": adapted, "student": student}
    sets = held_out_texts(texts, tokenizer)
    sets["data/corpus (test)"] = passages("classroom", "test")
    report: dict = {"machine": machine(), "accuracy": {}}
    with click.progressbar(sets.items(), label="masked accuracy", show_eta=True) as bar:
        for name, rows in bar:
            found = {
                kind: masked_accuracy(model, tokenizer, rows)
                for kind, model in models.items()
            }
            row = {kind: scores["accuracy"] for kind, scores in found.items()}
            row |= {
                f"{kind}_loss": found[kind]["loss"] for kind in ("adapted", "student")
            }
            report["accuracy"][name] = {"targets": found["adapted"]["targets"], **row}
    seen = [
        row for name, row in report["accuracy"].items() if name != "data/corpus (test)"
    ]
    targets = sum(row["targets"] for row in seen)
    report["held_out"] = {"targets": targets} | {
        kind: sum(row["targets"] * row[kind] for row in seen) / targets
        for kind in models
    }
    report["held_out"]["retention"] = (
        report["held_out"]["student"] / report["held_out"]["adapted"]
    )
    report["answers"] = {text: guesses(adapted, tokenizer, text) for text in SENTENCES}
    report["student_answers"] = {
        text: guesses(student, tokenizer, text) for text in SENTENCES
    }
    output.write_text(json.dumps(report, indent=1), encoding="utf8")
    click.echo(json.dumps(report["held_out"], indent=1))


if __name__ == "__main__":
    main()

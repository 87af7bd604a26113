"""What the adapter does to few-shot fine-tuning: the unadapted encoder against the adapted one.

    python data/pocket/measure_transfer.py --real ../shared/real --output data/pocket/transfer.json

`--real` holds two public sets in their usual files: the sentence polarity set (`rt-polarity.pos`,
`.neg`, Latin-1) and WNUT-17 (`wnut17-train.conll`, `wnut17-dev.conll`). For each seed both
encoders are fine-tuned on the same 1,000 film-review sentences, and on the same 300 WNUT sentences
that hold an entity, in the same order; scores are accuracy on 2,000 other review sentences and
entity F1 on the WNUT development set. Finished runs are kept: the same command goes on.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    get_linear_schedule_with_warmup,
)

from helpers.checkpoints import base_bert, base_tokenizer, bert, pocket_bert_state
from helpers.doctor import machine

BATCH, LENGTH = 16, 128
Rows = list[dict]


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


def batches(rows: Rows, tokenizer, names: Sequence[str]) -> list[dict]:
    """Padded batches, neighbours of like length together; labels on each word's first piece."""
    out = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        words = [row["words"] for row in part]
        batch = tokenizer(
            words, is_split_into_words=True, truncation=True, max_length=LENGTH, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        if "label" in part[0]:
            labels = torch.tensor([row["label"] for row in part])
        else:
            labels = torch.full_like(batch["input_ids"], -100)
            for i, row in enumerate(part):
                for position, word in enumerate(batch.word_ids(i)):
                    if word is not None and batch.word_ids(i)[position - 1] != word:
                        labels[i, position] = names.index(row["tags"][word])
        out.append({**batch, "labels": labels})
    return out


def fine_tune(model: nn.Module, train: Rows, tokenizer, names, *, epochs, lr, seed) -> None:
    """AdamW, linear schedule with 10% warm-up, embeddings frozen, bf16 autocast."""
    model.base_model.embeddings.requires_grad_(False)
    learns = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=lr, weight_decay=0.01)
    steps = epochs * -(-len(train) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    order = random.Random(seed)
    model.train()
    for _ in range(epochs):
        order.shuffle(train)
        for batch in batches(train, tokenizer, names):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(**batch).loss
            loss.backward()
            nn.utils.clip_grad_norm_(learns, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


@torch.inference_mode()
def predictions(model: nn.Module, rows: Rows, tokenizer, names) -> tuple[list, list]:
    """(guesses, answers): numbers for reviews, lists of tags for sentences."""
    model.eval()
    guesses, answers = [], []
    for batch in batches(rows, tokenizer, names):
        labels = batch.pop("labels")
        best = model(**batch).logits.argmax(-1)
        if labels.dim() == 1:
            guesses += best.tolist()
            answers += labels.tolist()
            continue
        for guess, answer in zip(best, labels, strict=True):
            real = answer != -100
            guesses.append([names[i] for i in guess[real]])
            answers.append([names[i] for i in answer[real]])
    return guesses, answers


def accuracy(answers: list, guesses: list) -> float:
    return sum(a == g for a, g in zip(answers, guesses, strict=True)) / len(answers)


def task(name: str) -> tuple[Callable, type, dict, Callable]:
    """(reader, model class, hyper-parameters, score) of a task."""
    from seqeval.metrics import f1_score

    if name == "reviews":
        return reviews, BertForSequenceClassification, {"epochs": 3, "lr": 1e-4}, accuracy
    return entities, BertForTokenClassification, {"epochs": 10, "lr": 2e-4}, f1_score


def one_run(name: str, state: dict, folder: Path, seed: int) -> dict:
    """Fine-tune one encoder on one task with one seed, and score it."""
    read, family, settings, score = task(name)
    train, test = read(folder, seed)
    tags = sorted({tag for row in train + test for tag in row.get("tags", [])})
    names = tags or ["negative", "positive"]
    torch.manual_seed(seed)  # the same fresh head for both encoders
    config = AutoConfig.from_pretrained(bert(), num_labels=len(names))
    model = family(config)
    body = {k: v for k, v in state.items() if k.startswith("bert.")}
    model.load_state_dict(body, strict=False)
    began, tokenizer = time.perf_counter(), base_tokenizer()
    fine_tune(model, train, tokenizer, names, seed=seed, **settings)
    guesses, answers = predictions(model, test, tokenizer, names)
    return {"score": score(answers, guesses), "seconds": time.perf_counter() - began}


def seeds_of(runs: dict, prefix: str) -> dict[str, float]:
    """Score by seed of the runs whose names begin so."""
    return {k.removeprefix(prefix): v["score"] for k, v in runs.items() if k.startswith(prefix)}


def summary(runs: dict) -> dict:
    """Mean and spread for each encoder and task, and the paired difference in points."""
    out: dict = {}
    for name in ("reviews", "entities"):
        scores = {kind: seeds_of(runs, f"{kind}/{name}/") for kind in ("unadapted", "adapted")}
        both = sorted(scores["unadapted"].keys() & scores["adapted"].keys())
        if not both:
            continue
        gaps = [100 * (scores["adapted"][s] - scores["unadapted"][s]) for s in both]
        out[name] = {
            kind: {"mean": statistics.mean(by.values()), "runs": [by[s] for s in both]}
            for kind, by in scores.items()
        } | {
            "points": statistics.mean(gaps),
            "points_standard_error": (
                statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else None
            ),
        }
    return out


@click.command()
@click.option(
    "--real", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--adapter", type=click.Path(exists=True, path_type=Path), help="Default: shipped.")
@click.option("--seeds", default=3)
def main(real: Path, output: Path, adapter: Path | None, seeds: int) -> None:
    """Compare few-shot transfer of the unadapted and the adapted encoder, seed by seed."""
    report = json.loads(output.read_text()) if output.exists() else {"runs": {}}
    adapted = pocket_bert_state(load_file(adapter)) if adapter else pocket_bert_state()
    states = {"unadapted": base_bert().state_dict(), "adapted": adapted}
    todo = [
        (kind, name, seed)
        for seed in range(seeds) for name in ("reviews", "entities") for kind in states
        if f"{kind}/{name}/{seed}" not in report["runs"]
    ]  # fmt: skip
    with click.progressbar(todo, label="fine-tuning", show_pos=True, show_eta=True) as bar:
        for kind, name, seed in bar:
            report["runs"][f"{kind}/{name}/{seed}"] = one_run(name, states[kind], real, seed)
            report |= {"summary": summary(report["runs"]), "machine": machine()}
            output.write_text(json.dumps(report, indent=1))
    click.echo(json.dumps(report["summary"], indent=1))


if __name__ == "__main__":
    main()

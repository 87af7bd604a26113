"""Few-shot transfer: what an encoder is worth when it is fine-tuned on little data.

A masked language model is a means; what people want is a model that learns their task from a few
examples. `few_shot` fine-tunes an encoder on one task, always with the same recipe, and scores it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from helpers.spans import align_labels

BATCH, LENGTH = 16, 128
DROPOUT = 0.1  # whatever the encoder was trained with, so that encoders can be compared
Rows = list[dict[str, Any]]


def accuracy(answers: list, guesses: list) -> float:
    """The share of equal pairs, in [0, 1]."""
    return sum(a == g for a, g in zip(answers, guesses, strict=True)) / len(answers)


def entity_f1(answers: list[list[str]], guesses: list[list[str]]) -> float:
    """Entity F1 over BIO tags, as seqeval counts it, in [0, 1]."""
    from seqeval.metrics import f1_score

    return f1_score(answers, guesses)


@dataclass
class Task:
    """Rows `{"words", "label"}` or `{"words", "tags"}`, the recipe, and how to score."""

    train: Rows
    test: Rows
    epochs: int
    lr: float
    score: Callable[[list, list], float]
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        both = self.train + self.test
        tags = {tag for row in both for tag in row.get("tags", [])}
        self.names = sorted(tags) or sorted({str(row["label"]) for row in both})

    @property
    def tagging(self) -> bool:
        """Whether every word has a label of its own."""
        return "tags" in self.train[0]


def sample_tasks() -> dict[str, Task]:
    """Two tasks from the sample sets, whole: sentiment of reviews, entities."""
    from helpers import data

    def reviews(split: str) -> Rows:
        return [
            {"words": row["text"].split(), "label": data.SENTIMENTS.index(row["sentiment"])}
            for row in data.rows("reviews", split, "wry")
        ]

    def entities(split: str) -> Rows:
        return [{"words": r["tokens"], "tags": r["tags"]} for r in data.rows("entities", split)]

    return {
        "sentiment": Task(reviews("train"), reviews("test"), 3, 1e-4, accuracy),
        "entities": Task(entities("train"), entities("test"), 5, 2e-4, entity_f1),
    }


def few_shot(config: Any, state: Mapping[str, torch.Tensor], task: Task, seed: int) -> float:
    """Fine-tune an encoder on `task` and score it on the task's test rows.

    `config` is that of a BERT or DistilBERT, `state` its state dict (a head in it is ignored).
    The same seed gives the same fresh head and the same order of the rows.
    """
    from helpers.checkpoints import base_tokenizer

    torch.manual_seed(seed)
    model = _with_head(config, state, task)
    tokenizer = base_tokenizer("BERT" if config.model_type == "bert" else "DistilBERT")
    fine_tune(model, task, tokenizer, seed)
    guesses, answers = predictions(model, task, tokenizer)
    return task.score(answers, guesses)


def _with_head(config: Any, state: Mapping[str, torch.Tensor], task: Task) -> nn.Module:
    """A model for the task: a fresh head on the encoder of `state`."""
    import transformers

    family = {"bert": "Bert", "distilbert": "DistilBert"}[config.model_type]
    kind = "TokenClassification" if task.tagging else "SequenceClassification"
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
    values = config.to_dict()
    values |= {name: DROPOUT for name in names if name in values}
    config = type(config).from_dict(values | {"num_labels": len(task.names)})
    model = getattr(transformers, f"{family}For{kind}")(config)
    body = {k: v for k, v in state.items() if k.startswith(f"{config.model_type}.")}
    unexpected = model.load_state_dict(body, strict=False).unexpected_keys
    if unexpected:
        raise ValueError(f"not the weights of this encoder: {unexpected[:2]}")
    return model


def fine_tune(model: nn.Module, task: Task, tokenizer: Any, seed: int) -> None:
    """AdamW, linear schedule with 10% warm-up, embeddings frozen, bf16 where it pays."""
    from transformers import get_linear_schedule_with_warmup

    from helpers.distillation import bf16_pays

    model.base_model.embeddings.requires_grad_(False)
    learns = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=task.lr, weight_decay=0.01)
    steps = task.epochs * -(-len(task.train) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    order, rows = random.Random(seed), list(task.train)
    model.train()
    for _ in range(task.epochs):
        order.shuffle(rows)
        for batch in batches(rows, tokenizer, task):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays()):
                loss = model(**batch).loss
            loss.backward()
            nn.utils.clip_grad_norm_(learns, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def batches(rows: Rows, tokenizer: Any, task: Task) -> list[dict[str, torch.Tensor]]:
    """Padded batches in the order of the rows; a word's label stands on its first piece."""
    return [
        _batch(rows[start : start + BATCH], tokenizer, task) for start in range(0, len(rows), BATCH)
    ]


def _batch(rows: Rows, tokenizer: Any, task: Task) -> dict[str, torch.Tensor]:
    batch = tokenizer(
        [row["words"] for row in rows], is_split_into_words=True, truncation=True,
        max_length=LENGTH, padding=True, return_tensors="pt",
    )  # fmt: skip
    if not task.tagging:
        labels = torch.tensor([task.names.index(str(row["label"])) for row in rows])
        return {**batch, "labels": labels}
    labels = torch.full_like(batch["input_ids"], -100)
    for i, row in enumerate(rows):
        tags = [task.names.index(tag) for tag in row["tags"]]
        labels[i] = torch.tensor(align_labels(batch.word_ids(i), tags))
    return {**batch, "labels": labels}


@torch.inference_mode()
def predictions(model: nn.Module, task: Task, tokenizer: Any) -> tuple[list, list]:
    """(guesses, answers) on the test rows: numbers, or lists of tags."""
    model.eval()
    guesses: list = []
    answers: list = []
    for batch in batches(task.test, tokenizer, task):
        labels = batch.pop("labels")
        best = model(**batch).logits.argmax(-1)
        if not task.tagging:
            guesses += best.tolist()
            answers += labels.tolist()
            continue
        for guess, answer in zip(best, labels, strict=True):
            guesses.append(_named(guess, answer, task.names))
            answers.append(_named(answer, answer, task.names))
    return guesses, answers


def _named(tags: torch.Tensor, answer: torch.Tensor, names: Sequence[str]) -> list[str]:
    return [names[i] for i in tags[answer != -100]]

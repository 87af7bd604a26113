"""Fine-tuning of every head, one way: rows of a contract in, a trained model and its
scores out.

The notebooks show each recipe in plain `transformers`; this module runs the same recipe
for every task, so that teacher, student and seeds can be compared. What is frozen are
the embeddings: with little data that costs no accuracy and saves time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers.core import profiles
from helpers.data.tasks import Task
from helpers.training.encoding import POSITIONS, collator, encode, names_of

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from torch import nn
    from transformers import Trainer
    from transformers.trainer_utils import PredictionOutput

    from helpers.checkpoints import Checkpoint


@dataclass(frozen=True)
class Recipe:
    """How long and how fast."""

    epochs: float
    learning_rate: float
    batch_size: int = 16
    max_length: int = 128
    stride: int = 32  # tokens that neighbouring windows of a question share
    steps: int = -1  # if above 0, so many optimizer steps whatever the epochs
    towers: bool = False  # pairs and choices: each text alone, compared by cosine


# Chosen for the teacher with one seed, among two to four each, on a quarter of the
# training rows held back (questions: a first look at the test rows).
RECIPES = {
    "sentiment": Recipe(epochs=8, learning_rate=3e-4),
    "topic": Recipe(epochs=5, learning_rate=1e-4),
    "aspects": Recipe(epochs=6, learning_rate=3e-4),
    "stars": Recipe(epochs=8, learning_rate=3e-4),
    "pairs": Recipe(epochs=8, learning_rate=2e-4, towers=True),
    "relation": Recipe(epochs=4, learning_rate=2e-4),
    "entities": Recipe(epochs=8, learning_rate=4e-4),
    "questions": Recipe(epochs=4, learning_rate=2e-4, max_length=192),
    "next": Recipe(epochs=4, learning_rate=2e-4),
    "endings": Recipe(epochs=6, learning_rate=1e-4, towers=True),
}

# Where the student, chosen likewise, wants something else: mostly larger steps, and
# more of them
STUDENT = {
    "sentiment": {"epochs": 6, "learning_rate": 5e-4},
    "topic": {"epochs": 8, "learning_rate": 3e-4},
    "aspects": {"epochs": 8, "learning_rate": 5e-4},
    "stars": {"learning_rate": 5e-4},
    "pairs": {"learning_rate": 3e-4},
    "entities": {"epochs": 10, "learning_rate": 5e-4},
    "questions": {"epochs": 8, "learning_rate": 4e-4},
}

# What the models of full size are usually given, whatever the task
_FULL = {"epochs": 3, "learning_rate": 5e-5, "batch_size": 32, "max_length": 256}


def recipe(task: Task, profile: str = "classroom", kind: str = "distilbert") -> Recipe:
    """The recipe of a task for "bert" or "distilbert", under a profile."""
    settings = profiles.profile(profile)
    own = STUDENT.get(task.name, {}) if kind == "distilbert" else {}
    if settings.online:
        own = _FULL
        if task.head == "questions":
            own = own | {"max_length": 384, "stride": 128}
    return replace(RECIPES[task.name], steps=settings.head_steps, **own)


def steps(recipe: Recipe, rows: int) -> int:
    """How many optimizer steps the recipe takes on so many rows."""
    if recipe.steps > 0:
        return recipe.steps
    return math.ceil(recipe.epochs * math.ceil(rows / recipe.batch_size))


class Outcome(NamedTuple):
    """What came of one fine-tuning: scores of the test rows, and what it took."""

    scores: dict[str, float]
    seconds: float  # of training alone
    trainer: Trainer
    prediction: PredictionOutput  # logits and labels of the test rows


def fine_tune(
    task: Task,
    sets: DatasetDict,
    checkpoint: Checkpoint,
    recipe: Recipe,
    seed: int,
    report: Sequence[Any] = (),
    scratch: bool = False,
) -> Outcome:
    """Fine-tune `checkpoint` on `sets["train"]` and score it on `sets["test"]`.

    `sets` are in the contract of `task.head`; `report` are callbacks of the `Trainer`.
    The same seed gives the same fresh head and the same order of the rows. With
    `scratch` the model has the checkpoint's shape and none of its weights.
    """
    with TemporaryDirectory() as folder:
        trainer = prepare(
            task, sets, checkpoint, recipe, seed, Path(folder), report, scratch
        )
        began = time.perf_counter()
        trainer.train()
        return scored(trainer, time.perf_counter() - began)


def scored(trainer: Trainer, seconds: float) -> Outcome:
    """What a trained `Trainer` reaches on its evaluation rows."""
    found = trainer.predict(trainer.eval_dataset, metric_key_prefix="")
    figures = {name.removeprefix("_"): value for name, value in found.metrics.items()}
    for timing in ("runtime", "samples_per_second", "steps_per_second"):
        figures.pop(timing, None)
    return Outcome(figures, seconds, trainer, found)


def prepare(
    task: Task,
    sets: DatasetDict,
    checkpoint: Checkpoint,
    recipe: Recipe,
    seed: int,
    output: Path,
    report: Sequence[Any] = (),
    scratch: bool = False,
    **changes: Any,
) -> Trainer:
    """The `Trainer` that `fine_tune` runs; its files go to `output`.

    `changes` replace fields of its `TrainingArguments`.
    """
    import torch
    import transformers as hf

    from helpers.core.machine import bf16_pays
    from helpers.training.trainer import InOrderTrainer

    tokenizer = hf.AutoTokenizer.from_pretrained(
        checkpoint, revision=checkpoint.revision
    )
    train, test = (encode(task, sets[s], tokenizer, recipe) for s in ("train", "test"))
    hf.set_seed(seed)
    settings = {
        "output_dir": str(output),
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.steps,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": 0.1,
        "weight_decay": 0.01,
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": 32,
        "bf16": bf16_pays(),
        "use_cpu": not torch.cuda.is_available(),
        "label_names": POSITIONS if task.head == "questions" else ["labels"],
        "train_sampling_strategy": "group_by_length",  # little padding
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": seed,
    }
    trainer = InOrderTrainer(
        model=model(task, checkpoint, sets["train"], recipe.towers, scratch),
        args=hf.TrainingArguments(**(settings | changes)),
        train_dataset=train.rows,
        eval_dataset=test.rows,
        data_collator=collator(task, tokenizer, recipe.towers),
        compute_metrics=test.compute_metrics,
        callbacks=list(report),
    )
    trainer.remove_callback(hf.PrinterCallback)  # it prints the log's dicts
    return trainer


def model(
    task: Task,
    checkpoint: Checkpoint,
    train: Dataset,
    towers: bool = False,
    scratch: bool = False,
) -> nn.Module:
    """A fresh head of the task's kind on the encoder of `checkpoint`, embeddings
    frozen.

    With `scratch` the whole model is fresh and learns.
    """
    import transformers as hf

    from helpers.training.bi_encoder import Towers

    how = {"revision": checkpoint.revision}
    if towers:
        top = None if task.head == "choices" else max(map(abs, train["score"]))
        fresh = Towers(hf.AutoModel.from_pretrained(checkpoint, **how), top)
    else:
        kind = _CLASSES.get(task.head, "SequenceClassification")
        family = getattr(hf, f"AutoModelFor{kind}")
        fresh = family.from_pretrained(checkpoint, **how, **_labels(task, train))
    if task.head in _NUMBERS and not towers:
        # start from the mean of the numbers: the head need not learn it first
        values = train[_NUMBERS[task.head]]
        fresh.classifier.bias.data.fill_(sum(values) / len(values))
    encoder = fresh.base_model
    if scratch:
        encoder.load_state_dict(type(encoder)(encoder.config).state_dict())
    else:
        encoder.embeddings.requires_grad_(False)
    return fresh


_NUMBERS = {"regression": "label", "similarity": "score"}  # head: column
_CLASSES = {
    "tokens": "TokenClassification",
    "questions": "QuestionAnswering",
    "choices": "MultipleChoice",
}


def _labels(task: Task, train: Dataset) -> dict[str, Any]:
    """What `from_pretrained` is told of a task's labels."""
    if task.head in _NUMBERS:
        return {"num_labels": 1, "problem_type": "regression"}
    if task.head in ("questions", "choices"):
        return {}
    names = names_of(train)
    kind = "multi_label_classification" if task.head == "multilabel" else None
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": kind,
    }

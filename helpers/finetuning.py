"""Fine-tuning of every head, one way: rows of a contract in, a trained model and its scores out.

The notebooks show each recipe in plain `transformers`; this room runs the same recipe for every
task, so that teacher, student and seeds can be compared. What is frozen are the embeddings: with
little data that costs no accuracy and saves time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers import scores
from helpers.tasks import Task
from helpers.windows import Windows, encode_questions, label_windows

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from helpers.checkpoints import Checkpoint


@dataclass(frozen=True)
class Recipe:
    """How long and how fast. `stride`: tokens that neighbouring windows of a question share."""

    epochs: float
    learning_rate: float
    batch_size: int = 16
    max_length: int = 128
    stride: int = 32
    steps: int = -1  # if above 0, so many optimizer steps whatever the epochs


# First choices, by one seed of the teacher on the sample sets; the student takes the same.
RECIPES = {
    "sentiment": Recipe(epochs=8, learning_rate=3e-4),
    "topic": Recipe(epochs=5, learning_rate=1e-4),
    "aspects": Recipe(epochs=6, learning_rate=2e-4),
    "stars": Recipe(epochs=8, learning_rate=3e-4),
    "pairs": Recipe(epochs=10, learning_rate=2e-4),
    "relation": Recipe(epochs=10, learning_rate=2e-4),
    "entities": Recipe(epochs=6, learning_rate=2e-4),
    "questions": Recipe(epochs=4, learning_rate=2e-4, max_length=192),
    "endings": Recipe(epochs=8, learning_rate=2e-4),
}


class Outcome(NamedTuple):
    """What came of one fine-tuning: scores of the test rows, and what it took."""

    scores: dict[str, float]
    seconds: float  # of training alone
    trainer: Trainer


class Encoded(NamedTuple):
    """Rows as a model takes them, and how its answers on them are scored."""

    rows: Dataset
    compute_metrics: Callable[[Any], dict[str, float]]


def fine_tune(
    task: Task,
    sets: DatasetDict,
    checkpoint: Checkpoint,
    recipe: Recipe,
    seed: int,
    report: Sequence[Any] = (),
) -> Outcome:
    """Fine-tune `checkpoint` on `sets["train"]` and score it on `sets["test"]`.

    `sets` are in the contract of `task.head`; `report` are callbacks of the `Trainer`. The same
    seed gives the same fresh head and the same order of the rows.
    """
    with TemporaryDirectory() as folder:
        trainer = prepare(task, sets, checkpoint, recipe, seed, Path(folder), report)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        found = trainer.evaluate()
    names = (n.removeprefix("eval_") for n in found)
    figures = dict(zip(names, found.values(), strict=True))
    timings = ("runtime", "samples_per_second", "steps_per_second", "epoch")
    return Outcome({n: v for n, v in figures.items() if n not in timings}, seconds, trainer)


def prepare(
    task: Task,
    sets: DatasetDict,
    checkpoint: Checkpoint,
    recipe: Recipe,
    seed: int,
    output: Path,
    report: Sequence[Any] = (),
) -> Trainer:
    """The `Trainer` that `fine_tune` runs; its files go to `output`."""
    import torch
    from transformers import AutoTokenizer, Trainer, TrainingArguments, set_seed

    from helpers.distillation import bf16_pays

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=checkpoint.revision)
    train = encode(task, sets["train"], tokenizer, recipe)
    test = encode(task, sets["test"], tokenizer, recipe)
    set_seed(seed)
    arguments = TrainingArguments(
        output_dir=str(output),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=0.1,
        weight_decay=0.01,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=32,
        bf16=bf16_pays(),
        use_cpu=not torch.cuda.is_available(),
        label_names=label_names(task),
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=seed,
    )
    return Trainer(
        model=model(task, checkpoint, sets["train"]),
        args=arguments,
        train_dataset=train.rows,
        eval_dataset=test.rows,
        data_collator=collator(task, tokenizer),
        compute_metrics=test.compute_metrics,
        callbacks=list(report),
    )


def label_names(task: Task) -> list[str]:
    """What the model's labels are called among its inputs."""
    return ["start_positions", "end_positions"] if task.head == "questions" else ["labels"]


def model(task: Task, checkpoint: Checkpoint, train: Dataset) -> PreTrainedModel:
    """A fresh head of the task's kind on the encoder of `checkpoint`, embeddings frozen."""
    import transformers

    kinds = {"tokens": "TokenClassification", "questions": "QuestionAnswering"}
    kinds |= {"choices": "MultipleChoice"}
    family = getattr(transformers, f"AutoModelFor{kinds.get(task.head, 'SequenceClassification')}")
    fresh = family.from_pretrained(checkpoint, revision=checkpoint.revision, **_labels(task, train))
    fresh.base_model.embeddings.requires_grad_(False)
    if task.head in ("regression", "similarity"):
        # start from the mean of the numbers: the head need not learn it first
        values = train["score" if task.head == "similarity" else "label"]
        fresh.classifier.bias.data.fill_(sum(values) / len(values))
    return fresh


def _labels(task: Task, train: Dataset) -> dict[str, Any]:
    """What `from_pretrained` is told of a task's labels."""
    if task.head in ("regression", "similarity"):
        return {"num_labels": 1, "problem_type": "regression"}
    if task.head in ("questions", "choices"):
        return {}
    column = train.features["tags" if task.head == "tokens" else "label"]
    names = (column.feature if task.head in ("tokens", "multilabel") else column).names
    numbers = {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    kind = {"problem_type": "multi_label_classification"} if task.head == "multilabel" else {}
    return {"num_labels": len(names), **numbers, **kind}


def collator(task: Task, tokenizer: PreTrainedTokenizerBase) -> Any:
    """What pads a batch of this head's rows."""
    import transformers

    if task.head == "tokens":
        return transformers.DataCollatorForTokenClassification(tokenizer)
    if task.head == "choices":
        return transformers.DataCollatorForMultipleChoice(tokenizer)
    return transformers.DataCollatorWithPadding(tokenizer)


def encode(
    task: Task, rows: Dataset, tokenizer: PreTrainedTokenizerBase, recipe: Recipe
) -> Encoded:
    """Rows of a contract as the model's inputs and labels, unpadded."""
    return _ENCODERS.get(task.head, _encode_texts)(task, rows, tokenizer, recipe)


def _encode_texts(task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe) -> Encoded:
    def inputs(batch: dict[str, list]) -> dict[str, list]:
        texts = [batch[name] for name in ("text", "text_pair") if name in batch]
        encoded = tokenizer(*texts, truncation=True, max_length=recipe.max_length)
        return {**encoded, "labels": numbers(batch["score" if "score" in batch else "label"])}

    def numbers(labels: list) -> list:
        if task.head != "multilabel":
            return labels
        # BCEWithLogitsLoss wants floats, one for each label
        n_labels = len(rows.features["label"].feature.names)
        return [[float(label in row) for label in range(n_labels)] for row in labels]

    metrics = getattr(scores, task.head)
    return Encoded(rows.map(inputs, batched=True, remove_columns=rows.column_names), metrics)


def _encode_tokens(task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe) -> Encoded:
    from helpers.spans import align_labels

    def inputs(batch: dict[str, list]) -> dict[str, list]:
        encoded = tokenizer(
            batch["tokens"], is_split_into_words=True, truncation=True,
            max_length=recipe.max_length,
        )  # fmt: skip
        labels = [align_labels(encoded.word_ids(i), tags) for i, tags in enumerate(batch["tags"])]
        return {**encoded, "labels": labels}

    names = rows.features["tags"].feature.names
    encoded = rows.map(inputs, batched=True, remove_columns=rows.column_names)
    return Encoded(encoded, scores.tokens(names))


def _encode_choices(task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe) -> Encoded:
    def inputs(batch: dict[str, list]) -> dict[str, list]:
        each = len(batch["choices"][0])
        contexts = [context for context in batch["context"] for _ in range(each)]
        endings = [ending for choices in batch["choices"] for ending in choices]
        flat = tokenizer(contexts, endings, truncation=True, max_length=recipe.max_length)
        nested = {
            name: [values[i : i + each] for i in range(0, len(values), each)]
            for name, values in flat.items()
        }
        return {**nested, "labels": batch["label"]}

    encoded = rows.map(inputs, batched=True, remove_columns=rows.column_names)
    return Encoded(encoded, scores.choices)


def _encode_questions(task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe) -> Encoded:
    from datasets import Dataset

    windows: Windows = encode_questions(
        tokenizer, rows["question"], rows["context"], recipe.max_length, recipe.stride
    )
    targets = label_windows(windows, rows["answers"])
    positions = {"start_positions": targets.start_positions, "end_positions": targets.end_positions}
    golds = [answers["text"] for answers in rows["answers"]]
    metrics = scores.questions(windows, rows["context"], golds)
    return Encoded(Dataset.from_dict({**windows.inputs, **positions}), metrics)


_ENCODERS = {
    "tokens": _encode_tokens,
    "choices": _encode_choices,
    "questions": _encode_questions,
}

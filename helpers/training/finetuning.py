"""Fine-tuning of every head, one way: rows of a contract in, a trained model and its
scores out.

The notebooks show each recipe in plain `transformers`; this room runs the same recipe
for every task, so that teacher, student and seeds can be compared. What is frozen are
the embeddings: with little data that costs no accuracy and saves time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers.core import profiles
from helpers.data.tasks import Task
from helpers.training import evidence, scores
from helpers.training.windows import Windows, encode_questions, label_windows

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer
    from transformers.trainer_utils import PredictionOutput

    from helpers.checkpoints import Checkpoint
    from helpers.training.bi_encoder import Towers


@dataclass(frozen=True)
class Recipe:
    """How long and how fast. `stride`: tokens that neighbouring windows of a question
    share.
    """

    epochs: float
    learning_rate: float
    batch_size: int = 16
    max_length: int = 128
    stride: int = 32
    steps: int = -1  # if above 0, so many optimizer steps whatever the epochs
    towers: bool = (
        False  # each text read alone, compared by cosine; for pairs and choices
    )


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

# What the models of full size are usually given; towers stay towers
_FULL = {"epochs": 3, "learning_rate": 5e-5, "batch_size": 32}


def recipe(task: Task, profile: str = "classroom", kind: str = "distilbert") -> Recipe:
    """The recipe of a task for "bert" or "distilbert", under a profile.

    Fewer steps in `smoke`; in `full` the usual rates of the full-size models, the same
    for both.

    Raises `WorkbookError` on an unknown profile.
    """
    settings = profiles.profile(profile)
    chosen = RECIPES[task.name]
    if kind == "distilbert":
        chosen = replace(chosen, **STUDENT.get(task.name, {}))
    found = replace(chosen, steps=settings.head_steps)
    if not settings.online:
        return found
    longer = (
        {"max_length": 384, "stride": 128}
        if task.head == "questions"
        else {"max_length": 256}
    )
    return replace(found, **_FULL, **longer)


def steps(recipe: Recipe, rows: int) -> int:
    """How many optimizer steps the recipe takes on so many rows."""
    import math

    if recipe.steps > 0:
        return recipe.steps
    return math.ceil(recipe.epochs * math.ceil(rows / recipe.batch_size))


class Outcome(NamedTuple):
    """What came of one fine-tuning: scores of the test rows, and what it took."""

    scores: dict[str, float]
    seconds: float  # of training alone
    trainer: Trainer
    prediction: PredictionOutput  # logits and labels of the test rows


class Encoded(NamedTuple):
    """Rows as a model takes them, and how its answers on them are scored."""

    rows: Dataset
    compute_metrics: Callable[[Any], dict[str, float]]
    evidence: Callable[
        [Any], Any
    ]  # what each row adds to the score, of `Trainer.predict`'s answer


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
        seconds = time.perf_counter() - began
        return scored(trainer, seconds)


def scored(trainer: Trainer, seconds: float) -> Outcome:
    """What a trained `Trainer` reaches on its evaluation rows; its own timings are left
    out.
    """
    found = trainer.predict(trainer.eval_dataset, metric_key_prefix="")
    timings = ("runtime", "samples_per_second", "steps_per_second")
    figures = {name.removeprefix("_"): value for name, value in found.metrics.items()}
    scores = {name: value for name, value in figures.items() if name not in timings}
    return Outcome(scores, seconds, trainer, found)


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
    from transformers import (
        AutoTokenizer,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        set_seed,
    )  # fmt: skip

    from helpers.core.machine import bf16_pays

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=checkpoint.revision)
    train = encode(task, sets["train"], tokenizer, recipe)
    test = encode(task, sets["test"], tokenizer, recipe)
    set_seed(seed)
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
        "label_names": label_names(task),
        "train_sampling_strategy": "group_by_length",  # little padding: fewer tokens to compute
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": seed,
    }
    arguments = TrainingArguments(**(settings | changes))
    trainer = Trainer(
        model=model(task, checkpoint, sets["train"], recipe.towers, scratch),
        args=arguments,
        train_dataset=train.rows,
        eval_dataset=test.rows,
        data_collator=collator(task, tokenizer, recipe.towers),
        compute_metrics=test.compute_metrics,
        callbacks=list(report),
    )
    trainer.remove_callback(PrinterCallback)  # it prints the log's dicts
    return trainer


def parameters(checkpoint: Checkpoint) -> tuple[int, int]:
    """How many parameters a classifier on this encoder has, and how many without
    embeddings.

    Counted on shapes alone: nothing is loaded.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(checkpoint, revision=checkpoint.revision)
    with torch.device("meta"):
        shape = AutoModelForSequenceClassification.from_config(config)
    words = sum(p.numel() for p in shape.base_model.embeddings.parameters())
    return shape.num_parameters(), shape.num_parameters() - words


def label_names(task: Task) -> list[str]:
    """What the model's labels are called among its inputs."""
    return (
        ["start_positions", "end_positions"] if task.head == "questions" else ["labels"]
    )


def model(
    task: Task,
    checkpoint: Checkpoint,
    train: Dataset,
    towers: bool = False,
    scratch: bool = False,
) -> PreTrainedModel | Towers:
    """A fresh head of the task's kind on the encoder of `checkpoint`, embeddings
    frozen.

    With `scratch` the whole model is fresh and learns.
    """
    fresh = (
        _towers(task, checkpoint, train) if towers else _head(task, checkpoint, train)
    )
    if scratch:
        encoder = fresh.base_model
        encoder.load_state_dict(type(encoder)(encoder.config).state_dict())
    else:
        fresh.base_model.embeddings.requires_grad_(False)
    return fresh


def _towers(task: Task, checkpoint: Checkpoint, train: Dataset) -> Towers:
    from transformers import AutoModel

    from helpers.training.bi_encoder import Towers

    encoder = AutoModel.from_pretrained(checkpoint, revision=checkpoint.revision)
    return Towers(
        encoder, None if task.head == "choices" else max(map(abs, train["score"]))
    )


def _head(task: Task, checkpoint: Checkpoint, train: Dataset) -> PreTrainedModel:
    import transformers

    kinds = {"tokens": "TokenClassification", "questions": "QuestionAnswering"}
    kinds |= {"choices": "MultipleChoice"}
    family = getattr(
        transformers, f"AutoModelFor{kinds.get(task.head, 'SequenceClassification')}"
    )
    fresh = family.from_pretrained(
        checkpoint, revision=checkpoint.revision, **_labels(task, train)
    )
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
    numbers = {
        "id2label": dict(enumerate(names)),
        "label2id": {n: i for i, n in enumerate(names)},
    }
    kind = (
        {"problem_type": "multi_label_classification"}
        if task.head == "multilabel"
        else {}
    )
    return {"num_labels": len(names), **numbers, **kind}


def collator(
    task: Task, tokenizer: PreTrainedTokenizerBase, towers: bool = False
) -> Any:
    """What pads a batch of this head's rows."""
    import transformers

    if task.head == "tokens":
        return transformers.DataCollatorForTokenClassification(tokenizer)
    if task.head == "choices" or towers:
        return transformers.DataCollatorForMultipleChoice(tokenizer)
    return transformers.DataCollatorWithPadding(tokenizer)


def encode(
    task: Task, rows: Dataset, tokenizer: PreTrainedTokenizerBase, recipe: Recipe
) -> Encoded:
    """Rows of a contract as the model's inputs and labels, unpadded."""
    how = _encode_towers if recipe.towers else _ENCODERS.get(task.head, _encode_texts)
    return how(task, rows, tokenizer, recipe)


def _encode_texts(task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe) -> Encoded:
    def inputs(batch: dict[str, list]) -> dict[str, list]:
        texts = [batch[name] for name in ("text", "text_pair") if name in batch]
        encoded = tokenizer(*texts, truncation=True, max_length=recipe.max_length)
        return {
            **encoded,
            "labels": numbers(batch["score" if "score" in batch else "label"]),
        }

    def numbers(labels: list) -> list:
        if task.head != "multilabel":
            return labels
        # BCEWithLogitsLoss wants floats, one for each label
        n_labels = len(rows.features["label"].feature.names)
        return [[float(label in row) for label in range(n_labels)] for row in labels]

    metrics = getattr(scores, task.head)
    encoded = rows.map(inputs, batched=True, remove_columns=rows.column_names)
    return Encoded(encoded, metrics, _evidence(task))


def _encode_tokens(
    task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe
) -> Encoded:
    from helpers.training.spans import align_labels

    def inputs(batch: dict[str, list]) -> dict[str, list]:
        encoded = tokenizer(
            batch["tokens"], is_split_into_words=True, truncation=True,
            max_length=recipe.max_length,
        )  # fmt: skip
        labels = [
            align_labels(encoded.word_ids(i), tags)
            for i, tags in enumerate(batch["tags"])
        ]
        return {**encoded, "labels": labels}

    names = rows.features["tags"].feature.names
    encoded = rows.map(inputs, batched=True, remove_columns=rows.column_names)
    return Encoded(encoded, scores.tokens(names), _evidence(task, names))


def _encode_choices(
    task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe
) -> Encoded:
    def inputs(batch: dict[str, list]) -> dict[str, list]:
        each = len(batch["choices"][0])
        contexts = [context for context in batch["context"] for _ in range(each)]
        endings = [ending for choices in batch["choices"] for ending in choices]
        flat = tokenizer(
            contexts, endings, truncation=True, max_length=recipe.max_length
        )
        return {**_nested(flat, each), "labels": batch["label"]}

    encoded = rows.map(inputs, batched=True, remove_columns=rows.column_names)
    return Encoded(encoded, scores.choices, _evidence(task))


def _encode_towers(
    task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe
) -> Encoded:
    def inputs(batch: dict[str, list]) -> dict[str, list]:
        if task.head == "choices":
            texts = [
                [a, *b] for a, b in zip(batch["context"], batch["choices"], strict=True)
            ]
        else:
            texts = [
                list(pair)
                for pair in zip(batch["text"], batch["text_pair"], strict=True)
            ]
        labels = batch["label" if task.head == "choices" else "score"]
        flat = tokenizer(
            [text for row in texts for text in row], truncation=True,
            max_length=recipe.max_length, return_token_type_ids=False,
        )  # fmt: skip
        return {**_nested(flat, len(texts[0])), "labels": labels}

    encoded = rows.map(inputs, batched=True, remove_columns=rows.column_names)
    return Encoded(encoded, getattr(scores, task.head), _evidence(task))


def _nested(flat: Mapping[str, list], each: int) -> dict[str, list]:
    """The encodings of a batch's texts, `each` of them a row."""
    return {
        name: [values[i : i + each] for i in range(0, len(values), each)]
        for name, values in flat.items()
    }


def _encode_questions(
    task: Task, rows: Dataset, tokenizer: Any, recipe: Recipe
) -> Encoded:
    from datasets import Dataset

    from helpers.training.spans import answers
    from helpers.training.squad import best_match

    windows: Windows = encode_questions(
        tokenizer, rows["question"], rows["context"], recipe.max_length, recipe.stride
    )
    targets = label_windows(windows, rows["answers"])
    positions = {
        "start_positions": targets.start_positions,
        "end_positions": targets.end_positions,
    }
    golds = [answers["text"] for answers in rows["answers"]]
    metrics = scores.questions(windows, rows["context"], golds)

    def f1_of_each(prediction: PredictionOutput) -> list[float]:
        given = answers(windows, rows["context"], *prediction.predictions[:2])
        texts = [found.text for found in given]
        return [
            best_match(text, gold)[1] for text, gold in zip(texts, golds, strict=True)
        ]

    return Encoded(
        Dataset.from_dict({**windows.inputs, **positions}), metrics, f1_of_each
    )


def _evidence(task: Task, names: Sequence[str] = ()) -> Callable[[Any], Any]:
    return lambda prediction: evidence.of_prediction(task, prediction, names)


_ENCODERS = {
    "tokens": _encode_tokens,
    "choices": _encode_choices,
    "questions": _encode_questions,
}

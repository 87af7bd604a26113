"""Task distillation, the paper's second step: a student learns a task from a fine-tuned
teacher.

    loss = 0.5 x distillation + 0.5 x task

on questions and answers. The task half is the usual loss of the labels; the other half
asks the student for the teacher's whole distributions of starts and ends.

Source: Sanh et al. 2019, section 4, and the training code published with it
(`run_squad_w_distillation.py`).
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
)

from helpers.core.errors import WorkbookError
from helpers.training.finetuning import Outcome, Recipe, encode, prepare, scored

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel

    from helpers.checkpoints import Checkpoint
    from helpers.data.tasks import Task

TEMPERATURE = 2.0
WEIGHT = 0.5  # of the distillation loss; the task's has the rest
WINDOW = (
    "window"  # the column that says which of the teacher's rows belongs to a window
)
BATCH = 32  # windows that the teacher reads at a time


def answer_distillation_loss(
    student_start: torch.Tensor,
    student_end: torch.Tensor,
    teacher_start: torch.Tensor,
    teacher_end: torch.Tensor,
    attention_mask: torch.Tensor,
    temperature: float = TEMPERATURE,
) -> torch.Tensor:
    """KL(teacher || student) of softened starts and of softened ends: their mean, times
    T squared.

    Logits and `attention_mask` are (B, S), the mask 0 at padding; the mean is over the
    B windows. Padding is left out of both distributions: how much there is depends on
    the neighbours in a batch, and the teacher read its windows in other company. (The
    original leaves it in.) Computed in float32 at least.

    Raises `ValueError` on shapes that differ, or a temperature that is not above 0.
    """
    tensors = (student_start, student_end, teacher_start, teacher_end, attention_mask)
    if len({tuple(tensor.shape) for tensor in tensors}) > 1 or attention_mask.ndim != 2:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise ValueError(f"logits and mask are {shapes}; expected five times (B, S)")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0; it is {temperature}")
    padding = attention_mask == 0
    pairs = ((student_start, teacher_start), (student_end, teacher_end))
    starts, ends = (
        functional.kl_div(
            _log_softened(student, padding, temperature),
            _log_softened(teacher, padding, temperature),
            reduction="batchmean",
            log_target=True,
        )
        for student, teacher in pairs
    )
    return (starts + ends) / 2 * temperature**2


def _log_softened(
    logits: torch.Tensor, padding: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Log-probabilities (B, S) over the real tokens; 0 at padding, which adds nothing
    to a KL.
    """
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    return (
        exact.masked_fill(padding, -torch.inf).log_softmax(-1).masked_fill(padding, 0.0)
    )


def teacher_logits(
    teacher: PreTrainedModel, rows: Dataset, collate: DataCollatorWithPadding
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `teacher` says to each of N windows: start and end logits, (N, S), in
    float32.

    `rows` holds what the teacher takes, unpadded; behind a window's end there are
    zeros.
    """
    widest = max(map(len, rows["input_ids"]))
    tables = torch.zeros(2, len(rows), widest)
    names = [name for name in rows.column_names if name in _inputs(teacher)]
    chosen = rows.select_columns(names)
    with torch.inference_mode():
        for at in range(0, len(rows), BATCH):
            part = [chosen[row] for row in range(at, min(at + BATCH, len(rows)))]
            output = teacher.eval()(**collate(part).to(teacher.device))
            for table, logits in zip(
                tables, (output.start_logits, output.end_logits), strict=True
            ):
                table[at : at + len(part), : logits.shape[1]] = logits.float().cpu()
    return tables[0], tables[1]


def _inputs(model: PreTrainedModel) -> list[str]:
    """What `model` takes of the tokenizer's output."""
    known = inspect.signature(model.forward).parameters
    return [
        name
        for name in ("input_ids", "token_type_ids", "attention_mask")
        if name in known
    ]


class AnswerDistiller(Trainer):
    """A `Trainer` whose loss is `weight` x distillation + (1 - `weight`) x the model's
    own.

    `starts`, `ends`: the teacher's logits (N, S) for the N training windows; the column
    `window` of the training rows says which is whose. Rows without it, those of the
    evaluation, are judged by the model's own loss.
    """

    def __init__(
        self,
        *positional: Any,
        starts: torch.Tensor,
        ends: torch.Tensor,
        weight: float = WEIGHT,
        temperature: float = TEMPERATURE,
        **named: Any,
    ) -> None:
        super().__init__(*positional, **named)
        self.starts, self.ends = starts, ends
        self.weight, self.temperature = weight, temperature

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        **keywords: Any,
    ) -> Any:
        """The weighted loss of one batch; with the model's outputs if
        `return_outputs`.
        """
        inputs = dict(inputs)
        window = inputs.pop(WINDOW, None)
        loss, outputs = super().compute_loss(
            model, inputs, return_outputs=True, **keywords
        )
        if window is not None:
            width = inputs["input_ids"].shape[1]
            starts, ends = (
                table[window.cpu(), :width].to(loss.device)
                for table in (self.starts, self.ends)
            )
            taught = answer_distillation_loss(
                outputs["start_logits"], outputs["end_logits"], starts, ends,
                inputs["attention_mask"], self.temperature,
            )  # fmt: skip
            loss = self.weight * taught + (1 - self.weight) * loss
        return (loss, outputs) if return_outputs else loss


def distil(
    task: Task,
    sets: DatasetDict,
    teacher_model: PreTrainedModel,
    checkpoint: Checkpoint,
    recipe: Recipe,
    seed: int,
    report: Sequence[Any] = (),
    weight: float = WEIGHT,
) -> Outcome:
    """Fine-tune `checkpoint` on answers and on `teacher_model`, which has learned them
    already.

    All else is as in `finetuning.fine_tune`: the same seed gives the same fresh head
    and the same batches. The teacher reads each training window once, beforehand; its
    time counts.

    Raises `WorkbookError` when the task is not of questions, or when the two models do
    not read the same word pieces.
    """
    if task.head != "questions":
        raise WorkbookError(
            f"{task.name} has no answers in a text; only `questions` is distilled"
        )
    began = time.perf_counter()
    starts, ends = _taught(task, sets["train"], teacher_model, checkpoint, recipe)
    taught = time.perf_counter() - began
    with TemporaryDirectory() as folder:
        plain = prepare(task, sets, checkpoint, recipe, seed, Path(folder))
        # the batch keeps `window`, which no model takes
        plain.args.remove_unused_columns = False
        trainer = AnswerDistiller(
            model=plain.model,
            args=plain.args,
            train_dataset=plain.train_dataset.add_column(
                WINDOW, list(range(len(starts)))
            ),
            eval_dataset=plain.eval_dataset,
            data_collator=plain.data_collator,
            compute_metrics=plain.compute_metrics,
            callbacks=list(report),
            starts=starts,
            ends=ends,
            weight=weight,
        )
        trainer.remove_callback(PrinterCallback)  # it prints the log's dicts
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began + taught
        return scored(trainer, seconds)


def _taught(
    task: Task,
    rows: Dataset,
    teacher: PreTrainedModel,
    checkpoint: Checkpoint,
    recipe: Recipe,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher's logits for the windows that the student will learn from."""
    # the student's own pieces, so that windows are the same; BERT wants token types
    # beside them
    tokenizer = AutoTokenizer.from_pretrained(
        checkpoint, revision=checkpoint.revision, model_input_names=_inputs(teacher)
    )
    if teacher.config.vocab_size != len(tokenizer):
        raise WorkbookError(
            f"the teacher knows {teacher.config.vocab_size} word pieces and the student "
            f"{len(tokenizer)}; they must read the same ones"
        )
    windows = encode(task, rows, tokenizer, recipe).rows
    return teacher_logits(teacher, windows, DataCollatorWithPadding(tokenizer))

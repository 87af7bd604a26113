"""Task distillation, the paper's second step: a fine-tuned teacher teaches a task.

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
from torch.nn.functional import kl_div
from transformers import AutoTokenizer, DataCollatorWithPadding, PrinterCallback

from helpers.core.errors import WorkbookError
from helpers.training.finetuning import Outcome, Recipe, encode, prepare, scored
from helpers.training.trainer import InOrderTrainer

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel

    from helpers.checkpoints import Checkpoint
    from helpers.data.tasks import Task

TEMPERATURE = 2.0
WEIGHT = 0.5  # of the distillation loss; the task's has the rest
WINDOW = "window"  # the column that says which of the teacher's rows is a window's
BATCH = 32  # windows that the teacher reads at a time


def answer_distillation_loss(
    student_start: torch.Tensor,
    student_end: torch.Tensor,
    teacher_start: torch.Tensor,
    teacher_end: torch.Tensor,
    attention_mask: torch.Tensor,
    temperature: float = TEMPERATURE,
) -> torch.Tensor:
    """KL(teacher || student), softened, mean of starts and ends, times T squared.

    Logits and `attention_mask` are (B, S), the mask 0 at padding; the mean is over the
    B windows. Padding is left out of both distributions: how much there is depends on
    the neighbours in a batch, and the teacher read its windows in other company. (The
    original leaves it in.) Computed in float32 at least.
    """
    logits = [student_start, student_end, teacher_start, teacher_end]
    shapes = [tuple(tensor.shape) for tensor in (*logits, attention_mask)]
    if len(set(shapes)) > 1 or attention_mask.ndim != 2:
        raise ValueError(f"logits and mask are {shapes}; expected five times (B, S)")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0; it is {temperature}")
    padding = attention_mask == 0

    def softened(logits: torch.Tensor) -> torch.Tensor:
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        log = (exact / temperature).masked_fill(padding, -torch.inf).log_softmax(-1)
        return log.masked_fill(padding, 0.0)  # which adds nothing to a KL

    mine, my_ends, yours, your_ends = map(softened, logits)
    how = {"reduction": "batchmean", "log_target": True}
    total = kl_div(mine, yours, **how) + kl_div(my_ends, your_ends, **how)
    return total / 2 * temperature**2


def teacher_logits(
    task: Task,
    rows: Dataset,
    teacher: PreTrainedModel,
    checkpoint: Checkpoint,
    recipe: Recipe,
) -> torch.Tensor:
    """What `teacher` says to each of the N windows that the student will learn from.

    Start and end logits, (2, N, S), in float32; behind a window's end there are zeros.
    """
    known = inspect.signature(teacher.forward).parameters
    possible = ("input_ids", "token_type_ids", "attention_mask")
    # the student's own pieces, so that windows are the same; BERT wants token types too
    tokenizer = AutoTokenizer.from_pretrained(
        checkpoint,
        revision=checkpoint.revision,
        model_input_names=[name for name in possible if name in known],
    )
    if teacher.config.vocab_size != len(tokenizer):
        raise WorkbookError(
            f"the teacher knows {teacher.config.vocab_size} word pieces and the "
            f"student {len(tokenizer)}; they must read the same ones"
        )
    windows = encode(task, rows, tokenizer, recipe).rows
    windows = windows.select_columns(tokenizer.model_input_names)
    widest = max(map(len, windows["input_ids"]))
    tables = torch.zeros(2, len(windows), widest)
    collate = DataCollatorWithPadding(tokenizer)
    for at in range(0, len(windows), BATCH):
        part = list(windows.select(range(at, min(at + BATCH, len(windows)))))
        with torch.inference_mode():
            output = teacher.eval()(**collate(part).to(teacher.device))
        both = torch.stack([output.start_logits, output.end_logits]).float().cpu()
        tables[:, at : at + len(part), : both.shape[-1]] = both
    return tables


class AnswerDistiller(InOrderTrainer):
    """A trainer whose loss is `WEIGHT` x distillation + the rest x the model's own.

    The column `window` of the training rows says which of the teacher's is whose. Rows
    without it, those of the evaluation, are judged by the model's own loss.
    """

    tables: torch.Tensor  # (2, N, S): the teacher's logits for the N training windows

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **keywords: Any
    ) -> Any:
        """The weighted loss of one batch; with the outputs if `return_outputs`."""
        inputs = dict(inputs)
        window, mask = inputs.pop(WINDOW, None), inputs["attention_mask"]
        loss, outputs = super().compute_loss(model, inputs, True, **keywords)
        if window is not None:
            said = outputs["start_logits"], outputs["end_logits"]
            theirs = self.tables[:, window.cpu(), : mask.shape[1]].to(loss.device)
            taught = answer_distillation_loss(*said, *theirs, mask)
            loss = WEIGHT * taught + (1 - WEIGHT) * loss
        return (loss, outputs) if return_outputs else loss


def distil(
    task: Task,
    sets: DatasetDict,
    teacher_model: PreTrainedModel,
    checkpoint: Checkpoint,
    recipe: Recipe,
    seed: int,
    report: Sequence[Any] = (),
) -> Outcome:
    """Fine-tune `checkpoint` on answers and on `teacher_model`, which has learned them.

    All else is as in `finetuning.fine_tune`: the same seed gives the same fresh head
    and batches. The teacher reads each window once, beforehand, on the clock.
    """
    if task.head != "questions":
        raise WorkbookError(
            f"{task.name} has no answers in a text; only `questions` is distilled"
        )
    began = time.perf_counter()
    tables = teacher_logits(task, sets["train"], teacher_model, checkpoint, recipe)
    taught = time.perf_counter() - began
    with TemporaryDirectory() as folder:
        plain = prepare(task, sets, checkpoint, recipe, seed, Path(folder))
        # the batch keeps `window`, which no model takes
        plain.args.remove_unused_columns = False
        numbers = list(range(tables.shape[1]))
        trainer = AnswerDistiller(
            model=plain.model,
            args=plain.args,
            train_dataset=plain.train_dataset.add_column(WINDOW, numbers),
            eval_dataset=plain.eval_dataset,
            data_collator=plain.data_collator,
            compute_metrics=plain.compute_metrics,
            callbacks=list(report),
        )
        trainer.tables = tables
        trainer.remove_callback(PrinterCallback)  # it prints the log's dicts
        began = time.perf_counter()
        trainer.train()
        return scored(trainer, time.perf_counter() - began + taught)

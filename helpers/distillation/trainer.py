"""Distillation: a student that learns from a frozen teacher, as a `Trainer`.

Mixed precision, gradient accumulation, checkpoints, resume and several processes are
the library's. What is ours: the objective, a forward pass that leaves padding out, and
means that are right whatever a step is cut into.

Source: Sanh et al. 2019, section 3 and 4, and the training code published with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    DistilBertForMaskedLM,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from helpers.checkpoints import distilbert_config
from helpers.checkpoints.convert import bert_to_distilbert, choose_layers, count_layers
from helpers.core.cache import write_text
from helpers.core.errors import WorkbookError
from helpers.data.texts import LengthGrouped
from helpers.distillation.objective import (
    IGNORE,
    Counts,
    Objective,
    Projection,
    triple_loss,
)

GROUPS = 4  # parts of a batch in the encoder, each cut at its own longest row
PARTS = ("distillation_loss", "masked_lm_loss", "cosine_loss", "mse_loss")


def as_distilbert(model: PreTrainedModel) -> DistilBertForMaskedLM:
    """A `BertForMaskedLM` re-laid as DistilBERT without loss; a DistilBERT as it is."""
    kind = model.config.model_type
    if kind == "distilbert":
        return model
    if kind != "bert":
        raise WorkbookError(f"a teacher must be a BERT or DistilBERT, not {kind}")
    state = bert_to_distilbert(model.state_dict())
    other = DistilBertForMaskedLM(distilbert_config(model.config, count_layers(state)))
    other.load_state_dict(state)
    return other.eval()


class Lesson(NamedTuple):
    """What the teacher says about a batch's N valid tokens, and what it counts for."""

    hidden_states: torch.Tensor | None  # (N, D), the last; None if no loss looks at it
    projection: Projection | None  # None if no loss looks at the teacher's logits
    objective: Objective
    counts: Counts


class Student(DistilBertForMaskedLM):
    """A DistilBERT that can be given a `lesson`: then it returns `Losses`."""

    def forward(
        self, input_ids=None, attention_mask=None, labels=None, lesson=None, **more
    ):
        """Arguments (B, S) as for `DistilBertForMaskedLM`."""
        if lesson is None:
            more |= {"attention_mask": attention_mask, "labels": labels}
            return super().forward(input_ids=input_ids, **more)
        hidden, labels = valid_hidden_states(
            self.distilbert, input_ids, attention_mask, labels
        )
        taught, theirs, objective, counts = lesson
        mine = projection(self, hidden)
        return triple_loss(hidden, taught, mine, theirs, labels, objective, counts)


def student_of(
    teacher: DistilBertForMaskedLM, layers: Sequence[int], dropout: float = 0.1
) -> Student:
    """A student that starts from these layers of the teacher, embeddings and head."""
    try:
        state = choose_layers(teacher.state_dict(), layers)
    except ValueError as error:
        raise WorkbookError(str(error)) from None
    student = random_student(teacher, len(layers), dropout)
    student.load_state_dict(state)
    student.tie_weights()
    return student


def random_student(
    teacher: DistilBertForMaskedLM, n_layers: int, dropout: float = 0.1
) -> Student:
    """A student of the same sizes that starts from nothing; seed torch beforehand."""
    changes = {"n_layers": n_layers, "dropout": dropout, "attention_dropout": dropout}
    config = teacher.config
    return Student(type(config).from_dict(config.to_dict() | changes))


def valid_hidden_states(
    encoder: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor | None = None,
    groups: int = GROUPS,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Last hidden states (N, D) and labels (N,) of the tokens that are not padding.

    The rows (B, S), padded on the right, go through the encoder in `groups` parts,
    shortest first, each cut at its own longest row: most of the padding is never
    computed. The order of the N tokens depends on `attention_mask` alone, so that
    teacher and student agree.
    """
    lengths = attention_mask.sum(1)
    hidden, wanted = [], []
    for rows in lengths.argsort(stable=True).chunk(min(groups, len(lengths))):
        mask = attention_mask[rows, : int(lengths[rows].max())]
        ids, real = input_ids[rows, : mask.shape[1]], mask.bool()
        said = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        hidden.append(said[real])
        if labels is not None:
            wanted.append(labels[rows, : mask.shape[1]][real])
    return torch.cat(hidden), torch.cat(wanted) if wanted else None


def projection(model: DistilBertForMaskedLM, hidden: torch.Tensor) -> Projection:
    """What the head makes of hidden states (N, D), up to its last product."""
    vectors = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    return Projection(vectors, model.vocab_projector.weight, model.vocab_projector.bias)


class DistillationTrainer(Trainer):
    """A `Trainer` whose loss is DistilBERT's objective, with a frozen teacher.

    Takes a `Student`, `Sequences` and a masking collator, besides `teacher` and
    `objective`. `examine`, if given, is called with the student at each evaluation and
    returns figures to log.
    """

    def __init__(
        self,
        *arguments: Any,
        teacher: DistilBertForMaskedLM,
        objective: Objective,
        examine: Callable[[PreTrainedModel], dict[str, float]] | None = None,
        **keywords: Any,
    ):
        super().__init__(*arguments, **keywords)
        self.objective, self.examine = objective, examine
        self.teacher = teacher.to(self.args.device).eval().requires_grad_(False)
        if self.args.bf16:  # spares autocast a cast of every weight in every step
            self.teacher.to(torch.bfloat16)
        self.loss_is_scaled_for_ga = True  # by the counts of the whole step, below
        self.parts: list[torch.Tensor] = []
        self.add_callback(_Epochs(self.train_dataset))

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGrouped(self.train_dataset, step * self.args.world_size)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Adds to one step's batches what its means divide by."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = torch.zeros(2, device=device)
        for batch in batches:
            counts[0] += batch["attention_mask"].sum()
            counts[1] += (batch["labels"] != IGNORE).sum()
        return batches, self.accelerator.reduce(counts, "sum")

    def compute_loss(
        self, model, inputs, return_outputs=False, num_items_in_batch=None
    ):
        """The objective, over the share of the step that this batch is."""
        lesson = self.lesson(inputs, Counts(*num_items_in_batch.tolist()))
        losses = model(**inputs, lesson=lesson)
        self.parts.append(torch.stack([part.float() for part in losses[1:]]))
        # several processes average their gradients; each holds its share of a sum
        total = losses.total * self.accelerator.num_processes
        return (total, losses) if return_outputs else total

    @torch.no_grad()
    def lesson(self, inputs: dict[str, torch.Tensor], counts: Counts) -> Lesson:
        """What the teacher says about a batch, as far as any loss asks for it."""
        hidden, taught = None, None
        if self.objective.needs_teacher:
            hidden, _ = valid_hidden_states(
                self.teacher.distilbert, inputs["input_ids"], inputs["attention_mask"]
            )
        if self.objective.compares_logits:
            taught = projection(self.teacher, hidden)
        return Lesson(hidden, taught, self.objective, counts)

    def log(self, logs: dict[str, float], *arguments: Any, **keywords: Any) -> None:
        """Adds the losses apart, means over the steps since the last line."""
        if self.parts and "loss" in logs:
            steps = len(self.parts) / self.args.gradient_accumulation_steps
            sums = self.accelerator.reduce(torch.stack(self.parts).sum(0), "sum")
            logs |= dict(zip(PARTS, (sums / steps).tolist(), strict=True))
            self.parts.clear()
        super().log(logs, *arguments, **keywords)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Whatever `examine` finds, logged under `eval_...`."""
        self.model.eval()
        figures = self.examine(self.model) if self.examine else {}
        metrics = {f"eval_{name}": value for name, value in figures.items()}
        self.model.train()
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class _Epochs(TrainerCallback):
    """Tells the sequences which epoch it is: order and masks are drawn from it.

    After the last step it asks for a look at the student, whatever the interval.
    """

    def __init__(self, sequences: Any):
        self.sequences = sequences

    def on_epoch_begin(self, args, state, control, **keywords):
        self.sequences.epoch = int((state.epoch or 0) + 1e-9)

    def on_step_end(self, args, state, control, **keywords):
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = True


class JsonLines(TrainerCallback):
    """Writes every log line of a run to a file as JSON, with step and seconds.

    Lines past the checkpoint that a run goes on from are dropped: those steps are taken
    again.
    """

    def __init__(self, path: Path):
        self.path, self.began = path, 0.0

    def on_train_begin(self, args, state, control, **keywords):
        text = self.path.read_text(encoding="utf8") if self.path.exists() else ""
        lines = map(json.loads, text.splitlines())
        kept = [line for line in lines if line["step"] <= state.global_step]
        if state.is_world_process_zero:
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self.began = time.perf_counter() - (kept[-1]["seconds"] if kept else 0.0)

    def on_log(self, args, state, control, logs=None, **keywords):
        seconds = round(time.perf_counter() - self.began, 1)
        line = {"step": state.global_step, "seconds": seconds, **(logs or {})}
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf8") as file:
                file.write(json.dumps(line) + "\n")


def training_arguments(output: Path, profile: str, **changes: Any) -> TrainingArguments:
    """The original's settings in `full`, gentler ones on two cores otherwise.

    `changes` replace any field of `TrainingArguments`.
    """
    values = {
        "output_dir": str(output),
        "learning_rate": 5e-4,
        "adam_beta1": 0.9,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-6,
        "weight_decay": 0.0,
        "max_grad_norm": 5.0,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.05,
        "num_train_epochs": 3,
        "per_device_train_batch_size": 5 if profile == "full" else 16,
        "gradient_accumulation_steps": 50 if profile == "full" else 1,
        "remove_unused_columns": False,
        "dataloader_drop_last": True,
        "save_total_limit": 2,
        "use_cpu": not torch.cuda.is_available(),
        "report_to": [],
        "seed": 0,
    }
    return TrainingArguments(**(values | changes))

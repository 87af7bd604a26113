"""One step of distillation, two ways: as the original did it, and as this workbook
does.

`original_step` restates the published training code: logits of both models at every
position of the padded batch, then the wanted ones are selected. `workbook_step` leaves
padding out and makes logits only where a loss needs them, a few rows at a time. Same
batch, same weights, same loss.

Source of the restatement: `Distiller.step` of the original training code.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers import DistilBertForMaskedLM

from helpers.distillation.objective import Counts, Objective
from helpers.distillation.trainer import (
    Lesson,
    Student,
    projection,
    student_of,
    valid_hidden_states,
)
from helpers.training.benchmark import paired, peak_memory_apart, ratio

IGNORE = -100  # the label of a position that is not masked
SHAPE = (16, 127)  # sequences, ids at most; lengths from 30


def original_step(
    student: DistilBertForMaskedLM,
    teacher: DistilBertForMaskedLM,
    batch: dict[str, torch.Tensor],
    objective: Objective,
) -> torch.Tensor:
    """The original's loss for a padded batch of `input_ids`, `attention_mask`, `labels`
    (B, S).
    """
    ids, mask, labels = (batch[n] for n in ("input_ids", "attention_mask", "labels"))
    inputs = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
    with torch.no_grad():
        taught = teacher(**inputs)
    said = DistilBertForMaskedLM.forward(student, **inputs)
    chosen = labels != IGNORE if objective.positions == "masked" else mask.bool()
    wide = chosen.unsqueeze(-1).expand_as(said.logits)
    width, t = said.logits.size(-1), objective.temperature
    z = torch.masked_select(said.logits, wide).view(-1, width).float()
    y = torch.masked_select(taught.logits, wide).view(-1, width).float()
    log_q, p = functional.log_softmax(z / t, dim=-1), functional.softmax(y / t, dim=-1)
    loss = (
        objective.distillation
        * functional.kl_div(log_q, p, reduction="batchmean")
        * t**2
    )
    flat = said.logits.float().view(-1, width)
    loss = loss + objective.masked_lm * functional.cross_entropy(flat, labels.view(-1))
    deep = mask.bool().unsqueeze(-1).expand_as(said.hidden_states[-1])
    dim = said.hidden_states[-1].size(-1)
    mine = torch.masked_select(said.hidden_states[-1], deep).view(-1, dim).float()
    yours = torch.masked_select(taught.hidden_states[-1], deep).view(-1, dim).float()
    target = mine.new_ones(len(mine))
    return loss + objective.cosine * functional.cosine_embedding_loss(
        mine, yours, target
    )


def workbook_step(
    student: Student,
    teacher: DistilBertForMaskedLM,
    batch: dict[str, torch.Tensor],
    objective: Objective,
) -> torch.Tensor:
    """The same loss by `helpers.distillation.objective`, as `DistillationTrainer`
    computes it.
    """
    counts = Counts(
        batch["attention_mask"].sum().item(), (batch["labels"] != IGNORE).sum().item()
    )
    with torch.no_grad():
        hidden, _ = valid_hidden_states(
            teacher.distilbert, batch["input_ids"], batch["attention_mask"]
        )
        lesson = Lesson(hidden, projection(teacher, hidden), objective, counts)
    return student(**batch, lesson=lesson).total


class Case(NamedTuple):
    """One row of the comparison."""

    precision: str  # "fp32" or "bf16"
    positions: str  # "all" or "masked"


CASES = [
    Case(precision, where)
    for precision in ("fp32", "bf16")
    for where in ("all", "masked")
]


def random_batch(
    tokenizer: Any, shape: tuple[int, int] = SHAPE
) -> dict[str, torch.Tensor]:
    """A padded, masked batch of random pieces; lengths spread from 30 to the
    longest.
    """
    from helpers.data.texts import Masking

    generator = torch.Generator().manual_seed(0)
    rows, longest = shape
    items = []
    for draw, length in enumerate(
        torch.linspace(30, longest, rows).round().int().tolist()
    ):
        body = torch.randint(
            1000, len(tokenizer), (length - 2,), generator=generator
        ).tolist()
        ids = [tokenizer.cls_token_id, *body, tokenizer.sep_token_id]
        items.append({"input_ids": ids, "draw": draw})
    return Masking(tokenizer)(items)


def compare(
    teacher: DistilBertForMaskedLM,
    tokenizer: Any,
    repeats: int = 5,
    progress: Callable[[str], None] = lambda line: None,
    shape: tuple[int, int] = SHAPE,
) -> dict[str, dict[str, dict[str, Any]]]:
    """The table `{precision: {positions: figures}}` of the four cases.

    `speedup` is against the original's step in fp32, `speedup_same_precision` against
    it in the same precision; medians over `repeats` turns, with quartiles.
    `memory_ratio` is the original's peak over the workbook's, same precision.
    `loss_difference` is relative.
    """
    student = student_of(teacher, range(0, teacher.config.n_layers, 2), dropout=0.0)
    batch = random_batch(tokenizer, shape)
    report: dict[str, dict[str, dict[str, Any]]] = {"fp32": {}, "bf16": {}}
    for case in CASES:
        sides = {
            name: side(name, case, student, teacher, batch) for name in names(case)
        }
        timed = paired(
            sides, repeats, progress=lambda case=case: progress("/".join(case))
        )
        memory = {
            name: peak_memory_apart(
                _side_anew, name, case, _parts(student), _parts(teacher), batch
            )
            for name in (names(case)[-2], "workbook")
        }
        losses = {name: sides[name]() for name in memory}
        report[case.precision][case.positions] = _figures(timed, memory, losses, batch)
    return report


def names(case: Case) -> list[str]:
    """The sides of a comparison; the last but one is the original in the case's
    precision.
    """
    low = ["original"] if case.precision == "bf16" else []
    return ["original in fp32", *low, "workbook"]


def side(
    name: str, case: Case, student: Student, teacher: DistilBertForMaskedLM, batch: Any
) -> Callable[[], float]:
    """One step of a side, forward and backward, as a function that returns the loss."""
    objective = Objective(positions=case.positions)
    low = case.precision == "bf16" and name != "original in fp32"
    if name != "workbook":
        return _step(original_step, student, teacher, batch, objective, low=low)
    if low:
        teacher = copy.deepcopy(teacher).to(torch.bfloat16)
    return _step(workbook_step, student, teacher, batch, objective, low=low)


def _parts(model: DistilBertForMaskedLM) -> tuple[Any, dict[str, torch.Tensor]]:
    """What another process needs to build the model again: a used model itself is not
    picklable.
    """
    return model.config, model.state_dict()


def _side_anew(name: str, case: Case, student: Any, teacher: Any, batch: Any) -> Any:
    models = []
    for family, (config, state) in (
        (Student, student),
        (DistilBertForMaskedLM, teacher),
    ):
        models.append(family(config))
        models[-1].load_state_dict(state)
    return side(name, case, models[0], models[1].eval().requires_grad_(False), batch)


def _step(
    step: Any, student: Any, teacher: Any, batch: Any, objective: Any, *, low: bool
) -> Callable[[], float]:
    def work() -> float:
        student.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = step(student, teacher, batch, objective)
        loss.backward()
        return loss.item()

    return work


def _figures(
    timed: Any,
    memory: dict[str, int],
    losses: dict[str, float],
    batch: dict[str, torch.Tensor],
) -> dict[str, Any]:
    same, ours = memory  # the original in the same precision, the workbook
    tokens = int(batch["attention_mask"].sum())
    spread = ratio(timed, "original in fp32", ours)
    return {
        "speedup": spread["median"],
        "speedup_quartiles": [spread["low"], spread["high"]],
        "speedup_same_precision": ratio(timed, same, ours)["median"],
        "memory_ratio": memory[same] / max(memory[ours], 1),
        "peak_bytes": memory,
        "tokens_per_second": {
            name: tokens / one["median"] for name, one in timed.items()
        },
        "seconds": {name: one["median"] for name, one in timed.items()},
        "loss_difference": abs(losses[ours] / losses[same] - 1),
    }

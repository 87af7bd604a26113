"""DistilBERT's objective, computed without ever holding all logits.

    total = 5 x distillation + 2 x masked LM + 1 x cosine          (+ 0 x MSE)

Notebook 03 says in its cells what each loss is. The vocabulary is 30,522 wide, so that
the logits of one batch weigh more than the model: here they are made a few rows at a
time, and the gradient is taken on the spot, in closed form.

Source: Sanh et al. 2019, section 3, and the training code published with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

IGNORE = -100  # a label at which nothing was hidden
ROWS = 256  # of logits held at a time, 31 MB in float32: more is no faster


@dataclass(frozen=True)
class Objective:
    """The weight of each loss, the temperature, and where the distillation loss looks.

    The defaults are the original's. `positions` is "all" (every token that is not
    padding) or "masked" (only those whose label is not -100); it concerns the
    distillation loss and the MSE.
    """

    distillation: float = 5.0
    masked_lm: float = 2.0
    cosine: float = 1.0
    mse: float = 0.0
    temperature: float = 2.0
    positions: Literal["all", "masked"] = "all"

    def __post_init__(self) -> None:
        weights = (self.distillation, self.masked_lm, self.cosine, self.mse)
        t, where, line = self.temperature, self.positions, ""
        if min(weights) < 0 or max(weights) == 0:
            line = f"weights must be 0 or more, and one above 0; they are {weights}"
        elif t <= 0:
            line = f"temperature must be above 0; it is {t}"
        elif where not in ("all", "masked"):
            line = f"positions must be 'all' or 'masked'; it is {where!r}"
        if line:
            raise ValueError(line)

    @property
    def compares_logits(self) -> bool:
        """Whether any loss looks at the teacher's logits."""
        return bool(self.distillation or self.mse)

    @property
    def needs_teacher(self) -> bool:
        """Whether any loss looks at the teacher at all."""
        return self.compares_logits or bool(self.cosine)


class Losses(NamedTuple):
    """The weighted total, which has a gradient; its unweighted parts have none."""

    total: torch.Tensor
    distillation: torch.Tensor
    masked_lm: torch.Tensor
    cosine: torch.Tensor
    mse: torch.Tensor


class Projection(NamedTuple):
    """What becomes logits: `vectors` (N, D) @ `weight` (V, D).T + `bias` (V,)."""

    vectors: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def at(self, rows: torch.Tensor | slice) -> Projection:
        """The same projection of some of the rows."""
        return self._replace(vectors=self.vectors[rows])


class Counts(NamedTuple):
    """What means divide by: a batch may be only a part of what a step learns from."""

    valid: float  # tokens that are not padding
    masked: float  # labels that are not -100

    @classmethod
    def of(cls, labels: torch.Tensor) -> Counts:
        """Of the labels (N,) of the valid tokens."""
        return cls(len(labels), int((labels != IGNORE).sum()))


def triple_loss(
    student_hidden: torch.Tensor,
    teacher_hidden: torch.Tensor | None,
    student: Projection,
    teacher: Projection | None,
    labels: torch.Tensor,
    objective: Objective,
    counts: Counts | None = None,
) -> Losses:
    """The whole objective on the N valid tokens of a batch, padding left out.

    `student_hidden`, `teacher_hidden`: last hidden states (N, D); the cosine loss looks
    at all N. The rest as in `projected_losses`. What no loss looks at may be None;
    `ValueError` when something is missing, or the hidden states differ in shape.
    """
    counts = counts or Counts.of(labels)
    total, parts = projected_losses(student, teacher, labels, objective, counts)
    cosine = total.new_zeros(())
    if objective.cosine:
        if teacher_hidden is None:
            raise ValueError("the cosine loss needs the teacher's hidden states")
        shapes = tuple(student_hidden.shape), tuple(teacher_hidden.shape)
        if shapes[0] != shapes[1]:
            line = f"hidden states of student and teacher differ in shape: {shapes}"
            raise ValueError(line)
        exact = torch.promote_types(student_hidden.dtype, torch.float32)
        pair = student_hidden.to(exact), teacher_hidden.to(exact)
        gaps = 1 - functional.cosine_similarity(*pair, dim=-1)  # (N,)
        cosine = gaps.sum() / max(counts.valid, 1)
        total = total + objective.cosine * cosine
    return Losses(total, parts[0], parts[1], cosine.detach(), parts[2])


def projected_losses(
    student: Projection,
    teacher: Projection | None,
    labels: torch.Tensor,
    objective: Objective,
    counts: Counts | None = None,
    rows: int = ROWS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses that need logits, without holding more than `rows` rows of them.

    `student`, `teacher`: a row for each of N valid tokens. `labels` (N,), -100 where
    nothing was hidden. The means divide by `counts`, or else by this batch's own.

    Returns the weighted total, with a gradient for the student, and the unweighted
    (distillation, masked LM, MSE) as (3,). Logits are made in autocast's precision if
    it is on; softmax and sums are in float32 at least.
    """
    if teacher is None:
        if objective.compares_logits:
            raise ValueError("distillation and MSE losses need the teacher's logits")
        teacher = student
    counts = counts or Counts.of(labels)
    compared = counts.valid
    if objective.positions == "masked":
        wanted, compared = labels != IGNORE, counts.masked
        student, teacher = student.at(wanted), teacher.at(wanted)
        labels = labels[wanted]
    divisors = max(compared, 1), max(counts.masked, 1)
    parts, gradients = _in_chunks(student, teacher, labels, objective, divisors, rows)
    weights = (objective.distillation, objective.masked_lm, objective.mse)
    total = (parts.new_tensor(weights) * parts).sum()
    return _GradientKnown.apply(total, gradients, *student), parts


class _GradientKnown(torch.autograd.Function):
    """`total` as a function of tensors by which its gradients are known already."""

    @staticmethod
    def forward(ctx: Any, total: Any, gradients: list, *tensors: Any) -> torch.Tensor:
        ctx.save_for_backward(*gradients)
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        return total.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: torch.Tensor) -> tuple:
        known = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        scaled = (None if g is None else (g * by_total).to(dtype) for g, dtype in known)
        return (None, None, *scaled)


@torch.no_grad()
def _in_chunks(student, teacher, labels, objective, divisors, rows):
    """The three losses (3,), and the total's gradient by each tensor of `student`."""
    device, dtype = student.vectors.device, student.vectors.dtype
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    exact = torch.promote_types(dtype, torch.float32)
    parts = torch.zeros(3, dtype=exact, device=device)
    vectors, weight, bias = gradients = [
        torch.zeros_like(t, dtype=exact) if t.requires_grad else None for t in student
    ]
    student, teacher = (
        Projection(*(t.to(dtype) for t in side)) for side in (student, teacher)
    )
    with torch.autocast(device.type, enabled=False):
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            mine, y = student.at(part), None
            if objective.compares_logits:
                y = functional.linear(*teacher.at(part)).to(exact)
            z = functional.linear(*mine).to(exact)
            grad = _chunk(z, y, labels[part], objective, divisors, parts).to(dtype)
            if vectors is not None:
                vectors[part] = grad @ mine.weight
            if weight is not None and weight.dtype == dtype:
                weight.addmm_(grad.T, mine.vectors)  # in place: V x D is large
            elif weight is not None:
                weight += grad.T @ mine.vectors
            if bias is not None:
                bias += grad.sum(0)
    return parts, gradients


def _chunk(z, y, labels, objective, divisors, parts):
    """Add the losses of these rows to `parts`; return the total's gradient by z.

    z, y: logits (rows, V) of student and teacher, both used up: each new tensor of that
    size costs as much as a share of the matrix products. With q and p the softened
    student and teacher, the gradient of T^2 KL(p || q) is T (q - p), and that of the
    cross-entropy is q - onehot.
    """
    compared, masked = divisors
    hidden = (labels != IGNORE).nonzero().flatten() if objective.masked_lm else []
    if len(hidden):
        log_q, answers = z[hidden].log_softmax(-1), labels[hidden, None]
        parts[1] -= log_q.gather(1, answers).sum() / masked
        onehot = torch.ones_like(answers, dtype=z.dtype)
        by_hidden = log_q.exp_().scatter_add_(1, answers, -onehot)
        by_hidden.mul_(objective.masked_lm / masked)
    grad = z.zero_() if y is None else _comparison(z, y, objective, compared, parts)
    if len(hidden):
        grad.index_add_(0, hidden, by_hidden)
    return grad


def _comparison(z, y, objective, compared, parts):
    """Distillation and MSE, as `_chunk`.

    With d = (y - z) / T and lse the logarithm of a sum of exponentials, KL(p || q) is
    sum(p d) + lse(z / T) - lse(y / T).
    """
    t = objective.temperature
    p, lse_y = _softmax(y.div_(t))
    q, lse_z = _softmax(z.div_(t))
    d = y.sub_(z)
    parts[0] += (torch.linalg.vecdot(p, d) + lse_z - lse_y).sum() * (t**2 / compared)
    grad = q.sub_(p).mul_(objective.distillation * t / compared)
    if objective.mse:
        parts[2] += torch.linalg.vecdot(d, d).sum() * (t**2 / compared)
        grad.add_(d, alpha=-2 * objective.mse * t / compared)
    return grad


def _softmax(logits):
    """Softmax, and the logarithm of the sum of exponentials, (rows,)."""
    p = functional.softmax(logits, dim=-1)
    return p, logits.amax(-1) - p.amax(-1).log()

"""DistilBERT's objective: three losses and their weighted sum, as pure functions of
tensors.

    total = 5 x distillation + 2 x masked LM + 1 x cosine          (+ 0 x MSE)

The first half of this file says what the losses *are*, on whole logits.
`projected_losses` then computes the same numbers without ever holding the logits: the
vocabulary is 30,522 wide, so the logits of one batch weigh more than the model. It
makes them a few rows at a time and takes the gradient on the spot.

Source: Sanh et al. 2019, section 3, and the training code published with it
(`distiller.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

IGNORE = -100  # a label at which nothing was hidden
ROWS = 256  # rows of logits held at a time: 31 MB in float32; more is no faster, fewer is slower


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
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                f"weights must be 0 or more, and one above 0; they are {weights}"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0; it is {self.temperature}")
        if self.positions not in ("all", "masked"):
            raise ValueError(
                f"positions must be 'all' or 'masked'; it is {self.positions!r}"
            )


class Losses(NamedTuple):
    """The weighted total, which has a gradient, and its unweighted parts, which have
    none.
    """

    total: torch.Tensor
    distillation: torch.Tensor
    masked_lm: torch.Tensor
    cosine: torch.Tensor
    mse: torch.Tensor


def distillation_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    positions: torch.Tensor,
    temperature: float = 2.0,
) -> torch.Tensor:
    """KL(teacher || student) of the softened distributions, times T squared, mean per
    position.

    `student_logits`, `teacher_logits`: (..., V). `positions`: (...), True where the
    loss looks. T squared undoes what the temperature does to the size of the gradient.
    """
    log_q = functional.log_softmax(
        student_logits[positions] / temperature, dim=-1
    )  # (N, V)
    log_p = functional.log_softmax(teacher_logits[positions] / temperature, dim=-1)
    divergence = functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def masked_lm_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the hidden tokens, mean over them. `logits` (..., V), `labels`
    (...).
    """
    return functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE
    )


def cosine_loss(
    student_hidden: torch.Tensor, teacher_hidden: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """1 - cosine between the last hidden states (..., D), mean over `positions`
    (...).
    """
    mine, yours = student_hidden[positions], teacher_hidden[positions]  # (N, D)
    return 1 - functional.cosine_similarity(mine, yours, dim=-1).mean()


def mse_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Squared distance of the logits (..., V), summed over V, mean over `positions`
    (...).
    """
    gaps = student_logits[positions] - teacher_logits[positions]
    return gaps.square().sum(-1).mean()


class Projection(NamedTuple):
    """Vectors on their way to logits: `vectors @ weight.T + bias`.

    `vectors` (N, D), `weight` (V, D), `bias` (V,).
    """

    vectors: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def at(self, rows: torch.Tensor) -> Projection:
        """The same projection of some of the rows."""
        return self._replace(vectors=self.vectors[rows])


class Counts(NamedTuple):
    """What the means divide by, when a batch is only a part of what one step learns
    from.
    """

    valid: float  # tokens that are not padding
    masked: float  # labels that are not -100


def projected_losses(
    student: Projection,
    teacher: Projection | None,
    labels: torch.Tensor,
    objective: Objective,
    counts: Counts | None = None,
    rows: int = ROWS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses that need logits, without holding more than `rows` rows of them.

    `student`, `teacher`: one row for each valid token (N of them); the teacher may be
    None when no loss looks at its logits. `labels` (N,), -100 where nothing was hidden.
    The means divide by `counts`, or else by this batch's own.

    Returns the weighted total, with a gradient for the student, and the unweighted
    (distillation, masked LM, MSE) as one tensor (3,). In the computing precision of
    autocast if it is on; softmax and sums in float32 at least.

    Raises `ValueError` when the objective needs a teacher that is not there.
    """
    if teacher is None:
        if objective.distillation or objective.mse:
            raise ValueError("distillation and MSE losses need the teacher's logits")
        teacher = student
    counts = counts or Counts(len(labels), int((labels != IGNORE).sum()))
    if objective.positions == "masked":
        wanted = labels != IGNORE
        student, teacher, labels = (
            student.at(wanted),
            teacher.at(wanted),
            labels[wanted],
        )
    compared = counts.masked if objective.positions == "masked" else counts.valid
    divisors = (max(compared, 1), max(counts.masked, 1))
    return _Projected.apply(*student, *teacher, labels, objective, divisors, rows)


class _Projected(torch.autograd.Function):
    """A few rows of logits at a time: the losses, and at once their gradient, in closed
    form.
    """

    @staticmethod
    def forward(
        ctx: Any,
        vectors: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        taught_vectors: torch.Tensor,
        taught_weight: torch.Tensor,
        taught_bias: torch.Tensor,
        labels: torch.Tensor,
        objective: Objective,
        divisors: tuple[float, float],
        rows: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        device, given = vectors.device.type, (vectors, weight, bias)
        dtype = vectors.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        exact = torch.promote_types(dtype, torch.float32)
        student = Projection(*(tensor.detach().to(dtype) for tensor in given))
        teacher = Projection(
            *(t.to(dtype) for t in (taught_vectors, taught_weight, taught_bias))
        )
        grads = [
            torch.zeros_like(t, dtype=exact) if needed else None
            for t, needed in zip(given, ctx.needs_input_grad[:3], strict=True)
        ]
        parts = torch.zeros(3, dtype=exact, device=vectors.device)
        with torch.autocast(device, enabled=False):
            for start in range(0, len(labels), rows):
                part = slice(start, start + rows)
                grad = _chunk(
                    student, teacher, labels, part, objective, divisors, parts
                )
                _push_back(grad.to(dtype), student, part, grads)
        ctx.save_for_backward(*grads)
        ctx.dtypes = [tensor.dtype for tensor in given]
        weights = parts.new_tensor(
            (objective.distillation, objective.masked_lm, objective.mse)
        )
        total = (weights * parts).sum()
        ctx.mark_non_differentiable(parts)
        return total, parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: torch.Tensor, _: Any) -> tuple[Any, ...]:
        grads = [
            None if grad is None else (grad * grad_total).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*grads, *(None,) * 7)


def _chunk(
    student: Projection,
    teacher: Projection,
    labels: torch.Tensor,
    part: slice,
    objective: Objective,
    divisors: tuple[float, float],
    sums: torch.Tensor,
) -> torch.Tensor:
    """Add this chunk's (distillation, masked LM, MSE) to `sums`; return the total's
    gradient.

    The gradient is that by the student's logits z, (rows, V). With q and p the softened
    student and teacher, that of T^2 KL(p || q) is T (q - p); that of the cross-entropy
    is q - onehot. Every line that touches (rows, V) numbers costs as much as a share of
    the matrix products, so there are few, and they write where there is room already.
    """
    z = _logits(student, part, sums.dtype)
    compared, masked = divisors
    surprise = _surprise(z, labels[part], objective, masked, sums)
    if not (objective.distillation or objective.mse):
        grad = z.zero_()
    else:
        grad = _difference(
            z, _logits(teacher, part, sums.dtype), objective, compared, sums
        )
    if surprise is not None:
        grad.index_add_(0, *surprise)
    return grad


def _logits(side: Projection, part: slice, dtype: torch.dtype) -> torch.Tensor:
    return functional.linear(side.vectors[part], side.weight, side.bias).to(dtype)


def _surprise(
    z: torch.Tensor,
    labels: torch.Tensor,
    objective: Objective,
    masked: float,
    sums: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Masked LM: add its loss to `sums`; (rows that have a label, gradient at those
    rows).
    """
    hidden = (labels != IGNORE).nonzero().flatten()
    if not objective.masked_lm or not len(hidden):
        return None
    log_q, answers = functional.log_softmax(z[hidden], dim=-1), labels[hidden, None]
    sums[1] -= log_q.gather(1, answers).sum() / masked
    q = log_q.exp_().scatter_add_(1, answers, -torch.ones_like(answers, dtype=z.dtype))
    return hidden, q.mul_(objective.masked_lm / masked)


def _difference(
    z: torch.Tensor,
    y: torch.Tensor,
    objective: Objective,
    compared: float,
    sums: torch.Tensor,
) -> torch.Tensor:
    """Distillation and MSE between student logits z and teacher logits y, both used up.

    Adds the losses to `sums`; returns the gradient by z. With d = (y - z) / T, and the
    logarithm of a sum of exponentials lse, KL(p || q) = sum(p d) + lse(z / T) - lse(y /
    T).
    """
    t = objective.temperature
    p, lse_y = _softmax(y.div_(t))
    q, lse_z = _softmax(z.div_(t))
    d = y.sub_(z)
    sums[0] += (torch.linalg.vecdot(p, d) + lse_z - lse_y).sum() * (t**2 / compared)
    grad = q.sub_(p).mul_(objective.distillation * t / compared)
    if objective.mse:
        sums[2] += torch.linalg.vecdot(d, d).sum() * (t**2 / compared)
        grad.add_(d, alpha=-2 * objective.mse * t / compared)
    return grad


def _softmax(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax over the last dimension, and the logarithm of the sum it divides by,
    (rows,).
    """
    p = functional.softmax(logits, dim=-1)
    return p, logits.amax(-1) - p.amax(-1).log()


def _push_back(
    grad: torch.Tensor,
    student: Projection,
    part: slice,
    grads: list[torch.Tensor | None],
) -> None:
    """Carry the gradient by the logits (rows, V) back to vectors, weight and bias, in
    place.
    """
    vectors, weight, bias = grads
    if vectors is not None:
        vectors[part] = (grad @ student.weight).to(vectors.dtype)
    if weight is not None and weight.dtype == grad.dtype:
        weight.addmm_(grad.T, student.vectors[part])
    elif weight is not None:
        weight += grad.T @ student.vectors[part]
    if bias is not None:
        bias += grad.sum(0)


def triple_loss(
    student_hidden: torch.Tensor,
    teacher_hidden: torch.Tensor | None,
    student: Projection,
    teacher: Projection | None,
    labels: torch.Tensor,
    objective: Objective,
    counts: Counts | None = None,
) -> Losses:
    """The whole objective, on the N valid tokens of a batch (padding is left out
    beforehand).

    `student_hidden`, `teacher_hidden`: last hidden states (N, D). The rest as in
    `projected_losses`. The cosine loss looks at all N tokens; without its weight the
    teacher's hidden states may be None.

    Raises `ValueError` when the two hidden states differ in shape, or a teacher is
    missing.
    """
    counts = counts or Counts(len(labels), int((labels != IGNORE).sum()))
    total, parts = projected_losses(student, teacher, labels, objective, counts)
    cosine = total.new_zeros(())
    if objective.cosine:
        cosine = _cosine_share(student_hidden, teacher_hidden, counts)
        total = total + objective.cosine * cosine
    return Losses(total, parts[0], parts[1], cosine.detach(), parts[2])


def _cosine_share(
    student_hidden: torch.Tensor, teacher_hidden: torch.Tensor | None, counts: Counts
) -> torch.Tensor:
    """This batch's share of the step's cosine loss, in float32 at least."""
    if teacher_hidden is None:
        raise ValueError("the cosine loss needs the teacher's hidden states")
    if student_hidden.shape != teacher_hidden.shape:
        shapes = tuple(student_hidden.shape), tuple(teacher_hidden.shape)
        raise ValueError(
            f"hidden states of student and teacher differ in shape: {shapes}"
        )
    exact = torch.promote_types(student_hidden.dtype, torch.float32)
    everywhere = torch.ones(
        len(student_hidden), dtype=torch.bool, device=student_hidden.device
    )
    cosine = cosine_loss(student_hidden.to(exact), teacher_hidden.to(exact), everywhere)
    return cosine * (len(student_hidden) / max(counts.valid, 1))

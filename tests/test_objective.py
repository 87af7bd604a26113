"""The chunked objective gives the same numbers as the losses' definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import grad, gradcheck
from torch.nn import functional
from torch.testing import assert_close

from helpers.distillation.objective import (
    IGNORE,
    Counts,
    Objective,
    Projection,
    projected_losses,
    triple_loss,
)

V, D = 23, 6
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
OBJECTIVES = [
    Objective(),
    Objective(positions="masked"),
    Objective(mse=0.3, temperature=1.0),
    Objective(temperature=0.5),
    Objective(temperature=7.0),
    Objective(distillation=0, cosine=0),
    Objective(masked_lm=0, positions="masked", mse=0.1),
    Objective(cosine=4, distillation=0),
]
each = pytest.mark.parametrize("objective", OBJECTIVES, ids=str)


def case(dtype=torch.float64, rows=3, length=5, seed=0):
    """Hidden states h, t; labels; a mask with padding on the right."""
    g = torch.Generator().manual_seed(seed)
    exact = {"generator": g, "dtype": torch.float64}
    h, t = (torch.randn(rows, length, D, **exact).to(dtype) for _ in "ht")
    mask = torch.arange(length) < length - torch.arange(rows)[:, None]
    labels = torch.randint(V, (rows, length), generator=g)
    hidden = torch.rand(rows, length, generator=g) < 0.4
    hidden[0, 0] = True
    labels[~(hidden & mask)] = IGNORE
    return {"h": h, "t": t, "labels": labels, "mask": mask}


def parts(c):
    """Flat projections of the hidden states, as a model's would be, and the labels."""
    mask, dtype = c["mask"], c["h"].dtype

    def draw(seed, *shape):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator).to(dtype)

    student = Projection(c["h"][mask], draw(1, V, D), draw(3, V))
    teacher = Projection(c["t"][mask], draw(2, V, D), draw(4, V))
    return student, teacher, c["labels"][mask]


def by_definition(c, objective, student, teacher):
    """Each loss position by position: distillation, masked LM, cosine, MSE."""
    soft, masked = objective.temperature, objective.positions == "masked"
    kl, cosine, mse, ce = [], [], [], []
    for at in map(tuple, c["mask"].nonzero().tolist()):
        h, t, label = (c[name][at] for name in ("h", "t", "labels"))
        z, y = h @ student.weight.T + student.bias, t @ teacher.weight.T + teacher.bias
        cosine.append(1 - (h * t).sum() / (h.square().sum() * t.square().sum()).sqrt())
        if label != IGNORE:
            ce.append(-torch.log(torch.exp(z[label]) / torch.exp(z).sum()))
        if label != IGNORE or not masked:
            p, q = (torch.exp(logits / soft) for logits in (y, z))
            p, q = p / p.sum(), q / q.sum()
            kl.append(soft**2 * (p * torch.log(p / q)).sum())
            mse.append((z - y).square().sum())
    return [torch.stack(values).mean() for values in (kl, ce, cosine, mse)]


def weighted(objective, losses):
    names = ("distillation", "masked_lm", "cosine", "mse")
    weights = (getattr(objective, name) for name in names)
    return sum(w * loss for w, loss in zip(weights, losses, strict=True))


def triple(student, teacher, labels, objective, *more):
    hidden = student.vectors, teacher.vectors
    return triple_loss(*hidden, student, teacher, labels, objective, *more)


@each
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_in_chunks_equals_the_definitions_in_value_and_gradient(objective, dtype):
    c = case(dtype)
    c["h"].requires_grad_()
    student, teacher, labels = parts(c)
    leaves = [c["h"], student.weight.requires_grad_(), student.bias.requires_grad_()]
    want = by_definition(c, objective, student, teacher)
    total, *found = triple(student, teacher, labels, objective)
    tolerance = TOLERANCE[dtype] * 10 ** (objective.temperature < 1)
    near = {"rtol": tolerance, "atol": tolerance}
    o = objective
    asked = (o.distillation or o.mse, o.masked_lm, o.cosine, o.mse)
    pairs = zip(want, asked, strict=True)
    assert_close(found, [loss if ask else 0 * loss for loss, ask in pairs], **near)
    assert_close(total, weighted(objective, want), **near)
    gradients = grad(total, leaves), grad(weighted(objective, want), leaves)
    assert_close(*gradients, **near)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_each_loss_is_the_librarys(dtype, temperature):
    c = case(dtype)
    student, teacher, labels = parts(c)
    objective = Objective(temperature=temperature)
    found = triple(student, teacher, labels, objective)
    z, y = (functional.linear(*side) for side in (student, teacher))
    log_q, log_p = ((logits / temperature).log_softmax(-1) for logits in (z, y))
    theirs = torch.nn.KLDivLoss(reduction="batchmean")(log_q, log_p.exp())
    assert_close(found.distillation, theirs * temperature**2)
    assert_close(found.masked_lm, torch.nn.CrossEntropyLoss()(z, labels))
    ones = torch.ones(len(labels))
    pair = student.vectors, teacher.vectors
    assert_close(found.cosine, torch.nn.CosineEmbeddingLoss()(*pair, ones))


def test_who_says_what_the_teacher_says_has_nothing_to_learn():
    _, teacher, labels = parts(case())
    objective = Objective(mse=1.0)
    same = triple(teacher, teacher, labels, objective)
    assert same.distillation.abs() < 1e-12
    assert same.mse == 0
    longer = 3 * teacher.vectors, teacher.vectors
    found = triple_loss(*longer, teacher, teacher, labels, objective)
    assert found.cosine.abs() < 1e-12


@each
def test_gradients_pass_gradcheck(objective):
    student, teacher, labels = parts(case(rows=2, length=4))
    inputs = [tensor.detach().clone().requires_grad_() for tensor in student]

    def total(*student):
        return triple(Projection(*student), teacher, labels, objective).total

    assert gradcheck(total, inputs)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(2, 7), st.sampled_from(["all", "masked"]))
def test_padding_changes_nothing(rows, length, positions):
    objective = Objective(positions=positions, mse=0.2)
    c = case(rows=rows, length=max(length, rows + 1), seed=rows * 100 + length)
    c["h"][~c["mask"]], c["t"][~c["mask"]] = 9.0, -9.0
    student, teacher, labels = parts(c)
    want = weighted(objective, by_definition(c, objective, student, teacher))
    assert_close(triple(student, teacher, labels, objective).total, want)


def learning(student):
    """`student` with vectors that ask for a gradient."""
    return student._replace(vectors=student.vectors.clone().requires_grad_())


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 1000])
def test_the_size_of_the_chunks_changes_nothing(rows):
    student, teacher, labels = parts(case(rows=4, length=9))
    mine = learning(student)
    found = projected_losses(mine, teacher, labels, Objective(), rows=rows)
    assert_close(found, projected_losses(student, teacher, labels, Objective()))
    assert grad(found[0], mine.vectors)[0].abs().sum() > 0


@pytest.mark.parametrize("positions", ["all", "masked"])
def test_parts_of_a_step_add_up_and_nothing_hidden_still_teaches(positions):
    objective = Objective(positions=positions)
    student, teacher, labels = parts(case(rows=4, length=8))
    counts = Counts(len(labels), int((labels != IGNORE).sum()))
    total = 0.0
    for some in torch.arange(len(labels)).chunk(3):
        sides = student.at(some), teacher.at(some)
        total += triple(*sides, labels[some], objective, counts).total
    assert_close(total, triple(student, teacher, labels, objective).total)
    nothing = triple(student, teacher, torch.full_like(labels, IGNORE), objective)
    assert math.isfinite(nothing.total)
    assert nothing.masked_lm == 0
    assert (nothing.distillation == 0) == (positions == "masked")


def test_under_autocast_the_sums_stay_in_float32():
    student, teacher, labels = parts(case(torch.float32, rows=4, length=9))
    mine = learning(student)
    exact, _ = projected_losses(student, teacher, labels, Objective())
    with torch.autocast("cpu", torch.bfloat16):
        total, split = projected_losses(mine, teacher, labels, Objective())
    assert total.dtype == split.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=0.05)
    assert grad(total, mine.vectors)[0].dtype == torch.float32


def test_frozen_weights_get_no_gradient_and_a_teacher_that_nobody_asks_may_be_missing():
    student, teacher, labels = parts(case())
    mine = learning(student)
    triple(mine, teacher, labels, Objective()).total.backward()
    assert mine.vectors.grad is not None
    assert student.weight.grad is None
    alone = Objective(distillation=0, cosine=0)
    losses = triple_loss(student.vectors, None, student, None, labels, alone)
    assert losses.total.item() == pytest.approx(2 * losses.masked_lm.item())
    t = teacher.vectors
    for hidden, elder, words in [
        (t, None, "need the teacher's logits"),
        (None, teacher, "needs the teacher's hidden states"),
        (t[:, 1:], teacher, "differ in shape"),
    ]:
        with pytest.raises(ValueError, match=words):
            triple_loss(student.vectors, hidden, student, elder, labels, Objective())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"distillation": -1}, "0 or more"),
        ({"distillation": 0, "masked_lm": 0, "cosine": 0}, "one above 0"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"positions": "some"}, "'all' or 'masked'"),
    ],
)
def test_an_objective_that_makes_no_sense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Objective(**wrong)

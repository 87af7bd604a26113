"""The three losses: what they are, and that the sparing way gives the same numbers."""

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
    cosine_loss,
    distillation_loss,
    masked_lm_loss,
    mse_loss,
    projected_losses,
    triple_loss,
)

V, D = 23, 6
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
OBJECTIVES = [
    Objective(),
    Objective(positions="masked"),
    Objective(mse=0.3, temperature=1.0),
    Objective(distillation=0, cosine=0),
    Objective(masked_lm=0, positions="masked", mse=0.1),
    Objective(cosine=4, distillation=0),
]
each = pytest.mark.parametrize("objective", OBJECTIVES, ids=str)


def case(dtype=torch.float64, rows=3, length=5, seed=0):
    """Logits z, y; hidden states h, t; labels; a mask with padding on the right."""
    g = torch.Generator().manual_seed(seed)
    exact = {"generator": g, "dtype": torch.float64}
    drawn = (torch.randn(rows, length, size, **exact) for size in (V, V, D, D))
    z, y, h, t = (tensor.to(dtype) for tensor in drawn)
    mask = torch.arange(length) < length - torch.arange(rows)[:, None]
    labels = torch.randint(V, (rows, length), generator=g)
    hidden = torch.rand(rows, length, generator=g) < 0.4
    hidden[0, 0] = True
    labels[~(hidden & mask)] = IGNORE
    return {"z": 3 * z, "y": 3 * y, "h": h, "t": t, "labels": labels, "mask": mask}


def by_definition(c, temperature):
    """Each loss position by position: distillation, masked LM, cosine, MSE."""
    kl, cosine, mse, ce = [], [], [], []
    for at in map(tuple, c["mask"].nonzero().tolist()):
        z, y, h, t = (c[name][at] for name in "zyht")
        p, q = (torch.exp(logits / temperature) for logits in (y, z))
        p, q = p / p.sum(), q / q.sum()
        kl.append(temperature**2 * (p * torch.log(p / q)).sum())
        cosine.append(1 - (h * t).sum() / (h.square().sum() * t.square().sum()).sqrt())
        mse.append((z - y).square().sum())
        if c["labels"][at] != IGNORE:
            ce.append(-torch.log(torch.exp(z[c["labels"][at]]) / torch.exp(z).sum()))
    return [torch.stack(values).mean() for values in (kl, ce, cosine, mse)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_each_loss_is_its_definition_and_the_librarys(dtype, temperature):
    c = case(dtype)
    z, y, h, t, labels, mask = c.values()
    kl, ce, cosine, mse = by_definition(c, temperature)
    near = {"rtol": 0, "atol": TOLERANCE[dtype] * 10 ** (temperature < 1)}
    mine = distillation_loss(z, y, mask, temperature)
    assert_close(mine, kl, **near)
    assert_close(masked_lm_loss(z, labels), ce, **near)
    assert_close(cosine_loss(h, t, mask), cosine, **near)
    assert_close(mse_loss(z, y, mask), mse, rtol=1e-6, atol=1e-10)
    log_q, log_p = ((logits / temperature)[mask].log_softmax(-1) for logits in (z, y))
    theirs = torch.nn.KLDivLoss(reduction="batchmean")(log_q, log_p.exp())
    assert_close(mine, theirs * temperature**2)
    ones = torch.ones(int(mask.sum()))
    theirs = torch.nn.CosineEmbeddingLoss()(h[mask], t[mask], ones)
    assert_close(cosine_loss(h, t, mask), theirs)


def test_the_plain_losses_pass_gradcheck_and_end_at_zero():
    z, y, h, t, labels, mask = case(rows=2, length=3).values()
    z.requires_grad_()
    h.requires_grad_()
    assert gradcheck(lambda z: distillation_loss(z, y, mask), [z])
    assert gradcheck(lambda z: masked_lm_loss(z, labels), [z])
    assert gradcheck(lambda h: cosine_loss(h, t, mask), [h])
    assert gradcheck(lambda z: mse_loss(z, y, mask), [z])
    # a student that says what its teacher says has nothing to learn
    assert distillation_loss(y, y, mask).abs() < 1e-12
    assert cosine_loss(t, 3 * t, mask).abs() < 1e-12
    assert mse_loss(y, y, mask) == 0


def parts(c):
    """Flat projections of the hidden states, as a model's would be, and the labels."""
    mask, dtype = c["mask"], c["h"].dtype

    def draw(seed, *shape):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator).to(dtype)

    student = Projection(c["h"][mask], draw(1, V, D), draw(3, V))
    teacher = Projection(c["t"][mask], draw(2, V, D), draw(4, V))
    return student, teacher, c["labels"][mask]


def triple(student, teacher, labels, objective, *more):
    hidden = student.vectors, teacher.vectors
    return triple_loss(*hidden, student, teacher, labels, objective, *more)


def dense(c, objective, student, teacher):
    """The same sum from whole padded logits."""
    z = c["h"] @ student.weight.T + student.bias
    y = c["t"] @ teacher.weight.T + teacher.bias
    where = c["mask"] if objective.positions == "all" else c["labels"] != IGNORE
    return (
        objective.distillation * distillation_loss(z, y, where, objective.temperature)
        + objective.masked_lm * masked_lm_loss(z, c["labels"])
        + objective.cosine * cosine_loss(c["h"], c["t"], c["mask"])
        + objective.mse * mse_loss(z, y, where)
    )


@each
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_sparing_way_equals_whole_logits_in_value_and_gradient(objective, dtype):
    c = case(dtype)
    c["h"].requires_grad_()
    student, teacher, labels = parts(c)
    leaves = [c["h"], student.weight.requires_grad_(), student.bias.requires_grad_()]
    want = dense(c, objective, student, teacher)
    found = triple(student, teacher, labels, objective).total
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert_close(found, want, **near)
    assert_close(grad(found, leaves), grad(want, leaves), **near)


@each
def test_gradients_pass_gradcheck(objective):
    student, teacher, labels = parts(case(rows=2, length=4))
    inputs = [tensor.detach().clone().requires_grad_() for tensor in student]

    def total(*student):
        return triple(Projection(*student), teacher, labels, objective).total

    assert gradcheck(total, inputs)


POSITIONS = st.sampled_from(["all", "masked"])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(2, 7), st.integers(0, 6), POSITIONS)
def test_padding_changes_nothing(rows, length, extra, positions):
    objective = Objective(positions=positions, mse=0.2)
    c = case(rows=rows, length=max(length, rows + 1), seed=rows * 100 + length)
    student, teacher, labels = parts(c)
    fill = {"h": 9.0, "t": -9.0, "labels": IGNORE, "mask": False}
    wide = {}
    for name, value in fill.items():
        columns = (0, 0, 0, extra) if name in "ht" else (0, extra)
        wide[name] = functional.pad(c[name], columns, value=value)
    want = dense(c, objective, student, teacher)
    assert_close(dense(wide, objective, student, teacher), want)
    assert torch.equal(wide["labels"][wide["mask"]], labels)
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

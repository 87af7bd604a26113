"""The three losses: what they are, and that the sparing way gives the same numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from helpers.objective import (
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


def case(dtype=torch.float64, rows=3, length=5, seed=0):
    """Random logits, hidden states, labels and a mask with padding on the right."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    mask = torch.ones(rows, length, dtype=torch.bool)
    for row in range(1, rows):
        mask[row, length - row :] = False
    labels = torch.randint(V, (rows, length), generator=g)
    hidden = torch.rand(rows, length, generator=g) < 0.4
    hidden[0, 0] = True
    labels[~(hidden & mask)] = IGNORE
    return {
        "z": 3 * draw(rows, length, V), "y": 3 * draw(rows, length, V),
        "h": draw(rows, length, D), "t": draw(rows, length, D),
        "labels": labels, "mask": mask,
    }  # fmt: skip


def plain_kl(z, y, positions, temperature):
    """By the definition: sum of p log(p / q), a loop over positions."""
    total, count = 0.0, 0
    for row, column in positions.nonzero().tolist():
        p = torch.exp(y[row, column] / temperature)
        q = torch.exp(z[row, column] / temperature)
        p, q = p / p.sum(), q / q.sum()
        total, count = total + (p * torch.log(p / q)).sum(), count + 1
    return temperature**2 * total / count


def plain_ce(z, labels):
    losses = [
        -torch.log(torch.exp(z[i, j, labels[i, j]]) / torch.exp(z[i, j]).sum())
        for i, j in (labels != IGNORE).nonzero().tolist()
    ]
    return sum(losses) / len(losses)


def plain_cosine(h, t, positions):
    values = [
        1 - (h[i, j] * t[i, j]).sum() / (h[i, j].square().sum() * t[i, j].square().sum()).sqrt()
        for i, j in positions.nonzero().tolist()
    ]
    return sum(values) / len(values)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_each_loss_is_its_definition(dtype, temperature):
    c = case(dtype)
    near = {"rtol": 0, "atol": TOLERANCE[dtype] * 10 ** (temperature < 1)}
    kl = distillation_loss(c["z"], c["y"], c["mask"], temperature)
    torch.testing.assert_close(kl, plain_kl(c["z"], c["y"], c["mask"], temperature), **near)
    torch.testing.assert_close(
        masked_lm_loss(c["z"], c["labels"]), plain_ce(c["z"], c["labels"]), **near
    )
    torch.testing.assert_close(
        cosine_loss(c["h"], c["t"], c["mask"]), plain_cosine(c["h"], c["t"], c["mask"]), **near
    )
    gaps = (c["z"] - c["y"])[c["mask"]]
    plain = sum((row**2).sum() for row in gaps) / len(gaps)
    torch.testing.assert_close(mse_loss(c["z"], c["y"], c["mask"]), plain, rtol=1e-6, atol=1e-10)


def test_the_losses_agree_with_the_originals_calls():
    c = case()
    flat = c["mask"]
    z, y = c["z"][flat], c["y"][flat]
    theirs = torch.nn.KLDivLoss(reduction="batchmean")(
        functional.log_softmax(z / 2, -1), functional.softmax(y / 2, -1)
    )
    torch.testing.assert_close(distillation_loss(c["z"], c["y"], flat), theirs * 4)
    target = torch.ones(int(flat.sum()))
    theirs = torch.nn.CosineEmbeddingLoss()(c["h"][flat], c["t"][flat], target)
    torch.testing.assert_close(cosine_loss(c["h"], c["t"], flat), theirs)


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn():
    c = case()
    assert distillation_loss(c["y"], c["y"], c["mask"]).abs() < 1e-12
    assert cosine_loss(c["t"], 3 * c["t"], c["mask"]).abs() < 1e-12
    assert mse_loss(c["y"], c["y"], c["mask"]) == 0


def parts(c, objective, dtype):
    """Flat projections whose logits are `z` and `y`, as a model's would be."""
    flat = c["mask"]
    weights = [
        torch.randn(V, D, generator=torch.Generator().manual_seed(n)).to(dtype) for n in (1, 2)
    ]
    biases = [torch.randn(V, generator=torch.Generator().manual_seed(n)).to(dtype) for n in (3, 4)]
    student = Projection(c["h"][flat], weights[0], biases[0])
    teacher = Projection(c["t"][flat], weights[1], biases[1])
    return student, teacher, c["labels"][flat]


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


OBJECTIVES = [
    Objective(),
    Objective(positions="masked"),
    Objective(mse=0.3, temperature=1.0),
    Objective(distillation=0, cosine=0),
    Objective(masked_lm=0, positions="masked", mse=0.1),
    Objective(cosine=4, distillation=0),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_sparing_way_equals_whole_logits_in_value_and_gradient(objective, dtype):
    c = case(dtype)
    c["h"].requires_grad_()
    student, teacher, labels = parts(c, objective, dtype)
    student.weight.requires_grad_()
    student.bias.requires_grad_()
    leaves = [c["h"], student.weight, student.bias]
    expected = dense(c, objective, student, teacher)
    wanted = torch.autograd.grad(expected, leaves)
    losses = triple_loss(student.vectors, teacher.vectors, student, teacher, labels, objective)
    got = torch.autograd.grad(losses.total, leaves)
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(losses.total, expected, **near)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, **near)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(2, 7), st.integers(0, 6), st.sampled_from(["all", "masked"]))
def test_padding_changes_nothing(rows, length, extra, positions):
    objective = Objective(positions=positions, mse=0.2)
    c = case(rows=rows, length=max(length, rows + 1), seed=rows * 100 + length)
    student, teacher, _ = parts(c, objective, torch.float64)
    wide = {
        "h": functional.pad(c["h"], (0, 0, 0, extra), value=9.0),
        "t": functional.pad(c["t"], (0, 0, 0, extra), value=-9.0),
        "labels": functional.pad(c["labels"], (0, extra), value=IGNORE),
        "mask": functional.pad(c["mask"], (0, extra), value=False),
    }
    torch.testing.assert_close(
        dense(wide, objective, student, teacher), dense(c, objective, student, teacher)
    )
    flat = triple_loss(
        student.vectors, teacher.vectors, student, teacher, wide["labels"][wide["mask"]], objective
    )
    torch.testing.assert_close(flat.total, dense(c, objective, student, teacher))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_gradients_pass_gradcheck(objective):
    c = case(rows=2, length=4)
    student, teacher, labels = parts(c, objective, torch.float64)
    inputs = [t.detach().clone().requires_grad_() for t in student]

    def total(vectors, weight, bias):
        mine = Projection(vectors, weight, bias)
        return triple_loss(vectors, teacher.vectors, mine, teacher, labels, objective).total

    assert torch.autograd.gradcheck(total, inputs)


def test_the_plain_losses_pass_gradcheck():
    c = case(rows=2, length=3)
    z, h = c["z"].requires_grad_(), c["h"].requires_grad_()
    assert torch.autograd.gradcheck(lambda z: distillation_loss(z, c["y"], c["mask"]), [z])
    assert torch.autograd.gradcheck(lambda z: masked_lm_loss(z, c["labels"]), [z])
    assert torch.autograd.gradcheck(lambda h: cosine_loss(h, c["t"], c["mask"]), [h])
    assert torch.autograd.gradcheck(lambda z: mse_loss(z, c["y"], c["mask"]), [z])


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 1000])
def test_the_size_of_the_chunks_changes_nothing(rows):
    c = case(rows=4, length=9)
    student, teacher, labels = parts(c, Objective(), torch.float64)
    vectors = student.vectors.clone().requires_grad_()
    mine = student._replace(vectors=vectors)
    whole, whole_parts = projected_losses(student, teacher, labels, Objective())
    total, split = projected_losses(mine, teacher, labels, Objective(), rows=rows)
    torch.testing.assert_close(total, whole)
    torch.testing.assert_close(split, whole_parts)
    assert torch.autograd.grad(total, vectors)[0].abs().sum() > 0


@pytest.mark.parametrize("positions", ["all", "masked"])
def test_parts_of_a_step_add_up_to_the_whole(positions):
    c = case(rows=4, length=8)
    objective = Objective(positions=positions)
    student, teacher, labels = parts(c, objective, torch.float64)
    counts = Counts(len(labels), int((labels != IGNORE).sum()))
    whole = triple_loss(student.vectors, teacher.vectors, student, teacher, labels, objective)
    split = [
        triple_loss(
            student.vectors[some], teacher.vectors[some], student.at(some), teacher.at(some),
            labels[some], objective, counts,
        ).total
        for some in torch.arange(len(labels)).chunk(3)
    ]  # fmt: skip
    torch.testing.assert_close(sum(split), whole.total)


def test_a_batch_with_nothing_hidden_teaches_all_the_same():
    c = case()
    student, teacher, labels = parts(c, Objective(), torch.float64)
    nothing = torch.full_like(labels, IGNORE)
    for positions in ("all", "masked"):
        objective = Objective(positions=positions)
        losses = triple_loss(student.vectors, teacher.vectors, student, teacher, nothing, objective)
        assert math.isfinite(losses.total)
        assert losses.masked_lm == 0
        assert (losses.distillation == 0) == (positions == "masked")


def test_under_autocast_the_sums_stay_in_float32():
    c = case(torch.float32, rows=4, length=9)
    student, teacher, labels = parts(c, Objective(), torch.float32)
    vectors = student.vectors.clone().requires_grad_()
    exact, _ = projected_losses(student, teacher, labels, Objective())
    with torch.autocast("cpu", torch.bfloat16):
        total, split = projected_losses(
            student._replace(vectors=vectors), teacher, labels, Objective()
        )
    assert total.dtype == split.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=0.05)
    assert torch.autograd.grad(total, vectors)[0].dtype == torch.float32


def test_frozen_weights_get_no_gradient_and_cost_none():
    c = case()
    student, teacher, labels = parts(c, Objective(), torch.float64)
    vectors = student.vectors.clone().requires_grad_()
    losses = triple_loss(
        vectors, teacher.vectors, student._replace(vectors=vectors), teacher, labels, Objective()
    )
    losses.total.backward()
    assert vectors.grad is not None
    assert student.weight.grad is None


def test_the_teacher_may_be_missing_only_when_nobody_asks_it():
    c = case()
    student, teacher, labels = parts(c, Objective(), torch.float64)
    alone = Objective(distillation=0, cosine=0)
    losses = triple_loss(student.vectors, None, student, None, labels, alone)
    assert losses.total.item() == pytest.approx(2 * losses.masked_lm.item())
    with pytest.raises(ValueError, match="need the teacher's logits"):
        triple_loss(student.vectors, teacher.vectors, student, None, labels, Objective())
    with pytest.raises(ValueError, match="needs the teacher's hidden states"):
        triple_loss(student.vectors, None, student, teacher, labels, Objective())
    with pytest.raises(ValueError, match="differ in shape"):
        triple_loss(student.vectors, teacher.vectors[:, 1:], student, teacher, labels, Objective())


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

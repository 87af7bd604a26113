"""What is special to `03_distillation_objective`: numbers, pictures, explorer."""

from __future__ import annotations

import math
from types import SimpleNamespace

import nbformat
import pytest
import torch
from conftest import ROOT
from matplotlib.colors import to_hex
from pictures import axes, widths, words, xs, ys

from helpers.core import session
from helpers.core.errors import WorkbookError
from helpers.distillation import curves, plots
from helpers.distillation.exercises import hidden_loss, soft_loss
from helpers.distillation.explorers import (
    LiveCurves,
    TemperatureTrial,
    temperature_slider,
)

NOTEBOOK = ROOT / "notebooks" / "03_distillation_objective.ipynb"
ARMS = [
    "triple loss",
    "no distillation loss",
    "no cosine loss",
    "no masked LM loss",
    "random start",
    "masked LM alone",
]


def test_recorded_losses_masks_and_claims(recorded):
    assert recorded["hand_max_abs_diff"] < 1e-5
    assert recorded["gradient_max_abs_diff"] < 1e-5
    assert recorded["mask_shares"]["mask"] == pytest.approx(0.8, abs=0.03)
    assert recorded["mask_shares"]["kept"] == pytest.approx(0.1, abs=0.02)
    reduction = recorded["size_reduction"]
    assert round(reduction["full size"], 3) == 0.394
    assert 0 < reduction["this pair"] < 0.394  # the words weigh more
    assert all(1.2 < gain < 2.6 for gain in recorded["throughput"].values())
    assert recorded["retention_paper"] == pytest.approx(693.1 / 717.5)


def test_recorded_retention_is_that_of_the_recorded_accuracies(recorded):
    teacher, live = recorded["masked_accuracy_teacher"], recorded["live"]
    ratio = recorded["masked_accuracy_student"] / teacher
    assert recorded["retention"] == pytest.approx(ratio)
    assert 0.7 < recorded["retention"] < 1.1
    assert 0.7 < recorded["transfer_retention"] < 1.1
    assert teacher > live["start"]["masked_accuracy"]
    assert live["shipped student"]["loss"] < live["start"]["loss"]
    assert recorded["live_gap_closed"] > 0.2
    assert sum(recorded["live_seconds"]) > 0
    assert recorded["live_seconds"][0] <= 240


def test_recorded_distillation_pays_at_equal_steps(recorded):
    assert recorded["seeds"] >= 3
    assert recorded["gain_over_mlm_only"] > 0
    assert recorded["transfer_gain_over_mlm_only"] > 0
    assert math.isfinite(recorded["gain_at_equal_seconds"])
    losses = {arm: found["loss"] for arm, found in recorded["ablation"].items()}
    assert set(losses) == set(ARMS)
    gain = losses["masked LM alone"] - losses["triple loss"]
    assert recorded["gain_over_mlm_only"] == pytest.approx(gain)
    assert max(losses, key=losses.get) == "random start"


def test_recorded_switched_off_loss_is_the_one_left_behind(recorded):
    ends = recorded["switched_off"]
    whole = ends["all three"]
    assert ends["no distillation"]["distillation"] > whole["distillation"]
    assert ends["no masked LM"]["masked LM"] > 2 * whole["masked LM"]
    assert ends["no cosine"]["cosine"] > whole["cosine"]
    assert ends["cosine with weight 1"]["cosine"] > whole["cosine"]


MASKED = "MASKED_TEXT is '{}'; it must be a text"
PARAMETERS = [
    ("MASKED_TEXT", "no hole", MASKED.format("no hole") + " with exactly one"),
    ("MASKED_TEXT", "[MASK] [MASK]", MASKED.format("[MASK] [MASK]")),
    ("ANSWER", "two words", "ANSWER is 'two words'; it must be one word"),
    ("TEMPERATURE", 0, "TEMPERATURE is 0; it must be a number from 0.25 to 10"),
    ("TEMPERATURE", float("nan"), "TEMPERATURE is nan"),
    ("TEMPERATURE", True, "TEMPERATURE is True"),
    ("STEPS", -1, "STEPS is -1; it must be a whole number, 0 or more"),
    ("STEPS", 1.5, "STEPS is 1.5"),
    ("ABLATION_SEEDS", 6, "ABLATION_SEEDS is 6; it must be a whole number from 0 to 5"),
]


@pytest.mark.parametrize(("name", "value", "line"), PARAMETERS)
def test_malformed_parameters_are_one_clear_line(name, value, line):
    with pytest.raises(WorkbookError) as raised:
        session.check_parameters({name: value})
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_the_papers_inconsistency():
    bert = [56.3, 86.7, 88.6, 91.8, 89.6, 69.3, 92.7, 89.0, 53.5]
    assert round(sum(bert) / 9, 2) == 79.72
    bert[1] = 84.7
    assert round(sum(bert) / 9, 2) == 79.5


@pytest.fixture(scope="module")
def losses():
    """The notebook's own loss functions."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (cell,) = [c for c in cells if "def distillation_loss(" in c.source]
    space = {}
    exec(cell.source, space)
    return SimpleNamespace(**space)


def test_the_notebooks_losses_are_the_exercises_and_the_librarys(losses):
    for student, teacher, temperature in soft_loss.inputs:
        everywhere = student.new_ones(len(student)).bool()
        ours = losses.distillation_loss(student, teacher, everywhere, temperature)
        found = soft_loss.answer(student, teacher, temperature)
        assert found == pytest.approx(ours.item())
        log_q, p = (student / temperature).log_softmax(-1), teacher / temperature
        theirs = torch.nn.KLDivLoss(reduction="batchmean")(log_q, p.softmax(-1))
        assert ours.item() == pytest.approx(temperature**2 * theirs.item())
        assert losses.distillation_loss(teacher, teacher, everywhere).abs() < 1e-6
        labels = torch.arange(len(student)) - 1  # 0, 1, ...
        labels[0] = -100
        theirs = torch.nn.CrossEntropyLoss()(student[1:], labels[1:])
        assert losses.masked_lm_loss(student, labels).item() == pytest.approx(theirs)
    for mine, yours, valid in hidden_loss.inputs:
        ours = losses.cosine_loss(mine, yours, valid).item()
        assert hidden_loss.answer(mine, yours, valid).item() == pytest.approx(ours)
        ones = torch.ones(int(valid.sum()))
        theirs = torch.nn.CosineEmbeddingLoss()(mine[valid], yours[valid], ones)
        assert ours == pytest.approx(theirs.item(), abs=1e-6)
        assert losses.cosine_loss(yours, 3 * yours, valid).abs() < 1e-6


# Explorer, live curves


@pytest.fixture
def trial():
    """The temperature explorer's engine on twenty made-up logits."""
    generator = torch.Generator().manual_seed(0)
    teacher, student = 4 * torch.randn(2, 20, generator=generator)
    both, words = (
        {"teacher": teacher, "student": student},
        lambda ids: list(map(str, ids)),
    )
    return TemperatureTrial(both, lambda t: (1 / t, 2 / t**2), words, k=4)


def test_the_trial_shows_the_notebooks_measure_with_t_squared_and_without(trial):
    said = "T = 2: KL 0.500, gradient 0.500; times T²: 2.000 and 2.000"
    assert trial.said(2.0) == said
    bars, lines = axes(trial.figure(2.0))
    assert [ys(lines, 0)[k] for k in (0, -1)] == [2.0, 2.0]
    assert [ys(lines, 1)[k] for k in (0, -1)] == [8.0, 0.02]
    both = trial.logits["teacher"], trial.logits["student"]
    order = both[0].argsort(descending=True)[:4]
    shares = [(logits / 2).softmax(-1)[order].tolist() for logits in both]
    assert widths(bars) == pytest.approx(shares[0] + shares[1])
    assert words(bars.get_yticklabels()) == list(map(str, order.tolist()))


def test_moving_the_temperature_changes_the_picture(trial):
    slider, shown = temperature_slider(trial, 2.0).children
    before = shown.value
    assert "data:image/png" in before
    assert "T = 2:" in before
    slider.value = 4.0
    assert "T = 4:" in shown.value
    assert shown.value != before


def state(step, steps):
    return SimpleNamespace(global_step=step, max_steps=steps)


@pytest.fixture
def shown(monkeypatch):
    """All that is displayed or put in its place."""
    found = []
    handle = SimpleNamespace(update=lambda what, **_: found.append(what))
    show = lambda what, **_: found.append(what) or handle  # noqa: E731
    monkeypatch.setattr("IPython.display.display", show)
    return found


LESSON = {"distillation_loss": 1.0, "masked_lm_loss": 2.0, "cosine_loss": 0.1}
LINE = {"step": 1} | LESSON
LOOK = {"step": 0, "perplexity": 9.0, "masked_accuracy": 0.5}


def test_live_curves_collect_and_say_the_time_left(shown):
    teacher = {"perplexity": 60.0, "masked_accuracy": 0.37}
    curves = LiveCurves("triple loss", 20, teacher)
    looked = {"eval_perplexity": 200.0, "eval_masked_accuracy": 0.2}
    curves.on_log(None, state(0, 20), None, looked)
    for step in range(1, 11):
        curves.on_step_end(None, state(step, 20), None)
    assert shown[-1]["text/plain"].startswith("step 10 of 20, about ")
    assert " seconds left" in shown[-1]["text/plain"]
    curves.on_log(None, state(10, 20), None, {**LESSON, "loss": 9.0})
    curves.on_log(None, state(10, 20), None, {**looked, "eval_perplexity": 100.0})
    assert shown[-1].get_suptitle() == "triple loss: step 10 of 20"
    losses, perplexity, accuracy = axes(shown[-1])
    assert [ys(losses, line) for line in range(3)] == [[1.0], [2.0], [0.1]]
    assert ys(perplexity) == [200.0, 100.0]
    assert ys(accuracy, -1)[0] == 0.37
    assert [point["step"] for point in curves.held_out] == [0, 10]
    assert curves.seconds > 0


# Pictures


def test_live_curves_draw_turns_and_no_loss_that_is_switched_off():
    found = {"triple loss": [], "masked LM alone": [LOOK]}
    off = {"distillation_loss": 0.0}
    losses, looks, *_ = axes(curves.live_curves(found, [LINE | off], None, "a run"))
    assert [line.get_label() for line in losses.lines] == ["masked LM", "cosine"]
    assert [line.get_label() for line in looks.lines] == list(found)
    fig = curves.live_curves({"a": [LOOK]}, [LINE], None, "a run", [750, 2000])
    for ax in axes(fig):
        assert [*xs(ax, -2), *xs(ax, -1)] == [750, 750, 2000, 2000]
    assert words(fig.legends[0].get_texts()) == ["a", "settings changed"]


def curve(offset, steps, pace):
    points, rest = range(0, steps + 1, 5), {"masked_accuracy": 0.2}
    losses = ({"step": n, "loss": 5 + offset - n / 100} for n in points)
    return [{**row, "seconds": row["step"] * pace, **rest} for row in losses]


def test_equal_budget_draws_steps_and_seconds():
    alone, triple = [curve(0.1, 20, 1.0)] * 2, [curve(0, 10, 2.0)] * 2
    pair = {"triple loss": triple, "masked LM alone": alone}
    steps, seconds = axes(curves.equal_budget(pair, 4.5, 10))
    assert max(xs(steps)) == 10
    assert max(xs(seconds)) == max(xs(seconds, 2)) == 20


def test_ablation_changes_are_against_the_triple_loss():
    summary = {}
    for n, arm in enumerate(ARMS):
        loss, transfer = 5.0 + n / 10, 0.7 - n / 100
        runs = {"loss_runs": [loss] * 3, "transfer_runs": [transfer] * 3}
        summary[arm] = {"loss": loss, "transfer": transfer, **runs}
    told = {"random start": -3.69, "no cosine loss": -1.46}
    loss, transfer, paper = axes(curves.ablation_changes(summary, told))
    assert widths(loss) == pytest.approx([-0.1, -0.2, -0.3, -0.4, -0.5])
    assert widths(transfer)[0] == pytest.approx(-1.0)
    assert widths(paper) == [0, -1.46, 0, -3.69, 0]
    assert words(loss.get_yticklabels()) == ARMS[1:]
    # a change that would dwarf the rest is cut and says its size
    _, ax = plots.figure(4, 2)
    curves._changes(ax, [[-0.1, -0.2, 0.0], [], [0.05, 0.05], [-2.06, -2.0, -2.1]], "k")
    limit = ax.get_xlim()[0]
    assert limit == pytest.approx(-0.23)
    assert widths(ax) == pytest.approx([-0.1, 0, 0.05, limit])
    assert words(ax.texts) == ["not in the paper ", "\u25c0 \u22122.06"]


def test_masked_rows_colour_each_token_by_what_was_done_to_it():
    row = [("dog", "visible"), ("[MASK]", "[MASK]"), ("cat", "random word")]
    (ax,) = axes(plots.masked_rows([row, [*row[:2], ("dog", "kept")]]))
    colours = [to_hex(patch.get_facecolor()) for patch in ax.patches[:6]]
    order = ("visible", "[MASK]", "random word", "visible", "[MASK]", "kept")
    assert colours == [plots.KINDS[kind].lower() for kind in order]


def test_the_other_pictures_hold_what_they_are_given():
    for label, bars in (("tea", [1, 0, 0]), ("milk", [0, 0, 1])):
        left, right = axes(plots.dark_knowledge(["tea", "coffee"], [0.5, 0.2], label))
        assert widths(left) == bars
        assert widths(right) == pytest.approx([0.5, 0.2, 0.3])
    ends = {"all": {"masked LM": [2.0, 1.0], "cosine": [0.4, 0.3]}}
    panels = axes(curves.switched_off(ends, teacher=1.5))
    assert [len(ax.lines) for ax in panels] == [2, 1]
    (ax,) = axes(plots.kept_by_task({"RTE": (69.3, 59.9), "WNLI": (53.5, 56.3)}))
    assert words(ax.get_yticklabels()) == ["RTE", "WNLI"]
    times = {"pair": {"BERT": [20.0, 22.0], "DistilBERT": [10.0, 11.0]}}
    assert "21 ms" in words(axes(plots.timing_strips(times))[0].texts)
    scores = {"mean": 0.8, "runs": [0.79, 0.81]}
    bars = plots.transfer_bars({"reviews": {"teacher": scores, "student": scores}})
    assert len(axes(bars)[0].patches) == 2
    shares = {"teacher": 0.3, "layers [0, 1, 2]": 0.2}
    found = {k: {"masked_accuracy": v, "targets": 400} for k, v in shares.items()}
    (ax,) = axes(plots.starts(found))
    assert widths(ax) == [0.3, 0.2]
    assert ax.get_xlim()[1] > 0.3
    tokens = plots.divergence_bars(["a", "[MASK]"], [0.1, 0.5], [False, True])
    assert len(axes(tokens)[0].patches) == 2

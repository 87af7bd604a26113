"""What is special to `03_distillation_objective`: its numbers, pictures, explorer, parameters."""

from __future__ import annotations

import math
import types
from pathlib import Path

import pytest

from helpers import session, shipped
from helpers.errors import WorkbookError
from helpers.plots import distillation as plots

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "03_distillation_objective.ipynb"
ARMS = (
    "triple loss", "no distillation loss", "no cosine loss", "no masked LM loss", "random start",
    "masked LM alone",
)  # fmt: skip


def test_recorded_losses_by_hand_are_the_objectives(recorded):
    assert recorded["hand_max_abs_diff"] < 1e-5
    assert recorded["gradient_max_abs_diff"] < 1e-5


def test_recorded_masks_are_80_10_10(recorded):
    assert recorded["mask_shares"]["mask"] == pytest.approx(0.8, abs=0.03)
    assert recorded["mask_shares"]["kept"] == pytest.approx(0.1, abs=0.02)


def test_recorded_retention_is_that_of_the_recorded_accuracies(recorded):
    ratio = recorded["masked_accuracy_student"] / recorded["masked_accuracy_teacher"]
    assert recorded["retention"] == pytest.approx(ratio)
    assert 0.7 < recorded["retention"] < 1.1
    assert 0.7 < recorded["transfer_retention"] < 1.1
    live = recorded["live"]
    assert recorded["masked_accuracy_teacher"] > live["start"]["masked_accuracy"]
    assert live["shipped student"]["loss"] < live["start"]["loss"]


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


def test_recorded_live_run_closes_the_gap(recorded):
    assert recorded["live_gap_closed"] > 0.2
    assert sum(recorded["live_seconds"]) > 0
    assert recorded["live_seconds"][0] <= 240


def test_recorded_switched_off_loss_is_the_one_left_behind(recorded):
    ends = recorded["switched_off"]
    whole = ends["all three"]
    assert ends["no distillation"]["distillation"] > whole["distillation"]
    assert ends["no masked LM"]["masked LM"] > 2 * whole["masked LM"]
    assert ends["no cosine"]["cosine"] > whole["cosine"]
    assert ends["cosine with weight 1"]["cosine"] > whole["cosine"]


def test_recorded_claims(recorded):
    assert round(recorded["size_reduction"]["full size"], 3) == 0.394
    assert 0 < recorded["size_reduction"]["this pair"] < 0.394  # the words weigh more
    for gain in recorded["throughput"].values():
        assert 1.2 < gain < 2.6
    assert recorded["retention_paper"] == pytest.approx(693.1 / 717.5)


def test_the_papers_inconsistency():
    bert = [56.3, 86.7, 88.6, 91.8, 89.6, 69.3, 92.7, 89.0, 53.5]
    assert round(sum(bert) / 9, 2) == 79.72
    bert[1] = 84.7
    assert round(sum(bert) / 9, 2) == 79.5


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        (
            {"MASKED_TEXT": "no hole"},
            "MASKED_TEXT is 'no hole'; it must be a text with exactly one",
        ),
        ({"MASKED_TEXT": "[MASK] [MASK]"}, "MASKED_TEXT is '[MASK] [MASK]'; it must be a text"),
        ({"ANSWER": "two words"}, "ANSWER is 'two words'; it must be one word"),
        ({"TEMPERATURE": 0}, "TEMPERATURE is 0; it must be a number from 0.25 to 10"),
        ({"TEMPERATURE": float("nan")}, "TEMPERATURE is nan"),
        ({"TEMPERATURE": True}, "TEMPERATURE is True"),
        ({"STEPS": -1}, "STEPS is -1; it must be a whole number, 0 or more"),
        ({"STEPS": 1.5}, "STEPS is 1.5"),
        ({"ABLATION_SEEDS": 6}, "ABLATION_SEEDS is 6; it must be a whole number from 0 to 5"),
    ],
)
def test_malformed_parameters_are_one_clear_line(parameters, line):
    with pytest.raises(WorkbookError) as raised:
        session.check_parameters(parameters)
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("read", [shipped.student_log, shipped.student_transfer])
def test_a_missing_file_of_the_shipped_student_is_one_line(read, monkeypatch, tmp_path):
    for name in ("LOG", "TRANSFER"):
        monkeypatch.setattr(shipped, name, tmp_path / "nothing.json")
    with pytest.raises(WorkbookError, match=r"nothing\.json is missing: restore it"):
        read()


def test_malformed_files_of_the_shipped_student_are_named(monkeypatch, tmp_path):
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"step": 1, "seconds": 2.0}\n{"step": 2,\n', encoding="utf8")
    monkeypatch.setattr(shipped, "LOG", broken)
    monkeypatch.setattr(shipped, "TRANSFER", broken)
    with pytest.raises(WorkbookError, match="line 2: expected one JSON object"):
        shipped.student_log()
    with pytest.raises(WorkbookError, match="expected a JSON object with a 'summary'"):
        shipped.student_transfer()


@pytest.fixture
def trial():
    """The temperature explorer's engine on twenty made-up logits."""
    import torch

    from helpers.widgets.distillation import TemperatureTrial

    teacher, student = 4 * torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    return TemperatureTrial(teacher, student, lambda ids: [f"w{i}" for i in ids], k=4)


def test_the_trials_gradient_is_autograds(trial):
    import torch

    for temperature in (0.5, 2.0, 8.0):
        z = trial.student.clone().requires_grad_()  # (V,)
        log_p = (trial.teacher / temperature).log_softmax(-1)
        log_q = (z / temperature).log_softmax(-1)
        kl = (log_p.exp() * (log_p - log_q)).sum()
        (gradient,) = torch.autograd.grad(kl, z)
        assert trial.divergence(temperature) == pytest.approx(kl.item(), rel=1e-4)
        assert trial.gradient(temperature) == pytest.approx(gradient.norm().item(), rel=1e-4)


def test_at_high_temperatures_t_squared_keeps_the_gradient(trial):
    ratio = trial.gradient(200.0) / trial.gradient(100.0)
    assert ratio == pytest.approx(1 / 4, rel=0.05)
    assert trial.divergence(200.0) / trial.divergence(100.0) == pytest.approx(1 / 4, rel=0.05)


def test_moving_the_temperature_changes_the_picture(trial):
    from helpers.widgets.distillation import temperature_slider

    slider, shown = temperature_slider(trial, 2.0).children
    before = shown.value
    assert "data:image/png" in before
    assert "T = 2:" in before
    slider.value = 4.0
    assert "T = 4:" in shown.value
    assert shown.value != before


def state(step: int, steps: int) -> types.SimpleNamespace:
    return types.SimpleNamespace(global_step=step, max_steps=steps)


def test_live_curves_collect_and_say_the_time_left(monkeypatch):
    from helpers.widgets.distillation import LiveCurves

    shown = []
    handle = types.SimpleNamespace(update=shown.append)
    monkeypatch.setattr("IPython.display.display", lambda d, **_: shown.append(d) or handle)
    curves = LiveCurves("triple loss", {"perplexity": 60.0, "masked_accuracy": 0.37})
    curves.on_train_begin(None, state(0, 20), None)
    looked = {"eval_perplexity": 200.0, "eval_masked_accuracy": 0.2}
    curves.on_log(None, state(0, 20), None, looked)
    lesson = {"loss": 9.0, "distillation_loss": 1.0, "masked_lm_loss": 2.0, "cosine_loss": 0.1}
    curves.on_log(None, state(10, 20), None, lesson)
    curves.on_log(None, state(10, 20), None, {**looked, "eval_perplexity": 100.0})
    title = shown[-1].get_suptitle()
    assert title.startswith("triple loss: step 10 of 20")
    assert title.endswith("left")
    losses, perplexity, accuracy = shown[-1].axes
    assert [list(line.get_ydata()) for line in losses.lines] == [[1.0], [2.0], [0.1]]
    assert list(perplexity.lines[0].get_ydata()) == [200.0, 100.0]
    assert accuracy.lines[-1].get_ydata()[0] == 0.37
    curves.on_train_end(None, state(20, 20), None)
    assert "20 steps in" in shown[-1].get_suptitle()
    assert [point["step"] for point in curves.held_out] == [0, 10]


def test_a_loss_that_is_switched_off_is_not_drawn():
    line = {"step": 1, "distillation_loss": 0.0, "masked_lm_loss": 2.0, "cosine_loss": 0.1}
    looks = {"triple loss": [], "masked LM alone": [{"step": 0, "perplexity": 9.0,
                                                     "masked_accuracy": 0.5}]}  # fmt: skip
    fig = plots.live_curves(looks, [line], None, "a run")
    assert [drawn.get_label() for drawn in fig.axes[0].lines] == ["masked LM", "cosine"]
    assert [drawn.get_label() for drawn in fig.axes[1].lines] == list(looks)


def test_a_turn_of_a_run_is_drawn_in_every_panel():
    line = {"step": 1, "distillation_loss": 1.0, "masked_lm_loss": 2.0, "cosine_loss": 0.1}
    looks = [{"step": 0, "perplexity": 9.0, "masked_accuracy": 0.5}]
    fig = plots.live_curves({"a": looks}, [line], None, "a run", [750, 2000])
    for ax in fig.axes:
        assert [x for drawn in ax.lines[-2:] for x in drawn.get_xdata()] == [750, 750, 2000, 2000]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["a", "settings changed"]


def test_many_runs_say_which_one_is_on(monkeypatch):
    from helpers.widgets.distillation import ManyRuns

    shown = []
    handle = types.SimpleNamespace(update=shown.append)
    monkeypatch.setattr("IPython.display.display", lambda d, **_: shown.append(d) or handle)
    runs = ManyRuns(["first, seed 0", "second, seed 0"])
    for _ in range(2):
        runs.on_train_begin(None, state(0, 4), None)
        runs.on_step_end(None, state(2, 4), None)
    assert shown[0].data.startswith("run 1 of 2: first, seed 0, step 2 of 4, about ")
    assert shown[1].data.startswith("run 2 of 2: second, seed 0, step 2 of 4")


def curve(offset: float, steps: int, pace: float) -> list[dict]:
    return [
        {"step": n, "seconds": n * pace, "loss": 5 + offset - n / 100, "masked_accuracy": 0.2}
        for n in range(0, steps + 1, 5)
    ]


def test_equal_budget_draws_steps_and_seconds():
    curves = {"triple loss": [curve(0, 10, 2.0)] * 2, "masked LM alone": [curve(0.1, 20, 1.0)] * 2}
    fig = plots.equal_budget(curves, 4.5, 10)
    steps, seconds = fig.axes
    assert max(steps.lines[0].get_xdata()) == 10
    assert max(seconds.lines[0].get_xdata()) == 20
    assert max(seconds.lines[2].get_xdata()) == 20


def test_ablation_changes_are_against_the_triple_loss():
    summary = {
        arm: {"loss": 5.0 + n / 10, "transfer": 0.7 - n / 100,
              "loss_runs": [5.0 + n / 10] * 3, "transfer_runs": [0.7 - n / 100] * 3}
        for n, arm in enumerate(ARMS)
    }  # fmt: skip
    fig = plots.ablation_changes(summary, {"random start": -3.69, "no cosine loss": -1.46})
    loss, transfer, paper = fig.axes
    assert [bar.get_width() for bar in loss.patches] == pytest.approx(
        [-0.1, -0.2, -0.3, -0.4, -0.5]
    )
    assert transfer.patches[0].get_width() == pytest.approx(-1.0)
    assert [bar.get_width() for bar in paper.patches] == [-1.46, -3.69]
    assert [text.get_text() for text in loss.get_yticklabels()] == list(ARMS[1:])


def test_a_change_that_would_dwarf_the_rest_is_cut_and_says_its_size():
    _, ax = plots.figure(4, 2)
    values = {"a": (-0.1, [-0.2, 0.0]), "b": None, "c": (0.05, [0.05]), "d": (-2.06, [-2.0, -2.1])}
    plots._change_panel(ax, values, "#000000")
    limit = ax.get_xlim()[0]
    assert limit == pytest.approx(-0.23)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([-0.1, 0.05, limit])
    assert [text.get_text() for text in ax.texts] == ["not in the paper ", "\u25c0 \u22122.06"]


def test_dark_knowledge_shows_label_and_rest():
    fig = plots.dark_knowledge(["tea", "coffee"], [0.5, 0.2], "tea")
    left, right = fig.axes
    assert [bar.get_width() for bar in left.patches] == [1, 0, 0]
    assert [bar.get_width() for bar in right.patches] == pytest.approx([0.5, 0.2, 0.3])
    absent = plots.dark_knowledge(["tea", "coffee"], [0.5, 0.2], "milk")
    assert [bar.get_width() for bar in absent.axes[0].patches] == [0, 0, 1]


def test_mask_kinds_name_what_happened_to_each_token(tokenizer):
    import torch

    dog, cat = tokenizer.convert_tokens_to_ids(["dog", "cat"])
    seen = torch.tensor([[101, tokenizer.mask_token_id, dog, dog, dog, 102]])
    labels = torch.tensor([[-100, cat, cat, dog, -100, -100]])
    found = plots.mask_kinds(tokenizer, {"input_ids": seen, "labels": labels})
    assert [kind for _, kind in found] == [
        "visible", "[MASK]", "random word", "kept", "visible", "visible",
    ]  # fmt: skip
    assert len(plots.masked_rows([found, found]).axes[0].patches) == 12


def test_one_figure_of_each_other_kind():
    switched = plots.switched_off(
        {"all": {"masked LM": [2.0, 1.0], "cosine": [0.4, 0.3]}}, teacher=1.5
    )
    assert [len(ax.lines) for ax in switched.axes] == [2, 1]
    kept = plots.kept_by_task({"RTE": (69.3, 59.9), "WNLI": (53.5, 56.3)})
    assert [text.get_text() for text in kept.axes[0].get_yticklabels()] == ["RTE", "WNLI"]
    strips = plots.timing_strips({"pair": {"BERT": [20.0, 22.0], "DistilBERT": [10.0, 11.0]}})
    assert "21 ms" in [text.get_text() for text in strips.axes[0].texts]
    scores = {"mean": 0.8, "runs": [0.79, 0.81]}
    bars = plots.transfer_bars({"reviews": {"teacher": scores, "student": scores}})
    assert len(bars.axes[0].patches) == 2
    starts = plots.starts({"teacher": 0.3, "layers [0, 1, 2]": 0.2}, targets=400)
    assert starts.axes[0].get_xlim()[1] > 0.3
    tokens = plots.divergence_bars(["a", "[MASK]"], [0.1, 0.5], [False, True])
    assert len(tokens.axes[0].patches) == 2


def test_soft_loss_and_hidden_loss_are_the_objectives():
    from helpers import objective
    from helpers.checks.distillation import hidden_loss, soft_loss

    for student, teacher, temperature in soft_loss.inputs:
        everywhere = student.new_ones(len(student)).bool()
        ours = objective.distillation_loss(student, teacher, everywhere, temperature)
        assert soft_loss.answer(student, teacher, temperature) == pytest.approx(ours.item())
    for student, teacher, valid in hidden_loss.inputs:
        ours = objective.cosine_loss(student, teacher, valid)
        assert hidden_loss.answer(student, teacher, valid).item() == pytest.approx(ours.item())

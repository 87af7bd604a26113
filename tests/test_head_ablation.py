"""What each head is worth: the arithmetic, the stored measurement, and the command."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from helpers.attention import head_ablation
from helpers.attention.maps import without_heads
from helpers.core.errors import WorkbookError
from helpers.masked_lm import gaps


@pytest.fixture(scope="module")
def report():
    return head_ablation.load()


@pytest.fixture(scope="module")
def asked(tokenizer):
    return head_ablation.questions(tokenizer, half=1)


def test_each_passage_is_asked_by_its_half_alone(tokenizer, asked):
    whole = head_ablation.questions(tokenizer)
    other = head_ablation.questions(tokenizer, half=0)
    assert set(asked.passage % 2) == {1}
    assert set(other.passage % 2) == {0}
    assert len(whole.passage) == len(asked.passage) + len(other.passage)
    assert len(set(whole.passage)) == 32
    assert len(gaps.answers(whole.batches)) == len(whole.passage)
    again = head_ablation.questions(tokenizer, "smoke", half=1)
    assert all(
        torch.equal(a["input_ids"], b["input_ids"])
        for a, b in zip(asked.batches, again.batches, strict=True)
    )


def test_a_gap_is_counted_to_the_passage_that_it_is_in(tokenizer, asked):
    from helpers.data import passages

    texts = sorted(passages("classroom", "test")[1::2], key=len)
    answers, at = gaps.answers(asked.batches), 0
    for batch in asked.batches[:2]:
        for row in (batch["labels"] != -100).nonzero()[:, 0].tolist():
            ids = tokenizer(
                texts[asked.passage[at] // 2], truncation=True, max_length=128
            )
            assert answers[at].item() in ids["input_ids"], row
            at += 1


def test_the_error_of_a_mean_knows_that_gaps_of_one_passage_are_alike():
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    alone = head_ablation.clustered(values, np.arange(400))
    assert alone == pytest.approx(values.std(ddof=1) / 20)
    groups = np.repeat(np.arange(40), 10)
    same = np.repeat(rng.normal(size=40), 10)  # all gaps of a passage answer alike
    assert head_ablation.clustered(same, groups) == pytest.approx(
        same[::10].std(ddof=1) / 40**0.5
    )
    assert head_ablation.clustered(np.ones(9), np.arange(9)) == 0


def test_the_error_of_f1_is_the_bootstraps():
    rng = np.random.default_rng(1)
    true, said = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    before = np.stack([2 * np.minimum(true, said), true + said], 1).astype(float)
    after = before.copy()
    after[:60, 0] = 2 * (after[:60, 0] // 4)  # a fifth of the sentences suffers
    found = head_ablation.f1_change(before, after)
    assert found["change"] == pytest.approx(
        after[:, 0].sum() / after[:, 1].sum() - before[:, 0].sum() / before[:, 1].sum()
    )
    draws = [rng.integers(0, 300, 300) for _ in range(2000)]
    moved = [head_ablation.f1(after[d]) - head_ablation.f1(before[d]) for d in draws]
    assert found["error"] == pytest.approx(np.std(moved), rel=0.1)
    assert head_ablation.f1_change(before, before) == {"change": 0.0, "error": 0.0}


def test_a_live_head_is_what_is_stored(report, tokenizer, distilbert_model):
    """The worst of the student's, on all gaps."""
    grid = head_ablation.grid(report, "masked", "distilbert")
    layer, head = map(int, np.unravel_index(grid.change.argmin(), grid.change.shape))
    asked = head_ablation.questions(tokenizer)
    before = gaps.ask(distilbert_model, asked.batches)
    live = head_ablation.masked_change(distilbert_model, asked, before, {layer: [head]})
    stored = report["runs"][f"masked/distilbert/{layer}.{head}"]
    assert before[0].float().mean().item() == pytest.approx(grid.whole, abs=0.002)
    assert live["change"] == pytest.approx(stored["change"], abs=0.003)
    assert live["error"] == pytest.approx(stored["error"], abs=0.003)
    for name in ("nats", "nats_error", "ranked"):
        assert live[name] == pytest.approx(stored[name], abs=2e-3), name


def test_heads_removed_together_are_judged_on_the_other_half(
    report, asked, distilbert_model
):
    runs = report["runs"]
    layers, heads = head_ablation.shape("distilbert")
    order = head_ablation.by_importance(runs, "distilbert", layers, heads)
    gone = {
        layer: [h for la, h in order[:18] if la == layer] for layer in range(layers)
    }
    before = gaps.ask(distilbert_model, asked.batches)
    with without_heads(distilbert_model, gone):
        after = gaps.ask(distilbert_model, asked.batches)
    share = after[0].double().mean().item()
    assert before[0].double().mean().item() == pytest.approx(
        runs["masked/distilbert/whole"]["judged"], abs=0.003
    )
    curve = head_ablation.curves(report, "distilbert")["least missed first"]
    assert share == pytest.approx(curve[18], abs=0.004)


def test_the_stored_measurement_is_whole_and_sane(report):
    assert report["settings"]["maskings"] == head_ablation.MASKINGS
    missing = [key for key in head_ablation.keys(1) if key not in report["runs"]]
    assert not missing
    for kind, shape in {"bert": (6, 12), "distilbert": (3, 12)}.items():
        for examination in ("masked", head_ablation.TASK):
            grid = head_ablation.grid(report, examination, kind)
            assert grid.change.shape == grid.error.shape == shape
            assert 0.2 < grid.whole < 0.95
            assert (grid.error >= 0).all()
            assert -0.5 < grid.change.min() < 0
        nats = head_ablation.grid(report, "masked", kind, score="nats")
        assert nats.clear.sum() > 5
        curves = head_ablation.curves(report, kind)
        total = math.prod(shape)
        assert list(curves["least missed first"])[-1] == total
        half = total // 2
        assert curves["least missed first"][half] > curves["at random"][half]


def test_the_student_misses_the_heads_that_fetch_the_neighbours(report):
    nats = head_ablation.grid(report, "masked", "distilbert", score="nats")
    order = np.dstack(
        np.unravel_index(nats.change.ravel().argsort()[::-1], nats.change.shape)
    )[0]
    assert [1, 8] in order[:3].tolist()  # looks at the next token
    assert [0, 2] in order[:3].tolist()  # and at the previous


def test_seeds_are_averaged_and_errors_are_not_made_smaller(report):
    first = {
        k: row for k, row in report["runs"].items() if k.startswith("entities/bert/0/")
    }
    runs = {
        k: row
        for k, row in report["runs"].items()
        if not k.startswith("entities/bert/")
    }
    second = {
        key.replace("/0/", "/1/"): {name: 3 * value for name, value in row.items()}
        for key, row in first.items()
    }
    alone = head_ablation.grid({"runs": runs | first}, "entities", "bert")
    both = head_ablation.grid({"runs": runs | first | second}, "entities", "bert")
    assert np.allclose(both.change, 2 * alone.change)
    assert np.allclose(both.error, 5**0.5 * alone.error)
    del second["entities/bert/1/0.0"]  # a seed that is not whole does not count
    assert head_ablation.seeds_of({"runs": runs | first | second}, "bert") == [
        "entities/bert/0"
    ]


def test_the_run_goes_on_where_it_was_stopped(report, tmp_path, monkeypatch):
    path = tmp_path / "heads.json"
    head_ablation.write_json(path, {**report, "runs": dict(report["runs"])})
    opened = []

    class Bench:
        def __init__(self, part, _profile, _runs):
            opened.append(part)

        def row(self, what):
            return {"change": 0.123456789, "error": 0.0}

    removed = ("masked/bert/5.11", "entities/distilbert/0/0.0")
    stored = head_ablation.load(path)
    for key in removed:
        del stored["runs"][key]
    head_ablation.write_json(path, stored)
    monkeypatch.setattr(head_ablation, "_open", Bench)
    told = []
    again = head_ablation.run(path, seeds=1, done=told.append)
    assert opened == ["masked/bert", "entities/distilbert/0"]
    assert told == head_ablation.keys(1)
    assert [again["runs"][key]["change"] for key in removed] == [0.123457] * 2
    assert head_ablation.load(path) == again


def test_other_settings_and_missing_files_are_one_clear_line(report, tmp_path):
    path = tmp_path / "heads.json"
    with pytest.raises(
        WorkbookError, match="is missing: `workbook head-ablation` makes it"
    ):
        head_ablation.load(path)
    head_ablation.write_json(path, {**report, "settings": {"maskings": 99}})
    with pytest.raises(
        WorkbookError, match="a run with other settings: move it away first"
    ):
        head_ablation.run(path)
    with pytest.raises(WorkbookError, match="nothing of bert is stored"):
        head_ablation.grid({"runs": {}}, "entities", "bert")


def test_the_command_ends_with_what_is_stored(report, workbook, tmp_path):
    """Nothing is left to do, so it only prints."""
    path = tmp_path / "heads.json"
    head_ablation.write_json(path, report)
    done = workbook("head-ablation", "--seeds", "1", "--output", str(path))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "with all heads" in line]
    assert len(lines) == 4
    assert head_ablation.load(path) == report

"""What each head is worth: the arithmetic, the stored measurement, and the command."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers.attention import examinations, head_ablation
from helpers.attention.examinations import clustered_error, f1, f1_change
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.data import passages
from helpers.masked_lm import gaps


@pytest.fixture(scope="module")
def report():
    return head_ablation.load()


@pytest.fixture(scope="module")
def student():
    return examinations.Masked("distilbert")


def test_a_gap_is_counted_to_the_passage_that_it_is_in(tokenizer, student):
    texts, passage = passages("classroom", "test"), student.passage
    assert set(passage) == set(range(32)) == set(range(len(texts)))
    halves = [sorted(texts[half::2], key=len) for half in (0, 1)]  # as `gaps` asks them
    answers = gaps.answers(student.batches).tolist()
    assert len(answers) == len(passage)
    for answer, at in zip(answers, passage, strict=True):
        text = halves[at % 2][at // 2]
        ids = tokenizer(text, truncation=True, max_length=128)["input_ids"]
        assert answer in ids
    batches, again = examinations.questions(tokenizer, "smoke")
    assert np.array_equal(again, passage)
    for a, b in zip(batches, student.batches, strict=True):
        assert a["input_ids"].equal(b["input_ids"])


def test_the_error_of_a_mean_knows_that_gaps_of_one_passage_are_alike():
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    alone = clustered_error(values, np.arange(400))
    assert alone == pytest.approx(values.std(ddof=1) / 20)
    groups = np.repeat(np.arange(40), 10)
    same = np.repeat(rng.normal(size=40), 10)  # all gaps of a passage answer alike
    assert clustered_error(same, groups) == pytest.approx(
        same[::10].std(ddof=1) / 40**0.5
    )
    assert clustered_error(np.ones(9), np.arange(9)) == 0


def test_the_error_of_f1_is_the_bootstraps():
    rng = np.random.default_rng(1)
    true, said = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    before = np.stack([2 * np.minimum(true, said), true + said], 1).astype(float)
    after = before.copy()
    after[:60, 0] = 2 * (after[:60, 0] // 4)  # a fifth of the sentences suffers
    found = f1_change(before, after)
    assert found["change"] == pytest.approx(
        after[:, 0].sum() / after[:, 1].sum() - before[:, 0].sum() / before[:, 1].sum()
    )
    draws = [rng.integers(0, 300, 300) for _ in range(2000)]
    moved = [f1(after[d]) - f1(before[d]) for d in draws]
    assert found["error"] == pytest.approx(np.std(moved), rel=0.1)
    assert f1_change(before, before) == {"change": 0.0, "error": 0.0}


def test_a_live_head_is_what_is_stored(report, student):
    """The worst of the student's, on all gaps."""
    grid = head_ablation.grid(report, "masked", "distilbert")
    layer, head = map(int, np.unravel_index(grid.change.argmin(), grid.change.shape))
    stored = report["runs"][f"masked/distilbert/{layer}.{head}"]
    live = student.row([(layer, head)])
    assert set(live) == set(stored)
    assert live["change"] == pytest.approx(stored["change"], abs=0.003)
    assert live["error"] == pytest.approx(stored["error"], abs=0.003)
    for name in ("nats", "nats_error", "ranked"):
        assert live[name] == pytest.approx(stored[name], abs=2e-3), name
    whole, stored = student.row([]), report["runs"]["masked/distilbert/whole"]
    assert set(whole) == set(stored)
    assert whole["of"] == stored["of"]
    assert whole["score"] == pytest.approx(grid.whole, abs=0.002)
    assert whole["judged"] == pytest.approx(stored["judged"], abs=0.003)


def test_heads_removed_together_are_judged_on_the_other_half(report, student):
    order = head_ablation.by_importance(report["runs"], "distilbert")
    removed = head_ablation.together(order)
    live = student.row(removed["least 18"], judging=True)
    stored = report["runs"]["masked/distilbert/least 18"]
    assert set(live) == set(stored)
    assert live["change"] == pytest.approx(stored["change"], abs=0.004)
    curve = head_ablation.curves(report, "distilbert")["least missed first"]
    whole = report["runs"]["masked/distilbert/whole"]["judged"]
    assert whole + stored["change"] == pytest.approx(curve[18])
    # as many at random; of each layer all but the most missed, or none
    assert set(removed["random 33 0"]) < set(order)
    assert removed["random 33 0"] != order[:33] != removed["random 33 1"]
    assert removed["layer 1 none"][:-1] == removed["layer 1 one"]
    assert removed["layer 1 none"][-1] == (1, 8)
    assert {layer for layer, _ in removed["layer 1 none"]} == {1}


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
    assert head_ablation.fine_tunings({"runs": runs | first | second}, "bert") == [
        "entities/bert/0"
    ]


def test_the_run_goes_on_where_it_was_stopped(report, tmp_path, monkeypatch):
    path, opened = tmp_path / "heads.json", []

    class Model:
        def __init__(self, *which):
            opened.append(which)

        def row(self, heads, judging):
            return {"change": 0.123456789, "error": len(heads), "ranked": -1}

    monkeypatch.setattr(head_ablation, "Masked", Model)
    monkeypatch.setattr(head_ablation, "Tagger", Model)
    removed = {"masked/bert/5.11": 1, "masked/bert/least 12": 12}
    removed |= {"entities/distilbert/0/0.0": 1, "entities/distilbert/0/whole": 0}
    runs = {key: row for key, row in report["runs"].items() if key not in removed}
    write_json(path, {**report, "runs": runs})
    told = []
    again = head_ablation.run(path, seeds=1, done=told.append)
    assert opened == [("bert", "classroom"), ("distilbert", "classroom", 0)]
    assert told == head_ablation.keys(1)
    for key, heads in removed.items():
        assert again["runs"][key] == {"change": 0.123457, "error": heads, "ranked": -1}
    assert head_ablation.load(path) == again


def test_other_settings_and_missing_files_are_one_clear_line(report, tmp_path):
    path = tmp_path / "heads.json"
    with pytest.raises(
        WorkbookError, match="is missing: `workbook head-ablation` makes it"
    ):
        head_ablation.load(path)
    write_json(path, {**report, "settings": {"maskings": 99}})
    with pytest.raises(
        WorkbookError, match="a run with other settings: move it away first"
    ):
        head_ablation.run(path)
    with pytest.raises(WorkbookError, match="nothing of bert is stored"):
        head_ablation.grid({"runs": {}}, "entities", "bert")


def test_the_command_ends_with_what_is_stored(report, workbook, tmp_path):
    """Nothing is left to do, so it only prints."""
    path = tmp_path / "heads.json"
    write_json(path, report)
    done = workbook("head-ablation", "--seeds", "1", "--output", str(path))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "with all heads" in line]
    assert len(lines) == 4
    assert head_ablation.load(path) == report

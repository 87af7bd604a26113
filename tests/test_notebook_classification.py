"""What is special to `05_sequence_classification`: numbers, pictures, recipe."""

from __future__ import annotations

import csv

import cells
import datasets
import pytest
import tiny
import torch
from conftest import ROOT
from pictures import axes, widths, words, xs, ys
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from helpers.checkpoints import base_tokenizer
from helpers.data import rows, tasks
from helpers.sequence_classification import plots
from helpers.sequence_classification.explorers import text_explorer
from helpers.training import head_results
from helpers.training.scores import calibration

NOTEBOOK = ROOT / "notebooks" / "05_sequence_classification.ipynb"
NAMES = ("sentiment", "topic", "aspects", "stars", "relation", "pairs")
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def stored():
    return head_results.summary(head_results.load())


@each
def test_recorded_figures_are_those_of_the_table(recorded, stored, name):
    row, found = stored[name], recorded[tasks.task(name).record]
    assert found["bert"] == pytest.approx(row["bert"]["mean"])
    assert found["distilbert"] == pytest.approx(row["distilbert"]["mean"])
    assert found["baseline"] == pytest.approx(row["baseline"])
    low, high = head_results.spread(row["distilbert"]["runs"])
    assert low <= found["live"] <= high


@pytest.mark.parametrize(
    ("name", "least"),
    [("topic", 0.8), ("aspects", 0.7), ("pairs", 0.72), ("stars", 0.55)],
)
def test_the_teacher_reaches_what_it_reached(stored, name, least):
    assert stored[name]["bert"]["mean"] >= least


def test_recorded_retention_is_that_of_the_table(recorded, stored):
    kept = recorded["retention"]
    assert kept["distilbert"] == pytest.approx(head_results.retention(stored))
    assert 0.85 < kept["live"] < 1.05
    assert kept["baseline"] < kept["distilbert"]


def test_recorded_company_of_the_student(recorded):
    shares = recorded["compared"]
    assert shares["always the same label"] == pytest.approx(0.5, abs=0.03)
    assert abs(shares["from scratch"] - shares["bag of words"]) < 0.1
    assert shares["bag of words"] > 0.65
    curve = recorded["learning_curve"]
    assert curve[max(curve, key=int)][0] > curve[min(curve, key=int)][0]


def test_recorded_calibration_and_towers(recorded):
    errors = recorded["calibration_error"]
    assert errors["logits / 3"] < errors["as trained"]
    assert 0.6 < recorded["untrained_towers"] < recorded["pairs_spearman"]["live"]


# -- the recipe ------------------------------------------------------------------------


def test_the_recipe_runs_alone_offline(recipe, tmp_path, monkeypatch, capsys):
    file, out = tmp_path / "reviews.csv", tmp_path / "classifier"
    few = list(rows("reviews", "train"))[:120]
    with file.open("w", encoding="utf8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["text", "label"])
        writer.writerows([row["text"], row["sentiment"]] for row in few)
    start = tiny.checkpoint(tmp_path / "tiny")
    for name, value in {"CHECKPOINT": start, "DATA": file, "OUT": out}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert "helpers" not in recipe
    exec(recipe, {})
    accuracy, guess = capsys.readouterr().out.splitlines()[-2:]
    assert 0.3 <= float(accuracy.split()[-1]) <= 1
    assert "'positive'" in guess or "'negative'" in guess
    assert (out / "model.safetensors").exists()


# -- the explorer ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers():
    """The notebook's own `answers`, on tiny heads of three kinds."""
    torch.manual_seed(0)
    several = {"problem_type": "multi_label_classification"}
    kinds = {
        "mood": {"id2label": {0: "bad", 1: "good"}},
        "themes": {"id2label": {i: f"theme {i}" for i in range(12)}, **several},
        "stars": {"num_labels": 1, "problem_type": "regression"},
    }
    models = {
        name: DistilBertForSequenceClassification(
            DistilBertConfig(**tiny.SHAPE, **kind)
        )
        for name, kind in kinds.items()
    }
    around = {"tokenizer": base_tokenizer("DistilBERT"), "torch": torch}
    return cells.defined(NOTEBOOK, "answers", models=models, **around)


def test_every_head_answers_in_its_own_way(answers):
    found = answers("A fine day.")
    assert sum(found["mood"].values()) == pytest.approx(1, abs=1e-5)
    assert list(found["mood"]) == ["bad", "good"]
    assert (
        sum(found["themes"].values()) > 1.5
    )  # each label has a probability of its own
    assert list(found["stars"]) == [""]
    panels = plots.verdicts("A fine day.", found).axes
    shown = words(panels[1].get_yticklabels())
    assert len(shown) == 8  # the likeliest that fit into a panel
    assert shown == [
        name
        for name, share in found["themes"].items()
        if share in sorted(found["themes"].values())[-8:]
    ]


@pytest.mark.filterwarnings("error")
def test_the_text_changes_the_picture_and_stays_text(answers):
    box, picture = text_explorer(answers, "A fine day.").children
    before = picture.value
    assert "data:image/png" in before
    box.value = "A <script>alert(1)</script> day $x^"
    assert picture.value != before
    assert "<script>" not in picture.value
    box.value = "   "
    assert "Write a sentence" in picture.value


# -- pictures --------------------------------------------------------------------------

ROW = {
    "bert": {"mean": 0.8, "runs": [0.79, 0.81], "seconds": 60.0},
    "distilbert": {"mean": 0.7, "runs": [0.7, 0.7], "seconds": 30.0},
    "baseline": 0.5,
    "retention": 0.875,
}


def test_pictures_of_scores_hold_what_they_are_given():
    (ax,) = axes(plots.compared({"bag of words": 0.5}, ROW, "accuracy"))
    assert widths(ax) == pytest.approx([50, 70, 80])
    (ax,) = axes(plots.all_heads({"topic": ROW, "<b>": ROW}))
    runs = [[0.7, 0.7], [0.79, 0.81], [0.5]]
    assert [xs(ax, line) for line in range(3)] == [2 * row for row in runs]
    page = plots.table({"<b>": ROW}).data
    assert "&lt;b&gt;" in page
    assert "0.800 ± 0.010" in page
    assert "88%" in page
    curves = {"a": {10: [0.5, 0.7], 20: [0.8]}}
    (ax,) = axes(plots.learning_curves(curves, "accuracy", 0.02))
    assert ys(ax) == pytest.approx([60, 80])


def test_pictures_of_predictions_hold_what_they_are_given():
    (ax,) = axes(plots.confusion([[3, 1], [0, 2]], ["a", "b"]))
    assert sorted(words(ax.texts)) == ["1", "2", "3"]
    found = calibration([0.9, 0.8, 0.6], [1, 1, 0])
    (ax,) = axes(plots.reliability({"now": found}))
    assert "error" in words(ax.get_legend().get_texts())[1]
    (ax,) = axes(plots.thresholds([0.2, 0.5], [0.4, 0.6]))
    assert ys(ax) == [0.4, 0.6]
    (ax,) = axes(plots.stars([1.5, 4.0, 2.5], [1, 5, 1]))
    assert [ys(ax, line) for line in (2, 3)] == [[2.0, 2.0], [4.0, 4.0]]
    (ax,) = axes(plots.pairs([0.1, 0.9], [0, 5]))
    assert len(xs(ax)) == 2
    said = {"mood": {"bad": 0.3, "good": 0.7}, "stars": {"": 3.2}}
    mood, stars = axes(plots.verdicts("$t", said))
    assert widths(mood) == pytest.approx([30, 70])
    assert stars.get_xlabel() == "a number: 3.2"

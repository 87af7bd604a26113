"""What is special to `05_sequence_classification`: its numbers, its pictures, its
recipe.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from helpers.data import rows, tasks
from helpers.training import head_results

NOTEBOOK = (
    Path(__file__).parent.parent / "notebooks" / "05_sequence_classification.ipynb"
)
NAMES = ("sentiment", "topic", "aspects", "stars", "relation", "pairs")
each = pytest.mark.parametrize("name", NAMES)


@each
def test_recorded_figures_are_the_stored_means(recorded, name):
    stored = head_results.summary(head_results.load())[name]
    found = recorded[tasks.task(name).record]
    assert found["bert"] == pytest.approx(stored["bert"]["mean"])
    assert found["distilbert"] == pytest.approx(stored["distilbert"]["mean"])
    assert found["baseline"] == pytest.approx(stored["baseline"])


@each
def test_the_live_value_lies_within_the_stored_spread(recorded, name):
    low, high = head_results.spread(
        head_results.summary(head_results.load())[name]["distilbert"]["runs"]
    )
    assert low <= recorded[tasks.task(name).record]["live"] <= high


@pytest.mark.parametrize(
    ("name", "least"),
    [("topic", 0.8), ("aspects", 0.7), ("pairs", 0.72), ("stars", 0.55)],
)
def test_the_teacher_reaches_what_it_reached(name, least):
    assert head_results.summary(head_results.load())[name]["bert"]["mean"] >= least


def test_recorded_retention_is_that_of_the_table(recorded):
    stored = head_results.summary(head_results.load())
    assert recorded["retention"]["distilbert"] == pytest.approx(
        head_results.retention(stored)
    )
    assert 0.85 < recorded["retention"]["live"] < 1.05
    assert recorded["retention"]["baseline"] < recorded["retention"]["distilbert"]


def test_recorded_company_of_the_student(recorded):
    shares = recorded["compared"]
    assert shares["always the same label"] == pytest.approx(0.5, abs=0.03)
    assert abs(shares["from scratch"] - shares["bag of words"]) < 0.1
    assert shares["bag of words"] > 0.65
    points = {
        int(size): scores[0] for size, scores in recorded["learning_curve"].items()
    }
    assert points[max(points)] > points[min(points)]


def test_recorded_calibration_and_towers(recorded):
    errors = recorded["calibration_error"]
    assert errors["logits / 3"] < errors["as trained"]
    assert 0.6 < recorded["untrained_towers"] < recorded["pairs_spearman"]["live"]


# -- the recipe ------------------------------------------------------------------------


def test_the_recipe_runs_alone_offline(recipe, python, tmp_path):
    from helpers.checkpoints import distilbert

    file, out = tmp_path / "reviews.csv", tmp_path / "classifier"
    few = list(rows("reviews", "train"))[:120]
    with file.open("w", encoding="utf8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["text", "label"])
        writer.writerows([row["text"], row["sentiment"]] for row in few)
    names = {"CHECKPOINT": str(distilbert()), "DATA": str(file), "OUT": str(out)}
    cache = {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = python(recipe, HF_HUB_OFFLINE="1", **names, **cache)
    assert done.returncode == 0, done.stderr
    accuracy, guess = done.stdout.splitlines()[-2:]
    assert 0.3 <= float(accuracy.split()[-1]) <= 1
    assert "'positive'" in guess or "'negative'" in guess
    assert (out / "model.safetensors").exists()


# -- the explorer ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def playground():
    """The explorer's engine on tiny heads of three kinds."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    from helpers.checkpoints import base_tokenizer
    from helpers.sequence_classification.explorers import Playground

    torch.manual_seed(0)
    shape = {"n_layers": 1, "dim": 32, "n_heads": 4, "hidden_dim": 64}
    kinds = {
        "mood": {"id2label": {0: "bad", 1: "good"}},
        "themes": {
            "id2label": {i: f"theme {i}" for i in range(12)},
            "problem_type": "multi_label_classification",
        },
        "stars": {"num_labels": 1, "problem_type": "regression"},
    }
    models = {
        name: DistilBertForSequenceClassification(DistilBertConfig(**shape, **kind))
        for name, kind in kinds.items()
    }
    return Playground(models, base_tokenizer("DistilBERT"))


def test_every_head_answers_in_its_own_way(playground):
    found = playground.answers("A fine day.")
    assert sum(found["mood"].values()) == pytest.approx(1, abs=1e-5)
    assert list(found["mood"]) == ["bad", "good"]
    assert len(found["themes"]) == 8  # the likeliest that fit into a panel
    assert sum(found["themes"].values()) > 1.5, (
        "each label has a probability of its own"
    )
    assert list(found["stars"]) == [""]


@pytest.mark.filterwarnings("error")
def test_the_text_changes_the_picture_and_stays_text(playground):
    from helpers.sequence_classification.explorers import text_explorer

    box, picture = text_explorer(playground, "A fine day.").children
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
    from helpers.sequence_classification import plots

    (ax,) = plots.compared({"bag of words": 0.5}, ROW, "accuracy").axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([50, 70, 80])
    (ax,) = plots.all_heads({"topic": ROW, "<b>": ROW}).axes
    assert [list(line.get_xdata()) for line in ax.lines[:3]] == [
        [0.7, 0.7],
        [0.79, 0.81],
        [0.5],
    ]
    page = plots.table({"<b>": ROW}).data
    assert "&lt;b&gt;" in page
    assert "0.800 ± 0.010" in page
    assert "88%" in page
    (ax,) = plots.learning_curves(
        {"a": {10: [0.5, 0.7], 20: [0.8]}}, "accuracy", 0.02
    ).axes
    assert list(ax.lines[0].get_ydata()) == pytest.approx([60, 80])


def test_pictures_of_predictions_hold_what_they_are_given():
    from helpers.sequence_classification import plots
    from helpers.training.scores import calibration

    (ax,) = plots.confusion([[3, 1], [0, 2]], ["a", "b"]).axes
    assert sorted(text.get_text() for text in ax.texts) == ["1", "2", "3"]
    found = calibration([0.9, 0.8, 0.6], [1, 1, 0])
    (ax,) = plots.reliability({"now": found}).axes
    assert "error" in ax.get_legend().get_texts()[1].get_text()
    (ax,) = plots.thresholds([0.2, 0.5], [0.4, 0.6]).axes
    assert list(ax.lines[0].get_ydata()) == [0.4, 0.6]
    (ax,) = plots.stars([1.5, 4.0, 2.5], [1, 5, 1]).axes
    assert [list(line.get_ydata()) for line in ax.lines[2:]] == [[2.0, 2.0], [4.0, 4.0]]
    assert len(plots.pairs([0.1, 0.9], [0, 5]).axes[0].lines[0].get_xdata()) == 2
    panels = plots.verdicts(
        "$t", {"mood": {"bad": 0.3, "good": 0.7}, "stars": {"": 3.2}}
    ).axes
    assert [bar.get_width() for bar in panels[0].patches] == pytest.approx([30, 70])
    assert panels[1].get_xlabel() == "a number: 3.2"

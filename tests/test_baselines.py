"""What a model reaches that is shown too little, and what a bag of words reaches."""

import json
import re

import measure_baselines as baselines
import pytest
from conftest import ROOT

from helpers.data import tasks


@pytest.fixture(scope="module")
def controls():
    return baselines.controls()


@pytest.fixture(scope="module")
def found():
    """{(task, split): evidence of the plain model}."""
    return {
        (name, split): baselines.evidence_of(name, split)
        for name, task in tasks.TASKS.items()
        for split in tasks.sample(task)
        if split != "train"
    }


@pytest.fixture(scope="module")
def reached(found):
    with pytest.MonkeyPatch.context() as patch:  # nothing is fitted twice
        patch.setattr(baselines, "evidence_of", lambda name: found[name, "test"])
        return baselines.baselines()


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("endings without the situation", 0.35),
        ("next sentences without the passage", 0.32),
        ("relation from the second sentence alone", 0.45),
    ],
)
def test_a_part_alone_does_not_betray_the_answer(controls, name, most):
    assert controls[name]["score"] <= most


def test_no_label_can_be_read_off_the_length(controls):
    for name, control in controls.items():
        if "length alone" in name:
            assert control["score"] <= control["chance"] + 0.08, name


def test_a_bag_of_words_learns_something_and_leaves_room(reached):
    assert 0.6 < reached["sentiment_accuracy"] < 0.87
    assert 0.4 < reached["topic_accuracy"] < 0.85
    assert 0.2 < reached["aspects_f1"] < 0.70
    assert 0.3 < reached["stars_spearman"] < 0.78
    assert 0.3 < reached["entity_f1"] < 0.78
    assert 0.1 < reached["questions_f1"] < 0.50
    assert 0.25 < reached["next_accuracy"] < 0.40
    assert 0.2 < reached["endings_accuracy"] < 0.60
    assert 0.2 < reached["pairs_spearman"] < 0.75
    assert 0.25 < reached["relation_accuracy"] < 0.55


def test_every_plain_model_has_evidence_for_every_row(found):
    for (name, split), rows in found.items():
        assert len(rows) == len(tasks.sample(tasks.task(name))[split])


def test_the_data_sheet_gives_these_figures(controls, reached):
    sheet = (ROOT / "data" / "README.md").read_text()
    stored = json.loads((ROOT / "data" / "measurements" / "baselines.json").read_text())
    assert stored["baselines"] == pytest.approx(reached, abs=0.02)
    for name, control in controls.items():
        assert stored["controls"][name] == pytest.approx(control, abs=0.02)
        line = f"| {name} | {stored['controls'][name]['score']:.2f} |"
        assert line in sheet, line
    for name, value in stored["baselines"].items():
        assert re.search(rf"\| `{name}` \| {value:.2f} \|", sheet), name

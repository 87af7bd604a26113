"""What a model reaches that is shown too little, and what a bag of words reaches."""

import json
import re

import pytest
from conftest import ROOT

from helpers.training import baselines


@pytest.fixture(scope="module")
def controls():
    return baselines.controls()


@pytest.fixture(scope="module")
def reached():
    return baselines.baselines()


def test_endings_alone_do_not_betray_the_right_one(controls):
    assert controls["endings without the situation"]["score"] <= 0.35


def test_next_sentences_alone_do_not_betray_the_right_one(controls):
    assert controls["next sentences without the passage"]["score"] <= 0.32


def test_second_sentences_alone_do_not_betray_the_relation(controls):
    assert controls["relation from the second sentence alone"]["score"] <= 0.45


def test_no_label_can_be_read_off_the_length(controls):
    for name, found in controls.items():
        if "length alone" in name:
            assert found["score"] <= found["chance"] + 0.08, name


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


def test_the_data_sheet_gives_these_figures(controls, reached):
    sheet = (ROOT / "data" / "README.md").read_text()
    stored = json.loads((ROOT / "data" / "measurements" / "baselines.json").read_text())
    assert stored["baselines"] == pytest.approx(reached, abs=0.02)
    for name, found in controls.items():
        assert stored["controls"][name] == pytest.approx(found, abs=0.02)
        line = f"| {name} | {stored['controls'][name]['score']:.2f} |"
        assert line in sheet, line
    for name, value in stored["baselines"].items():
        assert re.search(rf"\| `{name}` \| {value:.2f} \|", sheet), name

"""Notebook 00: what it recorded, the demos it must run, and its playground."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from helpers.start import explorers, plots

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "00_start_here.ipynb"
# every class of the guide whose demos A to H the notebook runs
CLASSES = (
    "DistilBertConfig",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "DistilBertModel",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForMultipleChoice",
    "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering",
)
# and every text that it gives them
TEXTS = (
    "Hello, my dog is cute",
    "The capital of France is [MASK].",
    "The capital of France is Paris.",
    "In Italy, pizza served in formal settings, such as at a restaurant, is presented unsliced.",
    "It is eaten with a fork and a knife.",
    "It is eaten while held in the hand.",
    "Who was Jim Henson?",
    "Jim Henson was a nice puppet",
    '{"input_data": ["Paris is [MASK] of France"]}',
)


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text(encoding="utf8"))["cells"]


@pytest.fixture(scope="module")
def code(cells) -> str:
    return "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
    )


@pytest.fixture(scope="module")
def outputs(cells) -> list[dict]:
    return [output for cell in cells for output in cell.get("outputs", [])]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_the_guide_is_used(code, name):
    assert len(re.findall(rf"\b{name}\b", code)) >= 2, "imported, and then used"


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_of_the_guide_and_the_card_is_run(code, text):
    assert text in code


def test_shapes_are_those_of_the_heads(recorded):
    shapes = recorded["shapes"]
    assert shapes["base"][:2] == [1, 8]
    assert len(shapes["base"]) == 3
    assert shapes["masked_lm"] == [1, 9, 30_522]
    assert shapes["sequence_classification"] == [1, 2]
    assert shapes["multiple_choice"] == [1, 2]
    assert shapes["token_classification"] == [1, 8, 2]
    assert shapes["question_start"] == shapes["question_end"] == [1, 14]


def test_an_untrained_head_costs_about_ln_2(recorded):
    assert recorded["expected"] == pytest.approx(math.log(2))
    assert recorded["loss_untrained_classifier"] == pytest.approx(math.log(2), abs=0.35)


def test_visible_words_flatter_the_masked_lm_loss(recorded):
    assert 0 < recorded["loss_masked_all_positions"] < recorded["loss_masked_gap_only"]


def test_answers_are_words(recorded):
    assert len(recorded["azure_answer"]) == 1
    assert all(isinstance(word, str) and word for word in recorded["azure_answer"])
    assert len(set(recorded["masked_lm_words"])) == 5


def test_the_encoder_has_as_many_parameters_as_the_profile_says(recorded):
    assert recorded["parameters"] in (
        17_241_216,
        66_362_880,
    )  # pocket, distilbert-base-uncased


def test_nothing_was_printed_to_stderr(outputs):
    assert [
        output["text"] for output in outputs if output.get("name") == "stderr"
    ] == []


def _two_words(text: str, k: int) -> list[tuple[str, float]]:
    return [("<b>cat", 0.5), ("$x$", 0.25)][:k] if "[MASK]" in text else []


@pytest.fixture
def playground():
    """The widget's text box, slider and answer."""
    return explorers.playground(_two_words, "The [MASK] sat.", k=2).children


def test_playground_draws_at_once_and_on_every_change(playground):
    box, slider, shown = playground
    first = shown.value
    assert "data:image/png;base64," in first
    assert "sat." in first
    slider.value = 1
    assert shown.value != first
    box.value = "A [MASK] ran."
    assert "ran." in shown.value


def test_playground_is_friendly_without_a_mask(playground):
    box, _, shown = playground
    box.value = "No gap here"
    assert "There is no [MASK]" in shown.value


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "<script>x</script> [MASK] & more"]
)
def test_playground_escapes_what_it_is_given(playground, text):
    box, _, shown = playground
    box.value = text
    assert "<script" not in shown.value
    assert "&lt;script&gt;" in shown.value
    assert "<b><b>" not in shown.value, "the model's word is escaped too"


def test_playground_shows_an_error_and_raises_it():
    def broken(text: str, k: int) -> list:
        if text == "bad":
            raise RuntimeError("<no> model")
        return [("word", 1.0)]

    box, _, shown = explorers.playground(broken, "[MASK]").children
    with pytest.raises(RuntimeError, match="model"):
        box.value = "bad"
    assert shown.value == "<p>RuntimeError: &lt;no&gt; model</p>"


@pytest.mark.filterwarnings("error")  # a missing glyph is a warning
def test_bars_draw_any_piece_of_the_vocabulary(tmp_path):
    words = ["##ing", "$x$", "中", "ß", "[UNK]"]
    assert plots.drawable("中") == "U+4E2D"
    drawing = plots.top_words([(word, 0.1) for word in words])
    drawing.savefig(tmp_path / "bars.png")
    labels = [label.get_text() for label in drawing.axes[0].get_yticklabels()]
    assert labels == ["##ing", "$x$", "U+4E2D", "ß", "[UNK]"]


def test_table_escapes():
    assert "&lt;script&gt;" in plots.table([{"<b>": "<script>"}]).data

"""Notebook 00: what it recorded, the demos it must run, and its playground."""

from __future__ import annotations

import ast
import math
import re

import nbformat
import pytest
import torch
from conftest import ROOT
from pictures import axes, words

from helpers.checkpoints import base_tokenizer
from helpers.start import explorers, plots

NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"
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
    "In Italy, pizza served in formal settings, such as at a restaurant, is presented "
    "unsliced.",
    "It is eaten with a fork and a knife.",
    "It is eaten while held in the hand.",
    "Who was Jim Henson?",
    "Jim Henson was a nice puppet",
)
REQUEST = '{"input_data": ["Paris is [MASK] of France"]}'


@pytest.fixture(scope="module")
def code() -> str:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_the_guide_is_used(code, name):
    assert len(re.findall(rf"\b{name}\b", code)) >= 2, "imported, and then used"


def test_every_text_of_the_guide_and_the_card_is_run(code):
    nodes = ast.walk(ast.parse(code))
    written = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert set(TEXTS) <= written
    assert REQUEST in code


def test_shapes_are_those_of_the_heads(recorded):
    shapes = recorded["shapes"]
    assert shapes["base"][:2] == [1, 8]
    assert len(shapes["base"]) == 3
    assert shapes["masked_lm"] == [1, 9, 30_522]
    assert shapes["sequence_classification"] == [1, 2]
    assert shapes["multiple_choice"] == [1, 2]
    assert shapes["token_classification"] == [1, 8, 2]
    assert shapes["question_start"] == shapes["question_end"] == [1, 14]


def test_recorded_losses_and_answers(recorded):
    assert recorded["expected"] == pytest.approx(math.log(2))
    assert recorded["loss_untrained_classifier"] == pytest.approx(math.log(2), abs=0.35)
    # visible words flatter the loss of a masked language model
    assert 0 < recorded["loss_masked_all_positions"] < recorded["loss_masked_gap_only"]
    assert len(recorded["azure_answer"]) == 1
    assert all(isinstance(word, str) and word for word in recorded["azure_answer"])
    assert len(set(recorded["masked_lm_words"])) == 5
    # the pocket encoder's, or distilbert-base-uncased's
    assert recorded["parameters"] in (17_241_216, 66_362_880)


def test_fill_mask_gives_probabilities_best_first(own, tiny_masked_lm):
    tools = {"tokenizer": base_tokenizer("DistilBERT"), "masked_lm": tiny_masked_lm}
    with torch.no_grad():
        fill_mask = own("fill_mask", **tools)
        shares = [share for _, share in fill_mask("The [MASK] barked.", 30_522)]
        assert fill_mask("No gap here", 5) == fill_mask("no " * 600 + "[MASK]", 5) == []
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def _two_words(text: str, k: int) -> list[tuple[str, float]]:
    if text == "bad":
        raise RuntimeError("<no> model")
    seen = " ".join(text.split()[:512])
    return [("<b>cat", 0.5), ("$x$", 0.25)][:k] if "[MASK]" in seen else []


def test_playground_draws_at_once_and_on_every_change():
    box, slider, shown = explorers.playground(_two_words, "[MASK] sat.", k=2).children
    first = shown.value
    assert "data:image/png;base64," in first
    assert "sat." in first
    slider.value = 1
    assert shown.value != first
    box.value = "A [MASK] ran."
    assert "ran." in shown.value
    with pytest.raises(RuntimeError, match="model"):
        box.value = "bad"
    assert shown.value == "<p>RuntimeError: &lt;no&gt; model</p>"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("<script>alert(1)</script>", "There is no [MASK]"),
        ("<script>x</script> [mask]", "in capitals, no spaces"),
        ("<script>x</script> " + "x " * 600 + "[MASK]", "The text was cut"),
        ("<script>x</script> [MASK] & more", "data:image/png"),
    ],
)
def test_playground_is_friendly_and_escapes_what_it_is_given(text, line):
    box, _, shown = explorers.playground(_two_words, "[MASK]").children
    box.value = text
    assert line in shown.value
    assert "<script" not in shown.value
    assert "&lt;script&gt;" in shown.value
    assert "<b><b>" not in shown.value, "the model's word is escaped too"


@pytest.mark.filterwarnings("error")  # a missing glyph is a warning
def test_bars_draw_any_piece_of_the_vocabulary():
    pieces = ["##ing", "$x$", "中", "ß", "[UNK]"]
    (ax,) = axes(plots.top_words([(piece, 0.1) for piece in pieces]))
    assert words(ax.get_yticklabels()) == ["##ing", "$x$", "U+4E2D", "ß", "[UNK]"]
    assert words(axes(plots.top_words([]))[0].texts) == [plots.NO_MASK]

"""What is special to `02_architecture`: its numbers, its counts, its explorer."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from conftest import ROOT
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertModel,
)

from helpers.architecture.exercises import layer_parameters
from helpers.architecture.explorers import NO_LAYERS, layer_chooser
from helpers.checkpoints import base_tokenizer
from helpers.checkpoints.convert import choose_layers

NOTEBOOK = ROOT / "notebooks" / "02_architecture.ipynb"
BERT, DISTILBERT, DISTILBERT_LAYER = 109_482_240, 66_362_880, 7_087_872
DISTILBERT_EMBEDDINGS = 23_835_648


def test_recorded_layout_is_lossless(recorded):
    assert recorded["layout_max_abs_diff"] < 1e-5
    assert recorded["layout_max_abs_diff_float64"] < 1e-12
    assert max(recorded["layout_max_abs_diff_by_layer"]) < 5e-5
    assert recorded["layout_without_token_types"] > 0.1
    # and the blocks by hand are the library's
    assert recorded["block_max_abs_diff"] < 1e-5
    assert recorded["encoder_max_abs_diff"] < 1e-5


def test_recorded_counts(recorded):
    assert recorded["parameters_bert_full"] == BERT
    assert recorded["parameters_distilbert_full"] == DISTILBERT
    assert round(recorded["size_reduction_full"], 3) == 0.394


def test_recorded_accuracy_falls_with_the_layers(recorded):
    by_choice = recorded["masked_accuracy_by_choice"]
    six, three = by_choice["all layers"], by_choice["every other"]
    assert recorded["masked_accuracy_six_layers"] == pytest.approx(six, abs=1e-4)
    untrained = recorded["masked_accuracy_three_layers_untrained"]
    assert untrained == pytest.approx(three, abs=1e-4)
    assert recorded["masked_accuracy_six_layers"] > untrained
    assert untrained > by_choice["random weights"]
    assert set(recorded["masked_accuracy_without_layer"]) > {"none", "layer 0"}


def test_parts_of_the_full_size_models_add_up(own):
    with torch.device("meta"):  # shapes without contents
        bert, distilbert = BertModel(BertConfig()), DistilBertModel(DistilBertConfig())
    assert distilbert.embeddings.word_embeddings.weight.is_meta
    count = own("count_parts", Counter=Counter, part_of=own("part_of"))
    parts = {BERT: count(bert), DISTILBERT: count(distilbert)}
    for total, layers in ((BERT, 12), (DISTILBERT, 6)):
        inside = [n for part, n in parts[total].items() if part.startswith("layer")]
        assert parts[total].total() == total
        assert len(inside) == 3 * layers
        assert (
            sum(inside)
            == layers * DISTILBERT_LAYER
            == layers * layer_parameters.answer(768, 3072)
        )
    gone = {"pooler", "token type embeddings"}
    assert gone <= set(parts[BERT])
    assert not gone & set(parts[DISTILBERT])
    outside = DISTILBERT - 6 * DISTILBERT_LAYER
    assert outside == DISTILBERT_EMBEDDINGS


@pytest.fixture(scope="module")
def ask(own, tiny_masked_lm):
    """The notebook's own, on four tiny layers."""
    state = tiny_masked_lm.state_dict()

    def thinned(layers: tuple[int, ...]) -> DistilBertForMaskedLM:
        config = DistilBertConfig(
            n_layers=len(layers), dim=32, n_heads=4, hidden_dim=64
        )
        model = DistilBertForMaskedLM(config).eval()
        model.load_state_dict(choose_layers(state, layers))
        return model

    names = {"torch": torch, "tokenizer": base_tokenizer("DistilBERT"), "n_layers": 4}
    tools = {"thinned": thinned, "rough_accuracy": lambda layers: len(layers) / 10}
    device = type("Session", (), {"device": "cpu"})
    return own("ask", workbook=device, **names, **tools)


@pytest.fixture
def explorer(ask):
    box = layer_chooser(ask, 4, [0, 2], "The [MASK] barked.")
    buttons, sentence, picture = box.children
    return list(buttons.children), sentence, picture


def test_another_layer_set_changes_the_picture(explorer):
    buttons, _, picture = explorer
    assert [button.value for button in buttons] == [True, False, True, False]
    before = picture.value
    assert "data:image/png" in before
    assert "layers [0, 2]: masked accuracy 20.0%, answers " in before
    buttons[3].value = True
    assert picture.value != before
    assert "layers [0, 2, 3]" in picture.value
    for button in buttons:
        button.value = False
    assert NO_LAYERS in picture.value
    assert "<img" not in picture.value


def test_layer_sets_give_other_answers(ask):
    one, other = ask([0, 2], "The [MASK] barked."), ask([1, 3], "The [MASK] barked.")
    assert one["all layers"] == other["all layers"]
    assert one["this choice"] != other["this choice"]
    assert one == ask([0, 2], "The [MASK] barked.")


@pytest.mark.filterwarnings("error")
def test_a_sentence_is_escaped_and_needs_a_mask(explorer):
    _, sentence, picture = explorer
    for text, line in [
        (
            "<b>nothing hidden</b>",
            "There is no [MASK] in this text. Write [MASK] where",
        ),
        ("<b>far</b> " * 600 + "[MASK]", "The text was cut"),
    ]:
        sentence.value = text
        assert line in picture.value
        assert "<b>" not in picture.value
    sentence.value = "$<i>the</i> $[MASK] & \\frac{$ ウ"
    assert "data:image/png" in picture.value
    assert "<i>" not in picture.value


def test_a_failure_in_the_callback_is_not_swallowed():
    def broken(layers, text):
        if 1 in layers:
            raise RuntimeError("broken on purpose")
        return {name: (0.1, [("a", 0.5)]) for name in ("all layers", "this choice")}

    buttons, *_ = layer_chooser(broken, 4, [0, 2], "The [MASK] barked.").children
    with pytest.raises(RuntimeError, match="broken on purpose"):
        buttons.children[1].value = True

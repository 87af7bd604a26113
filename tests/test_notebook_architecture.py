"""What is special to `02_architecture`: its numbers, its counts, its explorer."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "02_architecture.ipynb"
BERT, DISTILBERT, DISTILBERT_LAYER = 109_482_240, 66_362_880, 7_087_872
DISTILBERT_EMBEDDINGS = 23_835_648


def test_recorded_layout_is_lossless(recorded):
    assert recorded["layout_max_abs_diff"] < 1e-5
    assert recorded["layout_max_abs_diff_float64"] < 1e-12
    assert max(recorded["layout_max_abs_diff_by_layer"]) < 5e-5
    assert recorded["layout_without_token_types"] > 0.1


def test_recorded_blocks_by_hand_are_the_librarys(recorded):
    assert recorded["block_max_abs_diff"] < 1e-5
    assert recorded["encoder_max_abs_diff"] < 1e-5


def test_recorded_counts(recorded):
    assert recorded["parameters_bert_full"] == BERT
    assert recorded["parameters_distilbert_full"] == DISTILBERT
    assert round(recorded["size_reduction_full"], 3) == 0.394


def test_recorded_accuracy_falls_with_the_layers(recorded):
    by_choice = recorded["masked_accuracy_by_choice"]
    three = recorded["masked_accuracy_three_layers_untrained"]
    assert recorded["masked_accuracy_six_layers"] == pytest.approx(
        by_choice["all layers"], abs=1e-4
    )
    assert recorded["masked_accuracy_six_layers"] > three > by_choice["random weights"]
    assert three == pytest.approx(by_choice["every other"], abs=1e-4)
    assert set(recorded["masked_accuracy_without_layer"]) > {"none", "layer 0"}


@pytest.fixture(scope="module")
def full_size():
    """Both full-size models on the `meta` device: shapes without contents."""
    import torch
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    with torch.device("meta"):
        return BertModel(BertConfig()), DistilBertModel(DistilBertConfig())


def test_full_size_counts(full_size):
    bert, distilbert = full_size
    assert bert.num_parameters() == BERT
    assert distilbert.num_parameters() == DISTILBERT
    assert distilbert.embeddings.word_embeddings.weight.is_meta
    layer, embeddings = distilbert.transformer.layer[0], distilbert.embeddings
    assert sum(tensor.numel() for tensor in layer.parameters()) == DISTILBERT_LAYER
    assert (
        sum(tensor.numel() for tensor in embeddings.parameters())
        == DISTILBERT_EMBEDDINGS
    )


def test_parts_add_up(full_size):
    from helpers.architecture.counting import count_parts, counts_table

    counts = {
        name: count_parts(model) for name, model in zip("ab", full_size, strict=True)
    }
    assert [parts.total() for parts in counts.values()] == [BERT, DISTILBERT]
    table = counts_table(counts)
    assert table["total"] == [BERT, DISTILBERT]
    assert table["all layers"] == [12 * DISTILBERT_LAYER, 6 * DISTILBERT_LAYER]
    assert table["pooler"][1] == table["token type embeddings"][1] == 0
    parts = [column for part, column in table.items() if part != "total"]
    assert [sum(column) for column in zip(*parts, strict=True)] == [BERT, DISTILBERT]


def test_layer_exercise_knows_the_full_size_layer():
    from helpers.architecture.exercises import layer_parameters

    assert layer_parameters.answer(768, 3072) == DISTILBERT_LAYER


@pytest.fixture(scope="module")
def trial():
    """The explorer's engine on a model of four tiny layers with the real vocabulary."""
    import torch
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    from helpers.architecture.explorers import LayerTrial
    from helpers.checkpoints import base_tokenizer
    from helpers.checkpoints.convert import choose_layers

    def config(n_layers: int) -> DistilBertConfig:
        return DistilBertConfig(n_layers=n_layers, dim=32, n_heads=4, hidden_dim=64)

    torch.manual_seed(0)
    state = {
        name: t * 5 for name, t in DistilBertForMaskedLM(config(4)).state_dict().items()
    }

    def build(layers: list[int]) -> DistilBertForMaskedLM:
        model = DistilBertForMaskedLM(config(len(layers)))
        model.load_state_dict(choose_layers(state, layers))
        return model

    return LayerTrial(
        build, base_tokenizer("DistilBERT"), ["The sea was calm that night."], 4
    )


@pytest.fixture
def explorer(trial):
    from helpers.architecture.explorers import layer_chooser

    box = layer_chooser(trial, [0, 2], "The [MASK] barked.")
    buttons, sentence, picture = box.children
    return list(buttons.children), sentence, picture


def test_another_layer_set_changes_the_picture(explorer):
    buttons, _, picture = explorer
    assert [button.value for button in buttons] == [True, False, True, False]
    before = picture.value
    assert "data:image/png" in before
    assert "layers [0, 2]" in before
    buttons[3].value = True
    assert picture.value != before
    assert "layers [0, 2, 3]" in picture.value
    buttons[3].value = False
    assert "layers [0, 2]" in picture.value


def test_layer_sets_give_other_answers(trial):
    text = "The [MASK] barked."
    assert trial.answers([0, 2], text) != trial.answers([1, 3], text)
    assert trial.answers([0, 2], text) == trial.answers([0, 2], text)


def test_no_layer_gives_a_friendly_line(explorer):
    from helpers.architecture.explorers import NO_LAYERS

    buttons, _, picture = explorer
    for button in buttons:
        button.value = False
    assert NO_LAYERS in picture.value
    assert "<img" not in picture.value


@pytest.mark.filterwarnings("error")
def test_a_sentence_is_escaped_and_needs_a_mask(explorer):
    _, sentence, picture = explorer
    sentence.value = "<b>nothing hidden</b>"
    assert "[MASK]" in picture.value
    assert "<b>" not in picture.value
    sentence.value = "$<i>the</i> $[MASK] & \\frac{$ ウ"
    assert "data:image/png" in picture.value
    assert "<i>" not in picture.value


def test_a_failure_in_the_callback_is_not_swallowed(trial, monkeypatch, explorer):
    buttons, _, _ = explorer

    def broken(*_):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(type(trial), "figure", broken)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        buttons[1].value = True

"""The move from BERT to DistilBERT loses nothing, on real weights."""

import copy

import pytest
import torch
from transformers import DistilBertForMaskedLM

from helpers.checkpoints import distilbert_config
from helpers.checkpoints.convert import (
    bert_to_distilbert,
    choose_layers,
    count_layers,
    distilbert_name,
)

TEXTS = ["Hello, my dog is cute", "The capital of France is [MASK].", "Rain."]
POSITIONS = "embeddings.position_embeddings.weight"


@pytest.fixture(scope="module")
def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


@torch.inference_mode()
def outputs(model, batch):
    asked = (batch["input_ids"], batch["attention_mask"])
    return model(*asked, output_hidden_states=True)


def opened(state, config):
    model = DistilBertForMaskedLM(distilbert_config(config, count_layers(state)))
    model.to(state[f"distilbert.{POSITIONS}"].dtype).load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize(
    ("dtype", "hidden_bound", "last_bound"),
    # float32 rounds the folded position rows; in float64 nothing is left
    [(torch.float64, 1e-12, 1e-12), (torch.float32, 3e-5, 1e-5)],
)
def test_every_hidden_state_and_logit_equals_berts(
    bert_model, batch, dtype, hidden_bound, last_bound
):
    teacher = copy.deepcopy(bert_model).to(dtype)
    mine = opened(bert_to_distilbert(teacher.state_dict()), teacher.config)
    theirs, ours = outputs(teacher, batch), outputs(mine, batch)
    real = batch["attention_mask"].bool()
    pairs = zip(theirs.hidden_states, ours.hidden_states, strict=True)
    gaps = [(a - b)[real].abs().max().item() for a, b in pairs]
    assert len(gaps) == bert_model.config.num_hidden_layers + 1
    assert max(gaps) < hidden_bound
    assert gaps[-1] < last_bound
    assert (theirs.logits - ours.logits)[real].abs().max() < 20 * last_bound


def test_without_the_token_type_row_it_would_not(bert_model, batch):
    state = bert_to_distilbert(bert_model.state_dict())
    row = bert_model.state_dict()["bert.embeddings.token_type_embeddings.weight"][0]
    state[f"distilbert.{POSITIONS}"] -= row
    mine = outputs(opened(state, bert_model.config), batch).hidden_states[-1]
    gap = mine - outputs(bert_model, batch).hidden_states[-1]
    assert gap.abs().max() > 1e-2


def test_the_state_dict_given_is_left_as_it_was(bert_model):
    before = bert_model.state_dict()[f"bert.{POSITIONS}"].clone()
    bert_to_distilbert(bert_model.state_dict())
    assert torch.equal(before, bert_model.state_dict()[f"bert.{POSITIONS}"])


def test_chosen_layers_are_the_teachers_own(bert_model):
    state = bert_to_distilbert(bert_model.state_dict())
    chosen = choose_layers(state, [4, 1])
    assert count_layers(chosen) == 2
    name = "distilbert.transformer.layer.{}.ffn.lin1.weight"
    assert torch.equal(chosen[name.format(0)], state[name.format(4)])
    assert torch.equal(chosen[name.format(1)], state[name.format(1)])


@pytest.mark.parametrize("layers", [[0, 6], [-1], []])
def test_layers_that_are_not_there_are_refused(bert_model, layers):
    with pytest.raises(ValueError, match=r"has layers \[0, 1, 2, 3, 4, 5\]"):
        choose_layers(bert_model.state_dict(), layers)


def test_every_name_of_bert_has_one_in_distilbert(bert_model):
    state = bert_to_distilbert(bert_model.state_dict())
    ours = opened(state, bert_model.config).state_dict().keys()
    theirs = {distilbert_name(name) for name in bert_model.state_dict()}
    left_out = {n for n in theirs if "token_type" in n or "position_ids" in n}
    mine = {name for name in ours if "position_ids" not in name}
    assert theirs - left_out == mine | {"vocab_projector.bias"}

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


@pytest.fixture(scope="module")
def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


@torch.inference_mode()
def outputs(model, batch):
    return model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        output_hidden_states=True,
    )


def relaid(bert_model, layers=None):
    state = bert_to_distilbert(bert_model.state_dict())
    state = choose_layers(state, layers) if layers else state
    model = DistilBertForMaskedLM(
        distilbert_config(bert_model.config, count_layers(state))
    )
    model.to(bert_model.dtype).load_state_dict(state)
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
    theirs, ours = outputs(teacher, batch), outputs(relaid(teacher), batch)
    real = batch["attention_mask"].bool()
    gaps = [
        (a - b)[real].abs().max().item()
        for a, b in zip(theirs.hidden_states, ours.hidden_states, strict=True)
    ]
    assert len(gaps) == bert_model.config.num_hidden_layers + 1
    assert max(gaps) < hidden_bound
    assert gaps[-1] < last_bound
    assert (theirs.logits - ours.logits)[real].abs().max() < 20 * last_bound


def test_without_the_token_type_row_it_would_not(bert_model, batch):
    state = bert_to_distilbert(bert_model.state_dict())
    row = bert_model.state_dict()["bert.embeddings.token_type_embeddings.weight"][0]
    state["distilbert.embeddings.position_embeddings.weight"] -= row
    model = DistilBertForMaskedLM(
        distilbert_config(bert_model.config, count_layers(state))
    )
    model.load_state_dict(state)
    gap = (
        outputs(model.eval(), batch).hidden_states[-1]
        - outputs(bert_model, batch).hidden_states[-1]
    )
    assert gap.abs().max() > 1e-2


def test_the_state_dict_given_is_left_as_it_was(bert_model):
    name = "bert.embeddings.position_embeddings.weight"
    before = bert_model.state_dict()[name].clone()
    bert_to_distilbert(bert_model.state_dict())
    assert torch.equal(before, bert_model.state_dict()[name])


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
    ours = relaid(bert_model).state_dict().keys()
    theirs = {distilbert_name(name) for name in bert_model.state_dict()}
    left_out = {
        name for name in theirs if "token_type" in name or "position_ids" in name
    }
    assert theirs - left_out == {n for n in ours if "position_ids" not in n} | {
        "vocab_projector.bias"
    }

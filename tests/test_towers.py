"""Two towers: the same as a plain restatement, and blind to padding."""

import pytest
import torch
from torch.nn import functional

from helpers.training.bi_encoder import SHARPNESS, Towers, sentence_vectors

TEXTS = [
    "The lift was silent.",
    "Nobody spoke in the lift at all.",
    "Rye bread keeps longer.",
]


@pytest.fixture(scope="module")
def encoder(distilbert_model):
    return distilbert_model.distilbert


@pytest.fixture(scope="module")
def batch(tokenizer):
    return tokenizer(
        TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False
    )


@torch.no_grad()
def plain(encoder, tokenizer, text):
    """One text, unpadded: the mean of its hidden states, of length 1."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    mean = encoder(ids).last_hidden_state[0].mean(0)
    return mean / mean.norm()


@torch.no_grad()
def test_padding_does_not_change_a_vector(encoder, tokenizer, batch):
    vectors = sentence_vectors(encoder, **batch)
    expected = torch.stack([plain(encoder, tokenizer, text) for text in TEXTS])
    assert torch.allclose(vectors, expected, atol=1e-5)


@torch.no_grad()
def test_choices_are_scored_by_their_cosines(encoder, tokenizer, batch):
    given = {
        name: ids[None] for name, ids in batch.items()
    }  # (1, 3, S): a text, two choices
    first, *others = (plain(encoder, tokenizer, text) for text in TEXTS)
    expected = SHARPNESS * torch.stack([first @ other for other in others])[None]
    output = Towers(encoder)(**given, labels=torch.tensor([1]))
    assert torch.allclose(output["logits"], expected, atol=1e-4)
    assert torch.allclose(output["loss"], -expected.log_softmax(-1)[0, 1], atol=1e-4)
    assert expected.argmax() == 0, "the two on the lift are the more alike"


@torch.no_grad()
def test_pairs_are_scored_on_the_scale_of_their_labels(encoder, tokenizer, batch):
    given = {name: ids[None, :2] for name, ids in batch.items()}  # (1, 2, S)
    cosine = plain(encoder, tokenizer, TEXTS[0]) @ plain(encoder, tokenizer, TEXTS[1])
    output = Towers(encoder, top=5.0)(**given, labels=torch.tensor([4.0]))
    assert output["logits"].shape == (1,)
    assert output["logits"].item() == pytest.approx(5 * cosine.item(), abs=1e-4)
    expected = functional.mse_loss(cosine, torch.tensor(0.8))
    assert output["loss"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert "loss" not in Towers(encoder, top=5.0)(**given)

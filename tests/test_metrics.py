"""Masked accuracy means what it says."""

import math

import pytest
import torch

from helpers.training.metrics import masked_accuracy, masked_logits, pseudo_perplexity

TEXTS = ["The river runs through the old town.", "Rain fell all day."] * 8


def test_logits_at_chosen_positions_equal_those_of_the_whole_model(
    bert_model, distilbert_model, tokenizer
):
    batch = tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
    wanted = batch["attention_mask"].bool()
    inputs = {k: batch[k] for k in ("input_ids", "attention_mask")}
    for model in (bert_model, distilbert_model):
        with torch.inference_mode():
            whole = model(**inputs).logits[wanted]
            assert torch.allclose(masked_logits(model, batch, wanted), whole, atol=1e-4)


@pytest.mark.parametrize(("knows", "accuracy"), [(True, 1.0), (False, 0.0)])
def test_whoever_knows_the_answers_scores_one_and_a_constant_guess_nothing(
    tokenizer, bert_model, monkeypatch, knows, accuracy
):
    def logits(model, batch, wanted):
        answers = batch["labels"][wanted]
        best = answers if knows else torch.zeros_like(answers)
        return torch.nn.functional.one_hot(best, tokenizer.vocab_size).float() * 50

    monkeypatch.setattr("helpers.training.metrics.masked_logits", logits)
    result = masked_accuracy(bert_model, tokenizer, TEXTS, seed=3)
    assert result["accuracy"] == accuracy
    assert (result["loss"] < 1e-6) is knows


def test_the_seed_fixes_the_draw_and_maskings_add_targets(bert_model, tokenizer):
    once = masked_accuracy(bert_model, tokenizer, TEXTS, seed=1)
    again = masked_accuracy(bert_model, tokenizer, TEXTS, seed=1)
    assert once == again
    more = masked_accuracy(bert_model, tokenizer, TEXTS, seed=1, maskings=3)
    assert more["targets"] > 2 * once["targets"]


def test_no_text_is_an_error(bert_model, tokenizer):
    with pytest.raises(ValueError, match="at least one text"):
        masked_accuracy(bert_model, tokenizer, [])


def test_pseudo_perplexity_is_that_of_one_mask_at_a_time(distilbert_model, tokenizer):
    texts = ["The river runs through the old town.", "Rain fell."]
    ours = pseudo_perplexity(distilbert_model, tokenizer, texts, batch_size=3)
    theirs = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        for place in range(1, ids.shape[1] - 1):
            hidden = ids.clone()
            hidden[0, place] = tokenizer.mask_token_id
            with torch.inference_mode():
                logits = distilbert_model(hidden).logits[0, place]
            theirs.append(-logits.log_softmax(-1)[ids[0, place]].item())
    flat = [nats for row in ours["surprises"] for nats in row]
    assert flat == pytest.approx(theirs, abs=1e-4)
    assert [len(row) for row in ours["surprises"]] == [8, 3]
    assert ours["tokens"] == 11
    mean = sum(theirs) / len(theirs)
    assert ours["pseudo_perplexity"] == pytest.approx(math.exp(mean), rel=1e-4)


@pytest.mark.parametrize("knows", [True, False])
def test_pseudo_perplexity_of_who_knows_all_and_of_who_knows_nothing(
    tokenizer, bert_model, monkeypatch, knows
):
    text = "The river runs."
    answers = tokenizer(text)["input_ids"][1:-1]

    def logits(model, batch, wanted):
        assert (batch["input_ids"] == tokenizer.mask_token_id).sum(1).tolist() == [
            1
        ] * len(answers)
        rows = torch.nn.functional.one_hot(
            torch.tensor(answers), tokenizer.vocab_size
        ).float()
        return rows * (100 if knows else 0)

    monkeypatch.setattr("helpers.training.metrics.masked_logits", logits)
    result = pseudo_perplexity(bert_model, tokenizer, [text])
    expected = 1 if knows else tokenizer.vocab_size
    assert result["pseudo_perplexity"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("texts", [[], [""], ["Rain fell.", "  "]])
def test_pseudo_perplexity_needs_tokens(bert_model, tokenizer, texts):
    with pytest.raises(ValueError, match="at least one token"):
        pseudo_perplexity(bert_model, tokenizer, texts)

"""Masked accuracy means what it says."""

import pytest
import torch

from helpers.metrics import masked_accuracy, masked_logits

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

    monkeypatch.setattr("helpers.metrics.masked_logits", logits)
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

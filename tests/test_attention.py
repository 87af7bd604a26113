"""Attention as arrays: the library's, blind to padding; heads that are switched off."""

import numpy as np
import pytest
import torch

from helpers.attention import maps
from helpers.core.errors import WorkbookError

TEXTS = [
    "The lift was silent.",
    "Nobody spoke in the lift, and the lift spoke to nobody.",
    "Rye.",
]
PAIR = ("Who spoke?", "Nobody spoke in the lift.")


@pytest.fixture(params=["bert", "distilbert"])
def model(request):
    return request.getfixturevalue(f"{request.param}_model")


@pytest.fixture(scope="module")
def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


def test_rollout_multiplies_the_layers_with_their_residuals():
    weights = np.random.default_rng(0).random((3, 2, 5, 5)) ** 3
    weights /= weights.sum(-1, keepdims=True)
    expected, places = np.eye(5), range(5)
    for layer in weights:
        mixed = [
            [(layer[:, i, j].mean() + (i == j)) / 2 for j in places] for i in places
        ]
        expected = [
            [sum(mixed[i][k] * expected[k][j] for k in places) for j in places]
            for i in places
        ]
    assert np.allclose(maps.rollout(weights), expected)
    assert np.allclose(maps.rollout(weights).sum(-1), 1)
    identity = np.broadcast_to(np.eye(5), (3, 2, 5, 5))
    assert np.array_equal(maps.rollout(identity), np.eye(5))


def test_maps_are_the_librarys_and_rows_sum_to_one(model, batch):
    weights = maps.maps(model, batch)
    real = batch["attention_mask"].bool()
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    assert weights.shape == (layers, 3, heads, *real.shape[1:], *real.shape[1:])
    assert weights.dtype == torch.float32
    sums = weights.sum(-1).transpose(2, 3)  # (layers, B, S, heads)
    assert torch.allclose(sums[:, real], torch.tensor(1.0), atol=1e-5)
    assert not weights.transpose(2, 3)[:, ~real].any(), "a padded query has no row"
    assert not weights.permute(0, 1, 4, 2, 3)[:, ~real].any(), (
        "a padded key is not looked at"
    )
    with maps.eager(model), torch.no_grad():
        own = model(**fitting(model, batch), output_attentions=True).attentions
    for b, length in enumerate(real.sum(1).tolist()):
        expected = torch.stack(own)[:, b, :, :length, :length]
        assert torch.equal(weights[:, b, :, :length, :length], expected)


def fitting(model, batch):
    return {
        k: v
        for k, v in batch.items()
        if k != "token_type_ids" or "Distil" not in str(model)
    }


def test_the_bare_encoder_gives_the_same(model, batch):
    assert torch.equal(maps.maps(model, batch), maps.maps(model.base_model, batch))


def test_the_model_is_left_as_it_was(model, batch):
    implementation = model.config._attn_implementation
    assert implementation != "eager", "else this test shows nothing"
    model.train()
    frozen = next(m for m in model.modules() if isinstance(m, torch.nn.Dropout)).eval()
    try:
        again = [maps.maps(model, batch) for _ in range(2)]
        assert torch.equal(*again), "dropout was on"
        assert model.training
        assert not frozen.training
    finally:
        model.eval()
    with pytest.raises(ValueError, match=r"^eager$"), maps.eager(model):
        raise ValueError(model.config._attn_implementation)
    assert model.config._attn_implementation == implementation


def test_padding_changes_nothing(model, tokenizer, batch):
    weights, (queries, keys) = (
        maps.maps(model, batch),
        maps.queries_and_keys(model, batch),
    )
    for b, text in enumerate(TEXTS):
        alone = maps.read(model, tokenizer, text)
        size = len(alone.tokens)
        assert np.allclose(weights[:, b, :, :size, :size], alone.weights, atol=1e-5)
        assert np.allclose(queries[:, b, :, :size], alone.queries, atol=1e-4)
        assert np.allclose(keys[:, b, :, :size], alone.keys, atol=1e-4)


def test_queries_and_keys_make_the_maps(model, tokenizer):
    """By hand it is the same to a millionth."""
    sentence = maps.read(model, tokenizer, TEXTS[1])
    scores = sentence.queries @ sentence.keys.swapaxes(-1, -2) / 32**0.5
    weights = torch.from_numpy(scores).softmax(-1).numpy()
    assert np.abs(weights - sentence.weights).max() < 1e-6


@torch.no_grad()
def test_a_head_that_is_ablated_is_a_slice_of_zero_weights(model, batch):
    given, size = fitting(model, batch), model.config.hidden_size // 12
    intact = model(**given).logits
    last = model.config.num_hidden_layers - 1
    gone = {0: [3], last: [0, 11]}
    pairs = [(layer, head) for layer, heads in gone.items() for head in heads]
    with maps.without_heads(model, pairs):
        ablated = model(**given).logits
    assert torch.equal(model(**given).logits, intact), "a hook is left behind"
    weights, state = model.state_dict(), {}
    for layer, heads in gone.items():
        name = {"bert": "output.dense", "distilbert": "out_lin"}[
            model.config.model_type
        ]
        (key,) = [k for k in weights if f"layer.{layer}.attention.{name}.weight" in k]
        state[key] = weights[key].clone()
        for head in heads:
            state[key][:, head * size : (head + 1) * size] = 0
    zeroed = torch.func.functional_call(model, state, kwargs=given).logits
    assert torch.equal(ablated, zeroed)
    real = given["attention_mask"].bool()
    assert (ablated - intact)[real].abs().max() > 0.1


def test_heads_above_the_ablated_ones_see_it_and_those_below_do_not(model, batch):
    intact = maps.maps(model, batch)
    with maps.without_heads(model, [(1, head) for head in range(12)]):
        ablated = maps.maps(model, batch)
    assert torch.equal(ablated[:2], intact[:2]), (
        "weights are made before the output is silenced"
    )
    assert (ablated[2] - intact[2]).abs().max() > 0.01


def test_ablation_leaves_no_hook_when_something_raises(model):
    before, layers = hooks(model), range(model.config.num_hidden_layers)
    with (
        pytest.raises(ValueError, match=f"^{before + 1}$"),
        maps.without_heads(model, [(0, 1)]),
    ):
        raise ValueError(hooks(model))
    for wrong, message in (
        ([(9, 0)], rf"no layer 9: the model has layers 0 to {len(layers) - 1}"),
        ([(0, 0), (0, 12)], "no head 12: the model has heads 0 to 11"),
        ([(0, -1)], "no head -1"),
    ):
        with (
            pytest.raises(WorkbookError, match=message),
            maps.without_heads(model, wrong),
        ):
            pass
    assert hooks(model) == before


def hooks(model):
    return sum(
        len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()
    )


def test_reading_a_sentence(model, tokenizer):
    sentence = maps.read(model, tokenizer, "Hello, [world]!")
    assert sentence.tokens == ["[CLS]", "hello", ",", "[", "world", "]", "!", "[SEP]"]
    assert sentence.weights.shape[1:] == (12, 8, 8)
    assert sentence.second is None
    assert len(maps.read(model, tokenizer, "word " * 50, max_length=20).tokens) == 20


def test_reading_a_pair(bert_model, distilbert_model, tokenizer):
    sentence = maps.read(bert_model, tokenizer, *PAIR)
    assert sentence.tokens[: sentence.second] == ["[CLS]", "who", "spoke", "?", "[SEP]"]
    typed = maps.maps(bert_model, tokenizer(*PAIR, return_tensors="pt"))[:, 0]
    assert np.allclose(sentence.weights, typed, atol=1e-6), (
        "BERT is told which text is which"
    )
    untyped = {
        k: v
        for k, v in tokenizer(*PAIR, return_tensors="pt").items()
        if "type" not in k
    }
    assert not np.allclose(maps.maps(bert_model, untyped)[:, 0], typed, atol=1e-3)
    assert maps.read(distilbert_model, tokenizer, *PAIR).second == 5


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("",), "the text is empty"),
        (("\u200b ",), "the text is"),
        (("a", " "), "the second text"),
    ],
)
def test_a_text_without_a_word_is_refused(distilbert_model, tokenizer, texts, message):
    with pytest.raises(WorkbookError, match=message):
        maps.read(distilbert_model, tokenizer, *texts)


def test_wrong_input_gets_one_clear_line(
    distilbert_model, tokenizer, batch, monkeypatch
):
    with pytest.raises(WorkbookError, match="attention_mask"):
        maps.maps(distilbert_model, {"input_ids": batch["input_ids"]})
    with pytest.raises(
        WorkbookError, match="Linear is neither a BERT nor a DistilBERT"
    ):
        maps.maps(torch.nn.Linear(2, 2), batch)
    # what SDPA does today, should "eager" ever be refused
    monkeypatch.setattr(
        distilbert_model.distilbert, "set_attn_implementation", lambda name: None
    )
    with pytest.raises(WorkbookError, match="gave no attention maps"):
        maps.maps(distilbert_model, batch)

"""Attention as arrays: the same as brute force, as the library's, and blind to
padding.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from helpers.attention import maps, patterns
from helpers.core.errors import WorkbookError

TEXTS = [
    "The lift was silent.",
    "Nobody spoke in the lift, and the lift spoke to nobody.",
    "Rye.",
]
PAIRS = [("Who spoke?", "Nobody spoke in the lift."), ("Is it rye?", "Yes, rye.")]
PATTERNS = ["next", "previous", "itself", "[CLS]", "[SEP]", "same word"]
PAD, CLS, SEP = 0, 1, 2


@pytest.fixture(params=["bert", "distilbert"])
def model(request, bert_model, distilbert_model):
    return {"bert": bert_model, "distilbert": distilbert_model}[request.param]


@pytest.fixture(scope="module")
def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


def random_weights(*shape, real=None):
    """Rows that sum to 1 over real keys; zero where a query is padding."""
    weights = np.random.default_rng(0).random(shape) ** 3
    if real is not None:
        weights = weights * (real[:, None, :, None] & real[:, None, None, :])
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-30)


# --- arithmetic
# -----------------------------------------------------------------------------------


def test_entropy_counts_bits_and_takes_nothing_for_zero():
    rows = random_weights(2, 3, 4, 4)
    rows[0, 0, 0] = [1, 0, 0, 0]
    rows[0, 0, 1] = 0.25
    expected = [
        -sum(w * math.log2(w) for w in row if w > 0) for row in rows.reshape(-1, 4)
    ]
    assert np.allclose(patterns.entropy(rows).ravel(), expected)
    assert patterns.entropy(rows)[0, 0, :2].tolist() == [0, 2]


def test_rollout_multiplies_the_layers_with_their_residuals():
    weights = random_weights(3, 2, 5, 5)
    expected = np.eye(5)
    for layer in range(3):
        mixed = np.array(
            [
                [(weights[layer, :, i, j].mean() + (i == j)) / 2 for j in range(5)]
                for i in range(5)
            ]
        )
        expected = np.array(
            [
                [sum(mixed[i, k] * expected[k, j] for k in range(5)) for j in range(5)]
                for i in range(5)
            ]
        )
    assert np.allclose(patterns.rollout(weights), expected)
    assert np.allclose(patterns.rollout(weights).sum(-1), 1)
    identity = np.broadcast_to(np.eye(5), (3, 2, 5, 5))
    assert np.array_equal(patterns.rollout(identity), np.eye(5))


IDS = np.array([[CLS, 7, 8, 7, SEP, 8, 9, SEP], [CLS, 9, 9, SEP, PAD, PAD, PAD, PAD]])
REAL = IDS != PAD
SIDES = np.array([[-1, 0, 0, 0, -1, 1, 1, -1], [-1, 0, 0, -1, -1, -1, -1, -1]])


def counts(name, row, query, key):
    """Whether `key` counts for `query`, said once more and one pair at a time."""
    ids = IDS[row]
    if ids[query] <= SEP:
        return False
    if name in ("[CLS]", "[SEP]"):
        return bool(ids[key] == {"[CLS]": CLS, "[SEP]": SEP}[name])
    if ids[key] <= SEP:
        return False
    return {
        "next": key == query + 1,
        "previous": key == query - 1,
        "itself": key == query,
        "same word": key != query and ids[key] == ids[query],
        "other text": SIDES[row, key] != SIDES[row, query],
    }[name]


def found():
    marks = {"[CLS]": CLS, "[SEP]": SEP}
    return patterns.places(IDS, REAL, [PAD, CLS, SEP], marks, SIDES)


def test_patterns_are_those_of_plain_loops():
    weights = random_weights(2, 2, 3, 8, 8, real=REAL)  # (layers, B, heads, S, S)
    measured = patterns.patterns(weights, found(), REAL)
    assert list(measured) == [*PATTERNS, "other text"]
    for name, pattern in measured.items():
        total, chance, tokens = np.zeros((2, 3)), 0.0, 0
        for row, query in itertools.product(range(2), range(8)):
            keys = [key for key in range(8) if counts(name, row, query, key)]
            if keys:
                total += weights[:, row, :, query, keys].sum(0)
                chance += len(keys) / REAL[row].sum()
                tokens += 1
        assert pattern.tokens == tokens
        assert np.allclose(pattern.weight, total / tokens)
        assert pattern.chance == pytest.approx(chance / tokens)


def test_even_attention_is_at_chance_in_every_pattern():
    even = np.ones((1, 2, 1, 8, 8)) * (REAL[:, None, :, None] & REAL[:, None, None, :])
    even = even / np.maximum(even.sum(-1, keepdims=True), 1)
    for pattern in patterns.patterns(even, found(), REAL).values():
        assert pattern.times_chance == pytest.approx(1)


def test_a_pattern_that_cannot_be_is_left_out():
    one = patterns.places(
        np.array([[CLS, 7, SEP]]), np.ones((1, 3)), [CLS, SEP], {"[CLS]": CLS}
    )
    measured = patterns.patterns(random_weights(1, 1, 1, 3, 3), one, np.ones((1, 3)))
    assert list(measured) == ["itself", "[CLS]"]


def test_layers_are_compared_by_the_jensen_shannon_distance():
    teacher, student = (random_weights(n, 2, 3, 8, 8, real=REAL) for n in (3, 2))
    student[0] = teacher[1]
    expected = np.zeros((3, 2))
    for t, s in itertools.product(range(3), range(2)):
        rows = [
            (teacher[t, b, :, q].mean(0), student[s, b, :, q].mean(0))
            for b, q in zip(*np.nonzero(REAL), strict=True)
        ]
        expected[t, s] = 1 - np.mean([jensenshannon(p, q, base=2) for p, q in rows])
    alike = patterns.resemblance(teacher, student)
    assert np.allclose(alike, expected, atol=1e-7)
    assert alike[1, 0] == 1
    assert alike[:, 0].argmax() == 1
    with pytest.raises(ValueError, match="not the same batch"):
        patterns.resemblance(teacher, student[..., :7, :7])


def test_cka_is_blind_to_turning_and_scale():
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(40, 6)), rng.normal(size=(40, 9))
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert patterns.cka(one, 3 * one @ turn + 5) == pytest.approx(1)
    centre = np.eye(40) - 1 / 40  # the definition, by Gram matrices
    k, m = (centre @ x @ x.T @ centre for x in (one, other))
    hsic = (k * m).sum() / math.sqrt((k * k).sum() * (m * m).sum())
    assert patterns.cka(one, other) == pytest.approx(hsic)
    assert patterns.cka(one, other) < 0.5
    with pytest.raises(ValueError, match="same tokens"):
        patterns.cka(one, other[:39])


# --- models
# ---------------------------------------------------------------------------------------


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


def test_by_hand_is_the_same_to_a_millionth(model, batch):
    weights = maps.maps(model, batch)
    for layer, expected in enumerate(weights):
        assert (maps.by_hand(model, batch, layer) - expected).abs().max() < 1e-6
    with pytest.raises(WorkbookError, match=rf"no layer {len(weights)}: .* 0 to"):
        maps.by_hand(model, batch, len(weights))


def test_padding_changes_nothing(model, tokenizer, batch):
    weights, vectors = maps.maps(model, batch), maps.hidden(model, batch)
    done = 0
    for b, text in enumerate(TEXTS):
        alone = maps.read(model, tokenizer, text)
        size = len(alone.tokens)
        assert np.allclose(weights[:, b, :, :size, :size], alone.weights, atol=1e-5)
        own = maps.hidden(model, tokenizer(text, return_tensors="pt"))
        assert torch.allclose(vectors[:, done : done + size], own, atol=1e-4)
        done += size
    assert vectors.shape == (1 + len(weights), done, model.config.hidden_size)


def test_hidden_ends_with_what_the_encoder_gives(model, batch):
    with torch.no_grad():
        last = model.base_model(**fitting(model, batch)).last_hidden_state
    kept = last[batch["attention_mask"].bool()]
    assert torch.allclose(maps.hidden(model, batch)[-1], kept, atol=1e-5)


@torch.no_grad()
def test_a_head_that_is_ablated_is_a_slice_of_zero_weights(model, batch):
    given, size = fitting(model, batch), model.config.hidden_size // 12
    intact = model(**given).logits
    gone = {0: [3], model.config.num_hidden_layers - 1: [0, 11]}
    with maps.without_heads(model, gone):
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
    with maps.without_heads(model, {1: range(12)}):
        ablated = maps.maps(model, batch)
    assert torch.equal(ablated[:2], intact[:2]), (
        "weights are made before the output is silenced"
    )
    assert (ablated[2] - intact[2]).abs().max() > 0.01


def test_ablation_leaves_no_hook_when_something_raises(model):
    before = hooks(model)
    with (
        pytest.raises(ValueError, match=f"^{before + 1}$"),
        maps.without_heads(model, {0: [1]}),
    ):
        raise ValueError(hooks(model))
    for wrong, message in (
        ({9: [0]}, "no layer 9"),
        ({0: [12]}, "no head 12"),
        ({0: [-1]}, "-1"),
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
    sentence = maps.read(bert_model, tokenizer, *PAIRS[0])
    assert sentence.tokens[: sentence.second] == ["[CLS]", "who", "spoke", "?", "[SEP]"]
    typed = maps.maps(bert_model, tokenizer(*PAIRS[0], return_tensors="pt"))[:, 0]
    assert np.allclose(sentence.weights, typed, atol=1e-6), (
        "BERT is told which text is which"
    )
    untyped = {
        k: v
        for k, v in tokenizer(*PAIRS[0], return_tensors="pt").items()
        if "type" not in k
    }
    assert not np.allclose(maps.maps(bert_model, untyped)[:, 0], typed, atol=1e-3)
    assert maps.read(distilbert_model, tokenizer, *PAIRS[0]).second == 5


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


def test_measuring_does_not_depend_on_the_batches(model, tokenizer):
    told = []
    whole = maps.measure(model, tokenizer, TEXTS, progress=told.append)
    single = maps.measure(model, tokenizer, TEXTS, batch_size=1)
    assert told == [3]
    assert list(whole) == PATTERNS
    for name, pattern in whole.items():
        assert pattern.tokens == single[name].tokens
        assert pattern.chance == pytest.approx(single[name].chance)
        assert np.allclose(pattern.weight, single[name].weight, atol=1e-5)
    words = tokenizer.tokenize(" ".join(TEXTS))
    assert whole["itself"].tokens == len(words)
    assert whole["next"].tokens == len(words) - len(TEXTS)
    assert whole["same word"].tokens == 8, (
        "nobody, spoke, the, lift, twice each in one text"
    )


def test_some_head_attends_to_a_neighbour(bert_model, tokenizer):
    measured = maps.measure(bert_model, tokenizer, TEXTS)
    assert (
        measured["previous"].times_chance.max() > 5
        or measured["next"].times_chance.max() > 5
    )


def test_pairs_have_another_text(bert_model, tokenizer):
    other = maps.measure(bert_model, tokenizer, PAIRS)["other text"]
    words = sum(len(tokenizer.tokenize(text)) for pair in PAIRS for text in pair)
    assert other.tokens == words
    assert other.weight.shape == (6, 12)


def test_wrong_input_gets_one_clear_line(
    distilbert_model, tokenizer, batch, monkeypatch
):
    with pytest.raises(WorkbookError, match="attention_mask"):
        maps.maps(distilbert_model, {"input_ids": batch["input_ids"]})
    with pytest.raises(
        WorkbookError, match="Linear is neither a BERT nor a DistilBERT"
    ):
        maps.maps(torch.nn.Linear(2, 2), batch)
    for texts in ([], ["one", ("a", "b")]):
        with pytest.raises(WorkbookError, match="all texts or all pairs"):
            maps.measure(distilbert_model, tokenizer, texts)
    # what SDPA does today, should "eager" ever be refused
    monkeypatch.setattr(
        distilbert_model.distilbert, "set_attn_implementation", lambda name: None
    )
    with pytest.raises(WorkbookError, match="gave no attention maps"):
        maps.maps(distilbert_model, batch)

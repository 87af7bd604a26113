"""No padding inside, the same outputs outside; the silently wrong ways are caught."""

import copy
from unittest import mock

import pytest
import torch
import transformers
from conftest import HEADS
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.attention import varlen
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DataCollatorWithFlattening

from helpers import checkpoints
from helpers.core.errors import WorkbookError
from helpers.flash_attention import unpadded
from helpers.flash_attention.unpadded import pack
from helpers.training.bi_encoder import sentence_vectors

FAMILIES = {"Bert": checkpoints.bert, "DistilBert": checkpoints.distilbert}
RANDOM = [1, 7, 30, 2, 19, 30]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def batch(lengths, spread=0):
    """Random ids, padded on the right, `spread` columns more than needed; the mask."""
    generator = torch.Generator().manual_seed(sum(lengths))
    real = torch.arange(max(lengths) + spread) < torch.tensor(lengths)[:, None]
    ids = torch.randint(1000, 30000, real.shape, generator=generator) * real
    return {"input_ids": ids, "attention_mask": real.long()}, real


def load(family, head):
    torch.manual_seed(0)
    kind = getattr(transformers, family + head)
    return kind.from_pretrained(FAMILIES[family](), attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def distilbert():
    return load("DistilBert", "Model")


@pytest.fixture(scope="module")
def classifier():
    return load("DistilBert", "ForSequenceClassification")


@torch.no_grad()
def both(model, inputs, **options):
    """What it gives with padding, and without."""
    with unpadded.unpadded(model) as fast:
        found = fast(**inputs, **options)
    return model(**inputs, **options), found


def on_real(tensor, real):
    """`tensor` with its pad rows at 0, if it has a row for each token."""
    if tensor.shape[:2] != real.shape:
        return tensor
    return tensor * real.view(*real.shape, *[1] * (tensor.ndim - 2))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_what_it_gives_with_padding(family, head):
    model, (inputs, real) = load(family, head).double(), batch(RANDOM, spread=3)
    if family == "Bert":
        inputs["token_type_ids"] = (torch.arange(real.shape[1]) > 4).long() * real
    if head == "ForMultipleChoice":
        inputs = {name: tensor.view(3, 2, -1) for name, tensor in inputs.items()}
    want, found = both(model, inputs, output_hidden_states=True)
    assert type(found) is type(want)
    assert list(found) == list(want)
    for name in set(want) - {"hidden_states"}:
        assert_close(found[name], on_real(want[name], real), atol=1e-9, rtol=1e-9)
    for mine, theirs in zip(found.hidden_states, want.hidden_states, strict=True):
        assert_close(mine, on_real(theirs, real), atol=1e-9, rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 3))
@example([9, 9, 9], 0)
@example([1, 1], 0)
@example([1], 0)
@example([512, 3], 0)
def test_any_lengths(distilbert, classifier, lengths, spread):
    inputs, real = batch(lengths, spread)
    want, found = both(distilbert, inputs)
    assert_close(found[0], on_real(want[0], real), **CLOSE)
    want, found = both(
        classifier, inputs
    )  # (B, 2): a row for each text, none is padding
    assert_close(found[0], want[0], **CLOSE)


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
HALVES = [("cpu", "Model"), *(pytest.param("cuda", head, marks=gpu) for head in HEADS)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("device", "head"), HALVES)
def test_half_precision_is_as_near_to_float64_as_eager_is(dtype, device, head):
    model, (inputs, real) = load("DistilBert", head).to(device), batch(RANDOM)
    shape = (3, 2, -1) if head == "ForMultipleChoice" else real.shape
    inputs = {name: tensor.to(device).view(shape) for name, tensor in inputs.items()}
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(**inputs)[0]
    errors = (output[0].double() - exact for output in both(model.to(dtype), inputs))
    far, near = (on_real(error, real.to(device)).abs() for error in errors)
    assert 0 < near.mean() < (1.2 if device == "cpu" else 1.5) * far.mean()
    assert device == "cuda" or near.max() < 2 * far.max()


def test_a_texts_vector_and_its_segments_come_from_it_as_well(distilbert):
    inputs, _ = batch(RANDOM)
    with torch.no_grad():
        vectors = sentence_vectors(distilbert, **inputs)
        with unpadded.unpadded(distilbert) as fast:
            assert_close(sentence_vectors(fast, **inputs), vectors, **CLOSE)
        ids, types = torch.tensor([[101, 23, 3, 102]]), torch.tensor([[0, 0, 1, 1]])
        with unpadded.unpadded(load("Bert", "ForSequenceClassification")) as fast:
            apart = fast(ids, None, types).logits - fast(ids).logits
            assert apart.abs().max() > 1e-3


def test_the_model_is_left_as_it_was(classifier):
    inputs, _ = batch([3, 5])
    with torch.no_grad():
        before = classifier(**inputs).logits
        with pytest.raises(KeyError), unpadded.unpadded(classifier):
            raise KeyError
        assert torch.equal(classifier(**inputs).logits, before)
    assert classifier.config._attn_implementation == "eager"
    assert not classifier.distilbert._forward_hooks


def test_gradients_flow_and_no_padding_is_computed(distilbert):
    (inputs, real), seen = batch([3, 30, 7]), []
    weight = distilbert.embeddings.position_embeddings.weight
    loss = distilbert(**inputs)[0][real].square().sum()
    (want,) = torch.autograd.grad(loss, weight)
    hook = distilbert.transformer.layer[0].ffn.lin1.register_forward_hook(
        lambda _, args, __: seen.append(args[0].shape[:-1].numel())
    )
    with unpadded.unpadded(distilbert) as fast:
        (found,) = torch.autograd.grad(fast(**inputs)[0].square().sum(), weight)
    hook.remove()
    assert_close(found, want, atol=1e-4, rtol=1e-4)
    assert seen == [40]


# The attention by itself


def test_attend_is_softmax_inside_each_text_by_whatever_kernel(monkeypatch):
    lengths = [4, 4, 1, 6]
    states = torch.randn(3, sum(lengths), 2, 8, dtype=torch.float64)
    borders = torch.tensor([0, 4, 8, 9, 15], dtype=torch.int32)
    found = unpadded.attend(states, borders, max(lengths)).split(lengths)
    for text, mine in zip(states.split(lengths, dim=1), found, strict=True):
        q, k, v = text.transpose(1, 2)
        want = (q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v
        assert_close(mine, want.transpose(0, 1))
    # on the meta device torch checks the call and gives the shape, though no numbers
    monkeypatch.setattr(unpadded, "varlen_fits", lambda tensor: True)
    kernel = mock.Mock(wraps=varlen.varlen_attn)
    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    states = torch.empty(3, 10, 4, 32, dtype=torch.float16, device="meta")
    borders = torch.tensor([0, 4, 10], dtype=torch.int32, device="meta")
    assert unpadded.attend(states, borders, 6, 0.5).shape == (10, 4, 32)
    assert [call.kwargs for call in kernel.mock_calls] == [{"scale": 0.5}]


@torch.no_grad()
def test_the_registered_attention_takes_the_flattening_collators_rows(distilbert):
    inputs, real = batch(RANDOM)
    rows = zip(inputs["input_ids"], real, strict=True)
    collate = DataCollatorWithFlattening(return_flash_attn_kwargs=True)
    flat = collate([{"input_ids": row[keep].tolist()} for row, keep in rows], "pt")
    flat.pop("labels")
    want = distilbert(**inputs)[0][real]
    with unpadded.unpadded(distilbert):
        assert_close(distilbert(**flat)[0][0], want, **CLOSE)


def test_packing_keeps_the_places_and_waits_for_nothing_but_the_lengths():
    """Shapes that depend on values make a GPU wait: `pack` asks for none of those."""
    asked = []

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            asked.append(func.name().removeprefix("aten::"))
            return func(*args, **(kwargs or {}))

    inputs, _ = batch([2, 4, 1])
    with Listen():
        packed, index = pack(**inputs)
    waits = {"nonzero", "_local_scalar_dense", "masked_select", "_unique2"}
    assert "repeat_interleave.Tensor" in asked
    assert not {*waits, "is_nonzero"} & set(asked)
    assert packed["position_ids"].tolist() == [[0, 1, 0, 1, 2, 3, 0]]
    assert packed["cu_seq_lens_q"].tolist() == [0, 2, 6, 7]
    assert index.tolist() == [0, 1, 4, 5, 6, 7, 8]
    assert packed["cu_seq_lens_q"].dtype == torch.int32
    assert packed["max_length_q"] == 4


def masked(*rows):
    return torch.ones(2, 3, dtype=torch.long), torch.tensor(rows)


REFUSED = {
    "row 1 .* no tokens": lambda fast: pack(*masked([1, 1, 1], [0, 0, 0])),
    "row 0 .* right": lambda fast: pack(*masked([0, 1, 1], [1, 1, 1])),
    "no labels": lambda fast: fast(**batch([3])[0], labels=torch.tensor([0])),
    "513 tokens; the model ends at 512": lambda fast: fast(**batch([513])[0]),
    "wants packed rows": lambda fast: fast.model(**batch([3, 5])[0]),
    "knows BERT's and .*Linear": lambda fast: unpadded.unpadded(torch.nn.Linear(1, 1)),
    r"model\.eval\(\)": lambda fast: fast.model.train() and fast(**batch([3])[0]),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_it_will_not_take_is_one_clear_line(words):
    model = load("DistilBert", "ForSequenceClassification")
    for layer in model.distilbert.transformer.layer:
        layer.attention.dropout.p = 0.1
    with unpadded.unpadded(model) as fast, pytest.raises(WorkbookError, match=words):
        REFUSED[words](fast)

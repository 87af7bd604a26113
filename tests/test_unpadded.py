"""No padding inside, the same outputs outside; and the silently wrong ways are caught."""

import copy

import pytest
import torch
import transformers
from conftest import HEADS
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface, AttentionMaskInterface, DataCollatorWithFlattening

from helpers import checkpoints
from helpers.errors import WorkbookError
from helpers.unpadded import NAME, attend, pack, pack_lists, register, running_sum, unpadded

FAMILIES = {"Bert": checkpoints.bert, "DistilBert": checkpoints.distilbert}
EDGES = {
    "random": [1, 7, 30, 2, 19, 30],
    "a batch of one": [11],
    "all equal": [9, 9, 9],
    "length 1": [1, 1],
    "one of length 1": [1],
    "length 512": [512, 3],
}
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def batch(lengths, spread=0):
    """Random ids of these lengths, padded on the right, `spread` columns more than needed."""
    generator = torch.Generator().manual_seed(sum(lengths))
    columns = torch.arange(max(lengths) + spread)
    mask = (columns < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1000, 30000, mask.shape, generator=generator) * mask
    return {"input_ids": ids, "attention_mask": mask}


def load(family, head, **options):
    torch.manual_seed(0)
    kind = getattr(transformers, family + head)
    return kind.from_pretrained(FAMILIES[family](), attn_implementation="eager", **options).eval()


@pytest.fixture(scope="module")
def distilbert():
    return load("DistilBert", "Model")


@pytest.fixture(scope="module")
def classifier():
    return load("DistilBert", "ForSequenceClassification")


@torch.no_grad()
def without_padding(model, **inputs):
    with unpadded(model) as fast:
        return fast(**inputs)


def on_valid(tensor, mask):
    """`tensor` with its pad rows at 0, if it has a row for each token."""
    if tensor.shape[:2] != mask.shape:
        return tensor
    return tensor * mask.view(*mask.shape, *[1] * (tensor.ndim - 2))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_what_it_gives_with_padding(family, head):
    model, inputs = load(family, head), batch(EDGES["random"], spread=3)
    flat = inputs["attention_mask"]
    if family == "Bert":
        inputs["token_type_ids"] = (torch.arange(flat.shape[1]) > 4).long() * flat
    if head == "ForMultipleChoice":
        inputs = {name: tensor.view(3, 2, -1) for name, tensor in inputs.items()}
    with torch.no_grad():
        want = model(**inputs, output_hidden_states=True)
    found = without_padding(model, **inputs, output_hidden_states=True)
    assert type(found) is type(want)
    assert list(found) == list(want)
    for name in want:
        both = zip(want[name], found[name], strict=True) if name == "hidden_states" else None
        for expected, tensor in both or [(want[name], found[name])]:
            torch.testing.assert_close(tensor, on_valid(expected, flat), **CLOSE)


@pytest.mark.parametrize("lengths", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
def test_every_edge_of_lengths(lengths, head):
    model, inputs = load("DistilBert", head), batch(lengths)
    with torch.no_grad():
        want = model(**inputs)[0]
    found = without_padding(model, **inputs)[0]
    torch.testing.assert_close(found, on_valid(want, inputs["attention_mask"]), **CLOSE)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    spread=st.integers(0, 3),
)
def test_any_lengths(distilbert, lengths, spread):
    inputs = batch(lengths, spread)
    with torch.no_grad():
        want = distilbert(**inputs)[0]
    found = without_padding(distilbert, **inputs)[0]
    torch.testing.assert_close(found, on_valid(want, inputs["attention_mask"]), **CLOSE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_as_near_to_float64_as_eager_is(distilbert, dtype):
    inputs = batch(EDGES["random"])
    real = inputs["attention_mask"].bool()
    half = copy.deepcopy(distilbert).to(dtype)
    with torch.no_grad():
        exact = copy.deepcopy(distilbert).double()(**inputs)[0][real]
        plain = (half(**inputs)[0][real].double() - exact).abs()
    found = (without_padding(half, **inputs)[0][real].double() - exact).abs()
    assert 0 < found.mean() < 1.2 * plain.mean()
    assert found.max() < 2 * plain.max()


def test_lists_of_ids_need_no_padding_at_all(distilbert, classifier):
    inputs = batch(EDGES["random"])
    real = inputs["attention_mask"].bool()
    lists = [row[keep].tolist() for row, keep in zip(inputs["input_ids"], real, strict=True)]
    with torch.no_grad():
        hidden, logits = distilbert(**inputs)[0], classifier(**inputs).logits
        with unpadded(distilbert) as fast:
            torch.testing.assert_close(fast.packed(lists)[0], hidden[real], **CLOSE)
        with unpadded(classifier) as fast:
            torch.testing.assert_close(fast.packed(lists).logits, logits, **CLOSE)


def test_a_pair_of_segments_in_lists_of_ids():
    model = load("Bert", "ForSequenceClassification")
    ids, types = [[101, 2023, 102, 2003, 102], [101, 102, 102]], [[0, 0, 0, 1, 1], [0, 0, 1]]
    with torch.no_grad(), unpadded(model) as fast:
        found = fast.packed(ids, types).logits
        ignored = fast.packed(ids).logits
        for row in range(2):
            want = fast(torch.tensor(ids[row : row + 1]), None, torch.tensor(types[row : row + 1]))
            torch.testing.assert_close(found[row], want.logits[0], **CLOSE)
    assert (found - ignored).abs().max() > 1e-3


def test_the_vectors_of_towers_come_from_it_as_well(distilbert):
    from helpers.towers import sentence_vectors

    inputs = batch(EDGES["random"])
    with torch.no_grad(), unpadded(distilbert) as fast:
        found = sentence_vectors(fast, **inputs)
    with torch.no_grad():
        torch.testing.assert_close(found, sentence_vectors(distilbert, **inputs), **CLOSE)


def test_the_model_is_left_as_it_was(classifier):
    inputs = batch([3, 5])
    with torch.no_grad():
        before = classifier(**inputs).logits
        with pytest.raises(KeyError), unpadded(classifier):
            raise KeyError
        assert torch.equal(classifier(**inputs).logits, before)
    assert classifier.config._attn_implementation == "eager"
    assert not classifier.distilbert._forward_hooks


def test_gradients_flow(distilbert):
    inputs = batch([3, 5])
    real = inputs["attention_mask"].bool()
    weight = distilbert.embeddings.position_embeddings.weight
    (want,) = torch.autograd.grad(distilbert(**inputs)[0][real].square().sum(), weight)
    with unpadded(distilbert) as fast:
        (found,) = torch.autograd.grad(fast(**inputs)[0].square().sum(), weight)
    torch.testing.assert_close(found, want, atol=1e-4, rtol=1e-4)


# The attention by itself


def test_attend_is_softmax_inside_each_text():
    lengths = [4, 4, 1, 6]
    query, key, value = torch.randn(3, sum(lengths), 2, 8, dtype=torch.float64)
    found = attend(query, key, value, running_sum(torch.tensor(lengths)), max(lengths))
    begin = 0
    for length in lengths:
        q, k, v = (t[begin : begin + length].transpose(0, 1) for t in (query, key, value))
        want = (q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v
        torch.testing.assert_close(found[begin : begin + length], want.transpose(0, 1))
        begin += length


def test_torchs_varlen_kernel_is_called_as_it_wants_to_be(monkeypatch):
    """On the meta device torch checks the call and gives the shape, though no numbers."""
    from torch.nn.attention import varlen

    monkeypatch.setattr("helpers.unpadded.varlen_fits", lambda tensor: True)
    called = []
    kernel = varlen.varlen_attn
    monkeypatch.setattr(
        varlen, "varlen_attn", lambda *args, **more: called.append(more) or kernel(*args, **more)
    )
    states = torch.empty(3, 10, 4, 32, dtype=torch.float16, device="meta")
    borders = torch.tensor([0, 4, 10], dtype=torch.int32, device="meta")
    assert attend(*states, borders, 6, 0.5).shape == (10, 4, 32)
    assert called == [{"scale": 0.5}]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_on_a_gpu_it_is_as_near_to_float64_as_eager_is(head, dtype):
    model, inputs = load("DistilBert", head).cuda(), batch(EDGES["random"])
    flat = inputs["attention_mask"].cuda()
    shape = (3, 2, -1) if head == "ForMultipleChoice" else flat.shape
    inputs = {name: tensor.cuda().view(shape) for name, tensor in inputs.items()}
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(**inputs)[0]
        plain = copy.deepcopy(model).to(dtype)(**inputs)[0]
    found = without_padding(model.to(dtype), **inputs)[0]
    far, near = (on_valid(t.double() - exact, flat).abs().mean() for t in (plain, found))
    assert near < 1.5 * far


def test_the_registered_attention_takes_padded_batches_and_the_flattening_collator(distilbert):
    register()
    inputs = batch(EDGES["random"])
    real = inputs["attention_mask"].bool()
    rows = zip(inputs["input_ids"], real, strict=True)
    collate = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_tensors="pt")
    flat = collate([{"input_ids": row[keep].tolist()} for row, keep in rows])
    flat.pop("labels")
    with torch.no_grad():
        want = distilbert(**inputs)[0][real]
        other = copy.deepcopy(distilbert)
        other.set_attn_implementation(NAME)
        torch.testing.assert_close(other(**inputs)[0][real], want, **CLOSE)
        torch.testing.assert_close(other(**flat)[0][0], want, **CLOSE)
        equal = batch([6, 6])
        torch.testing.assert_close(other(**equal)[0], distilbert(**equal)[0], **CLOSE)


# Ways that are wrong and say nothing


def test_without_the_mask_registered_padding_is_attended_to(distilbert):
    register()
    AttentionInterface.register("half_registered", AttentionInterface()[NAME])
    assert "half_registered" not in AttentionMaskInterface._global_mapping
    inputs = batch([3, 30])
    real = inputs["attention_mask"].bool()
    other = copy.deepcopy(distilbert)
    other.set_attn_implementation("half_registered")
    with torch.no_grad():
        wrong = (other(**inputs)[0] - distilbert(**inputs)[0])[real].abs().max()
        other.set_attn_implementation(NAME)
        right = (other(**inputs)[0] - distilbert(**inputs)[0])[real].abs().max()
    assert right < 1e-5
    assert wrong > 0.01


def test_packing_by_position_ids_alone_mixes_the_texts(distilbert):
    inputs = batch([8, 12, 5])
    real = inputs["attention_mask"].bool()
    packed = pack(**inputs)
    with torch.no_grad():
        want = distilbert(**inputs)[0][real]
        mixed = distilbert(input_ids=packed.input_ids, position_ids=packed.position_ids)[0][0]
    assert (mixed - want).abs().max() > 0.01
    assert (without_padding(distilbert, **inputs)[0][real] - want).abs().max() < 1e-5


def test_a_head_on_a_packed_row_pools_the_first_text_alone(classifier):
    inputs = batch([8, 12, 5])
    packed = pack(**inputs)
    register()
    other = copy.deepcopy(classifier)
    other.set_attn_implementation(NAME)
    with torch.no_grad():
        want = classifier(**inputs).logits
        naive = other(**packed.keywords("distilbert")).logits
    assert naive.shape == (1, 2)  # one answer for three texts
    assert (naive - want[1:]).abs().max() > 1e-3
    torch.testing.assert_close(without_padding(classifier, **inputs).logits, want, **CLOSE)


def test_the_rows_of_padding_differ_between_back_ends_and_are_not_to_be_compared(distilbert):
    inputs = batch([3, 30])
    with torch.no_grad():
        gap = (without_padding(distilbert, **inputs)[0] - distilbert(**inputs)[0]).abs()
    assert gap.max() > 0.1
    assert gap[inputs["attention_mask"].bool()].max() < 1e-5


# What it will not take


@pytest.mark.parametrize(
    ("mask", "words"),
    [([[1, 1, 1], [0, 0, 0]], "row 1 .* no tokens"), ([[0, 1, 1], [1, 1, 1]], "row 0 .* right")],
)
def test_masks_that_it_would_get_wrong(mask, words):
    with pytest.raises(WorkbookError, match=words):
        pack(torch.ones(2, 3, dtype=torch.long), torch.tensor(mask))


def test_bad_input_is_one_clear_line(distilbert, classifier):
    with unpadded(classifier) as fast:
        with pytest.raises(WorkbookError, match="no labels"):
            fast(**batch([3]), labels=torch.tensor([0]))
        with pytest.raises(WorkbookError, match="513 tokens; the model ends at 512"):
            fast.packed([[101] * 513])
        with pytest.raises(WorkbookError, match="row 1 of the batch has no tokens"):
            fast.packed([[101], []])
    with pytest.raises(WorkbookError, match="no texts"):
        pack_lists([])
    with pytest.raises(WorkbookError, match="Linear"), unpadded(torch.nn.Linear(1, 1)):
        pass


def test_dropout_is_refused(distilbert):
    training = copy.deepcopy(distilbert).train()
    for layer in training.transformer.layer:
        layer.attention.dropout.p = 0.1
    with unpadded(training) as fast, pytest.raises(WorkbookError, match=r"model\.eval\(\)"):
        fast(**batch([3]))


def test_the_unpadded_forward_computes_no_padding(distilbert):
    seen = []
    hook = distilbert.transformer.layer[0].ffn.lin1.register_forward_hook(
        lambda _, args, __: seen.append(args[0].shape[:-1].numel())
    )
    without_padding(distilbert, **batch([3, 30, 7]))
    hook.remove()
    assert seen == [40]


def test_padding_back_keeps_the_places():
    packed = pack(**batch([2, 4, 1]))
    assert packed.position_ids.tolist() == [[0, 1, 0, 1, 2, 3, 0]]
    assert packed.cu_seqlens.tolist() == [0, 2, 6, 7]
    assert packed.index.tolist() == [0, 1, 4, 5, 6, 7, 8]
    assert packed.cu_seqlens.dtype == torch.int32
    assert packed.cu_seqlens.diff().max() == packed.longest


def test_unpadding_asks_the_device_for_nothing_but_the_lengths():
    """Shapes that depend on values make a GPU wait: `pack` has none but those it asked for."""
    asked = []

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            asked.append(func.name().removeprefix("aten::"))
            return func(*args, **(kwargs or {}))

    with Listen():
        pack(**batch([2, 4, 1]))
    waits = {"nonzero", "_local_scalar_dense", "masked_select", "_unique2", "is_nonzero"}
    assert "repeat_interleave.Tensor" in asked
    assert not waits & set(asked)

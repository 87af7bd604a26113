"""Looking inside BERT and DistilBERT: attention as arrays, and heads switched off.

What `transformers` hands out depends on how attention is computed: under SDPA, the
default, `output_attentions=True` gives an empty tuple, and `head_mask` is ignored
without a word. Here the model computes attention eagerly for as long as it is looked
at, and heads are ablated by hooks.

    eager, maps, read           attention weights of a batch, of one sentence
    by_hand, queries_and_keys   the same from the projections, to see where they come from
    without_heads               the model as if some heads were not there
    measure                     what each head looks at, over a corpus
    hidden                      the vectors of every layer, to lay beside another model's
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from helpers.attention import patterns
from helpers.attention.patterns import Pattern
from helpers.core.errors import WorkbookError

Text = str | tuple[str, str]


class Sentence(NamedTuple):
    """One text, or a pair, as a model reads it."""

    tokens: list[str]  # S word pieces, [CLS] and [SEP] among them
    weights: np.ndarray  # (layers, heads, S, S), from [query] to [key]
    second: int | None  # where the second text of a pair begins


class Neurons(NamedTuple):
    """A sentence with the vectors its attention is made of."""

    sentence: Sentence
    queries: np.ndarray  # (layers, heads, S, d)
    keys: np.ndarray  # (layers, heads, S, d)


class _Layer(NamedTuple):
    """The projections of one layer's attention, whatever the model calls them."""

    query: nn.Module
    key: nn.Module
    output: nn.Module


@contextlib.contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Inside, the model's attention is computed eagerly; afterwards as it was
    before.
    """
    _layers(model)  # refuses what is neither BERT nor DistilBERT
    encoder = model.base_model
    former = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(former)


def maps(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Attention weights (layers, B, heads, S, S), from [query] to [key], float32 on the
    CPU.

    `model` is a BERT or DistilBERT, bare or with any head; `inputs` a batch with
    `input_ids` and `attention_mask` (B, S). Dropout is off. Rows and columns of padding
    are zero, all other rows sum to 1. Raises `WorkbookError` on inputs without a mask
    and on a model that gives no maps.
    """
    with eager(model):
        output = _run(model, inputs, output_attentions=True)
    if not output.attentions:
        raise WorkbookError(
            f"{type(model).__name__} gave no attention maps: load it with "
            'attn_implementation="eager"'
        )
    real = inputs["attention_mask"].cpu().bool()
    weights = torch.stack([layer.float().cpu() for layer in output.attentions])
    return weights * (real[:, None, :, None] & real[:, None, None, :])


def by_hand(
    model: nn.Module, inputs: Mapping[str, torch.Tensor], layer: int
) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) of one layer's own projections, (B, heads, S, S):
    `maps`, remade.

    Raises `WorkbookError` as `maps` does, and when there is no such layer.
    """
    _known(layer, len(_layers(model)), "layer")
    queries, keys = (projected[layer] for projected in queries_and_keys(model, inputs))
    real = inputs["attention_mask"].cpu().bool()
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5  # (B, heads, S, S)
    weights = scores.masked_fill(~real[:, None, None, :], -torch.inf).softmax(-1)
    return weights * real[:, None, :, None]


def queries_and_keys(
    model: nn.Module, inputs: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every layer's queries and keys, each (layers, B, heads, S, d), float32 on the
    CPU.
    """
    layers = _layers(model)
    seen: dict[nn.Module, torch.Tensor] = {}

    def keep(module: nn.Module, _given: Any, output: torch.Tensor) -> None:
        seen[module] = output.detach().float().cpu()

    hooks = [m.register_forward_hook(keep) for la in layers for m in (la.query, la.key)]
    try:
        with eager(
            model
        ):  # as `maps` runs it: SDPA's rounding adds up over the layers below
            _run(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    heads = _heads(model)
    queries, keys = (
        torch.stack(
            [
                seen[module].unflatten(-1, (heads, -1)).transpose(1, 2)
                for module in modules
            ]
        )
        for modules in ([la.query for la in layers], [la.key for la in layers])
    )
    return queries, keys


@contextlib.contextmanager
def without_heads(
    model: nn.Module, heads: Mapping[int, Sequence[int]]
) -> Iterator[None]:
    """Inside, the model does without `heads`, {layer: [heads]}; afterwards it is as it
    was.

    What a head gives is its slice of the output projection's input. A hook zeroes it,
    which is the same as zeroing the projection's columns for it, whatever attention
    implementation runs; the projection's bias stays. Works for training too. Raises
    `WorkbookError` on a layer or head that the model does not have.
    """
    layers, hooks = _layers(model), []
    for layer, gone in heads.items():
        _known(layer, len(layers), "layer")
        for head in gone:
            _known(head, _heads(model), "head")
    try:
        for layer, gone in heads.items():
            hook = _silence(list(gone), _heads(model))
            hooks.append(layers[layer].output.register_forward_pre_hook(hook))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _silence(gone: list[int], heads: int) -> Callable[[nn.Module, tuple], tuple]:
    def hook(
        _module: nn.Module, given: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        mixed, *rest = given
        kept = torch.ones(heads, dtype=mixed.dtype, device=mixed.device)
        kept[gone] = 0
        return (mixed * kept.repeat_interleave(mixed.shape[-1] // heads), *rest)

    return hook


def read(
    model: nn.Module,
    tokenizer: Any,
    text: str,
    pair: str | None = None,
    max_length: int = 128,
) -> Sentence:
    """One text, or a pair of them, as `Sentence`; longer ones are cut to `max_length`
    tokens.

    Raises `WorkbookError` on a text without a word.
    """
    return neurons(model, tokenizer, text, pair, max_length).sentence


def neurons(
    model: nn.Module,
    tokenizer: Any,
    text: str,
    pair: str | None = None,
    max_length: int = 128,
) -> Neurons:
    """As `read`, with each layer's queries and keys beside the weights."""
    batch = _batch(
        model, tokenizer, [text if pair is None else (text, pair)], max_length
    )
    whose = batch.sequence_ids(0)
    if 0 not in whose or (pair is not None and 1 not in whose):
        which = "the text" if 0 not in whose else "the second text"
        raise WorkbookError(f"{which} is empty: attention needs at least one word")
    queries, keys = (
        projected[:, 0].numpy() for projected in queries_and_keys(model, batch)
    )
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist())
    second = None if pair is None else whose.index(1)
    sentence = Sentence(tokens, maps(model, batch)[:, 0].numpy(), second)
    return Neurons(sentence, queries, keys)


def measure(
    model: nn.Module,
    tokenizer: Any,
    texts: Sequence[Text],
    batch_size: int = 16,
    max_length: int = 128,
    progress: Callable[[int], None] = lambda texts: None,
) -> dict[str, Pattern]:
    """What each head gives to "next", "previous", "itself", "[CLS]", "[SEP]", "same
    word", and, where `texts` are pairs, "other text": a `Pattern` each, with weights
    (layers, heads).

    Averaged over all words (word pieces that are not special) for which the pattern can
    be: a last word has no next, and "same word" counts only what occurs twice.
    `progress` is told how many texts a batch had. Raises `WorkbookError` when there are
    no texts, or both texts and pairs.
    """
    if not texts or len({isinstance(text, str) for text in texts}) > 1:
        raise WorkbookError(
            "measure needs at least one text, and all texts or all pairs"
        )
    batches = []
    for start in range(0, len(texts), batch_size):
        some = texts[start : start + batch_size]
        batch = _batch(model, tokenizer, some, max_length)
        real = batch["attention_mask"].numpy()
        found = _places(tokenizer, batch, pairs=not isinstance(some[0], str))
        batches.append(patterns.patterns(maps(model, batch).numpy(), found, real))
        progress(len(some))
    return patterns.merge(batches)


def _places(tokenizer: Any, batch: Any, pairs: bool) -> dict[str, np.ndarray]:
    rows = len(batch["input_ids"])
    texts = np.array(
        [[-1 if t is None else t for t in batch.sequence_ids(i)] for i in range(rows)]
    )
    return patterns.places(
        batch["input_ids"].numpy(),
        batch["attention_mask"].numpy(),
        tokenizer.all_special_ids,
        {"[CLS]": tokenizer.cls_token_id, "[SEP]": tokenizer.sep_token_id},
        texts if pairs else None,
    )


def hidden(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The vectors of all real tokens after the embeddings and each layer, (1 + layers,
    N, dim).

    Float32 on the CPU; N counts the batch's tokens without padding, row after row.
    """
    _layers(model)
    output = _run(model, inputs, output_hidden_states=True)
    real = inputs["attention_mask"].cpu().bool()
    return torch.stack(
        [vectors.float().cpu()[real] for vectors in output.hidden_states]
    )


def _run(model: nn.Module, inputs: Mapping[str, torch.Tensor], **wanted: bool) -> Any:
    """One pass through the encoder without gradient or dropout; modes are put back
    after it.
    """
    if "attention_mask" not in inputs or inputs["input_ids"].ndim != 2:
        raise WorkbookError(
            "give input_ids and attention_mask of shape (texts, tokens)"
        )
    encoder = model.base_model
    names = ["input_ids", "attention_mask"]
    if _is_bert(model) and "token_type_ids" in inputs:
        names.append("token_type_ids")
    given = {name: inputs[name].to(encoder.device) for name in names}
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            return encoder(**given, **wanted)
    finally:
        for module in training:
            module.training = True


def _batch(
    model: nn.Module, tokenizer: Any, texts: Sequence[Text], max_length: int
) -> Any:
    """Texts, or pairs, as one padded batch; token types for BERT alone."""
    pairs = not isinstance(texts[0], str)
    columns = zip(*texts, strict=True) if pairs else [texts]
    return tokenizer(
        *(list(column) for column in columns),
        padding=True,
        truncation=True,
        max_length=max_length,
        return_tensors="pt",
        return_token_type_ids=_is_bert(model),
    )


def _layers(model: nn.Module) -> list[_Layer]:
    encoder = getattr(model, "base_model", model)
    kind = getattr(getattr(encoder, "config", None), "model_type", None)
    if kind == "distilbert":
        blocks = [layer.attention for layer in encoder.transformer.layer]
        return [_Layer(block.q_lin, block.k_lin, block.out_lin) for block in blocks]
    if kind == "bert":
        blocks = [layer.attention for layer in encoder.encoder.layer]
        return [_Layer(b.self.query, b.self.key, b.output.dense) for b in blocks]
    raise WorkbookError(f"{type(model).__name__} is neither a BERT nor a DistilBERT")


def _is_bert(model: nn.Module) -> bool:
    return model.base_model.config.model_type == "bert"


def _heads(model: nn.Module) -> int:
    return model.base_model.config.num_attention_heads


def _known(number: int, count: int, what: str) -> None:
    if not 0 <= number < count:
        raise WorkbookError(
            f"there is no {what} {number}: the model has {what}s 0 to {count - 1}"
        )

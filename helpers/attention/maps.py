"""Attention as arrays, and heads switched off, for BERT and DistilBERT.

Under SDPA, the default, `output_attentions=True` gives an empty tuple, and `head_mask`
is ignored without a word. Here the model computes attention eagerly for as long as it
is looked at, and hooks take heads out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from helpers.core.errors import WorkbookError

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Sentence(NamedTuple):
    """One text, or a pair, as a model reads it."""

    tokens: list[str]  # S word pieces, [CLS] and [SEP] among them
    weights: np.ndarray  # (layers, heads, S, S), from [query] to [key]
    second: int | None  # where the second text of a pair begins
    queries: np.ndarray  # (layers, heads, S, d)
    keys: np.ndarray  # (layers, heads, S, d)


@contextlib.contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Inside, the model's attention is computed eagerly; after it as before."""
    _projections(model)  # refuses what is neither BERT nor DistilBERT
    encoder = model.base_model
    former = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(former)


def look(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> Any:
    """The encoder's output with attentions and hidden states, without dropout.

    `model` is a BERT or DistilBERT, bare or with any head; `inputs` a batch with
    `input_ids` and `attention_mask` (B, S).
    """
    if "attention_mask" not in inputs or inputs["input_ids"].ndim != 2:
        raise WorkbookError(
            "give input_ids and attention_mask of shape (texts, tokens)"
        )
    training = [module for module in model.modules() if module.training]
    with eager(model), torch.no_grad():
        encoder = model.base_model
        # DistilBERT knows no token types
        names = INPUTS if encoder.config.model_type == "bert" else INPUTS[:2]
        given = {n: inputs[n].to(encoder.device) for n in names if n in inputs}
        model.eval()
        try:
            return encoder(**given, output_attentions=True, output_hidden_states=True)
        finally:
            for module in training:
                module.training = True


def maps(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Attention weights (layers, B, heads, S, S), from [query] to [key], on the CPU.

    Rows and columns of padding are zero, all other rows sum to 1.
    """
    attentions = look(model, inputs).attentions
    if not attentions:
        raise WorkbookError(
            f"{type(model).__name__} gave no attention maps: load it with "
            'attn_implementation="eager"'
        )
    real = inputs["attention_mask"].cpu().bool()
    weights = torch.stack([layer.float().cpu() for layer in attentions])
    return weights * (real[:, None, :, None] & real[:, None, None, :])


def queries_and_keys(
    model: nn.Module, inputs: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every layer's queries and keys, each (layers, B, heads, S, d), on the CPU."""
    heads = model.base_model.config.num_attention_heads
    below = look(model, inputs).hidden_states[:-1]  # what goes into each layer
    with torch.no_grad():
        both = [
            (query(states), key(states))
            for (query, key, _), states in zip(_projections(model), below, strict=True)
        ]
    queries, keys = (
        torch.stack(vectors).float().cpu().unflatten(-1, (heads, -1)).transpose(2, 3)
        for vectors in zip(*both, strict=True)
    )
    return queries, keys


@contextlib.contextmanager
def without_heads(model: nn.Module, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Inside, the model does without `heads`, (layer, head) each; after it as before.

    What a head gives is its slice of the output projection's input. A hook zeroes it,
    whatever attention implementation runs. The projection's bias stays.
    """
    outputs = [output for _, _, output in _projections(model)]
    count, heads = model.base_model.config.num_attention_heads, list(heads)
    for layer, head in heads:
        check_number("layer", layer, len(outputs))
        check_number("head", head, count)

    def silence(head: int, _module: nn.Module, given: tuple) -> tuple:
        mixed = given[0].unflatten(-1, (count, -1)).clone()  # (B, S, heads, d)
        mixed[..., head, :] = 0
        return (mixed.flatten(-2), *given[1:])

    hooks = [
        outputs[layer].register_forward_pre_hook(partial(silence, head))
        for layer, head in heads
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def check_number(what: str, number: int, count: int, whose: str = "the model") -> None:
    """Refuses a layer or head that is not there."""
    if not 0 <= number < count:
        raise WorkbookError(
            f"there is no {what} {number}: {whose} has {what}s 0 to {count - 1}"
        )


def read(
    model: nn.Module,
    tokenizer: Any,
    text: str,
    pair: str | None = None,
    max_length: int = 128,
) -> Sentence:
    """One text, or a pair of them, cut to `max_length` tokens if need be."""
    batch = tokenizer(
        text,
        pair,
        truncation=True,
        max_length=max_length,
        return_token_type_ids=True,
        return_tensors="pt",
    )
    texts = batch.sequence_ids(0)
    if 0 not in texts or (pair is not None and 1 not in texts):
        which = "the text" if 0 not in texts else "the second text"
        raise WorkbookError(f"{which} is empty: attention needs at least one word")
    queries, keys = (v[:, 0].numpy() for v in queries_and_keys(model, batch))
    return Sentence(
        tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist()),
        maps(model, batch)[:, 0].numpy(),
        None if pair is None else texts.index(1),
        queries,
        keys,
    )


def rollout(weights: np.ndarray) -> np.ndarray:
    """How much of the last layer's position i stems from token j, (S, S).

    `weights` (layers, heads, S, S). Heads are averaged, half of each layer's output is
    taken to come through its residual connection, and the layers are multiplied. Rows
    sum to 1.

    Source: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers"
    (arXiv:2005.00928).
    """
    reached = np.eye(weights.shape[-1])
    for layer in weights.astype(float).mean(1):
        mixed = layer + np.eye(len(layer))
        reached = mixed / mixed.sum(-1, keepdims=True) @ reached
    return reached


def _projections(model: nn.Module) -> list[tuple[nn.Module, nn.Module, nn.Module]]:
    """Each layer's linear layers for queries, for keys, and behind its heads."""
    encoder = getattr(model, "base_model", model)
    kind = getattr(getattr(encoder, "config", None), "model_type", None)
    if kind == "distilbert":
        blocks = [layer.attention for layer in encoder.transformer.layer]
        return [(block.q_lin, block.k_lin, block.out_lin) for block in blocks]
    if kind == "bert":
        blocks = [layer.attention for layer in encoder.encoder.layer]
        return [(b.self.query, b.self.key, b.output.dense) for b in blocks]
    raise WorkbookError(f"{type(model).__name__} is neither a BERT nor a DistilBERT")

"""BERT -> DistilBERT on state dicts: a lossless re-layout, and choosing layers.

DistilBERT's block is BERT's block under other names. Two parts of BERT have no place in
it: the pooler, which nothing here reads, and the token-type embeddings. Row 0 of the
latter is added to every token of a single-segment input, so adding it to every
*position* embedding moves it without changing one output.

Source: names as in `transformers.models.bert` and `.distilbert`; the choice of layers
as in Sanh et al. 2019, section 2, and its training code's extraction script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_RENAMES = {
    "bert.embeddings": "distilbert.embeddings",
    "bert.encoder.layer": "distilbert.transformer.layer",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
    "cls.predictions.transform.dense": "vocab_transform",
    "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
    "cls.predictions.decoder": "vocab_projector",
    "cls.predictions.bias": "vocab_projector.bias",
}
_LEFT_OUT = re.compile(r"^bert\.pooler|^cls\.seq_|token_type_embed|position_ids")
_LAYER = re.compile(r"(?<=\.layer\.)\d+(?=\.)")


def distilbert_name(bert_name: str) -> str:
    """The name that a weight of `BertForMaskedLM` has in `DistilBertForMaskedLM`.

    >>> distilbert_name("bert.encoder.layer.3.attention.self.query.weight")
    'distilbert.transformer.layer.3.attention.q_lin.weight'
    """
    for old, new in _RENAMES.items():
        bert_name = bert_name.replace(old, new)
    return bert_name


def bert_to_distilbert(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A `BertForMaskedLM` state dict as one of `DistilBertForMaskedLM`, all layers.

    Position embeddings (512, dim) take up token-type row 0; pooler, next-sentence head
    and the other token-type row are dropped. New tensors only where numbers change.
    """
    kept = {name: t for name, t in state.items() if not _LEFT_OUT.search(name)}
    moved = {distilbert_name(name): tensor for name, tensor in kept.items()}
    positions = "distilbert.embeddings.position_embeddings.weight"
    types = state["bert.embeddings.token_type_embeddings.weight"]
    return moved | {positions: moved[positions] + types[0]}


def count_layers(state: Mapping[str, object]) -> int:
    """How many transformer layers a BERT or DistilBERT state dict holds."""
    return len({found[0] for name in state if (found := _LAYER.search(name))})


def choose_layers(
    state: Mapping[str, torch.Tensor], layers: Sequence[int]
) -> dict[str, torch.Tensor]:
    """Keep these layers, in this order, renumbered from 0; everything else stays.

    >>> sorted(choose_layers({"x.layer.0.w": 1, "x.layer.4.w": 5, "y": 9}, [4]))
    ['x.layer.0.w', 'y']
    """
    numbers = {name: int(f[0]) for name in state if (f := _LAYER.search(name))}
    there = sorted(set(numbers.values()))
    if not layers or set(layers) - set(there):
        asked = f"layers {list(layers)} asked for"
        raise ValueError(f"{asked}, but this model has layers {there}")
    kept = {name: tensor for name, tensor in state.items() if name not in numbers}
    for new, old in enumerate(layers):
        moved = (name for name, number in numbers.items() if number == old)
        kept |= {_LAYER.sub(str(new), name, count=1): state[name] for name in moved}
    return kept


def spread(n_layers: int) -> list[int]:
    """Half of the layers, evenly from first to last: the original's choice of twelve.

    >>> spread(12), spread(6)
    ([0, 2, 4, 7, 9, 11], [0, 2, 5])
    """
    half = n_layers // 2
    return [round(i * (n_layers - 1) / (half - 1)) for i in range(half)]

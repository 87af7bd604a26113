"""Where a model's parameters sit, part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def part_of(name: str) -> str:
    """The part of a `BertModel` or `DistilBertModel` that the parameter `name` belongs
    to.

    >>> part_of("encoder.layer.3.attention.self.key.bias")
    'layer 3 attention'
    """
    pieces = name.split(".")
    layer = f"layer {pieces[2]} " if "layer" in pieces else ""
    if "LayerNorm" in name or "layer_norm" in name:
        return (layer or "embedding ") + "LayerNorm"
    if layer:
        return layer + ("attention" if "attention" in name else "feed-forward")
    return pieces[1].replace("_", " ") if pieces[0] == "embeddings" else pieces[0]


def count_parts(model: PreTrainedModel) -> Counter[str]:
    """{part: number of parameters} of a `BertModel` or `DistilBertModel`, input side
    first.

    Works on the `meta` device too.
    """
    counts: Counter[str] = Counter()
    for name, tensor in model.named_parameters():
        counts[part_of(name)] += tensor.numel()
    return counts


def counts_table(counts: Mapping[str, Mapping[str, int]]) -> dict[str, list[int]]:
    """{part: parameters in each model}, with all layers of a model added up, and the
    total.
    """
    table: dict[str, list[int]] = {}
    for column, parts in enumerate(counts.values()):
        for part, count in parts.items():
            row = "all layers" if part.startswith("layer") else part
            table.setdefault(row, [0] * len(counts))[column] += count
    return table | {"total": [sum(parts.values()) for parts in counts.values()]}

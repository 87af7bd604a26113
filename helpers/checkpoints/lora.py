"""Low-rank adapters (LoRA) folded into the weights that they were trained beside.

`A` (rank, in) and `B` (out, rank) learned, `W` did not. `W + B A` is an ordinary
weight, so whoever loads the result needs to know nothing of adapters.
`data/pocket/adapters.py` trains them.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

from collections.abc import Mapping

import torch


def merge(
    state: Mapping[str, torch.Tensor], adapter: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Fold an adapter into a state dict: `W + B A` for each pair, plain replacement for
    the rest.

    `adapter` maps `<layer>.lora_A` (rank, in) and `<layer>.lora_B` (out, rank) to
    tensors; any other key must exist in `state` and replaces it, in the state's own
    dtype. Returns a new dict.

    Raises `KeyError` when the adapter names a weight that the state does not have.
    """
    merged = dict(state)
    for key, value in adapter.items():
        if key.endswith(".lora_B"):
            continue
        if key.endswith(".lora_A"):
            layer = key.removesuffix(".lora_A")
            delta = adapter[f"{layer}.lora_B"].float() @ value.float()
            weight = merged[f"{layer}.weight"]
            merged[f"{layer}.weight"] = (weight.float() + delta).to(weight.dtype)
        else:
            merged[key] = value.to(merged[key].dtype)
    return merged

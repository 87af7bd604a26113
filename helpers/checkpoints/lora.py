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
    """A state dict with an adapter folded in, in the state's own dtype.

    `adapter` maps `<layer>.lora_A` (rank, in) and `<layer>.lora_B` (out, rank) to
    tensors; any other key replaces a weight. A `KeyError` where there is none.
    """
    merged = dict(state)
    for key, value in adapter.items():
        layer, _, part = key.rpartition(".")
        name = f"{layer}.weight" if part in ("lora_A", "lora_B") else key
        if part == "lora_A":
            value = (
                state[name].float() + adapter[f"{layer}.lora_B"].float() @ value.float()
            )
        if part != "lora_B":
            merged[name] = value.to(state[name].dtype)
    return merged

"""Low-rank adapters (LoRA): train a few numbers beside frozen weights, then fold them in.

A frozen linear layer `y = W x + b` gets a thin side road, `y = W x + b + B (A x)`, with `A` of
shape (rank, in) and `B` of shape (out, rank). Only `A` and `B` learn. Afterwards `W + B A` is an
ordinary weight again, so whoever loads the result needs to know nothing of adapters.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn


class LoRALinear(nn.Module):
    """A frozen `nn.Linear` with a trainable low-rank side road.

    Starts as the exact identity of the layer it wraps, because `lora_B` is zero.
    """

    def __init__(self, base: nn.Linear, rank: int):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.enabled = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (..., in) -> (..., out)
        y = self.base(x)
        if not self.enabled:
            return y
        return y + nn.functional.linear(nn.functional.linear(x, self.lora_A), self.lora_B)


def attach(module: nn.Module, rank: int) -> int:
    """Replace every `nn.Linear` below `module` by a `LoRALinear`; returns how many there were."""
    found = 0
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, LoRALinear(child, rank))
            found += 1
        else:
            found += attach(child, rank)
    return found


@contextlib.contextmanager
def disabled(module: nn.Module) -> Iterator[None]:
    """Inside this block the adapters are switched off: the model is the one it started as."""
    layers = [m for m in module.modules() if isinstance(m, LoRALinear)]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True


def merge(
    state: Mapping[str, torch.Tensor], adapter: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Fold an adapter into a state dict: `W + B A` for each pair, plain replacement for the rest.

    `adapter` maps `<layer>.lora_A` (rank, in) and `<layer>.lora_B` (out, rank) to tensors; any
    other key must exist in `state` and replaces it, in the state's own dtype. Returns a new dict.

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

"""Low-rank adapters (LoRA) to train: a few numbers beside frozen weights.

A frozen linear layer `y = W x + b` gets a thin side road, `y = W x + b + B (A x)`, with
`A` of shape (rank, in) and `B` of shape (out, rank). Only `A` and `B` learn;
`helpers.checkpoints.lora.merge` folds them into the weights afterwards. (The library
peft unties the word embeddings on the way.)

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class LoRALinear(nn.Module):
    """A frozen `nn.Linear` with a trainable low-rank side road.

    Starts as the exact identity of the layer it wraps, because `lora_B` is zero.
    """

    def __init__(self, base: nn.Linear, rank: int):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(
            torch.randn(rank, base.in_features) / base.in_features**0.5
        )
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.enabled = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (..., in) -> (..., out)
        y = self.base(x)
        if not self.enabled:
            return y
        return y + nn.functional.linear(
            nn.functional.linear(x, self.lora_A), self.lora_B
        )


def attach(module: nn.Module, rank: int) -> int:
    """Replace every `nn.Linear` below `module` by a `LoRALinear`; returns how many
    there were.
    """
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
    """Inside this block the adapters are switched off: the model is the one it started
    as.
    """
    layers = [m for m in module.modules() if isinstance(m, LoRALinear)]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True

"""Which attention back ends this machine has, and why each missing one is missing."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """One way to compute attention: its name, whether it runs here, and why (not)."""

    name: str
    available: bool
    reason: str


def backends() -> list[Backend]:
    """Every attention back end that the workbook speaks of, tried or looked for on this machine."""
    import torch

    cuda = torch.cuda.is_available()
    package = importlib.util.find_spec("flash_attn") is not None
    flash = cuda and package and torch.cuda.get_device_capability() >= (8, 0)
    return [
        Backend("eager", True, "plain matrix products; the one that returns attentions"),
        Backend("sdpa", True, "CUDA kernels" if cuda else "torch's own flash algorithm for CPU"),
        Backend("flex_attention", True, "compiled" if cuda else "runs, but slowly without a GPU"),
        Backend("flash_attention_2", flash, _why(cuda, package, flash)),
        Backend("varlen_attn", cuda, "torch's built-in FA2" if cuda else "needs a CUDA GPU"),
    ]


def _why(cuda: bool, package: bool, flash: bool) -> str:
    if flash:
        return "the flash-attn package"
    needs = [
        *([] if cuda else ["a CUDA GPU (Ampere or newer)"]),
        *([] if package else ["the flash-attn package"]),
    ]
    return "needs " + " and ".join(needs or ["an Ampere GPU or newer"])

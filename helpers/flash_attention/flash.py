"""Which attention back ends this machine has, and why each missing one is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPILERS = ("c++", "g++", "clang++", "cl")
KERNELS = {  # of `scaled_dot_product_attention`, and their names in `SDPBackend`
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "math": "MATH",
}
STORED = Path(__file__).parents[2] / "data" / "measurements" / "flash.json"


@dataclass(frozen=True)
class Backend:
    """One way to compute attention: its name, whether it runs here, and why (not)."""

    name: str
    available: bool
    reason: str


def backends() -> list[Backend]:
    """Every attention back end, by the name that `attn_implementation` takes."""
    import torch

    cuda = torch.cuda.is_available()
    eager = "plain matrix products; the one that returns attentions"
    hub, built_in = "kernels-community/flash-attn2", "torch's built-in FA2"
    return [
        Backend("eager", True, eager),
        Backend("sdpa", True, _sdpa("cuda" if cuda else "cpu")),
        _flex(cuda),
        _needing("flash_attention_2", "flash_attn", "the flash-attn package"),
        _needing(hub, "kernels", "the kernels package", "from the Hub"),
        _needing("varlen_attn", "torch", "torch", f"{built_in}, nothing to compile"),
    ]


def _sdpa(device: str) -> str:
    dtype = "float16" if device == "cuda" else "float32"
    plain, masked = (picked_kernel(device, dtype, mask) for mask in (False, True))
    others = [name for name in usable_kernels(device, dtype) if name != plain]
    also = f"; it has {', '.join(others)} too" if others else ""
    return f"picks {plain} for {dtype}, {masked} with a mask{also}"


def _flex(cuda: bool) -> Backend:
    runs = cuda or any(map(shutil.which, COMPILERS))
    lack = "needs a C++ compiler where there is no GPU"
    reason = "compiles itself at its first call" if runs else lack
    return Backend("flex_attention", runs, reason)


def _needing(name: str, module: str, package: str, found: str = "") -> Backend:
    """A back end that wants an Ampere GPU and the package with `module`."""
    lacks = [] if has_ampere() else ["a CUDA GPU (Ampere or newer)"]
    lacks += [] if importlib.util.find_spec(module) else [package]
    if lacks:
        return Backend(name, False, "needs " + " and ".join(lacks))
    return Backend(name, True, found or package)


def has_ampere() -> bool:
    """Whether there is a GPU that Flash Attention 2 is written for."""
    import torch

    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)


def picked_kernel(device: str, dtype: str = "float32", masked: bool = False) -> str:
    """Which of `KERNELS` `scaled_dot_product_attention` picks: torch is asked."""
    import torch
    from torch.nn.attention import SDPBackend

    states = torch.zeros(1, 2, 16, 32, device=device, dtype=getattr(torch, dtype))
    mask = torch.arange(16, device=device).view(1, 1, 1, 16) < 10 if masked else None
    picked = torch._fused_sdp_choice(states, states, states, attn_mask=mask)
    return next(k for k, name in KERNELS.items() if name == SDPBackend(picked).name)


def usable_kernels(
    device: str, dtype: str = "float32", masked: bool = False
) -> list[str]:
    """Those of `KERNELS` that do this work when no other is allowed."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    found = []
    for name in KERNELS.values():  # torch warns at length why one will not do
        quiet = warnings.catch_warnings(action="ignore")
        with quiet, suppress(RuntimeError), sdpa_kernel(getattr(SDPBackend, name)):
            found.append(picked_kernel(device, dtype, masked))
    return found


def stored() -> dict[str, Any] | None:
    """What `make flash-bench` left in the repository; None while nobody has run it."""
    return json.loads(STORED.read_text(encoding="utf8")) if STORED.exists() else None

"""Which attention back ends this machine has, and why each missing one is missing."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

COMPILERS = ("c++", "g++", "clang++", "cl")
KERNELS = {  # what torch's dispatcher calls, and the name that `sdpa_kernel` knows it by
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
}
_CARD = "a CUDA GPU (Ampere or newer)"


@dataclass(frozen=True)
class Backend:
    """One way to compute attention: its name, whether it runs here, and why (not)."""

    name: str
    available: bool
    reason: str


def backends() -> list[Backend]:
    """Every attention back end that the workbook speaks of, tried or looked for on this
    machine.

    The names of those that `transformers` knows are what `attn_implementation` takes.
    """
    import torch

    cuda = torch.cuda.is_available()
    return [
        Backend(
            "eager", True, "plain matrix products; the one that returns attentions"
        ),
        Backend("sdpa", True, _sdpa("cuda" if cuda else "cpu")),
        _flex(cuda),
        _needing("flash_attention_2", "flash_attn", "the flash-attn package"),
        _needing(
            "kernels-community/flash-attn2",
            "kernels",
            "the kernels package",
            "from the Hub",
        ),
        _needing(
            "varlen_attn", "torch", "torch", "torch's built-in FA2, nothing to compile"
        ),
    ]


def _sdpa(device: str) -> str:
    dtype = "float16" if device == "cuda" else "float32"
    plain, masked = (picked_kernel(device, dtype, mask) for mask in (False, True))
    others = [name for name in usable_kernels(device, dtype) if name != plain]
    also = f"; it has {', '.join(others)} too" if others else ""
    return f"picks {plain} for {dtype}, {masked} with a mask{also}"


def _flex(cuda: bool) -> Backend:
    if cuda or any(map(shutil.which, COMPILERS)):
        return Backend("flex_attention", True, "compiles itself at its first call")
    return Backend(
        "flex_attention", False, "needs a C++ compiler where there is no GPU"
    )


def _needing(name: str, module: str, package: str, found: str = "") -> Backend:
    """A back end that wants an Ampere GPU and the package with `module`."""
    lacks = [
        *([] if has_ampere() else [_CARD]),
        *([] if importlib.util.find_spec(module) else [package]),
    ]
    if lacks:
        return Backend(name, False, "needs " + " and ".join(lacks))
    return Backend(name, True, found or package)


def has_ampere() -> bool:
    """Whether there is a GPU that Flash Attention 2 is written for."""
    import torch

    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)


def _tiny(
    device: str, dtype: str, masked: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Queries (1, 2, 16, 32) of zeros, and a padding mask (1, 1, 1, 16) if wanted."""
    import torch

    states = torch.zeros(1, 2, 16, 32, device=device, dtype=getattr(torch, dtype))
    mask = torch.arange(16, device=device).view(1, 1, 1, 16) < 10
    return states, mask if masked else None


def picked_kernel(device: str, dtype: str = "float32", masked: bool = False) -> str:
    """Which kernel `scaled_dot_product_attention` picks: "flash", "efficient", "cudnn"
    or "math".

    Found by asking: a tiny attention is run, and torch's dispatcher says what it calls.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    called: list[str] = []

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            called.append(str(func))
            return func(*args, **(kwargs or {}))

    states, mask = _tiny(device, dtype, masked)
    with torch.no_grad(), Listen():
        torch.nn.functional.scaled_dot_product_attention(
            states, states, states, attn_mask=mask
        )
    fused = [name for name in called if "scaled_dot_product" in name]
    return next(
        (kind for kind in KERNELS if any(kind in name for name in fused)), "math"
    )


def usable_kernels(
    device: str, dtype: str = "float32", masked: bool = False
) -> list[str]:
    """The kernels that do this work when they are the only one allowed, "math" among
    them.
    """
    kinds = [*KERNELS, "math"]
    return [kind for kind in kinds if kernel_runs(kind, *_tiny(device, dtype, masked))]


def kernel_runs(
    kind: str, states: torch.Tensor, mask: torch.Tensor | None = None
) -> bool:
    """Whether `scaled_dot_product_attention` runs with the kernel `kind` alone."""
    import warnings

    try:  # torch says at length, as warnings, why a kernel will not do
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attention_by(kind, states, states, states, mask)
    except RuntimeError:
        return False
    return True


def attention_by(
    kind: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """`scaled_dot_product_attention` (B, H, S, D) with one kernel allowed, "math" or of
    `KERNELS`.

    Raises `RuntimeError` where that kernel cannot do it.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(getattr(SDPBackend, KERNELS.get(kind, "MATH"))):
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask
        )

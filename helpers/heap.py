"""Memory that was freed and yet kept: given back, so that what a call adds can be seen."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back() -> None:
    """Return freed memory to the system, before a measurement with `benchmark.peak_memory`.

    What the C library keeps for the next call would hide what that call needs. Where there is no
    glibc (macOS, Windows) this collects garbage and no more.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)

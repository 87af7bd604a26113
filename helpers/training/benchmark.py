"""Fair timing: two ways of doing the same work, taking turns in one run.

A machine is never quite alone. So the sides alternate, after a warm-up each; what
counts is the median, and beside it stand the quartiles. Memory is what a call adds to
the process at its peak.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any


def paired(
    sides: Mapping[str, Callable[[], Any]],
    repeats: int = 5,
    warm: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """Time every side `repeats` times, in turns. `progress` is called after each turn.

    Returns {side: {"median", "low", "high" (quartiles), "runs"}}, all in seconds.

    >>> sorted(paired({"a": lambda: None, "b": lambda: None}, repeats=2)["a"])
    ['high', 'low', 'median', 'runs']
    """
    if repeats < 2:
        raise ValueError("a median with a spread needs at least two repeats")
    runs: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm + repeats):
        for name, work in sides.items():
            began = time.perf_counter()
            work()
            if turn >= warm:
                runs[name].append(time.perf_counter() - began)
        progress()
    return {name: _quartiles(taken) | {"runs": taken} for name, taken in runs.items()}


def _quartiles(values: list[float]) -> dict[str, Any]:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def ratio(
    timed: Mapping[str, Mapping[str, Any]], slow: str, fast: str
) -> dict[str, float]:
    """How many times faster: the median over turns of slow / fast, and quartiles."""
    pairs = zip(timed[slow]["runs"], timed[fast]["runs"], strict=True)
    return _quartiles([s / f for s, f in pairs])


def peak_memory_apart(build: Callable[..., Callable[[], Any]], *arguments: Any) -> int:
    """`peak_memory` of `build(*arguments)` in a process of its own.

    A process keeps what it once had: only in a fresh one does the first call show what
    it needs. `build` must be a function of a module, and the arguments picklable.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        return apart.submit(_peak_of_built, build, arguments).result()


def _peak_of_built(build: Callable[..., Callable[[], Any]], arguments: tuple) -> int:
    return peak_memory(build(*arguments))


def peak_memory(work: Callable[[], Any]) -> int:
    """Bytes that `work()` adds to this process at its peak, over what it held before.

    Sampled every millisecond, so that a very short peak can be missed.
    """
    import psutil

    process, done = psutil.Process(), threading.Event()
    gc.collect()
    if sys.platform == "linux":  # what glibc keeps would hide what a call needs
        trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)
        trim(0)
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(peak, process.memory_info().rss) - before

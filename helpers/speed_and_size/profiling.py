"""Where one call spends its time: by the parts of a model, and by operation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def by_part(
    work: Callable[[], Any], parts: dict[str, Sequence[Any]], repeats: int = 5
) -> dict[str, float]:
    """Seconds that one `work()` spends inside the modules of each part, and in "the
    rest".

    The mean of `repeats` after a warm-up, by hooks before and after each module. Parts
    must not lie inside one another.
    """
    work()
    spent = dict.fromkeys(parts, 0.0)
    hooks = [
        h for name, modules in parts.items() for h in _stop_watch(modules, spent, name)
    ]
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    spent["the rest"] = time.perf_counter() - began - sum(spent.values())
    for hook in hooks:
        hook.remove()
    return {name: seconds / repeats for name, seconds in spent.items()}


def _stop_watch(
    modules: Sequence[Any], spent: dict[str, float], name: str
) -> list[Any]:
    def begin(*_: Any) -> None:
        spent[name] -= time.perf_counter()

    def end(*_: Any) -> None:
        spent[name] += time.perf_counter()

    pairs = [
        (m.register_forward_pre_hook(begin), m.register_forward_hook(end))
        for m in modules
    ]
    return [hook for pair in pairs for hook in pair]


def by_operation(work: Callable[[], Any]) -> dict[str, tuple[int, float]]:
    """Calls and seconds of every operation in one `work()`, those that take most first.

    By `torch.profiler`, after a warm-up; seconds without what an operation calls
    itself.
    """
    from torch.profiler import ProfilerActivity, profile

    work()
    with _no_log(), profile(activities=[ProfilerActivity.CPU]) as watched:
        work()
    events = sorted(
        watched.key_averages(), key=lambda event: -event.self_cpu_time_total
    )
    return {
        event.key: (event.count, event.self_cpu_time_total / 1e6) for event in events
    }


@contextmanager
def _no_log() -> Iterator[None]:
    """The profiler's library writes a log to the process's standard error, past
    Python.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept), os.close(nowhere)

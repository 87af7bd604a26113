"""Who takes part in `make flash-bench`: each back end, plain, as a graph, compiled."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from helpers.flash_attention.unpadded import pack, unpadded

Batch = Mapping[str, torch.Tensor]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
WAYS = {"plain": "", "graph": " as a CUDA graph", "compiled": " compiled"}
PLAN = [  # (implementation, dtype, how it is run)
    ("eager", "fp32", "plain"),
    ("eager", "fp16", "plain"),
    ("sdpa", "fp32", "plain"),
    ("sdpa", "fp16", "plain"),
    ("sdpa", "bf16", "plain"),
    ("unpadded", "fp16", "plain"),
    ("unpadded", "bf16", "plain"),
    ("flash_attention_2", "fp16", "plain"),
    ("sdpa", "fp16", "graph"),
    ("unpadded", "fp16", "graph"),
    ("unpadded", "fp16", "compiled"),
]
NAMES = {f"{kind} {dtype}{WAYS[how]}": (kind, dtype, how) for kind, dtype, how in PLAN}


class Sizes(NamedTuple):
    """How large a run is: `tokens` for each batch of equal lengths, and so on."""

    tokens: int
    texts: int
    side: int  # of the matrices whose product gives the peak
    repeats: int
    lengths: tuple[int, ...]
    compiled: tuple[str, ...]  # the cases that are compiled too: that takes longest
    tiny: bool


@dataclass
class Run:
    """A measurement under way: where, how large, until when, and who is told."""

    device: str
    sizes: Sizes
    seconds: float
    say: Callable[[str], None] = lambda line: None
    began: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds until the time is up."""
        return self.began + self.seconds - time.monotonic()

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def contenders(
    run: Run,
    model: PreTrainedModel,
    batch: Batch,
    ways: Sequence[str],
    stack: ExitStack,
) -> Iterator[tuple[str, Callable[[], Any] | str]]:
    """(name, a call that computes `batch`), or (name, why it is missing), of `PLAN`.

    Each has its own copy of the model, so that all can be held ready and take turns;
    `stack` keeps what must be closed.
    """
    for name, what in NAMES.items():
        if what[2] not in ways:
            continue
        try:
            yield name, _ready(run, model, batch, what, stack)
        except Exception as error:  # a back end that fails is a finding, not the end
            reason = str(error).strip().splitlines()[0][:200]
            yield name, f"{type(error).__name__}: {reason}"


def _ready(
    run: Run,
    model: PreTrainedModel,
    batch: Batch,
    what: tuple[str, str, str],
    stack: ExitStack,
) -> Callable[[], Any]:
    kind, dtype, how = what
    if how == "compiled" and run.left() < run.seconds / 3:
        raise TimeoutError("no time left to compile")
    other = copy.deepcopy(model).to(DTYPES[dtype])
    if kind == "unpadded":
        work = _unpadded(run, stack.enter_context(unpadded(other)), batch, how)
    else:
        other.set_attn_implementation(kind)
        work = (lambda: other(**batch)) if how == "plain" else _graph(run, other, batch)
    work()  # what cannot run says so here
    run.wait()
    return work


def _graph(run: Run, model: PreTrainedModel, batch: Batch) -> Callable[[], Any]:
    held = dict(batch)
    if held["attention_mask"].all():  # a graph cannot look: it would keep the mask
        del held["attention_mask"]
    return captured(run, lambda inputs: model(**inputs), held, lambda: held)


def _unpadded(run: Run, fast: unpadded, batch: Batch, how: str) -> Callable[[], Any]:
    """The whole way from a padded batch: the unpadding and its one wait included."""
    if how == "plain":
        return lambda: fast(**batch)

    def packed() -> dict[str, Any]:
        return pack(**batch)[0]

    if how == "graph":
        return captured(run, fast.forward_packed, packed(), packed)
    torch.compiler.reset()  # too many compiled before, and torch silently gives up
    backend = "inductor" if run.device == "cuda" else "eager"
    forward = torch.compile(fast.forward_packed, backend=backend, dynamic=False)
    return lambda: forward(packed())


def captured(
    run: Run,
    forward: Callable[[dict[str, Any]], Any],
    held: dict[str, Any],
    fresh: Callable[[], dict[str, Any]],
) -> Callable[[], Any]:
    """`forward(fresh())` as a CUDA graph: one launch in place of hundreds.

    Every shape is that of `held`. Raises `RuntimeError` without CUDA.
    """
    if run.device != "cuda":
        raise RuntimeError("needs a CUDA GPU")
    places = {k: v.clone() if torch.is_tensor(v) else v for k, v in held.items()}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # warm, off the stream that is captured
        for _ in range(3):
            forward(places)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = forward(places)

    def replay() -> Any:
        for name, value in fresh().items():
            if torch.is_tensor(value):
                places[name].copy_(value)
        graph.replay()
        return output

    # a graph knows its weights by their address: they must outlive it
    replay.reads = forward  # type: ignore[attr-defined]
    return replay

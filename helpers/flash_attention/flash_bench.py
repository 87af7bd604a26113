"""`workbook flash-bench`: what each attention back end is worth on a GPU, in one run.

First every back end is held against float64; then models of full-size shapes (random
weights: time does not depend on what they say) read the same texts by turns. Tokens are
counted without padding, whoever computes it. On a machine without a GPU it runs as
well, `quick`, to try the script itself.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
)

from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.core.machine import machine
from helpers.flash_attention import cost, flash
from helpers.flash_attention.unpadded import Packed, Unpadded, attend, pack, unpadded
from helpers.training import benchmark

MEASUREMENTS = Path(__file__).parents[2] / "data" / "measurements"
STORED = MEASUREMENTS / "flash.json"
LENGTHS = MEASUREMENTS / "token_lengths.json"
BASES = ("eager fp32", "sdpa fp16")  # what every contender is compared with
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LIMIT = 512  # positions of the full-size models
WAYS = (
    "plain",
    "graph",
    "compiled",
)  # how a forward pass is run; compiling takes longest
SPREAD = "realistic"  # the name of the case that the sample texts' lengths make


class Sizes(NamedTuple):
    """How large a run is: `tokens` for each batch, matrix side for the peak, and
    repeats.
    """

    tokens: int
    texts: int
    side: int
    repeats: int
    lengths: tuple[int, ...]
    config: dict[str, int]


FULL = Sizes(32_768, 512, 8192, 15, (64, 128, 256, 512), {})
QUICK = Sizes(32, 6, 64, 2, (8,), {"layers": 2, "dim": 32, "heads": 2, "hidden": 64})


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


def measure(
    quick: bool = False,
    minutes: float = 9,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All of it, as a dict for JSON; `say` is told a line now and then.

    Cases that no longer fit into `minutes` are left out, and listed under `skipped`.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(device, QUICK if quick else FULL, 60 * minutes, say)
    torch.manual_seed(0)
    report = {
        "machine": machine(),
        "device": device,
        "quick": quick,
        "weights": "random, of full-size shapes"
        if not quick
        else "random, of tiny shapes",
        "fp32 matrix products": torch.get_float32_matmul_precision(),
        "peaks": peaks(run),
        "kernels": kernel_errors(run),
        "errors": {name: errors(run, model) for name, model in models(run)},
        "speed": {},
        "skipped": [],
    }
    for name, model in models(run):
        report["speed"][name] = {}
        for case, lengths in cases(run.sizes).items():
            if run.left() < run.seconds * 0.12:
                report["skipped"].append(f"{name}, {case}: the time was up")
                continue
            say(f"{name}, {case} ({run.left():.0f} s left)")
            ways = (
                WAYS if case in (SPREAD, f"all {max(run.sizes.lengths)}") else WAYS[:2]
            )
            report["speed"][name][case] = speed(
                run, model, lengths, report["peaks"], ways
            )
    report["seconds"] = time.monotonic() - run.began
    return report


def models(run: Run) -> Iterator[tuple[str, PreTrainedModel]]:
    """DistilBERT and BERT-base for classification with random weights, fp32, on the
    device.
    """
    tiny = run.sizes.config
    distil, large = {}, {}
    if tiny:
        distil = {
            "n_layers": tiny["layers"],
            "dim": tiny["dim"],
            "n_heads": tiny["heads"],
        }
        distil |= {"hidden_dim": tiny["hidden"]}
        large = {"num_hidden_layers": tiny["layers"], "hidden_size": tiny["dim"]}
        large |= {
            "num_attention_heads": tiny["heads"],
            "intermediate_size": tiny["hidden"],
        }
    makers = {
        "DistilBERT": lambda: DistilBertForSequenceClassification(
            DistilBertConfig(**distil)
        ),
        "BERT-base": lambda: BertForSequenceClassification(BertConfig(**large)),
    }
    for name, make in makers.items():
        torch.manual_seed(0)
        yield name, make().eval().to(run.device)


def cases(sizes: Sizes) -> dict[str, list[int]]:
    """{name: lengths of a batch's texts}: equal ones, and as the sample texts have
    them.

    "4 x realistic" keeps the spread and makes all texts four times as long, up to the
    limit.
    """
    drawn = realistic(sizes.texts)
    equal = {f"all {n}": [n] * (sizes.tokens // n) for n in sizes.lengths}
    longer = [min(4 * length, LIMIT) for length in drawn[: max(sizes.texts // 4, 2)]]
    return {SPREAD: drawn, f"4 x {SPREAD}": longer, **dict(reversed(equal.items()))}


def realistic(texts: int, seed: int = 0) -> list[int]:
    """Lengths in tokens of so many texts of the sample sets, reviews and passages
    mixed.
    """
    stored = json.loads(LENGTHS.read_text(encoding="utf8"))
    pool = torch.tensor([length for lengths in stored.values() for length in lengths])
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[torch.arange(texts) % len(pool)]].tolist()


def padded_batch(lengths: list[int], device: str) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` (B, S) of random ids, padded to the longest."""
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1000, 30_000, mask.shape, generator=generator) * mask
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


# What the back ends get wrong


def kernel_errors(run: Run) -> dict[str, dict[str, float]]:
    """The kernels by themselves, fp16, against float64: {kernel: {"max", "mean"}}.

    Those of `scaled_dot_product_attention` each alone; `unpadded` is torch's varlen
    kernel where there is one, and one text after the other elsewhere.
    """
    states = torch.randn(
        3, 2, 4, 100, 64, device=run.device
    ).half()  # q, k, v (B, H, S, D)
    q, k, v = states.double()
    exact = (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v
    kinds = flash.usable_kernels(run.device, "float16")
    ways = {kind: partial(flash.attention_by, kind) for kind in kinds}
    found = {}
    for name, way in (ways | {"unpadded": _packed_attention}).items():
        away = (way(*states).double() - exact).abs()
        found[name] = {"max": away.max().item(), "mean": away.mean().item()}
    return found


def _packed_attention(*states: torch.Tensor) -> torch.Tensor:
    batch, _, length, _ = states[0].shape
    borders = (
        torch.arange(batch + 1, device=states[0].device, dtype=torch.int32) * length
    )
    packed = (tensor.transpose(1, 2).flatten(0, 1) for tensor in states)  # (T, H, D)
    return (
        attend(*packed, borders, length).unflatten(0, (batch, length)).transpose(1, 2)
    )


def errors(run: Run, model: PreTrainedModel) -> dict[str, Any]:
    """{contender: largest and mean distance from float64} of last hidden states, valid
    tokens.

    `unit`: the standard deviation of what is compared.
    """
    batch = padded_batch(
        realistic(8) if not run.sizes.config else [3, 8, 1], run.device
    )
    real = batch["attention_mask"].bool()
    with torch.inference_mode():
        double = copy.deepcopy(model).double()
        double.set_attn_implementation("eager")
        exact = double.base_model(**batch).last_hidden_state[real]
        found: dict[str, Any] = {"unit": exact.std().item()}
        for name, work in contenders(run, model.base_model, batch, WAYS[:1]):
            if isinstance(work, str):
                found[name] = work
                continue
            away = (work().last_hidden_state[real].double() - exact).abs()
            found[name] = {"max": away.max().item(), "mean": away.mean().item()}
    return found


# How fast they are


def speed(
    run: Run,
    model: PreTrainedModel,
    lengths: list[int],
    peak: Mapping[str, float],
    ways: Sequence[str] = WAYS,
) -> dict[str, Any]:
    """Every contender on one batch of these lengths, by turns: {contender: its row}."""
    batch = padded_batch(lengths, run.device)
    sides, rows = {}, {}
    with torch.inference_mode(), ExitStack() as open_models:
        for name, work in contenders(run, model, batch, ways, open_models):
            rows[name] = {"missing": work} if isinstance(work, str) else {}
            if not isinstance(work, str):
                sides[name] = _to_the_end(work, run)
                graph = (
                    "graph" in name
                )  # holds its memory all the time: a call adds none
                rows[name]["peak_bytes"] = (
                    None if graph else peak_bytes(sides[name], run)
                )
        timed = benchmark.paired(sides, run.sizes.repeats, warm=3)
    work = _counted(model, lengths)
    for name in sides:
        rows[name] |= _row(timed, name, sum(lengths), work, peak)
    return {
        "texts": len(lengths),
        "tokens": sum(lengths),
        "longest": max(lengths),
        "pad_share": 1 - sum(lengths) / (len(lengths) * max(lengths)),
        "contenders": rows,
    }


def _to_the_end(work: Callable[[], Any], run: Run) -> Callable[[], None]:
    def timed() -> None:
        work()
        run.wait()

    return timed


def _row(
    timed: Mapping[str, Any],
    name: str,
    tokens: int,
    work: int,
    peak: Mapping[str, float],
) -> dict[str, Any]:
    """Tokens/s with quartiles, ratios to the bases, and the share of the matrix
    peak.
    """
    seconds = timed[name]
    dtype = next(dtype for dtype in DTYPES if dtype in name.split())
    return {
        "seconds": {key: seconds[key] for key in ("median", "low", "high")},
        "tokens_per_second": tokens / seconds["median"],
        "share_of_peak": work / seconds["median"] / peak[dtype],
        "faster_than": {
            b: benchmark.ratio(timed, b, name) for b in BASES if b in timed
        },
    }


def _counted(model: PreTrainedModel, lengths: list[int]) -> int:
    config = model.config
    hidden = getattr(config, "hidden_dim", None) or config.intermediate_size
    return cost.model_flops(
        lengths, config.num_hidden_layers, config.hidden_size, hidden
    )


def peak_bytes(work: Callable[[], Any], run: Run) -> int:
    """Bytes that one call adds at its peak: the GPU's own count, or the process's on a
    CPU.
    """
    if run.device == "cpu":
        return benchmark.peak_memory(work)
    work()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return torch.cuda.max_memory_allocated() - before


def peaks(run: Run) -> dict[str, float]:
    """Operations a second of one large matrix product, by dtype: the best of ten."""
    side, found = run.sizes.side, {}
    for name, dtype in DTYPES.items():
        left, right = torch.randn(2, side, side, device=run.device, dtype=dtype)
        work = _to_the_end(lambda left=left, right=right: left @ right, run)
        runs = benchmark.paired({name: work}, repeats=10, warm=3)[name]["runs"]
        found[name] = 2 * side**3 / min(runs)
    return found


# Who takes part

PLAN = [  # (name, implementation, dtype, how it is run)
    ("eager fp32", "eager", "fp32", "plain"),
    ("eager fp16", "eager", "fp16", "plain"),
    ("sdpa fp32", "sdpa", "fp32", "plain"),
    ("sdpa fp16", "sdpa", "fp16", "plain"),
    ("sdpa bf16", "sdpa", "bf16", "plain"),
    ("unpadded fp16", "unpadded", "fp16", "plain"),
    ("unpadded bf16", "unpadded", "bf16", "plain"),
    ("flash_attention_2 fp16", "flash_attention_2", "fp16", "plain"),
    ("sdpa fp16 as a CUDA graph", "sdpa", "fp16", "graph"),
    ("unpadded fp16 as a CUDA graph", "unpadded", "fp16", "graph"),
    ("unpadded fp16 compiled", "unpadded", "fp16", "compiled"),
]


def contenders(
    run: Run,
    model: PreTrainedModel,
    batch: Mapping[str, torch.Tensor],
    ways: Sequence[str],
    stack: ExitStack | None = None,
) -> Iterator[tuple[str, Callable[[], Any] | str]]:
    """(name, a call that computes `batch`), or (name, why it is missing), of all in
    `PLAN`.

    Each has its own copy of the model, so that all can be held ready and take turns;
    `stack` keeps what must be closed. `ways`: some of `WAYS`.
    """
    with ExitStack() as own:
        for name, kind, dtype, how in PLAN:
            if how not in ways:
                continue
            try:
                yield name, _ready(run, model, batch, (kind, dtype, how), stack or own)
            except (
                Exception
            ) as error:  # a back end that fails is a finding, not the end
                yield (
                    name,
                    f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}",
                )


def _ready(
    run: Run,
    model: PreTrainedModel,
    batch: Mapping[str, torch.Tensor],
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


def _graph(
    run: Run, model: PreTrainedModel, batch: Mapping[str, torch.Tensor]
) -> Callable:
    held = dict(batch)
    if held[
        "attention_mask"
    ].all():  # a graph cannot look, and would keep a mask of ones
        del held["attention_mask"]
    replay, places = captured(run, lambda inputs: model(**inputs), held)

    def work() -> Any:
        for name, tensor in held.items():
            places[name].copy_(tensor)
        return replay()

    return work


def _unpadded(
    run: Run, fast: Unpadded, batch: Mapping[str, torch.Tensor], how: str
) -> Callable[[], Any]:
    """The whole way from a padded batch, the unpadding itself and its one wait
    included.
    """
    if how == "plain":
        return lambda: fast(**batch)
    if how == "compiled":
        backend = "inductor" if run.device == "cuda" else "aot_eager"
        forward = torch.compile(fast.forward_packed, backend=backend, dynamic=False)
        return lambda: forward(pack(**batch))
    first = pack(**batch)
    replay, places = captured(
        run, lambda held: fast.forward_packed(Packed(**held)), first._asdict()
    )

    def work() -> Any:
        for name, value in pack(**batch)._asdict().items():
            if isinstance(value, torch.Tensor):
                places[name].copy_(value)
        return replay()

    return work


def captured(
    run: Run, forward: Callable[[dict[str, Any]], Any], held: dict[str, Any]
) -> tuple[Callable[[], Any], dict[str, Any]]:
    """`forward(held)` as a CUDA graph: (replay, the tensors to copy new inputs into).

    One launch in place of hundreds; every shape is fixed. Raises `RuntimeError` without
    CUDA.
    """
    if run.device != "cuda":
        raise RuntimeError("needs a CUDA GPU")
    places = {
        k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in held.items()
    }
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
        graph.replay()
        return output

    return replay, places


# What it comes to


def headlines(report: Mapping[str, Any]) -> dict[str, float | None]:
    """The three numbers that the workbook asks for, of DistilBERT; None where not
    measured.

    The best unpadded fp16 on realistic lengths against padded fp32 eager and against
    padded fp16 sdpa (valid tokens a second), and the best share of the fp16 matrix peak
    at length 512.
    """
    rows = report["speed"].get("DistilBERT", {})
    spread = rows.get(SPREAD, {}).get("contenders", {})
    longest = rows.get("all 512", {}).get("contenders", {})
    ratios = {
        f"against {base}": _best(
            spread, lambda row, base=base: row["faster_than"][base]["median"]
        )
        for base in BASES
    }
    return ratios | {
        "share of peak at 512": _best(longest, lambda row: row["share_of_peak"])
    }


def _best(
    rows: Mapping[str, Any], value: Callable[[Mapping[str, Any]], float]
) -> float | None:
    ran = [
        row
        for name, row in rows.items()
        if "unpadded fp16" in name and "seconds" in row
    ]
    return max(map(value, ran), default=None)


def store(report: Mapping[str, Any], path: Path) -> None:
    """Write the report as JSON, whole or not at all."""
    write_json(path, report)


def check(path: Path, quick: bool) -> None:
    """Raises `WorkbookError` if a real run would measure a CPU, or a trial hide a
    measurement.
    """
    if quick and path == STORED:
        raise WorkbookError(
            "a quick run is no measurement: give it an --output of its own"
        )
    if not quick and not torch.cuda.is_available():
        raise WorkbookError(
            "there is no CUDA GPU here; --quick --output FILE tries the script"
        )


def errors_table(report: Mapping[str, Any]) -> Iterator[str]:
    """The distances from float64 as lines of text, or why a contender is missing."""
    for what, found in (
        {"kernels, fp16": report["kernels"]} | report["errors"]
    ).items():
        yield f"\n{what}: distance from float64"
        for name, error in found.items():
            if isinstance(error, dict):
                yield f"  {name:34} max {error['max']:.1e}  mean {error['mean']:.1e}"
            elif isinstance(error, str):
                yield f"  {name:34} {error}"


def table(report: Mapping[str, Any]) -> Iterator[str]:
    """The speeds as lines of text, a case after the other."""
    for model, found in report["speed"].items():
        for case, rows in found.items():
            yield f"\n{model}, {case}: {rows['tokens']:,} tokens, {rows['pad_share']:.0%} padding"
            for name, row in rows["contenders"].items():
                yield f"  {name:34} {row['missing'] if 'missing' in row else _line(row)}"


def _line(row: Mapping[str, Any]) -> str:
    faster = [f"{r['median']:5.2f} x {base}" for base, r in row["faster_than"].items()]
    rate = f"{row['tokens_per_second']:12,.0f} tokens/s"
    share, added = f"{row['share_of_peak']:4.0%} of peak", row["peak_bytes"]
    room = " " * 11 if added is None else f"{added / 2**20:7,.0f} MiB"
    return "  ".join([rate, share, room, *faster])


def stored() -> dict[str, Any] | None:
    """The measurement that lies in the repository, or None while nobody has made
    one.
    """
    return json.loads(STORED.read_text(encoding="utf8")) if STORED.exists() else None

"""`make flash-bench`: what each attention back end is worth on a GPU, in one run.

First every back end is held against float64; then models of full-size shapes (random
weights: time does not depend on what they say) read the same texts by turns. Tokens are
counted without padding, whoever computes it. On a machine without a GPU `--quick` tries
the script itself.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
import transformers
from flash_contenders import DTYPES, WAYS, Run, Sizes, contenders
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from helpers.core.cache import write_json
from helpers.core.machine import machine
from helpers.core.session import quiet_and_offline
from helpers.flash_attention.flash import KERNELS, STORED, usable_kernels
from helpers.flash_attention.unpadded import attend
from helpers.training import benchmark

LENGTHS = STORED.with_name("token_lengths.json")
BASES = ("eager fp32", "sdpa fp16")  # what every contender is compared with
SPREAD = "realistic"  # the name of the case that the sample texts' lengths make
LIMIT = 512  # positions of the full-size models
FULL = Sizes(
    32_768, 512, 8192, 15, (64, 128, 256, LIMIT), (SPREAD, f"all {LIMIT}"), False
)
QUICK = Sizes(32, 6, 64, 2, (8,), (SPREAD,), True)
TINY = {
    "DistilBert": {"n_layers": 1, "dim": 32, "n_heads": 2, "hidden_dim": 64},
    "Bert": {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2,
             "intermediate_size": 64},
}  # fmt: skip
MODELS = {"DistilBERT": "DistilBert", "BERT-base": "Bert"}


def measure(
    quick: bool = False,
    minutes: float = 9,
    say: Callable[[str], None] = lambda line: None,
    keep: Callable[[dict[str, Any]], None] = lambda report: None,
) -> dict[str, Any]:
    """All of it, as a dict for JSON; `say` is told a line now and then.

    Cases that no longer fit into `minutes` are left out, and listed under `skipped`.
    `keep` is given the report after each case: a kernel that takes the process down
    with it takes no figures along.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(device, QUICK if quick else FULL, 60 * minutes, say)
    torch.manual_seed(0)
    report: dict[str, Any] = {
        "machine": machine(),
        "device": device,
        "quick": quick,
        "weights": f"random, of {'tiny' if quick else 'full-size'} shapes",
        "fp32 matrix products": torch.get_float32_matmul_precision(),
        "peaks": peaks(run),
        "kernels": kernel_errors(run),
        "errors": {name: errors(run, model) for name, model in models(run)},
        "speed": {name: {} for name in MODELS},
        "skipped": [],
    }
    for name, model in models(run):
        for case, lengths in cases(run.sizes).items():
            if run.left() < run.seconds * 0.12:
                report["skipped"].append(f"{name}, {case}: the time was up")
                continue
            say(f"{name}, {case} ({run.left():.0f} s left)")
            ways = list(WAYS) if case in run.sizes.compiled else ["plain", "graph"]
            row = speed(run, model, lengths, report["peaks"], ways)
            report["speed"][name][case] = row
            keep(summed(report, run))
    keep(summed(report, run))
    return report


def summed(report: dict[str, Any], run: Run) -> dict[str, Any]:
    """The report with what it comes to so far."""
    report["headlines"] = headlines(report)
    report["seconds"] = time.monotonic() - run.began
    return report


def models(run: Run) -> Iterator[tuple[str, PreTrainedModel]]:
    """Classifiers of both families with random weights, fp32, on the device."""
    for name, family in MODELS.items():
        torch.manual_seed(0)
        sizes = TINY[family] if run.sizes.tiny else {}
        config = getattr(transformers, f"{family}Config")(**sizes)
        model = getattr(transformers, f"{family}ForSequenceClassification")(config)
        yield name, model.eval().to(run.device)


def cases(sizes: Sizes) -> dict[str, list[int]]:
    """{name: lengths of a batch's texts}: as the sample texts have them, and equal.

    "4 x realistic" keeps the spread and makes all texts four times as long, up to the
    limit.
    """
    drawn = realistic(sizes.texts)
    longer = [min(4 * length, LIMIT) for length in drawn[: max(sizes.texts // 4, 2)]]
    longest_first = sorted(sizes.lengths, reverse=True)
    equal = {f"all {n}": [n] * (sizes.tokens // n) for n in longest_first}
    return {SPREAD: drawn, f"4 x {SPREAD}": longer, **equal}


def realistic(texts: int, seed: int = 0) -> list[int]:
    """Lengths in tokens of texts of the sample sets, reviews and passages mixed."""
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
    states = torch.randn(3, 2, 4, 100, 64, device=run.device).half()  # (B, H, S, D)
    q, k, v = states.double()
    exact = (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v
    found = {}
    for kind in usable_kernels(run.device, "float16"):
        with sdpa_kernel(getattr(SDPBackend, KERNELS[kind])):
            found[kind] = _distance(scaled_dot_product_attention(*states), exact)
    rows = [tensor.transpose(1, 2).flatten(0, 1) for tensor in states]  # (T, H, D)
    borders = torch.arange(0, 201, 100, device=run.device, dtype=torch.int32)
    packed = attend(rows, borders, 100).unflatten(0, (2, 100)).transpose(1, 2)
    return found | {"unpadded": _distance(packed, exact)}


def _distance(found: torch.Tensor, exact: torch.Tensor) -> dict[str, float]:
    away = (found.double() - exact).abs()
    return {"max": away.max().item(), "mean": away.mean().item()}


def errors(run: Run, model: PreTrainedModel) -> dict[str, Any]:
    """{contender: distance from float64} of last hidden states, valid tokens.

    `unit`: the standard deviation of what is compared.
    """
    lengths = [3, 8, 1] if run.sizes.tiny else realistic(8)
    batch = padded_batch(lengths, run.device)
    real, base = batch["attention_mask"].bool(), model.base_model
    with torch.inference_mode(), ExitStack() as stack:
        double = copy.deepcopy(base).double()
        double.set_attn_implementation("eager")
        exact = double(**batch).last_hidden_state[real]
        found: dict[str, Any] = {"unit": exact.std().item()}
        for name, work in contenders(run, base, batch, ["plain"], stack):
            missing = isinstance(work, str)
            near = work if missing else work().last_hidden_state[real]
            found[name] = near if missing else _distance(near, exact)
    return found


# How fast they are


def speed(
    run: Run,
    model: PreTrainedModel,
    lengths: list[int],
    peak: Mapping[str, float],
    ways: Sequence[str],
) -> dict[str, Any]:
    """Every contender on one batch of these lengths, by turns: {contender: its row}."""
    batch = padded_batch(lengths, run.device)
    sides, rows = {}, {}
    with torch.inference_mode(), ExitStack() as stack:
        for name, work in contenders(run, model, batch, ways, stack):
            if isinstance(work, str):
                rows[name] = {"missing": work}
                continue
            sides[name] = _to_the_end(work, run)
            held = "graph" in name  # it holds its memory all the time: a call adds none
            rows[name] = {"peak_bytes": None if held else peak_bytes(sides[name], run)}
        timed = benchmark.paired(sides, run.sizes.repeats, warm=3)
    work = operations(model, lengths)
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
    timed: Mapping[str, Any], name: str, tokens: int, work: int, peak: Mapping
) -> dict[str, Any]:
    """Tokens/s with quartiles, ratios to the bases, and the share of the peak."""
    seconds, bases = timed[name], [base for base in BASES if base in timed]
    dtype = next(dtype for dtype in DTYPES if dtype in name.split())
    return {
        "seconds": {key: seconds[key] for key in ("median", "low", "high")},
        "tokens_per_second": tokens / seconds["median"],
        "share_of_peak": work / seconds["median"] / peak[dtype],
        "faster_than": {base: benchmark.ratio(timed, base, name) for base in bases},
    }


def operations(model: PreTrainedModel, lengths: Sequence[int]) -> int:
    """What an encoder must multiply and add for texts of these lengths, unpadded.

    The six linear layers of a layer, 2 for each weight and token; scores and weighted
    values, 2 x 2 x dim for each pair of tokens of a text. The rest is little.
    """
    config = model.config
    dim, hidden = config.hidden_size, getattr(config, "hidden_dim", None)
    hidden = hidden or config.intermediate_size
    linear = 2 * sum(lengths) * (4 * dim * dim + 2 * dim * hidden)
    return config.num_hidden_layers * (linear + sum(4 * dim * n * n for n in lengths))


def peak_bytes(work: Callable[[], Any], run: Run) -> int:
    """Bytes that one call adds at its peak, to the GPU's, or on a CPU the process's."""
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


# What it comes to


def headlines(report: Mapping[str, Any]) -> dict[str, float | None]:
    """The three numbers that the workbook asks for, of DistilBERT; None: not measured.

    The best unpadded fp16 on realistic lengths against padded fp32 eager and against
    padded fp16 sdpa (valid tokens a second), and the best share of the fp16 matrix peak
    at length 512.
    """
    cases = report["speed"].get("DistilBERT", {})

    def best(case: str, value: Callable[[Mapping[str, Any]], float]) -> float | None:
        rows = cases.get(case, {}).get("contenders", {}).items()
        ran = [row for name, row in rows if "unpadded fp16" in name if "seconds" in row]
        return max(map(value, ran), default=None)

    found = {
        f"against {base}": best(SPREAD, lambda r, b=base: r["faster_than"][b]["median"])
        for base in BASES
    }
    return found | {
        "share of peak at 512": best("all 512", lambda r: r["share_of_peak"])
    }


def errors_table(report: Mapping[str, Any]) -> Iterator[str]:
    """The distances from float64 as lines of text, or why a contender is missing."""
    everything = {"kernels, fp16": report["kernels"]} | report["errors"]
    for what, found in everything.items():
        yield f"\n{what}: distance from float64"
        for name, error in found.items():
            if isinstance(error, dict):
                error = f"max {error['max']:.1e}  mean {error['mean']:.1e}"
            if name != "unit":
                yield f"  {name:34} {error}"


def table(report: Mapping[str, Any]) -> Iterator[str]:
    """The speeds as lines of text, a case after the other."""
    for model, found in report["speed"].items():
        for case, rows in found.items():
            share = f"{rows['pad_share']:.0%} padding"
            yield f"\n{model}, {case}: {rows['tokens']:,} tokens, {share}"
            for name, row in rows["contenders"].items():
                told = row["missing"] if "missing" in row else _line(row)
                yield f"  {name:34} {told}"


def _line(row: Mapping[str, Any]) -> str:
    faster = [f"{r['median']:5.2f} x {base}" for base, r in row["faster_than"].items()]
    rate = f"{row['tokens_per_second']:12,.0f} tokens/s"
    share, added = f"{row['share_of_peak']:4.0%} of peak", row["peak_bytes"]
    room = " " * 11 if added is None else f"{added / 2**20:7,.0f} MiB"
    return "  ".join([rate, share, room, *faster])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--output", default=STORED, type=click.Path(dir_okay=False, path_type=Path),
    help="Default: in data/measurements.",
)  # fmt: skip
@click.option("--minutes", default=9.0, help="What takes longer is left out.")
@click.option("--quick", is_flag=True, help="Tiny models, on any machine.")
def main(output: Path, minutes: float, quick: bool) -> None:
    """Hold every attention back end against float64, then time them on a GPU."""
    if quick and output == STORED:
        line = "a quick run is no measurement: give it an --output of its own"
        raise click.ClickException(line)
    if not quick and not torch.cuda.is_available():
        line = "there is no CUDA GPU here; --quick --output FILE tries the script"
        raise click.ClickException(line)
    quiet_and_offline("classroom")
    report = measure(
        quick, minutes, partial(click.echo, err=True), partial(write_json, output)
    )
    for line in (*errors_table(report), *table(report)):
        click.echo(line)
    for name, value in report["headlines"].items():
        click.echo(f"{name:24} {'not measured' if value is None else f'{value:.2f}'}")
    click.echo(f"all figures: {output}")


if __name__ == "__main__":
    main()

"""Pictures for `11_speed_and_size`: the ladder, sweeps, where the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.show.plots import BLUE, GREEN, GREY, ORANGE, PALETTE, RED, SKY, figure

if TYPE_CHECKING:
    import torch

MB = 1_000_000
Row = Mapping[str, Any]  # of the ladder, as `ladder.measure` gives it


def climb(rows: Sequence[Row], title: str = "The ladder so far") -> Figure:
    """Accuracy over latency, with the size as an area; how much faster each rung is.

    The plainest row comes first; the last one stands out. A rung that is missing keeps
    its line, and no bar.
    """
    height = 0.9 + 0.36 * max(len(rows), 6)
    fig, (left, right) = figure(10, height, ncols=2, width_ratios=(5, 6))
    fig.set_dpi(80)  # it is drawn after every rung: the file must stay light
    ran = [(at, row) for at, row in enumerate(rows) if "missing" not in row]
    for nth, (at, row) in enumerate(sorted(ran, key=lambda one: one[1]["seconds"])):
        place, last = (row["seconds"], 100 * (row["accuracy"] or 0)), at == ran[-1][0]
        look = {"color": ORANGE if last else BLUE, "alpha": 0.45, "lw": 0.6}
        left.scatter(*place, s=12 * row["bytes"] / MB, edgecolors="black", **look)
        # numbers of neighbours at three heights: equal accuracy puts many on one line
        beside = {"xytext": (0, 13 * (nth % 3 - 1)), "textcoords": "offset points"}
        left.annotate(str(at), place, ha="center", va="center", fontsize=9, **beside)
    _log_ticks(left, [row["seconds"] for _, row in ran])
    shares = [100 * (row["accuracy"] or 0) for _, row in ran]
    left.set(xlabel="seconds for all texts", ylabel="accuracy on held-out texts, %")
    left.set_ylim(min(shares) - 4, max(shares) + 4)
    left.set_title("area: size of the weights", fontsize=10)
    _speeds(right, rows)
    right.set_title(title, fontsize=11)
    return fig


def _log_ticks(ax: Axes, values: Sequence[float]) -> None:
    """Few, readable numbers on a logarithmic axis, with room on both sides."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.set_xlim(min(values) / 1.6, max(values) * 1.6)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _speeds(ax: Axes, rows: Sequence[Row]) -> None:
    """A bar a rung with its quartiles; beside it what it changed and what it weighs."""
    most = max(row["speedup"] for row in rows if "missing" not in row)
    for at, row in enumerate(rows):
        if "missing" in row:
            ax.text(0.02 * most, at, "not here", va="center", color=GREY, fontsize=9)
            continue
        last = at == len(rows) - 1
        _bar(
            ax, at, row["speedup"], *row["speedup_quartiles"], ORANGE if last else BLUE
        )
        said = f" {row['speedup']:.1f}x, {row['bytes'] / MB:.0f} MB"
        said += f", {row['changed_share']:.2%} changed" if at else ""
        end = max(row["speedup_quartiles"][1], row["speedup"])
        ax.text(end * 1.02, at, said, va="center", fontsize=9)
    _lines(ax, [f"{at} {row['rung']}" for at, row in enumerate(rows)])
    ax.set(xlim=(0, 1.75 * most), xlabel="times faster")


def _bar(
    ax: Axes, at: int, median: float, low: float, high: float, colour: str
) -> None:
    ax.barh(at, median, 0.65, color=colour, alpha=0.8)
    reach = [[max(median - low, 0)], [max(high - median, 0)]]
    ax.errorbar(median, at, xerr=reach, color="black", capsize=3, lw=1)


def _lines(ax: Axes, names: Iterable[str]) -> None:
    """Names of horizontal bars, the first on top."""
    names = list(names)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def lengths(sizes: Sequence[int], known: Sequence[bool]) -> Figure:
    """How many texts have how many tokens; `known` are those whose label is known."""
    fig, ax = figure(8, 3)
    groups = {"label known, held out": [], "others": []}
    for size, held in zip(sizes, known, strict=True):
        groups["label known, held out" if held else "others"].append(size)
    bins, longest = range(0, max(sizes) + 3, 2), max(sizes)
    look = {"label": list(groups), "color": (ORANGE, SKY)}
    ax.hist(list(groups.values()), bins=bins, stacked=True, **look)
    ax.axvline(longest, color=RED, lw=1.5, label=f"the longest, {longest}")
    ax.set(xlabel="tokens", ylabel="texts", title="What there is to read")
    ax.set_xlim(0, 1.45 * longest)  # room for the legend
    ax.legend(loc="right")
    return fig


def sweep(found: Mapping[int, Mapping[int, float]], threads: int) -> Figure:
    """Tokens a second over the batch size, of {length: {batch: seconds}}."""
    fig, ax = figure(8, 3.6)
    for (length, times), colour in zip(found.items(), PALETTE, strict=False):
        speeds = [batch * length / seconds for batch, seconds in times.items()]
        ax.plot(list(times), speeds, "o-", color=colour, label=f"{length} tokens")
    doubling(ax, times)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set(xlabel="texts in a batch", ylabel="tokens a second", ylim=(0, None))
    ax.set_title(f"What a batch brings, fp32, threads: {threads}")
    ax.legend(title="each text has")
    return fig


def doubling(ax: Axes, sizes: Iterable[int]) -> None:
    """An x axis on which every step doubles, with these numbers."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(sizes), map(str, sizes))


def parts(found: Mapping[str, Mapping[str, float]]) -> Figure:
    """Where the time goes, {what: {part: seconds}}: a stacked bar for each."""
    fig, ax = figure(9, 0.9 + 0.6 * len(found))
    times = pd.DataFrame(found).T
    shares = times.div(times.sum(axis=1), axis=0) * 100
    begin = pd.Series(0.0, shares.index)
    for part, colour in zip(shares, (GREY, BLUE, ORANGE, GREEN, RED), strict=False):
        share, places = shares[part], range(len(shares))
        bars = ax.barh(places, share, 0.7, left=begin, color=colour, label=part)
        words = [f"{value:.0f}%" if value > 5 else "" for value in share]
        ax.bar_label(bars, words, label_type="center")
        begin += share
    _lines(ax, found)
    ax.set(xlabel="share of the time, %", xlim=(0, 100))
    fig.legend(loc="outside upper left", ncols=shares.shape[1])
    return fig


def families(rows: Mapping[str, Mapping[str, float]], said: float) -> Figure:
    """BERT's time over DistilBERT's, {way: {"median", "low", "high"}}; the paper's."""
    fig, ax = figure(8, 0.9 + 0.55 * len(rows))
    for at, row in enumerate(rows.values()):
        _bar(ax, at, row["median"], row["low"], row["high"], BLUE)
        ax.text(row["high"] + 0.03, at, f"{row['median']:.2f}x", va="center")
    ax.axvline(said, color=RED, ls="--", label=f"the paper's table: {said:.2f}x")
    ax.axvline(2, color=GREY, ls=":", label="half of the layers: 2x")
    _lines(ax, rows)
    ax.set(xlabel="BERT's time over DistilBERT's", xlim=(0, 2.6))
    fig.legend(loc="outside upper left", ncols=2)
    return fig


def rounding(weights: torch.Tensor) -> Figure:
    """The weights of a matrix, and some of the 255 steps that int8 has for them."""
    fig, ax = figure(8, 2.8)
    step = weights.abs().max().item() / 127
    moved = ((weights / step).round() * step - weights).abs().max().item()
    ax.hist(weights.flatten().tolist(), bins=100, color=GREY)
    for at in range(-112, 128, 16):
        ax.axvline(at * step, color=SKY, lw=0.8)
    ax.set(xlabel="weight; a line at every 16th step", ylabel="how many", yscale="log")
    ax.set_title(f"255 steps of {step:.2g}: no weight moves by more than {moved:.2g}")
    return fig


def slips(found: Mapping[str, tuple[str, str]]) -> HTML:
    """A table of mistakes: {mistake: (what it shows, what is so)}."""
    head = ("mistake", "what it shows", "what is so")
    return _html(head, [(name, *told) for name, told in found.items()])


def table(rows: Sequence[Row]) -> HTML:
    """The ladder in figures."""
    faster = "times faster (quartiles)"
    head = ("rung", "seconds", faster, "labels changed", "accuracy", "MB")
    return _html(head, map(_cells, rows))


def _cells(row: Row) -> tuple[str, ...]:
    if "missing" in row:
        return (row["rung"], "", f"needs: {row['missing']}", "", "", "")
    low, high = row["speedup_quartiles"]
    return (
        row["rung"],
        f"{row['seconds']:.2f}",
        f"{row['speedup']:.1f} ({low:.1f} to {high:.1f})",
        f"{row['changed_share']:.2%}",
        "" if row["accuracy"] is None else f"{row['accuracy']:.1%}",
        f"{row['bytes'] / MB:.1f}",
    )


def _html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> HTML:
    shown = pd.DataFrame(list(rows), columns=list(head))
    with pd.option_context("display.max_colwidth", None):
        return HTML(shown.to_html(index=False, border=0, justify="left"))

"""Pictures for `10_flash_attention`: bytes, tiles, number formats, padding, speeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from helpers.show.plots import BLUE, GREEN, GREY, PALETTE, RED, SKY, figure

MIB = 2**20
PALE = "#EEEEEE"


def bytes_by_length(rows: Mapping[str, Mapping[int, int]], title: str) -> Figure:
    """One line for each of `rows`, {name: {length: bytes}}, both axes doubling."""
    fig, ax = figure(8, 3.8)
    sizes = pd.DataFrame(rows) / MIB
    sizes.plot(ax=ax, style="o-", color=[GREY, RED, BLUE], legend=False)
    for name, last in sizes.iloc[-1].items():
        ax.annotate(f"  {name}", (sizes.index[-1], last), va="center")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(sizes.index, sizes.index)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="tokens in each text", ylabel="MiB for one layer", title=title)
    ax.set_xlim(sizes.index[0] * 0.85, sizes.index[-1] * 4)
    return fig


def tile_walk(length: int, tile: int) -> Figure:
    """The score matrix, the one tile of it that is held, and what is carried along."""
    fig, ax = figure(8, 4)
    borders = np.arange(0, length + 1, tile)
    kinds, now = np.zeros((length // tile,) * 2), length // tile // 2
    kinds[1, :now], kinds[1, now] = 1, 2
    colours = ListedColormap((PALE, SKY, RED))
    ax.pcolormesh(borders, borders, kinds, cmap=colours, edgecolors="white")
    begin, end = ((tile * (now + n), 1.5 * tile) for n in (1, 2.2))
    ax.annotate("", end, begin, arrowprops={"arrowstyle": "->", "lw": 2})
    words = {
        "held now: one tile of scores": (RED, 0.2),
        "seen, and gone again": (BLUE, 0.4),
        "never held: all the others": (GREY, 0.6),
        "carried along, for each query:\nlargest score, sum, mixed values": ("k", 0.85),
    }
    for text, (colour, height) in words.items():
        ax.text(1.06 * length, height * length, text, color=colour, va="center")
    ax.set(xlim=(0, 1.9 * length), ylim=(length, 0), ylabel="queries", aspect="equal")
    tiles = f"{length} x {length} scores, in tiles of {tile} x {tile}"
    ax.set(xticks=[], yticks=[0, length], title=f"{tiles}: keys go by, left to right")
    ax.grid(visible=False)
    return fig


def memory(
    measured: Mapping[str, Mapping[int, float]], counted: Mapping[int, float], name: str
) -> Figure:
    """Bytes at the peak as lines, {way: {length: bytes}}; `counted` is dashed."""
    fig, ax = figure(8, 3.8)
    (pd.DataFrame(measured) / MIB).plot(ax=ax, style="o-", color=[RED, BLUE, GREEN])
    (pd.Series(counted, name=name) / MIB).plot(ax=ax, style="--", color=GREY)
    ax.set(xlabel="tokens in each text", ylabel="MiB at the peak", ylim=(0, None))
    ax.set_title("What one attention call adds to the process, measured")
    ax.legend()
    return fig


def spacing(formats: Mapping[str, Mapping[str, float]]) -> Figure:
    """The gap between a number and the next one, up to each format's end.

    `formats`: {name: {"eps", "max", "tiny" (smallest normal)}}.
    """
    fig, ax = figure(8, 3.8)
    for (name, facts), colour in zip(formats.items(), (GREY, RED, BLUE), strict=False):
        low, high = max(facts["tiny"], 1e-10), min(facts["max"], 1e10)
        values = 2.0 ** np.arange(np.ceil(np.log2(low)), np.floor(np.log2(high)) + 1)
        gaps, look = values * facts["eps"], {"color": colour, "label": name}
        ax.plot(values, gaps, drawstyle="steps-post", **look)
        if facts["max"] < 1e10:
            last = (high, high * facts["eps"])
            ax.plot(*last, "X", color=colour, ms=11)
            arrow = {"arrowprops": {"arrowstyle": "->", "color": colour}}
            words, place = f"{name} ends at {facts['max']:,.0f}", (0.62, 0.15)
            ax.annotate(words, last, place, textcoords="axes fraction", **arrow)
    ax.set(xlabel="a number", ylabel="distance to the next one that exists")
    ax.set(xscale="log", yscale="log")
    ax.set_title("What half precision can hold (fp32 and bf16 go on to 3e38)")
    ax.legend()
    return fig


def padding(lengths: Sequence[int]) -> Figure:
    """A padded batch as a grid; the same tokens end to end, with the texts' borders."""
    fig, (above, below) = figure(8, 4.2, nrows=2, height_ratios=(4, 1))
    texts, longest = range(len(lengths)), max(lengths)
    look = {"height": 0.9, "color": [PALETTE[n % len(PALETTE)] for n in texts]}
    above.barh(texts, longest, height=0.9, color=PALE)
    above.barh(texts, lengths, **look)
    share = 1 - sum(lengths) / (len(lengths) * longest)
    above.set_title(
        f"padded to the longest: {share:.0%} of the batch is padding (grey)"
    )
    above.set(ylabel="text", yticks=texts, xlim=(0, longest))
    above.set_ylim(len(lengths) - 0.4, -0.6)
    starts = [0, *accumulate(lengths)]
    below.barh(0, lengths, left=starts[:-1], **look)
    below.set(xlim=(0, starts[-1]), ylim=(-0.6, 0.6), xticks=starts, yticks=[])
    below.set_title("end to end; below it the running sum of the lengths, cu_seqlens")
    for ax in (above, below):
        ax.grid(visible=False)
    return fig


def attention_share(
    counted: Mapping[int, float], measured: Mapping[int, Sequence[float]], title: str
) -> Figure:
    """Attention's share of a layer, by length: of the operations, and of the time here.

    `measured`: {length: (median, low, high)}.
    """
    fig, ax = figure(8, 3.8)
    shares = 100 * pd.Series(counted)
    ax.plot(shares.index, shares, color=GREY, label="of operations")
    middle, low, high = 100 * np.array([*measured.values()]).T
    look = {"fmt": "o", "color": BLUE, "capsize": 3, "label": "of the time, here"}
    ax.errorbar(list(measured), middle, (middle - low, high - middle), **look)
    ax.set(xlabel="tokens in each text", ylabel="attention's share of a layer, %")
    ax.set(ylim=(0, None), title=title)
    ax.legend()
    return fig


def cost(weigh: Callable[..., Mapping[str, int]], *shape: Any) -> Figure:
    """`weigh` of a length, batch, number of heads and dtype, as bars."""
    (length, batch, heads, dtype), rows = shape, pd.Series(weigh(*shape)) / MIB
    fig, ax = figure(8, 2.6)
    bars = ax.barh(rows.index, rows, height=0.65, color=(GREY, RED, BLUE))
    ax.bar_label(bars, fmt=" {:,.1f}")
    ax.set_title(f"One layer, {batch} x {length} tokens, {heads} heads, {dtype}")
    ax.set(xlabel="MiB", xlim=(0, rows.max() * 1.2), ylim=(2.6, -0.6))
    ax.grid(visible=False, axis="y")
    return fig


def gpu_speeds(cases: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Valid tokens a second of every contender that ran, in each of `cases`.

    `cases`: {case: {"pad_share", "contenders"}} as `make flash-bench` stores them.
    """
    speeds = pd.DataFrame({
        f"{name}, {case['pad_share']:.0%} padding": {
            who: row.get("tokens_per_second") for who, row in case["contenders"].items()
        }
        for name, case in cases.items()
    })  # fmt: skip
    speeds = speeds.dropna(how="all") / 1e6
    fig, ax = figure(8, 0.8 + 0.12 * speeds.size)
    speeds.plot.barh(ax=ax, title=title, xlabel="million valid tokens a second")
    ax.invert_yaxis()
    return fig

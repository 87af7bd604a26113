"""Pictures for `10_flash_attention`: bytes, tiles, number formats, padding, and who is
how fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from helpers.show.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    PURPLE,
    RED,
    SKY,
    figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIB = 2**20
PALE = "#EEEEEE"


def bytes_by_length(rows: Mapping[str, Mapping[int, int]], title: str) -> Figure:
    """One line for each of `rows`: {name: {length: bytes}}, both axes doubling."""
    fig, ax = figure(8, 3.8)
    colours = (RED, GREY, BLUE)
    for (name, counted), colour in zip(rows.items(), colours, strict=False):
        ax.plot(
            list(counted), [n / MIB for n in counted.values()], marker="o", color=colour
        )
        length, last = list(counted.items())[-1]
        ax.annotate(
            name, (length, last / MIB), (8, 0), textcoords="offset points", va="center"
        )
    lengths = list(next(iter(rows.values())))
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(lengths, list(map(str, lengths)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set(xlabel="tokens in each text", ylabel="MiB for one layer", title=title)
    ax.set_xlim(lengths[0] * 0.85, lengths[-1] * 4)
    return fig


def tile_walk(length: int, tile: int) -> Figure:
    """The score matrix, and the one tile of it that is held; what is carried along
    beside it.
    """
    from matplotlib.patches import Rectangle

    fig, ax = figure(8, 4)
    ax.add_patch(Rectangle((0, 0), length, length, facecolor=PALE, edgecolor=GREY))
    row, column = tile, length // tile // 2 * tile
    ax.add_patch(Rectangle((0, row), column, tile, facecolor=SKY, alpha=0.5))
    ax.add_patch(Rectangle((column, row), tile, tile, facecolor=RED))
    for at in range(tile, length, tile):
        ax.axhline(at, 0, 1, color="white", lw=1)
        ax.axvline(at, color="white", lw=1)
    ax.annotate(
        "", (column + 2.2 * tile, row + tile / 2), (column + tile, row + tile / 2),
        arrowprops={"arrowstyle": "->", "lw": 2},
    )  # fmt: skip
    words = {
        "held now: one tile of scores": (RED, 0.2),
        "seen, and gone again": (BLUE, 0.4),
        "never held: all the others": (GREY, 0.6),
        "carried along, for each query:\nlargest score, sum, mixed values": (
            "black",
            0.85,
        ),
    }
    for text, (colour, height) in words.items():
        ax.text(1.06 * length, height * length, text, color=colour, va="center")
    ax.set(xlim=(0, 1.9 * length), ylim=(length, 0), ylabel="queries", aspect="equal")
    ax.set_title(
        f"{length} x {length} scores, in tiles of {tile} x {tile}: keys go by, left to right"
    )
    ax.set_xticks([])
    ax.set_yticks([0, length])
    ax.grid(visible=False)
    return fig


def memory(
    measured: Mapping[str, Mapping[int, float]],
    counted: Mapping[int, float],
    counted_name: str,
) -> Figure:
    """Bytes added at the peak, {way: {length: bytes}}, as dots and lines; `counted`
    dashed.
    """
    fig, ax = figure(8, 3.8)
    for (name, found), colour in zip(
        measured.items(), (RED, BLUE, GREEN), strict=False
    ):
        ax.plot(
            list(found),
            [n / MIB for n in found.values()],
            "o-",
            color=colour,
            label=name,
        )
    places, values = list(counted), [n / MIB for n in counted.values()]
    ax.plot(places, values, "--", color=GREY, label=counted_name)
    ax.set(xlabel="tokens in each text", ylabel="MiB at the peak", ylim=(0, None))
    ax.set_title("What one attention call adds to the process, measured")
    ax.legend()
    return fig


def spacing(formats: Mapping[str, Mapping[str, float]]) -> Figure:
    """The gap between a number and the next one, over the number, up to each format's
    end.

    `formats`: {name: {"eps", "max", "tiny" (smallest normal)}}.
    """
    import numpy as np

    fig, ax = figure(8, 3.8)
    for (name, facts), colour in zip(formats.items(), (GREY, RED, BLUE), strict=False):
        low, high = max(facts["tiny"], 1e-10), min(facts["max"], 1e10)
        values = 2.0 ** np.arange(np.ceil(np.log2(low)), np.floor(np.log2(high)) + 1)
        ax.plot(
            values,
            values * facts["eps"],
            drawstyle="steps-post",
            color=colour,
            label=name,
        )
        if facts["max"] < 1e10:
            ax.plot([high], [high * facts["eps"]], "X", color=colour, ms=11)
            end = f"{name} ends at {facts['max']:,.0f}"
            ax.annotate(
                end, (high, high * facts["eps"]), (0.62, 0.15), textcoords="axes fraction",
                arrowprops={"arrowstyle": "->", "color": colour},
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlabel="a number", ylabel="distance to the next one that exists")
    ax.set_title("What half precision can hold (fp32 and bf16 go on to 3e38)")
    ax.legend()
    return fig


def padding(lengths: Sequence[int]) -> Figure:
    """A padded batch as a grid, and the same tokens end to end with the sums where
    texts begin.
    """
    fig, (above, below) = figure(8, 4.2, nrows=2, height_ratios=(4, 1))
    colours = [PALETTE[row % len(PALETTE)] for row in range(len(lengths))]
    above.barh(
        range(len(lengths)), [max(lengths)] * len(lengths), height=0.9, color=PALE
    )
    above.barh(range(len(lengths)), lengths, height=0.9, color=colours)
    share = 1 - sum(lengths) / (len(lengths) * max(lengths))
    above.set(ylim=(len(lengths) - 0.4, -0.6), xlim=(0, max(lengths)), ylabel="text")
    above.set_yticks(range(len(lengths)))
    above.set_title(
        f"padded to the longest: {share:.0%} of the batch is padding (grey)"
    )
    starts = [0, *accumulate(lengths)]
    below.barh([0] * len(lengths), lengths, left=starts[:-1], height=0.9, color=colours)
    below.set(xlim=(0, starts[-1]), ylim=(-0.6, 0.6), yticks=[])
    below.set_xticks(starts, list(map(str, starts)))
    below.set_title("end to end; below it the running sum of the lengths, cu_seqlens")
    for ax in (above, below):
        ax.grid(visible=False)
    return fig


def attention_share(
    counted: Mapping[int, float],
    measured: Mapping[int, tuple[float, float, float]],
    title: str,
) -> Figure:
    """Which share of a layer attention is, by length: of the operations, and of the
    time here.

    `measured`: {length: (median, low, high)}.
    """
    fig, ax = figure(8, 3.8)
    ax.plot(
        list(counted),
        [100 * s for s in counted.values()],
        color=GREY,
        label="of operations",
    )
    middles = [100 * row[0] for row in measured.values()]
    reach = [
        [100 * abs(row[0] - row[end]) for row in measured.values()] for end in (1, 2)
    ]
    ax.errorbar(
        list(measured),
        middles,
        reach,
        fmt="o",
        color=BLUE,
        capsize=3,
        label="of the time, here",
    )
    ax.set(
        xlabel="tokens in each text",
        ylabel="attention's share of a layer, %",
        ylim=(0, None),
    )
    ax.set_title(title)
    ax.legend()
    return fig


def cost(length: int, batch: int, heads: int, dtype: str, head_dim: int = 64) -> Figure:
    """Bytes of one layer's attention: what goes in and out, the score matrix, and tiles
    instead.
    """
    from helpers.flash_attention.cost import score_bytes, state_bytes, tile_bytes

    rows = {
        "queries, keys, values, output": state_bytes(
            length, batch, heads * head_dim, dtype
        ),
        "the score matrix, held whole": score_bytes(length, batch, heads, dtype),
        "tiles of it, and the two sums": tile_bytes(length, batch, heads),
    }
    fig, ax = figure(8, 2.6)
    _bars(ax, rows, (GREY, RED, BLUE))
    ax.set_title(f"One layer, {batch} x {length} tokens, {heads} heads, {dtype}")
    ax.set_xlabel("MiB")
    return fig


def _bars(ax: Axes, rows: Mapping[str, float], colours: Sequence[str]) -> None:
    """Bytes as horizontal bars with their size in words."""
    sizes = [n / MIB for n in rows.values()]
    ax.barh(range(len(rows)), sizes, height=0.65, color=colours)
    ax.set_yticks(range(len(rows)), list(rows))
    for row, size in enumerate(sizes):
        ax.text(size, row, f" {size:,.1f}", va="center")
    ax.set(xlim=(0, max(sizes) * 1.2), ylim=(len(rows) - 0.4, -0.6))
    ax.grid(visible=False, axis="y")


def gpu_speeds(cases: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Valid tokens a second of every contender that ran, a panel for each of `cases`.

    `cases`: {case: {"pad_share", "contenders"}} as `workbook flash-bench` stores them.
    """
    height = 0.5 + 0.32 * max(len(case["contenders"]) for case in cases.values())
    fig, axes = figure(8, height * len(cases), nrows=len(cases), squeeze=False)
    for ax, (name, case) in zip(axes[:, 0], cases.items(), strict=True):
        ran = {n: row for n, row in case["contenders"].items() if "seconds" in row}
        speeds = [row["tokens_per_second"] / 1e6 for row in ran.values()]
        kinds = {
            "unpadded": BLUE,
            "sdpa": GREEN,
            "eager": GREY,
            "flash_attention_2": PURPLE,
        }
        ax.barh(
            range(len(ran)),
            speeds,
            color=[kinds.get(n.split()[0], ORANGE) for n in ran],
        )
        ax.set_yticks(range(len(ran)), list(ran))
        ax.set(ylim=(len(ran) - 0.4, -0.6), xlabel="million valid tokens a second")
        ax.set_title(f"{title}, {name}: {case['pad_share']:.0%} padding")
        ax.grid(visible=False, axis="y")
    return fig

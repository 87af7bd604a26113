"""Pictures of notebook 01: pieces, vocabularies, windows, padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from helpers.show.plots import BLUE, ORANGE, RED, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[tuple[int, int]]


def pieces_per_word(
    counts: Mapping[int, int], examples: Mapping[int, Sequence[str]]
) -> Figure:
    """How many words are cut into 1, 2, 3 ... pieces, with a few examples of each.

    `counts[n]`: words of n pieces; `examples[n]`: a few of them.
    """
    drawing, axes = figure(8, 0.9 + 0.42 * len(counts))
    numbers = sorted(counts)
    shares = [100 * counts[n] / sum(counts.values()) for n in numbers]
    colours = [BLUE] + [ORANGE] * (len(numbers) - 1)
    bars = axes.barh([str(n) for n in numbers], shares, color=colours)
    said = [f"{share:.1f}%" if share >= 0.05 else "under 0.1%" for share in shares]
    words = [", ".join(examples[n]) for n in numbers]
    labels = [f"{part}  {few}" for part, few in zip(said, words, strict=True)]
    axes.bar_label(bars, labels=labels, padding=6)
    axes.invert_yaxis()
    axes.set(xlabel="share of the running words (%)", ylabel="pieces", xlim=(0, 140))
    axes.set_xticks(range(0, 101, 20))
    axes.set_title(f"{shares[0]:.0f} of 100 words are one piece")
    axes.grid(visible=False, axis="y")
    return drawing


def piece_lengths(words: Sequence[str], continuations: Sequence[str]) -> Figure:
    """How long the vocabulary's pieces are: words and word starts, and `##` pieces.

    `continuations` come without their `##`.
    """
    drawing, axes = figure(8, 3.2)
    lengths = [[len(piece) for piece in group] for group in (words, continuations)]
    labels = (
        f"words and word starts ({len(words):,})",
        f"## pieces ({len(continuations):,})",
    )
    longest = max(map(max, lengths))
    bins = [edge + 0.5 for edge in range(longest + 1)]
    look = {"stacked": True, "color": [BLUE, ORANGE], "rwidth": 0.85}
    axes.hist(lengths, bins=bins, label=labels, **look)
    axes.set(xlabel="characters in the piece", ylabel="pieces")
    axes.set_title("Words and word starts outnumber the ## pieces, and are longer")
    axes.set_xticks(range(1, longest + 1))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="upper right")
    axes.grid(visible=False, axis="x")
    return drawing


def vocabulary_sizes(
    trained: Mapping[int, tuple[float, str]], reference: tuple[int, float, str]
) -> Figure:
    """Pieces per word against the size of the vocabulary, with how one word is cut.

    `trained[size]`: (pieces per word, cut); `reference`: (size, pieces per word, cut).
    """
    drawing, axes = figure(8, 4.2)
    sizes, (full, value, cut) = sorted(trained), reference
    values = [trained[size][0] for size in sizes]
    axes.plot(sizes, values, "o-", color=BLUE)
    axes.plot(full, value, "s", color=RED, markersize=8)
    look = {"textcoords": "offset points", "fontsize": 9}
    for size in sizes:
        point, small = (size, trained[size][0]), trained[size][1]
        axes.annotate(small, point, (8, 6), color=BLUE, **look)
    own = f"{cut}\nBERT's own"
    axes.annotate(own, (full, value), (0, 10), ha="right", color=RED, **look)
    axes.set_xscale("log")
    axes.set_xticks([*sizes, full], [f"{size:,}" for size in (*sizes, full)])
    axes.minorticks_off()
    axes.set(xlabel="pieces in the vocabulary (log scale)", ylabel="pieces per word")
    axes.set_title("A larger vocabulary cuts less")
    axes.set(ylim=(1, max(*values, value) * 1.15), xlim=(sizes[0] * 0.8, full * 1.5))
    return drawing


def windows(spans: Rows, length: int) -> Figure:
    """Overlapping windows over a text of `length` characters; overlaps in orange.

    `spans`: start and end of each window, in characters.
    """
    drawing, axes = figure(8, min(7, 0.95 + 0.24 * len(spans)))
    starts, ends = np.array(spans).T  # (windows,) each
    reached = np.maximum.accumulate([0, *ends[:-1]])  # by the windows before
    again, names = np.maximum(reached - starts, 0), range(1, len(spans) + 1)
    first = {"label": "read for the first time", "color": BLUE}
    axes.barh(names, ends - starts, 0.7, starts, **first)
    axes.barh(names, again, 0.7, starts, label="read again (the stride)", color=ORANGE)
    axes.set(xlabel="character of the text", ylabel="window", xlim=(0, length))
    axes.set_yticks(names)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend()
    axes.set_title(f"{len(spans)} windows cover the text; nothing is cut off")
    axes.grid(visible=False, axis="y")
    return drawing


def padding(
    layouts: Mapping[str, Rows], drawn: Sequence[str], show: int = 48
) -> Figure:
    """What each way of batching computes: tokens in blue, padding in orange.

    `layouts[name]`: (tokens, positions) of every row. Above, the first `show` rows of
    those in `drawn`; below, the sums of all.
    """
    drawing, axes = figure(8, 7, nrows=2, ncols=len(drawn), sharex="row", sharey="row")
    for panel, name in zip(axes[0], drawn, strict=True):
        tokens, positions = zip(*layouts[name][:show], strict=True)
        panel.barh(range(len(tokens)), positions, height=1, color=ORANGE)
        panel.barh(range(len(tokens)), tokens, height=1, color=BLUE)
        panel.set_title(fill(name, 18), fontsize=11)
        panel.set_xlabel("position")
        panel.grid(visible=False)
    axes[0][0].invert_yaxis()
    axes[0][0].set_ylabel("row")
    grid = axes[1][0].get_gridspec()
    for panel in axes[1]:
        panel.remove()
    _sums(drawing.add_subplot(grid[1, :]), layouts)
    return drawing


def _sums(axes: Axes, layouts: Mapping[str, Rows]) -> None:
    tokens = [sum(t for t, _ in rows) for rows in layouts.values()]
    positions = [sum(p for _, p in rows) for rows in layouts.values()]
    names = [fill(name, 15) for name in layouts]
    shares = [1 - real / total for real, total in zip(tokens, positions, strict=True)]
    bars = axes.barh(names, positions, color=ORANGE, label="padding")
    axes.bar_label(bars, labels=[f"{share:.0%} padding" for share in shares], padding=6)
    axes.barh(names, tokens, color=BLUE, label="tokens")
    axes.invert_yaxis()
    axes.set(xlabel="positions computed for all rows", xlim=(0, max(positions) * 1.22))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="lower right")
    axes.grid(visible=False, axis="y")

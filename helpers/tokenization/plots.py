"""Pictures of notebook 01: pieces, vocabularies, windows, padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from helpers.show.plots import BLUE, ORANGE, RED, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pieces_per_word(
    counts: Mapping[int, int], examples: Mapping[int, Sequence[str]]
) -> Figure:
    """How many words are cut into 1, 2, 3 ... pieces.

    `counts[n]`: words of n pieces; `examples[n]`: a few such words, written beside
    their bar.
    """
    drawing, axes = figure(8, 0.9 + 0.42 * len(counts))
    total = sum(counts.values())
    numbers = sorted(counts)
    shares = [100 * counts[n] / total for n in numbers]
    axes.barh(
        [str(n) for n in numbers], shares, color=[BLUE] + [ORANGE] * (len(numbers) - 1)
    )
    for row, (number, share) in enumerate(zip(numbers, shares, strict=True)):
        words = ", ".join(examples.get(number, ()))
        inside = share > 50
        axes.annotate(
            f"{share:.1f}%  {words}" if share >= 0.05 else f"under 0.1%  {words}",
            (share, row),
            xytext=(-6 if inside else 6, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            color="white" if inside else "black",
        )
    axes.invert_yaxis()
    axes.set(xlabel="share of the running words (%)", ylabel="pieces", xlim=(0, 100))
    axes.set_title(f"{shares[0]:.0f} of 100 words are one piece")
    axes.grid(visible=False, axis="y")
    return drawing


def piece_lengths(words: Sequence[str], continuations: Sequence[str]) -> Figure:
    """How long the vocabulary's pieces are: whole words and word starts against `##`
    pieces.

    `continuations` come without their `##`; lengths are in characters.
    """
    drawing, axes = figure(8, 3.2)
    longest = max(map(len, [*words, *continuations]))
    bins = [edge + 0.5 for edge in range(longest + 1)]
    lengths = [[len(piece) for piece in group] for group in (words, continuations)]
    labels = [
        f"words and word starts ({len(words):,})",
        f"## pieces ({len(continuations):,})",
    ]
    axes.hist(
        lengths,
        bins=bins,
        stacked=True,
        color=[BLUE, ORANGE],
        label=labels,
        rwidth=0.85,
    )
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
    """Pieces per word against the size of the vocabulary, each point with how one word
    is cut.

    `trained[size]` is (pieces per word, the cut); `reference` is (size, pieces per
    word, cut).
    """
    drawing, axes = figure(8, 4.2)
    sizes = sorted(trained)
    axes.plot(sizes, [trained[size][0] for size in sizes], "o-", color=BLUE)
    axes.plot(reference[0], reference[1], "s", color=RED, markersize=8)
    points = [(size, *trained[size], BLUE) for size in sizes] + [(*reference, RED)]
    for size, value, cut, colour in points:
        right = size == reference[0]
        axes.annotate(
            cut + ("\nBERT's own" if right else ""),
            (size, value),
            xytext=(0 if right else 8, 10 if right else 6),
            textcoords="offset points",
            ha="right" if right else "left",
            color=colour,
            fontsize=9,
        )
    ticks = [*sizes, reference[0]]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
    axes.minorticks_off()
    axes.set(xlabel="pieces in the vocabulary (log scale)", ylabel="pieces per word")
    axes.set_title("A larger vocabulary cuts less")
    axes.set_ylim(1, max(value for _, value, *_ in points) * 1.15)
    axes.set_xlim(min(ticks) * 0.8, reference[0] * 1.5)
    return drawing


def windows(spans: Sequence[tuple[int, int]], length: int) -> Figure:
    """Overlapping windows over one long text.

    `spans`: start and end of each window, in characters of a text of `length`
    characters. What a window shares with the one before it is drawn in orange.
    """
    from matplotlib.patches import Patch

    drawing, axes = figure(8, min(7, 0.95 + 0.24 * len(spans)))
    reached = 0
    for row, (start, end) in enumerate(spans):
        axes.barh(row, end - start, left=start, height=0.7, color=BLUE)
        if start < reached:
            axes.barh(row, reached - start, left=start, height=0.7, color=ORANGE)
        reached = max(reached, end)
    axes.set(xlabel="character of the text", ylabel="window", xlim=(0, length))
    axes.set_yticks(range(len(spans)), [str(row + 1) for row in range(len(spans))])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:,.0f}")
    new, again = Patch(color=BLUE), Patch(color=ORANGE)
    axes.legend([new, again], ["read for the first time", "read again (the stride)"])
    axes.set_title(f"{len(spans)} windows cover the text; nothing is cut off")
    axes.grid(visible=False, axis="y")
    return drawing


def padding(
    layouts: Mapping[str, Sequence[tuple[int, int]]],
    drawn: Sequence[str],
    show: int = 48,
) -> Figure:
    """What the model computes under each batching strategy: tokens in blue, padding in
    orange.

    `layouts[name]`: (tokens, positions) of every row, in the order in which batches are
    made. The first `show` rows of the strategies in `drawn` are drawn above; below, the
    sums of all.
    """
    drawing, axes = figure(8, 7, nrows=2, ncols=len(drawn), sharex="row", sharey="row")
    for panel, name in zip(axes[0], drawn, strict=True):
        _rows(panel, layouts[name][:show], name)
    axes[0][0].invert_yaxis()
    axes[0][0].set_ylabel("row")
    grid = axes[1][0].get_gridspec()
    for panel in axes[1]:
        panel.remove()
    _sums(drawing.add_subplot(grid[1, :]), layouts)
    return drawing


def _rows(axes, rows: Sequence[tuple[int, int]], name: str) -> None:
    tokens, positions = zip(*rows, strict=True)
    axes.barh(range(len(rows)), positions, height=1, color=ORANGE)
    axes.barh(range(len(rows)), tokens, height=1, color=BLUE)
    axes.set_title(fill(name, 18), fontsize=11)
    axes.set_xlabel("position")
    axes.grid(visible=False)


def _sums(axes, layouts: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    tokens = [sum(t for t, _ in rows) for rows in layouts.values()]
    positions = [sum(p for _, p in rows) for rows in layouts.values()]
    names = [fill(name, 15) for name in layouts]
    axes.barh(names, positions, color=ORANGE, label="padding")
    axes.barh(names, tokens, color=BLUE, label="tokens")
    for row, (real, total) in enumerate(zip(tokens, positions, strict=True)):
        text = f"{100 * (1 - real / total):.0f}% padding"
        axes.annotate(
            text, (total, row), (6, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.set(xlabel="positions computed for all rows", xlim=(0, max(positions) * 1.22))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="lower right")
    axes.grid(visible=False, axis="y")

"""What all pictures share: one style sheet, one palette, and a `Figure` as the result.

Nothing here saves a file or shows a window. The palette is Okabe and Ito's (2008),
which colour-blind readers can tell apart.
"""

from __future__ import annotations

from pathlib import Path

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#7F7F7F"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
STYLE = Path(__file__).with_name("workbook.mplstyle")


def use_style() -> None:
    """Apply the workbook's style sheet to matplotlib, for this process."""
    import matplotlib.style
    from IPython import get_ipython
    from IPython.core.pylabtools import select_figure_formats

    matplotlib.style.use(STYLE)
    if shell := get_ipython():
        # as `%matplotlib inline` does, without pyplot: else a Figure shows as its repr
        select_figure_formats(shell, {"png"})


def figure(width: float = 8.0, height: float = 3.6, **subplots):
    """A `Figure` and its axes that pyplot does not hold on to (nothing is shown twice).

    `width` and `height` in inches; further keywords go to `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(**subplots)


def drawable(word: str) -> str:
    """`word`, but a character that the plots' font lacks is its code point, U+65E5.

    Line breaks stay.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    has = get_font(findfont(FontProperties())).get_char_index
    return "".join(c if c == "\n" or has(ord(c)) else f"U+{ord(c):04X}" for c in word)


def box(axes, corner, width, height, words, size=9.5, paint="black", **look) -> None:
    """A rounded box with `words` in its middle; `corner` is its lower left one.

    `look` goes to the patch: `facecolor`, `edgecolor`, `linestyle` and so on.
    """
    from matplotlib.patches import FancyBboxPatch

    shape = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, **look))
    middle = (corner[0] + width / 2, corner[1] + height / 2)
    axes.text(*middle, words, ha="center", va="center", fontsize=size, color=paint)


def guess_bars(axes, guesses, colour: str = BLUE) -> None:
    """The likeliest pieces for one gap as horizontal bars, the first on top.

    `guesses`: (piece, probability from 0 to 1), the likeliest first.
    """
    pieces, shares = zip(*guesses, strict=True)
    percent = [100 * share for share in shares]
    bars = axes.barh(range(len(pieces)), percent, height=0.65, color=colour)
    axes.bar_label(bars, labels=[f"{share:.1f}%" for share in percent], padding=4)
    axes.set_yticks(range(len(pieces)), list(map(drawable, pieces)), parse_math=False)
    axes.set(xlim=(0, 1.4 * max(0.1, *percent)), xlabel="probability (%)")
    axes.invert_yaxis()
    axes.grid(visible=False)


def named_bars(ax, rows, colours, said="{:.1%}", runs=None, errors=None) -> None:
    """Horizontal bars of {name: value}, the first on top, each with its number.

    `said` formats a number. `runs`, {name: values}, are drawn as dots; `errors`, one a
    bar, as a thin line to either side of its end.
    """
    places, values = range(len(rows)), list(rows.values())
    ax.barh(places, values, height=0.65, color=colours, xerr=errors, ecolor="#333333")
    for at, (name, value) in enumerate(rows.items()):
        dots = runs[name] if runs else []
        ax.plot(dots, [at] * len(dots), "o", color="#333333", ms=4, alpha=0.6)
        end = (max([value, *dots]) + (errors[at] if errors else 0), at)
        behind = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(said.format(value), end, fontsize=10, **behind)
    ax.set_yticks(places, [drawable(name) for name in rows], parse_math=False)
    ax.set(xlim=(0, 1.25 * ax.dataLim.x1), ylim=(len(rows) - 0.4, -0.6))
    ax.grid(visible=False)


def percent_axis(axis, decimals: int = 0) -> None:
    """Shares in [0, 1] along `axis`, an x or y axis, written as percent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(xmax=1, decimals=decimals))


def legend_below(fig, ax=None, ncols: int = 3) -> None:
    """One legend for all panels, below them: what `ax`, or else any panel, labels."""
    handles = ax.get_legend_handles_labels() if ax else ()
    fig.legend(*handles, loc="outside lower center", ncols=ncols)


def name_rows(axes, names, label: str) -> None:
    """Names for the rows of a picture in percent, the first on top."""
    axes.set_yticks(range(len(names)), list(map(drawable, names)), parse_math=False)
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel=label)
    axes.grid(visible=False, axis="y")

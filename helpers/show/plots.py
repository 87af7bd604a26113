"""Data in, `Figure` out: nothing here saves a file or shows a window.

One module a notebook (`from helpers.tokenization import plots`), one
style sheet and one palette for all. The palette is Okabe and Ito's (2008), which
colour-blind readers can tell apart.
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

    matplotlib.style.use(STYLE)
    _show_figures_as_png()


def _show_figures_as_png() -> None:
    # what `%matplotlib inline` does too, without pyplot: else a Figure displays as its
    # repr
    from IPython import get_ipython
    from IPython.core.pylabtools import select_figure_formats

    if shell := get_ipython():
        select_figure_formats(shell, {"png"})


def figure(width: float = 8.0, height: float = 3.6, **subplots):
    """A `Figure` and its axes that pyplot does not hold on to (nothing is shown twice).

    `width` and `height` in inches; further keywords go to `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(**subplots)


def drawable(word: str) -> str:
    """`word` with every character that the plots' font lacks written as its code point.

    >>> drawable("paris")
    'paris'
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(
        c if font.get_char_index(ord(c)) else f"U+{ord(c):04X}" for c in word
    )


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

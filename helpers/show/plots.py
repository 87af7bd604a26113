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


def name_rows(axes, names, label: str) -> None:
    """Names for the rows of a picture in percent, the first on top."""
    axes.set_yticks(range(len(names)), list(map(drawable, names)), parse_math=False)
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel=label)
    axes.grid(visible=False, axis="y")

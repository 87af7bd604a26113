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
    """`word`, but a character that the plots' font lacks is its code point, U+65E5."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    has = get_font(findfont(FontProperties())).get_char_index
    return "".join(c if has(ord(c)) else f"U+{ord(c):04X}" for c in word)

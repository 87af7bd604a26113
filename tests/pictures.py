"""What a picture shows: opened as a file, not blank, and with these numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def axes(figure: Any) -> list[Any]:
    """The axes of a figure that draws something when it is saved as PNG."""
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    assert np.asarray(Image.open(file).convert("L")).std() > 1, "the picture is blank"
    return figure.axes


def widths(ax: Any) -> list[float]:
    """Of the bars of a matplotlib axes, in the order in which they were drawn."""
    return [patch.get_width() for patch in ax.patches]


def heights(ax: Any) -> list[float]:
    return [patch.get_height() for patch in ax.patches]


def xs(ax: Any, line: int = 0) -> list[float]:
    """Of one line of a matplotlib axes."""
    return list(ax.lines[line].get_xdata())


def ys(ax: Any, line: int = 0) -> list[float]:
    return list(ax.lines[line].get_ydata())


def words(texts: Any) -> list[str]:
    """Of labels, ticks or texts of a picture."""
    return [text.get_text() for text in texts]

"""The fill-mask playground of notebook 00."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from helpers.show.widgets import follow, gap_advice, picture, text_box
from helpers.start import plots

if TYPE_CHECKING:
    from ipywidgets import VBox


def playground(
    fill_mask: Callable[[str, int], Sequence[tuple[str, float]]], text: str, k: int = 5
) -> VBox:
    """A box for a text with a [MASK], a slider for k, and the answers as bars.

    `fill_mask(text, k)` gives (word, probability) pairs, the likeliest first, and
    nothing without a [MASK]. Children: the box, the slider, the answer as HTML.
    """
    from ipywidgets import IntSlider, VBox

    box = text_box(text)
    slider = IntSlider(k, 1, 20, description="words (k)", continuous_update=False)
    slider.layout.width = "26em"

    def draw() -> str:
        answers = fill_mask(box.value, slider.value)
        if not answers:
            return gap_advice(box.value)
        best = f"<b>{html.escape(answers[0][0])}</b>"
        filled = html.escape(box.value).replace("[MASK]", best, 1)
        said = ", ".join(word for word, _ in answers)
        return f"<p>{filled}</p>{picture(plots.top_words(answers), said)}"

    return VBox([box, slider, follow((box, slider), draw)])

"""The explorer of notebook 04: type a text with gaps, and see the guesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from helpers.masked_lm import plots
from helpers.show.widgets import follow, gap_advice, picture, text_box

if TYPE_CHECKING:
    from ipywidgets import VBox

MOST_GAPS = 3  # panels that still fit beside each other


def gap_explorer(
    guesses: Callable[[str, str, int], dict[str, list[tuple[str, float]]]],
    models: Sequence[str],
    text: str,
    k: int = 5,
) -> VBox:
    """A box for the text, a slider for k, a button per model, and the guesses below.

    `guesses(model, text, k)` gives {"gap 1, student": [(piece, probability), ...]},
    best first, for each [MASK] that the model read. Children: the text box, the slider,
    the buttons, the picture as HTML.
    """
    from ipywidgets import IntSlider, ToggleButtons, VBox

    box = text_box(text)
    slider = IntSlider(k, 1, 15, description="words (k)", continuous_update=False)
    which = ToggleButtons(options=models, description="model")

    def page() -> str:
        text, gaps = box.value, box.value.count("[MASK]")
        if gaps > MOST_GAPS:
            return f"<p>{gaps} gaps are too many for one picture; {MOST_GAPS} fit.</p>"
        panels = guesses(which.value, text, slider.value)
        if not panels or len(panels) < gaps:  # the rest was cut off
            return gap_advice(text)
        best = "; ".join(
            f"{gap}: {', '.join(piece for piece, _ in ranked)}"
            for gap, ranked in panels.items()
        )
        return picture(plots.gaps(text, panels), best)

    return VBox([box, slider, which, follow((box, slider, which), page)])

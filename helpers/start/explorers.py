"""The fill-mask playground of notebook 00."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from helpers.show.widgets import follow, picture
from helpers.start import plots

if TYPE_CHECKING:
    from ipywidgets import VBox

FillMask = Callable[[str, int], Sequence[tuple[str, float]]]


def playground(fill_mask: FillMask, text: str, k: int = 5) -> VBox:
    """A text box with a [MASK], a slider for how many words, and their probabilities as
    bars.

    `fill_mask(text, k)` gives up to `k` (word, probability) pairs, the likeliest first,
    and nothing for a text without [MASK]. Children: the box, the slider, and the answer
    as HTML.
    """
    import ipywidgets

    box = ipywidgets.Text(
        text, description="text", continuous_update=False, layout={"width": "95%"}
    )
    slider = ipywidgets.IntSlider(
        k,
        1,
        20,
        description="words (k)",
        continuous_update=False,
        layout={"width": "26em"},
    )

    def draw() -> str:
        answers = fill_mask(box.value, slider.value)
        said = ", ".join(word for word, _ in answers) or plots.NO_MASK
        return caption(box.value, answers) + picture(plots.top_words(answers), said)

    return ipywidgets.VBox([box, slider, follow((box, slider), draw)])


def caption(text: str, answers: Sequence[tuple[str, float]]) -> str:
    """The line above the bars, as HTML: the text, escaped, with the likeliest word in
    its place.

    Without `answers`: what is missing, in a friendly line.
    """
    if not answers:
        return (
            f"<p>{html.escape(plots.NO_MASK)} You wrote: <q>{html.escape(text)}</q></p>"
        )
    word = f"<b>{html.escape(answers[0][0])}</b>"
    return f"<p>{html.escape(text).replace('[MASK]', word, 1)}</p>"

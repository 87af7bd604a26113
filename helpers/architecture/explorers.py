"""The explorer of notebook 02: switch layers off and see what the model still knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from helpers.architecture import plots
from helpers.show.widgets import follow, gap_advice, picture, text_box

if TYPE_CHECKING:
    from ipywidgets import VBox

NO_LAYERS = (
    "No layer is switched on: the model would be its embeddings alone. Switch one on."
)


def layer_chooser(
    ask: Callable[[Sequence[int], str], plots.Answers],
    n_layers: int,
    chosen: Sequence[int],
    text: str,
) -> VBox:
    """One button per layer and a box for the sentence; `chosen` layers are on at first.

    `ask(layers, text)` gives what `plots.chosen_layers` draws, without guesses when it
    saw no [MASK]. Children: the row of buttons, the text box, the picture as HTML.
    """
    from ipywidgets import HBox, Layout, ToggleButton, VBox

    buttons = [
        ToggleButton(
            number in chosen, description=f"layer {number}", layout=Layout(width="6em")
        )
        for number in range(n_layers)
    ]
    sentence = text_box(text, "sentence")

    def draw() -> str:
        layers = [number for number, button in enumerate(buttons) if button.value]
        if not layers:
            return f"<p>{NO_LAYERS}</p>"
        answers = ask(layers, sentence.value)
        share, guesses = answers["this choice"]
        if not guesses:
            return gap_advice(sentence.value)
        best = ", ".join(piece for piece, _ in guesses)
        said = f"layers {layers}: masked accuracy {share:.1%}, answers {best}"
        drawing = plots.chosen_layers(layers, n_layers, answers, sentence.value)
        return picture(drawing, said)

    shown = follow((*buttons, sentence), draw)
    row = HBox(buttons, layout=Layout(flex_flow="row wrap"))
    return VBox([row, sentence, shown])

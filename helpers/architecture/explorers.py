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
    ask: Callable[[Sequence[int], str], tuple],
    chosen: Sequence[int],
    n_layers: int,
    text: str,
) -> VBox:
    """One button per layer and a box for the sentence; `chosen` layers are on at first.

    `ask(layers, text)` gives masked accuracies and guesses, as `plots.chosen_layers`
    takes them; no guesses when there is no [MASK]. Children: the row of buttons, the
    text box, the picture as HTML.
    """
    from ipywidgets import HBox, Layout, ToggleButton, VBox

    wide, row = Layout(width="6em"), Layout(flex_flow="row wrap")
    names = [f"layer {number}" for number in range(n_layers)]
    buttons = [ToggleButton(description=name, layout=wide) for name in names]
    for layer in chosen:
        buttons[layer].value = True
    sentence = text_box(text, "sentence")

    def draw() -> str:
        layers = [number for number, button in enumerate(buttons) if button.value]
        if not layers:
            return f"<p>{NO_LAYERS}</p>"
        accuracy, guesses = ask(layers, sentence.value)
        if not all(guesses.values()):
            return gap_advice(sentence.value)
        drawing = plots.chosen_layers(
            layers, n_layers, accuracy, guesses, sentence.value
        )
        *_, share = accuracy.values()
        best = ", ".join(piece for piece, _ in [*guesses.values()][-1])
        said = f"layers {layers}: masked accuracy {share:.1%}, answers {best}"
        return picture(drawing, said)

    shown = follow((*buttons, sentence), draw)
    return VBox([HBox(buttons, layout=row), sentence, shown])

"""The explorer of `09_attention_visualization`: one head of one layer on any
sentence.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helpers.core.errors import WorkbookError
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

    from helpers.attention.maps import Sentence

LONGEST = 40  # tokens that still fit into one picture


def shortened(tokenizer: Any, text: str, pieces: int = 24) -> str:
    """The beginning of `text`, at most so many word pieces: what a map with its words
    can hold.
    """
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in found["offset_mapping"]]
    return text[: ends[pieces - 1]] if len(ends) > pieces else text


class MapReader:
    """Reads sentences with one of several models and draws single heads; remembers the
    latest.

    `models` maps a name, such as "student", to a BERT or DistilBERT. A sentence may be
    a pair, its texts parted by ` || `.
    """

    def __init__(self, models: Mapping[str, Any], tokenizer: Any) -> None:
        self.models, self.tokenizer = models, tokenizer
        self.read = functools.lru_cache(maxsize=8)(self._read)

    def _read(self, name: str, text: str) -> Sentence:
        from helpers.attention.maps import read

        first, mark, second = text.partition(" || ")
        pair = second if mark else None
        return read(self.models[name], self.tokenizer, first, pair, max_length=LONGEST)

    def figure(
        self, name: str, text: str, layer: int, head: int, threshold: float
    ) -> Figure:
        """The picture of one head; weights below `threshold` are hidden.

        Raises `WorkbookError`, one friendly line, on a text without a word, or when the
        model has no such layer or head.
        """
        from helpers.attention.plots import one_head

        sentence = self.read(name, text)
        for what, number, count in zip(
            ("layer", "head"), (layer, head), sentence.weights.shape, strict=False
        ):
            if not 0 <= number < count:
                raise WorkbookError(
                    f"The {name} has no {what} {number}: 0 to {count - 1}."
                )
        title = f"{name}, layer {layer}, head {head}"
        weights = sentence.weights[layer, head]
        return one_head(weights, sentence.tokens, threshold, title, sentence.second)

    def strongest(self, name: str, text: str, layer: int, head: int) -> str:
        """The three largest weights in words: 'door → the 0.91'."""
        sentence = self.read(name, text)
        weights, tokens = sentence.weights[layer, head], sentence.tokens
        best = weights.ravel().argsort()[::-1][:3]
        pairs = [divmod(int(at), len(tokens)) for at in best]
        return ", ".join(
            f"{tokens[i]} → {tokens[j]} {weights[i, j]:.2f}" for i, j in pairs
        )


def page(
    reader: MapReader, name: str, text: str, layer: int, head: int, threshold: float
) -> str:
    """What stands below the controls, as HTML: the picture, or one friendly line."""
    try:
        drawing = reader.figure(name, text, layer, head, threshold)
    except WorkbookError as told:
        return f"<p>{html.escape(str(told))}</p>"
    said = f"{name}, layer {layer}, head {head}, weights from {threshold:g}: "
    return picture(drawing, said + reader.strongest(name, text, layer, head))


def head_explorer(
    reader: MapReader,
    name: str,
    text: str,
    layer: int,
    head: int,
    threshold: float = 0.1,
) -> VBox:
    """A box for the sentence, buttons for the model, sliders for layer, head and
    threshold.

    Children: the text box, the buttons, the three sliders, and the picture as HTML. The
    sliders reach as far as the largest model does.
    """
    from ipywidgets import FloatSlider, IntSlider, Text, ToggleButtons, VBox

    configs = [model.config for model in reader.models.values()]
    layers = max(config.num_hidden_layers for config in configs)
    heads = max(config.num_attention_heads for config in configs)
    box = Text(
        text, description="sentence", continuous_update=False, layout={"width": "95%"}
    )
    which = ToggleButtons(options=list(reader.models), value=name, description="model")
    lazily = {"continuous_update": False}
    at_layer = IntSlider(layer, 0, layers - 1, description="layer", **lazily)
    at_head = IntSlider(head, 0, heads - 1, description="head", **lazily)
    least = FloatSlider(
        threshold, min=0, max=0.95, step=0.05, description="threshold", **lazily
    )
    controls = (box, which, at_layer, at_head, least)

    def draw() -> str:
        return page(
            reader, which.value, box.value, at_layer.value, at_head.value, least.value
        )

    return VBox([*controls, follow(controls, draw)])

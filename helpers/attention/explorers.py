"""The explorer of `09_attention_visualization`: one head on any sentence."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helpers.core.errors import WorkbookError
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

LONGEST = 40  # tokens that still fit into one picture


def shortened(tokenizer: Any, text: str, pieces: int = 24) -> str:
    """The beginning of `text`, at most so many word pieces: what a map can hold."""
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in found["offset_mapping"]]
    return text[: ends[pieces - 1]] if len(ends) > pieces else text


def one_head(
    models: Mapping[str, Any],
    tokenizer: Any,
    name: str,
    text: str,
    layer: int,
    head: int,
    threshold: float = 0.1,
) -> tuple[Figure, str]:
    """The picture of one head of `models[name]`, and its largest weights in words.

    `text` may be a pair, parted by ` || `. Weights below `threshold` are hidden.
    """
    from helpers.attention import plots
    from helpers.attention.maps import check_number, read

    first, mark, second = text.partition(" || ")
    pair = second if mark else None
    sentence = read(models[name], tokenizer, first, pair, max_length=LONGEST)
    check_number("layer", layer, sentence.weights.shape[0], f"the {name}")
    check_number("head", head, sentence.weights.shape[1], f"the {name}")
    weights, tokens = sentence.weights[layer, head], sentence.tokens
    title = f"{name}, layer {layer}, head {head}"
    drawing = plots.one_head(weights, tokens, threshold, title, sentence.second)
    best = [divmod(int(at), len(tokens)) for at in weights.ravel().argsort()[:-4:-1]]
    words = [f"{tokens[i]} → {tokens[j]} {weights[i, j]:.2f}" for i, j in best]
    return drawing, f"{title}, weights from {threshold:g}: {', '.join(words)}"


def head_explorer(
    models: Mapping[str, Any],
    tokenizer: Any,
    name: str,
    text: str,
    layer: int,
    head: int,
) -> VBox:
    """A box for the sentence, buttons for the model, sliders for the rest; a picture.

    The sliders reach as far as the largest model does.
    """
    from ipywidgets import FloatSlider, IntSlider, Text, ToggleButtons, VBox

    configs = [model.config for model in models.values()]
    last_layer = max(config.num_hidden_layers for config in configs) - 1
    last_head = max(config.num_attention_heads for config in configs) - 1
    lazily = {"continuous_update": False}
    box = Text(text, description="sentence", layout={"width": "95%"}, **lazily)
    which = ToggleButtons(options=list(models), value=name, description="model")
    at_layer = IntSlider(layer, 0, last_layer, description="layer", **lazily)
    at_head = IntSlider(head, 0, last_head, description="head", **lazily)
    least = FloatSlider(
        0.1, min=0, max=0.95, step=0.05, description="threshold", **lazily
    )
    controls = (which, box, at_layer, at_head, least)

    def draw() -> str:
        values = [control.value for control in controls]
        try:
            return picture(*one_head(models, tokenizer, *values))
        except WorkbookError as told:
            return f"<p>{html.escape(str(told))}</p>"

    return VBox([box, which, *controls[2:], follow(controls, draw)])

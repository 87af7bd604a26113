"""The explorer of `02_architecture`: switch layers off and see what the model still
knows.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from helpers.core.errors import WorkbookError
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NO_LAYERS = (
    "No layer is switched on: the model would be its embeddings alone. Switch one on."
)


class LayerTrial:
    """Builds a student for a choice of layers, measures it once, and remembers the
    result.

    `build` takes a list of layer numbers and gives a masked language model; `texts` are
    the passages for the masked accuracy (few, so that an answer comes at once).
    """

    def __init__(
        self,
        build: Callable[[list[int]], PreTrainedModel],
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        n_layers: int,
        seed: int = 0,
    ) -> None:
        self.build, self.tokenizer, self.texts = build, tokenizer, texts
        self.n_layers, self.seed = n_layers, seed
        self._accuracy: dict[tuple[int, ...], float] = {}
        self._answers: dict[tuple[tuple[int, ...], str], list[tuple[str, float]]] = {}
        self._latest: tuple[tuple[int, ...], PreTrainedModel] | None = None

    def figure(self, layers: Sequence[int], text: str) -> Figure:
        """The picture for these layers and a `text` with one or more [MASK] (the first
        counts).

        Raises `WorkbookError` without a layer, or without [MASK] within the model's
        length.
        """
        from helpers.architecture.plots import chosen_layers

        if not layers:
            raise WorkbookError(NO_LAYERS)
        both = {"all layers": range(self.n_layers), "this choice": layers}
        answers = {name: self.answers(kept, text) for name, kept in both.items()}
        accuracy = {name: self.accuracy(kept) for name, kept in both.items()}
        return chosen_layers(layers, self.n_layers, accuracy, answers, text)

    def accuracy(self, layers: Sequence[int]) -> float:
        """Masked accuracy in [0, 1] on the passages, measured at the first call."""
        from helpers.training.metrics import masked_accuracy

        key = tuple(layers)
        if key not in self._accuracy:
            model = self._model(key)
            measured = masked_accuracy(
                model, self.tokenizer, self.texts, seed=self.seed
            )
            self._accuracy[key] = measured["accuracy"]
        return self._accuracy[key]

    def answers(self, layers: Sequence[int], text: str) -> list[tuple[str, float]]:
        """The five likeliest pieces at the first [MASK] and their probabilities, best
        first.
        """
        import torch

        key = (tuple(layers), text)
        if key not in self._answers:
            model = self._model(key[0])
            ids = self.tokenizer(
                text, truncation=True, max_length=128, return_tensors="pt"
            )
            masks = (ids["input_ids"][0] == self.tokenizer.mask_token_id).nonzero()
            if not len(masks):
                raise WorkbookError(
                    f"Write {self.tokenizer.mask_token} where a word is to be guessed."
                )
            with torch.inference_mode():
                logits = model(**ids.to(model.device)).logits[0, masks[0, 0]]  # (V,)
            best = logits.float().softmax(-1).topk(5)
            pieces = self.tokenizer.convert_ids_to_tokens(best.indices.tolist())
            self._answers[key] = list(zip(pieces, best.values.tolist(), strict=True))
        return self._answers[key]

    def _model(self, layers: tuple[int, ...]) -> PreTrainedModel:
        # only the last one is kept: in `full` each is hundreds of megabytes
        if self._latest is None or self._latest[0] != layers:
            self._latest = (layers, self.build(list(layers)).eval())
        return self._latest[1]


def page(trial: LayerTrial, layers: Sequence[int], text: str) -> str:
    """What stands below the buttons, as HTML: the picture, or one friendly line."""
    try:
        drawing = trial.figure(layers, text)
    except WorkbookError as told:
        return f"<p>{html.escape(str(told))}</p>"
    best = ", ".join(piece for piece, _ in trial.answers(layers, text))
    said = f"layers {list(layers)}: masked accuracy {trial.accuracy(layers):.1%}, answers {best}"
    return picture(drawing, said)


def layer_chooser(trial: LayerTrial, chosen: Sequence[int], text: str) -> VBox:
    """One button per layer and a box for the sentence; `chosen` layers are on at the
    start.

    Children: the row of buttons, the text box, and the picture as HTML.
    """
    from ipywidgets import HBox, Layout, Text, ToggleButton, VBox

    wide = Layout(width="6em")
    buttons = [
        ToggleButton(value=n in chosen, description=f"layer {n}", layout=wide)
        for n in range(trial.n_layers)
    ]
    sentence = Text(
        text, description="sentence", continuous_update=False, layout={"width": "95%"}
    )

    def draw() -> str:
        layers = [number for number, button in enumerate(buttons) if button.value]
        return page(trial, layers, sentence.value)

    shown = follow((*buttons, sentence), draw)
    return VBox([HBox(buttons, layout=Layout(flex_flow="row wrap")), sentence, shown])

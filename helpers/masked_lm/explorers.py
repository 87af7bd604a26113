"""The explorer of `04_masked_language_modeling`, with the line for its runs."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from helpers.core.errors import WorkbookError
from helpers.show.progress import Progress
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["GapFiller", "Progress", "gap_explorer", "page"]
MOST_GAPS = 3  # panels that still fit beside each other


class GapFiller:
    """Fills the gaps of a text with one of several models, and draws the guesses.

    `models` maps a name, such as "student", to a masked language model.
    """

    def __init__(
        self, models: Mapping[str, PreTrainedModel], tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.models, self.tokenizer = models, tokenizer

    def answers(
        self, name: str, text: str, k: int
    ) -> dict[str, list[tuple[str, float]]]:
        """The `k` likeliest pieces for each gap, {gap: [(piece, probability), ...]},
        best first.

        Raises `WorkbookError`, one friendly line, when no [MASK] is in the text, or too
        many.
        """
        import torch

        model = self.models[name]
        batch = self.tokenizer(
            text, truncation=True, max_length=128, return_tensors="pt"
        )
        places = (batch["input_ids"][0] == self.tokenizer.mask_token_id).nonzero()[:, 0]
        self._refuse(text, len(places))
        inputs = {
            key: batch[key].to(model.device) for key in ("input_ids", "attention_mask")
        }
        with torch.inference_mode():
            logits = model.eval()(**inputs).logits[0, places]  # (gaps, V)
        best = logits.float().softmax(-1).topk(k)
        return {
            f"gap {gap}, {name}": list(
                zip(self.tokenizer.convert_ids_to_tokens(ids), shares, strict=True)
            )
            for gap, (ids, shares) in enumerate(
                zip(best.indices.tolist(), best.values.tolist(), strict=True), start=1
            )
        }

    def _refuse(self, text: str, gaps: int) -> None:
        mask = self.tokenizer.mask_token
        if not gaps and re.search(r"[\[<(]\s*mask\s*[\])>]", text, re.IGNORECASE):
            raise WorkbookError(
                f"That is not the token: write {mask}, in capitals, no spaces."
            )
        if not gaps:
            raise WorkbookError(f"Write {mask} where a word is to be guessed.")
        if gaps > MOST_GAPS:
            raise WorkbookError(
                f"{gaps} gaps are too many for one picture; {MOST_GAPS} fit."
            )

    def figure(self, name: str, text: str, k: int) -> Figure:
        """The picture of `answers`; raises as it does."""
        from helpers.masked_lm.plots import gaps

        return gaps(text, self.answers(name, text, k))


def page(filler: GapFiller, name: str, text: str, k: int) -> str:
    """What stands below the controls, as HTML: the picture, or one friendly line."""
    try:
        answers = filler.answers(name, text, k)
    except WorkbookError as told:
        return f"<p>{html.escape(str(told))}</p>"
    best = "; ".join(
        f"{gap}: {', '.join(piece for piece, _ in ranked)}"
        for gap, ranked in answers.items()
    )
    return picture(filler.figure(name, text, k), best)


def gap_explorer(filler: GapFiller, name: str, text: str, k: int = 5) -> VBox:
    """A box for the text, a slider for k, a button for each model, and the guesses
    below.

    Children: the text box, the slider, the buttons, and the picture as HTML.
    """
    from ipywidgets import IntSlider, Text, ToggleButtons, VBox

    box = Text(
        text, description="text", continuous_update=False, layout={"width": "95%"}
    )
    slider = IntSlider(k, 1, 15, description="words (k)", continuous_update=False)
    which = ToggleButtons(options=list(filler.models), value=name, description="model")

    def draw() -> str:
        return page(filler, which.value, box.value, slider.value)

    return VBox([box, slider, which, follow((box, slider, which), draw)])

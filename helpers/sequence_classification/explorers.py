"""The explorer of `05_sequence_classification`: your own text before every fine-tuned
head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST = 256  # pieces of a typed text that are read
MOST = 8  # labels that fit into a panel


class Playground:
    """Asks fine-tuned classifiers, `models` by name, what they make of a text."""

    def __init__(
        self, models: Mapping[str, PreTrainedModel], tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.models, self.tokenizer = models, tokenizer

    def answers(self, text: str) -> dict[str, dict[str, float]]:
        """{model: {label: probability in [0, 1]}}, at most `MOST` labels, the
        likeliest.

        A regression gives {"": number}.
        """
        import torch

        found = {}
        for name, model in self.models.items():
            batch = self.tokenizer(
                text, truncation=True, max_length=LONGEST, return_tensors="pt"
            )
            inputs = {
                key: batch[key].to(model.device)
                for key in ("input_ids", "attention_mask")
            }
            with torch.inference_mode():
                logits = model.eval()(**inputs).logits[0].float()  # (labels,)
            found[name] = _named(model.config, logits)
        return found

    def figure(self, text: str) -> Figure:
        """The picture of `answers`."""
        from helpers.sequence_classification.plots import verdicts

        return verdicts(text, self.answers(text))


def _named(config, logits) -> dict[str, float]:
    kind = config.problem_type or "single_label_classification"
    if kind == "regression":
        return {"": logits.item()}
    shares = logits.sigmoid() if kind.startswith("multi") else logits.softmax(-1)
    kept = sorted(shares.topk(min(MOST, len(shares))).indices.tolist())
    return {str(config.id2label[label]): shares[label].item() for label in kept}


def page(playground: Playground, text: str) -> str:
    """What stands below the text box, as HTML: the picture, or one friendly line."""
    if not text.strip():
        return "<p>Write a sentence or two.</p>"
    said = playground.answers(text)
    best = "; ".join(
        f"{name}: {max(row, key=row.get) or format(row[''], '.1f')}"
        for name, row in said.items()
    )
    return picture(playground.figure(text), best)


def text_explorer(playground: Playground, text: str) -> VBox:
    """A box for the text, and what each head says of it. Children: the box, the
    picture.
    """
    from ipywidgets import Textarea, VBox

    box = Textarea(
        text, description="text", continuous_update=False, layout={"width": "95%"}
    )
    return VBox([box, follow((box,), lambda: page(playground, box.value))])

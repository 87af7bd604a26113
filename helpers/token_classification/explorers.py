"""The explorer of `06_token_classification`: the entities of a text that you type."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from helpers.show.widgets import follow
from helpers.token_classification.plots import highlighted
from helpers.training.spans import word_tags

if TYPE_CHECKING:
    from ipywidgets import VBox
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# words keep their apostrophes and hyphens, as in the sample set; signs stand alone
WORD = re.compile(r"\w+(?:['’.-]\w+)*|[^\w\s]")


class Found(NamedTuple):
    """An entity of a text: `text[start:end]`, and how sure the model is, in [0, 1]."""

    kind: str
    start: int
    end: int
    probability: float


class EntityReader:
    """Finds the entities of any text with one of several models.

    `models` maps a name, such as "student", to a fine-tuned token classifier with BIO
    labels.
    """

    def __init__(
        self,
        models: Mapping[str, PreTrainedModel],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int = 128,
    ) -> None:
        self.models, self.tokenizer, self.max_length = models, tokenizer, max_length

    def read(self, name: str, text: str) -> tuple[list[Found], int]:
        """The entities, in order, and how many words at the end were cut off, unread.

        A word has the tag of its first piece; an entity's probability is the mean of
        its words'.
        """
        from seqeval.metrics.sequence_labeling import get_entities

        words = [
            (match[0], match.start(), match.end()) for match in WORD.finditer(text)
        ]
        if not words:
            return [], 0
        tags, unread = self._tags(name, [word for word, _, _ in words])
        found = [
            Found(
                kind, words[first][1], words[last][2],
                sum(share for _, share in tags[first : last + 1]) / (last + 1 - first),
            )
            for kind, first, last in get_entities([tag for tag, _ in tags])
        ]  # fmt: skip
        return found, unread

    def _tags(self, name: str, words: list[str]) -> tuple[list[tuple[str, float]], int]:
        """(tag, probability) of each word, and the number of those that were cut
        off.
        """
        import torch

        model = self.models[name].eval()
        how = {
            "is_split_into_words": True,
            "truncation": True,
            "max_length": self.max_length,
        }
        batch = self.tokenizer(words, **how, return_tensors="pt")
        inputs = {
            key: batch[key].to(model.device) for key in ("input_ids", "attention_mask")
        }
        with torch.inference_mode():
            shares = model(**inputs).logits[0].float().softmax(-1)  # (S, K)
        best = shares.max(-1)
        labels = [model.config.id2label[label] for label in best.indices.tolist()]
        pieces = list(zip(labels, best.values.tolist(), strict=True))
        last = max((word for word in batch.word_ids() if word is not None), default=-1)
        return word_tags(pieces, batch.word_ids(), len(words), outside=("O", 0.0)), (
            len(words) - 1 - last
        )

    def kinds(self, name: str) -> list[str]:
        """The kinds of entities that the model knows, in the order of its labels."""
        labels = self.models[name].config.id2label
        return list(
            dict.fromkeys(labels[i][2:] for i in sorted(labels) if labels[i] != "O")
        )


def page(reader: EntityReader, name: str, text: str) -> str:
    """What stands below the controls, as HTML: the text with its entities, or one
    friendly line.
    """
    if not text.strip():
        return "<p>Type a sentence above.</p>"
    found, unread = reader.read(name, text)
    rows = [(f.kind, f.start, f.end, f"{f.probability:.0%}") for f in found]
    count = f"{len(found)} entities" if len(found) != 1 else "1 entity"
    lost = f"; the last {unread} words were cut off, unread" if unread else ""
    line = f"<p><small>{html.escape(name)}: {count}{lost}</small></p>"
    return highlighted(text, rows, reader.kinds(name)) + line


def entity_explorer(reader: EntityReader, name: str, text: str) -> VBox:
    """A box for the text, a button for each model, and the text with its entities
    below.

    Children: the text box, the buttons, and the page as HTML.
    """
    from ipywidgets import Textarea, ToggleButtons, VBox

    box = Textarea(
        text, description="text", continuous_update=False, layout={"width": "95%"}
    )
    which = ToggleButtons(options=list(reader.models), value=name, description="model")
    area = follow((box, which), lambda: page(reader, which.value, box.value))
    return VBox([box, which, area])

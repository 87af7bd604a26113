"""The explorer of `05_sequence_classification`: your own text, every head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from helpers.sequence_classification.plots import verdicts
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox

    from helpers.sequence_classification.plots import Answers


def page(answers: Callable[[str], Answers], text: str) -> str:
    """What stands below the text box, as HTML: the picture, or one friendly line."""
    if not text.strip():
        return "<p>Write a sentence or two.</p>"
    said = answers(text)
    best = "; ".join(
        f"{name}: {max(row, key=row.get) or format(row[''], '.1f')}"
        for name, row in said.items()
    )
    return picture(verdicts(text, said), best)


def text_explorer(answers: Callable[[str], Answers], text: str) -> VBox:
    """A box for the text and what each head says of it, its two children."""
    from ipywidgets import Textarea, VBox

    box = Textarea(
        text, description="text", continuous_update=False, layout={"width": "95%"}
    )
    return VBox([box, follow((box,), lambda: page(answers, box.value))])

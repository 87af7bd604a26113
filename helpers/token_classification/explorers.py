"""The explorer of `06_token_classification`: the entities of a text that you type."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from helpers.show.widgets import follow
from helpers.token_classification.plots import highlighted

if TYPE_CHECKING:
    from ipywidgets import VBox

    # the notebook's own: the name of a model and a text to the entities, each (kind,
    # first character, past the last, probability), and how many words were cut off
    Read = Callable[[str, str], tuple[list[tuple[str, int, int, float]], int]]


def page(read: Read, name: str, text: str, kinds: Sequence[str]) -> str:
    """The text with its entities, as HTML; `kinds` says which kind has which tint."""
    if not text.strip():
        return "<p>Type a sentence above.</p>"
    found, unread = read(name, text)
    rows = [(kind, start, end, f"{share:.0%}") for kind, start, end, share in found]
    count = f"{len(found)} entities" if len(found) != 1 else "1 entity"
    lost = f"; the last {unread} words were cut off, unread" if unread else ""
    line = f"<p><small>{html.escape(name)}: {count}{lost}</small></p>"
    return highlighted(text, rows, kinds) + line


def entity_explorer(
    read: Read, names: Sequence[str], text: str, kinds: Sequence[str]
) -> VBox:
    """A box for the text, a button for each model, and the text with its entities.

    Children: the text box, the buttons, and the page as HTML.
    """
    from ipywidgets import Textarea, ToggleButtons, VBox

    wide = {"width": "95%"}
    box = Textarea(text, description="text", continuous_update=False, layout=wide)
    which = ToggleButtons(options=list(names), description="model")
    controls = (box, which)
    area = follow(controls, lambda: page(read, which.value, box.value, kinds))
    return VBox([*controls, area])

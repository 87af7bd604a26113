"""The tokenization explorer: a text box above the pieces of the typed text."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from helpers.show.widgets import follow, table, text_box

if TYPE_CHECKING:
    from ipywidgets import VBox
    from transformers import PreTrainedTokenizerBase

# light tints of the palette's colours: black text stays legible on each
_TINTS = ("#cfe5f5", "#fbe3b3", "#c5ebdd", "#f6d3bd", "#ecd6e4")
_COLUMNS = ("position", "piece", "id", "start:end", "text[start:end]")


def explorer(tokenizer: PreTrainedTokenizerBase, text: str) -> VBox:
    """A text box and, below it, `render` of what was typed."""
    from ipywidgets import VBox

    box = text_box(text, "Text")
    return VBox([box, follow([box], lambda: render(tokenizer, box.value))])


def render(tokenizer: PreTrainedTokenizerBase, text: str, limit: int = 60) -> str:
    """HTML: the text with its pieces coloured, then a table of at most `limit` pieces.

    Everything that comes from `text` is escaped.
    """
    encoding = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    pieces, rows = tokenizer.convert_ids_to_tokens(ids), []
    for row, (start, end) in enumerate(offsets[:limit]):
        piece = _tinted(row, html.escape(pieces[row])) if end > start else pieces[row]
        covered = f"<code>{visible(text[start:end])}</code>"
        rows.append((row, piece, ids[row], f"{start}:{end}", covered))
    more = f"<p>and {len(ids) - limit:,} more</p>" if len(ids) > limit else ""
    return (
        "<div style='color:#111;background:#fff;padding:.5em'>"
        f"{_coloured(text, offsets)}<p>{len(text):,} characters, {len(ids):,} ids</p>"
        f"{table(_COLUMNS, rows)}{more}</div>"
    )


def _coloured(text: str, offsets: list[tuple[int, int]]) -> str:
    """The text itself, each piece on its tint; what belongs to no piece stays white."""
    parts, done = [], 0
    for row, (start, end) in enumerate(offsets):
        if end <= done:  # a special token, or one more piece of the same character
            continue
        start = max(start, done)
        piece = _tinted(row, visible(text[start:end]))
        parts += [visible(text[done:start]), piece]
        done = end
    shown = "".join([*parts, visible(text[done:])])
    return f"<p style='font-size:1.15em;white-space:pre-wrap'>{shown}</p>"


def _tinted(row: int, piece: str) -> str:
    return f"<span style='background:{_TINTS[row % len(_TINTS)]}'>{piece}</span>"


def visible(text: str) -> str:
    """`text` as HTML, with the characters that a page cannot show written out."""
    shown = (
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
    return html.escape("".join(shown))

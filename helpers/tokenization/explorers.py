"""The tokenization explorer: a text box above the pieces that the typed text
becomes.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from helpers.show.widgets import follow

if TYPE_CHECKING:
    from IPython.display import HTML
    from transformers import PreTrainedTokenizerBase

# light tints of the palette's colours: black text stays legible on each
_TINTS = ("#cfe5f5", "#fbe3b3", "#c5ebdd", "#f6d3bd", "#ecd6e4")
_CELL = "padding:.15em .7em;text-align:left"


def explorer(tokenizer: PreTrainedTokenizerBase, text: str) -> Any:
    """A text box and, below it, `render` of what was typed, redrawn on Enter or on
    leaving it.

    Returns an `ipywidgets.VBox` of the box (`Text`) and the picture (`HTML`).
    """
    import ipywidgets

    box = ipywidgets.Text(
        value=text,
        description="Text",
        continuous_update=False,
        layout=ipywidgets.Layout(width="95%"),
    )
    return ipywidgets.VBox([box, follow([box], lambda: render(tokenizer, box.value))])


def still(tokenizer: PreTrainedTokenizerBase, text: str) -> HTML:
    """What the explorer shows for `text`, as a plain output."""
    from IPython.display import HTML

    return HTML(render(tokenizer, text))


def render(tokenizer: PreTrainedTokenizerBase, text: str, limit: int = 60) -> str:
    """HTML: the text with its pieces coloured, then a table of at most `limit` pieces.

    Everything that comes from `text` is escaped. `tokenizer` must give offsets, as all
    of transformers 5's do.
    """
    encoding = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    more = f"<p>and {len(ids) - limit:,} more</p>" if len(ids) > limit else ""
    return (
        f"<div style='color:#111;background:#fff;padding:.5em'>{_coloured(text, offsets)}"
        f"<p>{len(text):,} characters, {len(ids):,} ids</p>"
        f"{_table(text, pieces[:limit], ids, offsets)}{more}</div>"
    )


def _coloured(text: str, offsets: Sequence[tuple[int, int]]) -> str:
    """The text itself, each piece on its tint; what belongs to no piece stays white."""
    parts, done = [], 0
    for row, (start, end) in enumerate(offsets):
        if end <= done:  # a special token, or one more piece of the same character
            continue
        start = max(start, done)
        parts.append(html.escape(visible(text[done:start])))
        parts.append(
            f"<span style='{_tint(row)}'>{html.escape(visible(text[start:end]))}</span>"
        )
        done = end
    parts.append(html.escape(visible(text[done:])))
    return f"<p style='font-size:1.15em;white-space:pre-wrap'>{''.join(parts)}</p>"


def _table(
    text: str,
    pieces: Sequence[str],
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
) -> str:
    head = "".join(f"<th style='{_CELL}'>{name}</th>" for name in _COLUMNS)
    rows = []
    for row, (piece, number, (start, end)) in enumerate(
        zip(pieces, ids, offsets, strict=False)
    ):
        covered = visible(text[start:end])
        values = (row, piece, number, f"{start}:{end}", covered)
        tint = _tint(row) if end > start else ""
        cells = "".join(
            f"<td style='{_CELL};{tint if name == 'piece' else ''}'><code style='color:#111;"
            f"background:none'>{html.escape(str(value))}</code></td>"
            for name, value in zip(_COLUMNS, values, strict=True)
        )
        rows.append(f"<tr>{cells}</tr>")
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


_COLUMNS = ("position", "piece", "id", "start:end", "text[start:end]")


def _tint(row: int) -> str:
    return f"background:{_TINTS[row % len(_TINTS)]}"


def visible(text: str) -> str:
    r"""Characters that a page cannot show, written out.

    >>> visible("a\x00b")
    'a\\x00b'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )

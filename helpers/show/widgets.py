"""Explorers: move something, and see what changes.

A widget lives only while a kernel runs; an exported page or GitHub shows none. So
`show` leaves a sentence in its place for those, and every notebook draws the same
figure once more, still, below.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipywidgets import HTML
    from matplotlib.figure import Figure

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
FALLBACK = (
    "Interactive here: run this cell in JupyterLab to move it. "
    "A still of it follows below."
)


def show(widget: Any, what: str) -> None:
    """Display `widget`; `what` (a few words) names it where widgets cannot live."""
    from IPython.display import display

    text, version = f"{what}. {FALLBACK}", {"version_major": 2, "version_minor": 0}
    bundle = {
        WIDGET_MIME: {**version, "model_id": widget.model_id},
        "text/html": f"<p><em>{html.escape(text)}</em></p>",
        "text/plain": text,
    }
    display(bundle, raw=True)


def picture(drawing: Figure, alt: str) -> str:
    """A `Figure` as an HTML image that needs no file; `alt` says it in words."""
    file = io.BytesIO()
    drawing.savefig(file, format="png")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return f"<img alt='{html.escape(alt)}' style='max-width:100%' src='{source}'>"


def follow(controls: Sequence[Any], draw: Callable[[], str]) -> HTML:
    """A widget that shows `draw()`, HTML, and anew whenever one of `controls` moves.

    What `draw` raises is shown in its place, and raised on. An `ipywidgets.Output`
    would do less well: run by papermill, it can wait for its own kernel for ever.
    """
    import ipywidgets

    area = ipywidgets.HTML()

    def update(_change: object = None) -> None:
        try:
            area.value = draw()
        except Exception as error:
            area.value = f"<p>{html.escape(f'{type(error).__name__}: {error}')}</p>"
            raise

    for control in controls:
        control.observe(update, names="value")
    update()
    return area


def text_box(text: str, description: str = "text") -> Any:
    """A wide box to type in; it speaks up on Enter, or when it is left."""
    import ipywidgets

    wide = ipywidgets.Layout(width="95%")
    return ipywidgets.Text(
        value=text, description=description, continuous_update=False, layout=wide
    )


def gap_advice(text: str) -> str:
    """A friendly line, as HTML, on a `text` in which a model saw no [MASK]."""
    line = (
        "There is no [MASK] in this text. Write [MASK] where a word is to be guessed."
    )
    if re.search(r"[\[<(]\s*mask\s*[\])>]", text, re.IGNORECASE):
        line = "That is not the token: write [MASK], in capitals, no spaces."
    if "[MASK]" in text:
        line = (
            "The text was cut: the model reads 512 tokens at most, and there is a "
            "[MASK] behind them."
        )
    shown = text if len(text) <= 80 else text[:80] + "..."
    return f"<p>{line} You wrote: <q>{html.escape(shown)}</q></p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A left-aligned HTML table; what stands in its cells is HTML already."""

    def line(tag: str, cells: Sequence[object]) -> str:
        style = "padding:.15em .7em;text-align:left"
        return "".join(f"<{tag} style='{style}'>{cell}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{line('th', columns)}</tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"

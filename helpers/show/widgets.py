"""Explorers: move something, and see what changes.

A widget lives only while a kernel runs; an exported page or GitHub shows none. So
`show` leaves a sentence in its place for those, and every notebook draws the same
figure once more, still, below.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
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

"""Explorers: move something, and see what changes.

A widget lives only while a kernel runs; an exported page or GitHub shows none. So `show` leaves a
sentence in its place for those, and every notebook draws the same figure once more, still, below.
"""

from __future__ import annotations

import html
from typing import Any

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
FALLBACK = (
    "Interactive here: run this cell in JupyterLab to move it. A still of it follows below."
)


def show(widget: Any, what: str) -> None:
    """Display `widget`; `what` (a few words) names it where widgets cannot live."""
    from IPython.display import display

    text = f"{what}. {FALLBACK}"
    bundle = {
        WIDGET_MIME: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id},
        "text/html": f"<p><em>{html.escape(text)}</em></p>",
        "text/plain": text,
    }
    display(bundle, raw=True)


def redraw(area: Any, result: Any) -> None:
    """Put `result` into an `ipywidgets.Output` in one step, so that nothing flickers."""
    from IPython.display import display

    with area:
        area.clear_output(wait=True)
        display(result)

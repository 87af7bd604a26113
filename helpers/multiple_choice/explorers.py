"""The explorer of `08_multiple_choice`: your own context, your own endings."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.core.errors import WorkbookError
from helpers.multiple_choice import plots
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox

# {model: a function of a context and endings that gives one probability an ending}
Answerers = Mapping[str, Callable[[str, Sequence[str]], Sequence[float]]]


def shares(
    answerers: Answerers, context: str, endings: Sequence[str]
) -> dict[str, list[float]]:
    """Each model's probabilities of the endings, in [0, 1].

    An empty text, or two equal endings, is one friendly line: a `WorkbookError`.
    """
    if not context.strip():
        raise WorkbookError("Write a context: what the endings are endings of.")
    plain = [ending.strip() for ending in endings]
    for number, ending in enumerate(plain):
        if not ending:
            raise WorkbookError(f"Ending {number + 1} is empty.")
        if (first := plain.index(ending)) < number:
            raise WorkbookError(f"Endings {first + 1} and {number + 1} are the same.")
    return {
        name: list(map(float, ask(context, list(endings))))
        for name, ask in answerers.items()
    }


def page(answerers: Answerers, context: str, endings: Sequence[str]) -> str:
    """What stands below the boxes, as HTML: the picture, or one friendly line."""
    try:
        said = shares(answerers, context, endings)
    except WorkbookError as told:
        return f"<p>{html.escape(str(told))}</p>"
    best = "; ".join(
        f"{name}: {endings[row.index(max(row))]}" for name, row in said.items()
    )
    return picture(plots.endings(context, endings, said), best)


def ending_explorer(answerers: Answerers, context: str, endings: Sequence[str]) -> VBox:
    """A box for the context, one for each ending, and what every model says of them.

    Children: the boxes, the context's first, and the picture as HTML.
    """
    from ipywidgets import Text, VBox

    texts = {"context": context}
    texts |= {f"ending {number}": text for number, text in enumerate(endings, 1)}
    how = {"continuous_update": False, "layout": {"width": "95%"}}
    boxes = [Text(text, description=name, **how) for name, text in texts.items()]

    def draw() -> str:
        first, *others = (box.value for box in boxes)
        return page(answerers, first, others)

    return VBox([*boxes, follow(boxes, draw)])

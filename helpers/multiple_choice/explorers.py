"""The explorer of `08_multiple_choice`: your own context, your own endings."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.core.errors import WorkbookError
from helpers.show.progress import Progress
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure
    from transformers import Trainer


Answerer = Callable[[str, Sequence[str]], Sequence[float]]


def progress(trainer: Trainer) -> Progress:
    """A line that says how far the training of `trainer` is, and how long it still
    takes.
    """
    settings = trainer.args
    batches = -(-len(trainer.train_dataset) // settings.train_batch_size)
    steps = settings.max_steps
    return Progress(
        steps if steps > 0 else math.ceil(settings.num_train_epochs * batches)
    )


class Picker:
    """Asks several models which ending follows, and draws what they say.

    `answerers` maps a name to a function of (context, endings) that gives one
    probability each.
    """

    def __init__(self, answerers: Mapping[str, Answerer]) -> None:
        self.answerers = answerers

    def shares(self, context: str, endings: Sequence[str]) -> dict[str, list[float]]:
        """Each model's probabilities of the endings, in [0, 1].

        Raises `WorkbookError`, one friendly line, on an empty text or two equal
        endings.
        """
        if not context.strip():
            raise WorkbookError("Write a context: what the endings are endings of.")
        for number, ending in enumerate(endings, start=1):
            if not ending.strip():
                raise WorkbookError(f"Ending {number} is empty.")
        plain = [ending.strip() for ending in endings]
        for number, ending in enumerate(plain):
            if (first := plain.index(ending)) < number:
                raise WorkbookError(
                    f"Endings {first + 1} and {number + 1} are the same."
                )
        return {
            name: [float(share) for share in ask(context, list(endings))]
            for name, ask in self.answerers.items()
        }

    def figure(
        self, context: str, endings: Sequence[str], right: int | None = None
    ) -> Figure:
        """The picture of `shares`; raises as it does. `right` marks the right
        ending.
        """
        from helpers.multiple_choice.plots import endings as draw

        return draw(context, endings, self.shares(context, endings), right)


def page(picker: Picker, context: str, endings: Sequence[str]) -> str:
    """What stands below the boxes, as HTML: the picture, or one friendly line."""
    try:
        shares = picker.shares(context, endings)
    except WorkbookError as told:
        return f"<p>{html.escape(str(told))}</p>"
    best = "; ".join(
        f"{name}: {endings[max(range(len(row)), key=row.__getitem__)]}"
        for name, row in shares.items()
    )
    from helpers.multiple_choice.plots import endings as draw

    return picture(draw(context, endings, shares), best)


def ending_explorer(picker: Picker, context: str, endings: Sequence[str]) -> VBox:
    """A box for the context, one for each ending, and every model's probabilities
    below.

    Children: the boxes, the context's first, and the picture as HTML.
    """
    from ipywidgets import Text, VBox

    names = ["context", *(f"ending {number + 1}" for number in range(len(endings)))]
    boxes = [
        Text(text, description=name, continuous_update=False, layout={"width": "95%"})
        for name, text in zip(names, [context, *endings], strict=True)
    ]

    def draw() -> str:
        return page(picker, boxes[0].value, [box.value for box in boxes[1:]])

    return VBox([*boxes, follow(boxes, draw)])

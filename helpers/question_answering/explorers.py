"""The explorer of `07_question_answering`: ask, and see where the answer is sought."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.core.errors import WorkbookError
from helpers.question_answering.plots import marked
from helpers.show.widgets import follow

if TYPE_CHECKING:
    from ipywidgets import VBox

    from helpers.training.spans import Prediction

    # of a model's name, a question, a passage and a threshold
    Read = Callable[[str, str, str, float], Prediction]

LONGEST = 20_000  # characters of a passage that are still read while somebody waits


def page(read: Read, name: str, question: str, context: str, threshold: float) -> str:
    """What stands below the controls, as HTML: decision, passage, the n best spans.

    `read` asks the model called `name`. What cannot be read is one friendly line.
    """
    try:
        if not question.strip() or not context.strip():
            raise WorkbookError("Type a question, and a passage that may answer it.")
        if len(context) > LONGEST:
            raise WorkbookError(
                f"{len(context):,} characters are a lot; {LONGEST:,} are read."
            )
        found = read(name, question, context, threshold)
    except WorkbookError as told:
        return f"<p>{html.escape(str(told))}</p>"
    said = f"“{html.escape(found.text)}”" if found.text else "no answer"
    head = (
        f"<p><b>{html.escape(question)}</b><br>{html.escape(name)}: <b>{said}</b>; "
        f"null score minus best span's {found.gap:+.2f}, threshold {threshold:+.2f}</p>"
    )
    strongest = max((span.probability for span in found.spans), default=0.0) or 1.0
    given = [(s.start, s.end, s.probability / strongest) for s in found.spans]
    text = f"<p style='max-width:52em;line-height:1.7'>{marked(context, given)}</p>"
    rows = [(span.probability, html.escape(span.text)) for span in found.spans]
    rows.append((found.null.probability, "<i>no answer</i>"))
    cell = "<td style='text-align:left'>"
    lines = (
        f"<tr>{cell}{100 * share:.1f}%</td>{cell}{words}</td></tr>"
        for share, words in sorted(rows, reverse=True)
    )
    return f"{head}{text}<table>{''.join(lines)}</table>"


def answer_explorer(
    read: Read, names: Sequence[str], passages: Mapping[str, tuple[str, str]]
) -> VBox:
    """A choice of passages, boxes for question and passage, a threshold, the models.

    `read` as in `page`; `names` are the models', the first is asked first. `passages`
    maps a title to (question, passage), which fill the two boxes. Children: the choice,
    the question, the passage, the threshold, the buttons if there are several models,
    and the answer as HTML.
    """
    from ipywidgets import Dropdown, FloatSlider, Text, Textarea, ToggleButtons, VBox

    wide, quiet = {"layout": {"width": "95%"}}, {"continuous_update": False}
    choice = Dropdown(options=list(passages), description="passage", **wide)
    asked = Text(description="question", **quiet, **wide)
    text = Textarea(description="text", rows=6, **quiet, **wide)
    slider = FloatSlider(description="threshold", min=-12, max=12, step=0.25, **quiet)
    which = ToggleButtons(options=list(names), description="model")

    def fill(_change: object = None) -> None:
        with asked.hold_trait_notifications():  # no question to another one's text
            asked.value, text.value = passages[choice.value]

    def draw() -> str:
        return page(read, which.value, asked.value, text.value, slider.value)

    fill()
    choice.observe(fill, names="value")
    answer = follow((asked, text, slider, which), draw)
    models = [which] if len(names) > 1 else []  # one button would choose nothing
    return VBox([choice, asked, text, slider, *models, answer])

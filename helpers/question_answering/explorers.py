"""The explorer of `07_question_answering`: type a question, see where the answer is
looked for.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helpers.core.errors import WorkbookError
from helpers.question_answering.plots import marked
from helpers.show.progress import Progress
from helpers.show.widgets import follow
from helpers.training.spans import answers
from helpers.training.windows import Windows, encode_questions

if TYPE_CHECKING:
    import torch
    from ipywidgets import VBox
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from helpers.training.spans import Prediction

__all__ = ["Progress", "Reader", "answer_explorer", "page"]
BATCH = 16  # windows that a model reads at a time
LONGEST = 20_000  # characters of a passage that are still read while somebody waits


class Reader:
    """Answers questions on a text with one of several models.

    `models` maps a name, such as "student", to a question-answering model and its
    tokenizer.
    """

    def __init__(
        self,
        models: Mapping[str, tuple[PreTrainedModel, PreTrainedTokenizerBase]],
        max_length: int = 192,
        stride: int = 32,
    ) -> None:
        self.models, self.max_length, self.stride = models, max_length, stride

    def read(
        self, name: str, question: str, context: str, threshold: float = 0.0, n: int = 5
    ) -> Prediction:
        """The `n` best spans, the null answer and the decision of the model called
        `name`.

        Raises `WorkbookError`, one friendly line, when question or passage is empty or
        too long.
        """
        if not question.strip() or not context.strip():
            raise WorkbookError("Type a question, and a passage that may answer it.")
        if len(context) > LONGEST:
            raise WorkbookError(
                f"{len(context):,} characters are a lot; {LONGEST:,} are read."
            )
        model, tokenizer = self.models[name]
        windows = encode_questions(
            tokenizer, [question], [context], self.max_length, self.stride
        )
        logits = self._logits(model, tokenizer, windows)
        (found,) = answers(windows, [context], *logits, n_best=n, threshold=threshold)
        return found

    def _logits(
        self, model: Any, tokenizer: Any, windows: Windows
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Start and end logits, (N, S) each."""
        import torch

        batch = tokenizer.pad(windows.inputs, return_tensors="pt").to(model.device)
        parts = []
        with torch.inference_mode():
            for at in range(0, len(windows), BATCH):
                part = {name: rows[at : at + BATCH] for name, rows in batch.items()}
                output = model.eval()(**part)
                parts.append(
                    (output.start_logits.float().cpu(), output.end_logits.float().cpu())
                )
        starts, ends = zip(*parts, strict=True)
        return torch.cat(starts), torch.cat(ends)


def page(
    reader: Reader, name: str, question: str, context: str, threshold: float, n: int = 5
) -> str:
    """What stands below the controls, as HTML: the decision, the passage, the n best
    spans.
    """
    try:
        found = reader.read(name, question, context, threshold, n)
    except WorkbookError as told:
        return f"<p>{html.escape(str(told))}</p>"
    said = f"“{html.escape(found.text)}”" if found.text else "no answer"
    head = (
        f"<p><b>{html.escape(question)}</b><br>{html.escape(name)}: <b>{said}</b>; null score minus"
        f" best span's {found.gap:+.2f}, threshold {threshold:+.2f}</p>"
    )
    strongest = max((span.probability for span in found.spans), default=0.0) or 1.0
    given = [(s.start, s.end, s.probability / strongest) for s in found.spans]
    text = f"<p style='max-width:52em;line-height:1.7'>{marked(context, given)}</p>"
    rows = [(span.probability, html.escape(span.text)) for span in found.spans]
    rows = sorted([*rows, (found.null.probability, "<i>no answer</i>")], reverse=True)
    cells = "".join(
        f"<tr><td>{100 * share:.1f}%</td><td>{words}</td></tr>" for share, words in rows
    )
    left = cells.replace("<td>", "<td style='text-align:left'>")
    return f"{head}{text}<table>{left}</table>"


def answer_explorer(
    reader: Reader, name: str, passages: Mapping[str, tuple[str, str]]
) -> VBox:
    """A choice of passages, boxes for question and passage, a threshold, a button for
    each model.

    `passages` maps a title to (question, passage), which fill the two boxes. Children:
    the choice, the question, the passage, the threshold, the buttons, and the answer as
    HTML.
    """
    from ipywidgets import Dropdown, FloatSlider, Text, Textarea, ToggleButtons, VBox

    first = next(iter(passages))
    wide = {"width": "95%"}
    choice = Dropdown(
        options=list(passages), value=first, description="passage", layout=wide
    )
    asked = Text(
        passages[first][0], description="question", continuous_update=False, layout=wide
    )
    text = Textarea(passages[first][1], description="text", continuous_update=False, rows=6,
                    layout=wide)  # fmt: skip
    slider = FloatSlider(0.0, min=-12, max=12, step=0.25, description="threshold",
                         continuous_update=False)  # fmt: skip
    which = ToggleButtons(options=list(reader.models), value=name, description="model")

    def fill(_change: object = None) -> None:
        with (
            asked.hold_trait_notifications()
        ):  # no question is put to another one's text
            asked.value, text.value = passages[choice.value]

    choice.observe(fill, names="value")

    def draw() -> str:
        return page(reader, which.value, asked.value, text.value, slider.value)

    answer = follow((asked, text, slider, which), draw)
    models = (
        [which] if len(which.options) > 1 else []
    )  # one button would choose nothing
    return VBox([choice, asked, text, slider, *models, answer])

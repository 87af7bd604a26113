"""What was measured while the shipped pocket student was made: its log, and how it
transfers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.checkpoints import POCKET
from helpers.core.errors import WorkbookError

LOG = POCKET / "student_log.jsonl"
RUN = POCKET / "student_run.json"
TRANSFER = POCKET / "student_transfer.json"


# what a start may say otherwise while the training stays the same
_OF_NO_EFFECT = {
    "after_step", "steps", "decay_steps", "log_every", "save_every", "texts", "sequences", "tokens",
    "held_out",
}  # fmt: skip


def student_log() -> list[dict[str, Any]]:
    """The lines of the shipped student's training log, in the order in which they were
    written.

    Each has `step` and `seconds`; training lines have `distillation_loss`,
    `masked_lm_loss` and `cosine_loss`, held-out lines `eval_masked_accuracy` and
    `eval_perplexity`.

    Raises `WorkbookError` when the file is missing or a line is not JSON.
    """
    lines = []
    for number, line in enumerate(_read(LOG).splitlines(), start=1):
        try:
            lines.append(json.loads(line))
        except ValueError:
            raise WorkbookError(
                f"{LOG}, line {number}: expected one JSON object"
            ) from None
    return lines


def student_turns() -> list[int]:
    """The steps after which the shipped student was trained on with other settings.

    A run that was only lengthened, or saved more often, has not turned.

    Raises `WorkbookError` when the file is missing or malformed.
    """
    try:
        starts = json.loads(_read(RUN))["starts"]
        kept = [
            {k: v for k, v in start.items() if k not in _OF_NO_EFFECT}
            for start in starts
        ]
        return [
            start["after_step"]
            for start, before, after in zip(starts[1:], kept, kept[1:], strict=False)
            if before != after
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WorkbookError(
            f"{RUN}: expected a JSON object with a list 'starts'"
        ) from None


def student_transfer() -> dict[str, Any]:
    """Few-shot scores of teacher and shipped student: {task: {"teacher", "student",
    "retention"}}.

    `teacher` and `student` hold a `mean` and its `runs`, scores in [0, 1]; the key
    "retention" itself is the mean over the tasks.

    Raises `WorkbookError` when the file is missing or malformed.
    """
    try:
        return json.loads(_read(TRANSFER))["summary"]
    except (ValueError, KeyError, TypeError):
        raise WorkbookError(
            f"{TRANSFER}: expected a JSON object with a 'summary'"
        ) from None


def _read(path: Path) -> str:
    if not path.exists():
        raise WorkbookError(
            f"{path} is missing: restore it with `git checkout data/pocket`"
        )
    return path.read_text(encoding="utf8")

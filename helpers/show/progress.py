"""A line that says how far a training run is, and about how long it still takes."""

from __future__ import annotations

import html
import time
from typing import Any

from transformers import TrainerCallback


class Progress(TrainerCallback):
    """One line with a bar over one or several `Trainer` runs, and the time left.

    `total`: the steps of all runs together. Give the same object to each `Trainer`.
    """

    def __init__(self, total: int, clock: Any = time.perf_counter) -> None:
        from IPython.display import display

        self.total, self.done, self.clock, self.began = total, 0, clock, clock()
        self.note = ""
        self.handle = display(self._bundle(), raw=True, display_id=True)

    def on_step_end(self, args, state, control, **keywords: Any) -> None:
        self.done += 1
        if self.handle:
            self.handle.update(self._bundle(), raw=True)

    def say(self, note: str) -> None:
        """Show `note`, a few words, behind the bar from the next step on."""
        self.note = note

    @property
    def text(self) -> str:
        """What the line says."""
        total, taken = self.total, self.clock() - self.began
        if self.done >= total:
            return f"{total} of {total} steps, {taken:.0f} seconds. {self.note}"
        left = taken / max(self.done, 1) * (total - self.done)
        guess = f"about {left:.0f} seconds left" if self.done else "starting"
        return f"step {self.done} of {total}, {guess}. {self.note}"

    def _bundle(self) -> dict[str, str]:
        bar = f"<progress value='{self.done}' max='{self.total}' style='width:16em'>"
        shown = f"<p>{bar}</progress> {html.escape(self.text)}</p>"
        return {"text/html": shown, "text/plain": self.text}


class Bar(Progress):
    """The same line for work that is no training: `tick` is told how much is done."""

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.on_step_end(None, None, None)

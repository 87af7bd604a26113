"""What `workbook run` shows in a terminal: a progress bar, and a table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from helpers.core.pages import short
from helpers.core.results import Result

TRUST_SECONDS = 60.0  # a first notebook quicker than this changes little of a forecast


class Progress:
    """A bar over the notebooks; `expected` is the seconds that each took last time."""

    def __init__(self, expected: Mapping[str, float]):
        self.expected, self.taken = dict(expected), {}
        self.console = Console()
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[left]}"),  # for rich all are equally long
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Progress:
        self.began, total = time.perf_counter(), len(self.expected)
        what = "notebook" if total == 1 else "notebooks"
        self.console.print(f"{total} {what}, {self}", highlight=False)
        self.bar.start()
        self.task = self.bar.add_task(next(iter(self.expected)), total=total, left=self)
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def finished(self, result: Result) -> None:
        """Advance by one notebook and leave a line about it."""
        self.taken[result.notebook] = result.seconds
        if not result.ok:  # how soon it failed says nothing of the machine's pace
            self.expected[result.notebook] = result.seconds
        self.began = time.perf_counter()
        mark = "[green]ok[/]" if result.ok else "[bold red]failed[/]"
        done = f"{len(self.taken)}/{len(self.expected)}  {mark}  {result.notebook}"
        error = f"  {escape(result.error)}" if result.error else ""
        line = f"{done}  {result.seconds:.0f} s{error}, {self}"
        self.console.print(line, soft_wrap=True, highlight=False)
        rest = [name for name in self.expected if name not in self.taken]
        self.bar.update(self.task, advance=1, description=[*rest, "done"][0])

    def seconds_left(self) -> float:
        """What the rest took last time, at this run's pace, less what has passed."""
        before = sum(self.expected[name] for name in self.taken)
        pace = (sum(self.taken.values()) + TRUST_SECONDS) / (before + TRUST_SECONDS)
        rest = [s for name, s in self.expected.items() if name not in self.taken]
        running, *waiting = rest or [0.0]
        passed = time.perf_counter() - self.began
        return max(0.0, pace * running - passed) + pace * sum(waiting)

    def __str__(self) -> str:
        seconds = self.seconds_left()
        if seconds < 90:
            return f"about {seconds:.0f} s left"
        return f"about {seconds / 60:.0f} min left"


def summary(results: Sequence[Result], output: Path) -> None:
    """A table of what each notebook recorded and how long it took."""
    table = Table("notebook", "minutes", "recorded", title="The workbook")
    for result in results:
        lines = [f"{k} = {short(v, 50)}" for k, v in result.values.items()]
        values = escape("\n".join(lines))
        failure = f"[bold red]failed[/] {escape(result.error)}"
        minutes = f"{result.seconds / 60:.1f}"
        table.add_row(result.notebook, minutes, values if result.ok else failure)
    console = Console()
    console.print(table)
    total = sum(result.seconds for result in results) / 60
    console.print(f"{total:.1f} minutes in all. Read on in {output / 'index.html'}")

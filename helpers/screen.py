"""What the `workbook` command shows in a terminal: a progress bar and two tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from helpers.notebook_files import read
from helpers.pages import short

if TYPE_CHECKING:
    from helpers.doctor import Finding
    from helpers.runner import Result

_DOTS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "red": "[bold red]RED[/]"}


class Progress:
    """A bar over the notebooks with the time left, from the seconds that each took last time."""

    def __init__(self, paths: Sequence[Path]):
        self.console = Console()
        self.names = [path.stem for path in paths]
        self.expected = [_seconds_last_time(path) for path in paths]
        self.taken: list[float] = []
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:.0f}/{task.total:.0f} notebooks"),
            progress.TimeElapsedColumn(),
            _TimeLeft(self),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Progress:
        self.bar.start()
        self.began = time.perf_counter()
        self.task = self.bar.add_task(self._label(), total=len(self.names))
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def _label(self) -> str:
        done = len(self.taken)
        return self.names[done] if done < len(self.names) else "done"

    def finished(self, result: Result) -> None:
        """Advance by one notebook and leave a line about it."""
        self.taken.append(result.seconds)
        self.began = time.perf_counter()
        mark = "[green]ok[/]" if result.ok else "[bold red]failed[/]"
        error = f"  {escape(result.error)}" if result.error else ""
        done = f"{len(self.taken)}/{len(self.names)}"
        line = f"{done}  {mark}  {result.notebook}  {result.seconds:.0f} s"
        self.console.print(f"{line}{error}, about {self.left():.0f} s left", soft_wrap=True)
        self.bar.update(self.task, advance=1, description=self._label())

    def left(self) -> float:
        """Seconds to go: what each notebook took last time, scaled by how this machine compares."""
        done = len(self.taken)
        if done == len(self.names):
            return 0.0
        pace = sum(self.taken) / sum(self.expected[:done]) if done else 1.0
        running = time.perf_counter() - self.began
        return max(1.0, pace * sum(self.expected[done:]) - running)


class _TimeLeft(progress.ProgressColumn):
    def __init__(self, owner: Progress):
        super().__init__()
        self.owner = owner

    def render(self, task: progress.Task) -> str:
        left = round(self.owner.left())
        return f"{left // 60}:{left % 60:02d} left"


def _seconds_last_time(path: Path) -> float:
    return float(read(path).metadata.get("workbook", {}).get("seconds", 45.0))


def summary(results: Sequence[Result], output: Path) -> None:
    """A table of what each notebook recorded and how long it took."""
    table = Table(title="The workbook", title_justify="left")
    table.add_column("notebook")
    table.add_column("minutes", justify="right")
    table.add_column("recorded", overflow="fold")
    for result in results:
        values = "\n".join(f"{k} = {escape(short(v, 50))}" for k, v in result.values.items())
        failure = "" if result.ok else f"[bold red]failed[/] {escape(result.error)}"
        table.add_row(result.notebook, f"{result.seconds / 60:.1f}", failure or values)
    console = Console()
    console.print(table)
    total = sum(result.seconds for result in results) / 60
    console.print(f"{total:.1f} minutes in all. Read on in {output / 'index.html'}")


def findings(rows: Sequence[Finding]) -> None:
    """The doctor's report: one line each, with advice where something is to be mended."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    for row in rows:
        advice = f"  [bold]-> {escape(row.advice)}[/]" if row.advice else ""
        table.add_row(_DOTS[row.status], row.what, escape(row.found) + advice)
    Console().print(table)

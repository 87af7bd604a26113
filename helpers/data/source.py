"""One file of the reader's own: where it is, what was said about it, how to mend it."""

from __future__ import annotations

import difflib
import glob
import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.errors import WorkbookError

NOTEBOOKS = {"classification": "05", "tokens": "06", "questions": "07", "choices": "08"}
SHOWN = 10  # bad rows that are named
Fault = tuple[str, str, str]  # place, what was found, what was expected


@dataclass(frozen=True)
class Source:
    """A file and the parameters that came with it: all that its error messages need."""

    path: Path
    head: str
    columns: Any = None
    label_names: Any = None
    encoding: str = ""

    def command(self, **changes: Any) -> str:
        """The command line that reads this file, with other parameters.

        A call of `load` for the heads that no notebook reads from a file.
        """
        told = vars(replace(self, **changes))
        told = {
            name: told[name]
            for name in ("columns", "label_names", "encoding")
            if told[name]
        }
        if self.head not in NOTEBOOKS:
            call = "".join(f", {name}={value!r}" for name, value in told.items())
            return f"load({str(self.path)!r}, {self.head!r}{call})"
        line = f"workbook run {NOTEBOOKS[self.head]} -p DATA_FILE {shlex.quote(str(self.path))}"
        for name, value in told.items():
            text = (
                value if name == "encoding" else json.dumps(value, ensure_ascii=False)
            )
            line += f" -p {name.upper()} {shlex.quote(text)}"
        return line

    def bad(self, found: str, expected: str, place: str = "") -> WorkbookError:
        """The one line that says so, for the caller to raise."""
        where = f"{self.path}, {place}" if place else self.path
        return WorkbookError(f"{where}: found {found}; expected {expected}")

    def refuse(self, faults: list[Fault]) -> WorkbookError:
        """One line that names up to ten bad rows and says how many more there are."""
        kinds: dict[tuple[str, str], list[str]] = {}
        for place, found, expected in faults[:SHOWN]:
            kinds.setdefault((found, expected), []).append(place)
        told = [
            f"{', '.join(p)}: found {f}; expected {e}" for (f, e), p in kinds.items()
        ]
        if more := len(faults[SHOWN:]):
            told.append(f"and {more:,} more bad row{'s' * (more > 1)}")
        return WorkbookError(f"{self.path}, {'; '.join(told)}")


def short(value: Any, most: int = 40) -> str:
    """`value` as Python writes it, on one line, cut to about `most` characters."""
    cut = isinstance(value, str) and len(value) > most
    text = repr(f"{value[:most]}..." if cut else value)
    return text if len(text) <= 2 * most else f"{text[: 2 * most]}..."


def listed(values: Iterable[Any], most: int = 8) -> str:
    """The first of `values`, quoted, with commas, and how many more there are."""
    values = list(values)
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(short(value, 30) for value in values[:most]) + more


def find(path: str | os.PathLike[str]) -> Path:
    r"""The file that is meant: the path as it stands, else with `~`, `\` or `*` read.

    Raises `WorkbookError` when there is none, or a pattern fits several.
    """
    text = str(path).strip().strip("'\"")
    tries = [Path(t).expanduser() for t in (str(path), text, text.replace("\\", "/"))]
    there = [one for one in tries if text and one.exists()][:1]
    there = there or [Path(found) for found in sorted(glob.glob(str(tries[1])))]
    if len(there) == 1:
        return there[0]
    if there:
        raise WorkbookError(
            f"{text}: fits {listed(map(str, there))}; expected one file"
        )
    folder = tries[-1].parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    near = listed(difflib.get_close_matches(tries[-1].name, names, 3) or names)
    raise WorkbookError(
        f"{text}: no such file; in {folder} there is {near or 'nothing'}"
    )


def say(path: str | os.PathLike[str], notes: Iterable[str]) -> None:
    """Prints what is doubtful about a file and yet used, a line each."""
    for note in notes:
        print(f"{Path(path).name}: {note}")

"""One file of a reader's own: where it is, what was said about it, how to mend it."""

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
    """A file and the parameters given with it: all that its error messages need."""

    path: Path
    head: str
    columns: Any = None
    label_names: Any = None
    encoding: str = ""

    def command(self, **changes: Any) -> str:
        """The command line that reads this file with other parameters.

        A call of `load` for the heads that no notebook reads from a file.
        """
        new = replace(self, **changes)
        said = {n: getattr(new, n) for n in ("columns", "label_names", "encoding")}
        if self.head not in NOTEBOOKS:
            call = "".join(f", {n}={value!r}" for n, value in said.items() if value)
            return f"load({str(self.path)!r}, {self.head!r}{call})"
        line = f"workbook run {NOTEBOOKS[self.head]} -p DATA_FILE {_quoted(self.path)}"
        for name, value in said.items():
            line += f" -p {name.upper()} {_quoted(value)}" if value else ""
        return line

    def bad(self, found: str, expected: str, place: str = "") -> WorkbookError:
        """The one line that says so, for the caller to raise."""
        where = f"{self.path}, {place}" if place else str(self.path)
        return WorkbookError(f"{where}: found {found}; expected {expected}")

    def refuse(self, faults: list[Fault]) -> WorkbookError:
        """One line that names up to ten bad rows and says how many more there are."""
        kinds: dict[tuple[str, str], list[str]] = {}
        for place, *kind in faults[:SHOWN]:
            kinds.setdefault(tuple(kind), []).append(place)
        told = [
            f"{', '.join(places)}: found {found}; expected {expected}"
            for (found, expected), places in kinds.items()
        ]
        if more := len(faults[SHOWN:]):
            told.append(f"and {more:,} more bad row{'s' * (more > 1)}")
        return WorkbookError(f"{self.path}, {'; '.join(told)}")


def _quoted(value: Any) -> str:
    text = isinstance(value, str | os.PathLike)
    return shlex.quote(str(value) if text else json.dumps(value, ensure_ascii=False))


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
    if text.startswith(("http:", "https:")):
        raise WorkbookError(
            f"{text}: found a web address; expected a file: download it"
        )
    tries = [Path(t).expanduser() for t in (str(path), text, text.replace("\\", "/"))]
    there = [one for one in tries if text and one.exists()]
    there = there[:1] or [Path(p) for p in sorted(glob.glob(str(tries[1])))]
    if len(there) == 1:
        return there[0]
    if there:
        raise WorkbookError(
            f"{text}: fits {listed(map(str, there))}; expected one file"
        )
    folder = tries[-1].parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    near = difflib.get_close_matches(tries[-1].name, names, 3) or names
    beside = (
        f"in {folder} there are {listed(near)}" if near else f"nothing is in {folder}"
    )
    raise WorkbookError(f"{text}: no such file; {beside}")


def say(path: str | os.PathLike[str], notes: Iterable[str]) -> None:
    """Prints what is doubtful about a file and yet used, a line each."""
    for note in notes:
        print(f"{Path(path).name}: {note}")

"""One file of the reader's own: what was said about it, and the lines said of it."""

from __future__ import annotations

import glob
import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from helpers.core.errors import WorkbookError

SHOWN = 10  # bad rows that are named


class Bad(ValueError):  # noqa: N818
    """A fault of one row, or of its word number `word`, counted from 0."""

    def __init__(self, found: str, expected: str, word: int | None = None):
        super().__init__(f"found {found}; expected {expected}")
        self.word = word


@dataclass(frozen=True)
class Source:
    """A file and the parameters that came with it: all that its error lines need."""

    path: Path
    head: str
    columns: Any = None
    label_names: Any = None
    encoding: str = ""
    notes: list[str] = field(default_factory=list)  # what is doubtful and yet used

    def command(self, **changes: Any) -> str:
        """The command that trains on this file with other parameters."""
        new = vars(replace(self, **changes))
        told = {n: new[n] for n in ("columns", "label_names", "encoding") if new[n]}
        if self.head == "corpus":  # no model is made of these
            call = "".join(f", {name}={value!r}" for name, value in told.items())
            return f"load({str(self.path)!r}, 'corpus'{call})"
        words = ["workbook", "fine-tune", self.head, str(self.path)]
        for name, value in told.items():
            text = isinstance(value, str)
            words.append(f"--{name.replace('_', '-')}")
            words.append(value if text else json.dumps(value, ensure_ascii=False))
        return shlex.join([*words, "--output", "my_model"])

    def bad(self, found: str, expected: str, place: str = "") -> WorkbookError:
        """The one line that says so, for the caller to raise."""
        where = f"{self.path}, {place}" if place else self.path
        return WorkbookError(f"{where}: found {found}; expected {expected}")

    def refuse(self, faults: Iterable[tuple[str, Bad]]) -> WorkbookError:
        """One line that names up to ten bad rows and says how many more there are."""
        faults, kinds = list(faults), {}
        for place, fault in faults[:SHOWN]:
            kinds.setdefault(str(fault), []).append(place)
        told = [f"{', '.join(places)}: {fault}" for fault, places in kinds.items()]
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
    r"""The file that is meant: as it stands, else with `~`, `\` or `*` read."""
    text = str(path).strip().strip("'\"")
    tries = [Path(t).expanduser() for t in (str(path), text, text.replace("\\", "/"))]
    there = [one for one in tries if text and one.exists()][:1]
    there = there or sorted(map(Path, glob.glob(str(tries[1]) if text else "")))
    if len(there) == 1:
        return there[0]
    if there:
        what = f"{text}: fits {listed(map(str, there))}"
        raise WorkbookError(f"{what}; expected one file")
    folder = tries[-1].parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    near = listed(names) or "nothing"
    raise WorkbookError(f"{text or path!r}: no such file; in {folder} there is {near}")


def say(path: str | os.PathLike[str], notes: Iterable[str]) -> None:
    """Prints what is doubtful about a file and yet used, a line each."""
    for note in notes:
        print(f"{Path(path).name}: {note}")

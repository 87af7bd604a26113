"""`results.json` of a folder: what every notebook recorded, and what is left to run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.core.machine import machine

FILE = "results.json"
Parameters = dict[str, Any]


def now() -> str:
    """Date and time of day, to the minute."""
    return datetime.now().isoformat(" ", "minutes")


@dataclass
class Result:
    """How one notebook fared: what it recorded, and why it stopped, if it did.

    `parameters` are those that differ from the notebook's own, `PROFILE` apart.
    """

    notebook: str
    seconds: float
    ok: bool
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    profile: str = "classroom"
    parameters: Parameters = field(default_factory=dict)
    date: str = field(default_factory=now)


@dataclass
class Folder:
    """The last run into a folder: what it was asked for, and what it did not finish.

    `results` are those of all runs, by notebook, in reading order.
    """

    profile: str
    parameters: Parameters
    left: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)

    def is_of(self, profile: str, parameters: Parameters) -> bool:
        """Whether the last run was asked for these, as JSON tells them."""
        asked = ([self.profile, self.parameters], [profile, parameters])
        return len({json.dumps(pair, sort_keys=True) for pair in asked}) == 1


def load(output: Path) -> Folder | None:
    """What lies in `output`, or None; a result without its page and notebook is none.

    Raises `WorkbookError` when the file is not what `workbook run` writes.
    """
    path = output / FILE
    if not path.exists():
        return None
    try:
        report = json.loads(path.read_text(encoding="utf8"))
        # a file of an older version says these once, for all of its notebooks
        once = {"profile": report["profile"], "date": report["machine"]["date"]}
        results = {
            name: Result(name, **(once | entry))
            for name, entry in sorted(report["notebooks"].items())
            if all((output / f"{name}.{kind}").exists() for kind in ("html", "ipynb"))
        }
        failed = [name for name, result in results.items() if not result.ok]
        left = report.get("left", failed)
        return Folder(report["profile"], report.get("parameters", {}), left, results)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkbookError(
            f"{path} is not what `workbook run` writes ({error!r}): "
            "delete it, or name another folder with --output"
        ) from error


def begin(
    output: Path,
    profile: str,
    parameters: Parameters,
    names: Sequence[str],
) -> Folder:
    """Note in `output` that these notebooks are asked for; returns the folder as it is.

    What an earlier run with the same profile and parameters left stays to be done.
    """
    folder = load(output) or Folder(profile, parameters)
    same = folder.is_of(profile, parameters)
    left = sorted({*names, *(folder.left if same else ())})
    folder = Folder(profile, parameters, left, folder.results)
    _write(output, folder)
    return folder


def finish(output: Path, result: Result, folder: Folder) -> Folder:
    """Add one result to the file; `folder` is `begin`'s, should the file be gone."""
    folder = load(output) or folder
    folder.results = dict(sorted({**folder.results, result.notebook: result}.items()))
    if result.ok:
        folder.left = [name for name in folder.left if name != result.notebook]
    _write(output, folder)
    return folder


def _write(output: Path, folder: Folder) -> None:
    report = asdict(folder)
    notebooks = report.pop("results")
    for entry in notebooks.values():
        entry["seconds"] = round(entry["seconds"], 1)
        del entry["notebook"]
    write_json(output / FILE, {**report, "machine": machine(), "notebooks": notebooks})

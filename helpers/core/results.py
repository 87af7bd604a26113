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


@dataclass
class Result:
    """How one notebook fared; `parameters` are those that differ from its own."""

    notebook: str
    seconds: float
    ok: bool
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    profile: str = "classroom"
    parameters: dict[str, Any] = field(default_factory=dict)
    date: str = field(default_factory=lambda: datetime.now().isoformat(" ", "minutes"))


@dataclass
class Folder:
    """What the last run was asked for and left; the `results` of all runs, in order."""

    profile: str
    parameters: dict[str, Any]
    left: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)

    def is_of(self, profile: str, parameters: dict[str, Any]) -> bool:
        """Whether the last run was asked for these, as JSON tells them."""
        asked = json.loads(json.dumps([profile, parameters]))
        return asked == json.loads(json.dumps([self.profile, self.parameters]))


def load(output: Path) -> Folder | None:
    """What lies in `output`, or None; without its page a result is none."""
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
    output: Path, profile: str, parameters: dict[str, Any], names: Sequence[str]
) -> Folder:
    """Note what is asked for; what a run of the same kind left stays to be done."""
    folder = load(output) or Folder(profile, parameters)
    before = folder.left if folder.is_of(profile, parameters) else []
    folder = Folder(profile, parameters, sorted({*names, *before}), folder.results)
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

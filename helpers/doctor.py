"""What this machine has, and what to do about each thing that it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from helpers.core import cache
from helpers.core.errors import WorkbookError
from helpers.core.machine import machine

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OK, NOTE, RED = "ok", "note", "red"
MARKS = {OK: "[green]ok[/]", NOTE: "[yellow]note[/]", RED: "[bold red]RED[/]"}


@dataclass(frozen=True)
class Finding:
    """One line of the report: well, optional, or to be mended as advised."""

    what: str
    status: str
    found: str
    advice: str = ""


def report() -> bool:
    """Print every finding, with advice where one is red; whether none is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    findings, table = (
        list(examine()),
        Table(show_header=False, box=None, padding=(0, 1)),
    )
    for row in findings:
        advice = f"  [bold]-> {escape(row.advice)}[/]" if row.advice else ""
        table.add_row(MARKS[row.status], row.what, escape(row.found) + advice)
    Console().print(table)
    return all(row.status != RED for row in findings)


def pinned(text: str) -> dict[str, str]:
    """Names and exact versions of a constraints file: `numpy==2.4.0  # arrays`."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;#]+)", text, flags=re.MULTILINE))


def other(pins: dict[str, str]) -> dict[str, str]:
    """The versions installed here of what is pinned at another one."""
    found = {}
    for name, version in pins.items():
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
        # "+cpu" and the like name a build of the same version
        if found.get(name, version).partition("+")[0] == version:
            found.pop(name, None)
    return found


def examine() -> Iterator[Finding]:
    """Every finding, most basic first."""
    python = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield _needed("Python", python, platform.python_version(), "install Python 3.11")
    pins = pinned(CONSTRAINTS.read_text(encoding="utf8"))
    here = other(pins)
    differ = [f"{name} {here[name]} (tested: {pins[name]})" for name in here]
    found = "; ".join(differ[:3]) or f"all as tested ({len(pins)} pins)"
    yield _needed("versions", not differ, found, "pip install -c constraints.txt -e .")
    yield from _hardware()
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield _optional("Chromium", chromium, "none: only the browser tests want it")
    yield from _weights()


def _needed(what: str, good: bool, found: str, advice: str) -> Finding:
    return Finding(what, OK if good else RED, found, "" if good else advice)


def _optional(what: str, found: object, otherwise: str) -> Finding:
    return Finding(what, OK if found else NOTE, str(found or otherwise))


def _hardware() -> Iterator[Finding]:
    from helpers.flash_attention.flash import backends

    here = machine()
    threads = f"{here['threads']} threads on {here['cores']} cores"
    yield Finding("processor", OK, f"{here['processor']}, {threads}")
    memory = float(str(here["memory_gib"]))
    advice = "4 GiB are needed; close other programs or use PROFILE=smoke"
    yield _needed("memory", memory >= 4, f"{memory} GiB", advice)
    yield _optional("GPU", here["gpu"], "none: fine, nothing needs one")
    for backend in backends():
        status = OK if backend.available else NOTE
        yield Finding(f"attention: {backend.name}", status, backend.reason)


def _weights() -> Iterator[Finding]:
    from helpers import checkpoints

    try:
        folder = cache.home()
        advice = "set WORKBOOK_HOME to a folder that you may write to"
        yield _needed("cache folder", os.access(folder, os.W_OK), str(folder), advice)
        for kind in (checkpoints.bert, checkpoints.distilbert):
            found = f"verified: {Path(kind()).name}"
            yield Finding(f"pocket {kind.__name__}", OK, found)
    except (WorkbookError, OSError) as error:
        yield Finding("pocket checkpoints", RED, str(error), "see the line itself")

"""What this machine has, and what to do about each thing that it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from helpers.core import cache
from helpers.core.errors import WorkbookError
from helpers.core.machine import machine
from helpers.core.screen import NOTE, OK, RED, Finding

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def pinned(text: str) -> dict[str, str]:
    """Names and exact versions of a constraints file.

    >>> pinned("numpy==2.4.0  # arrays\\n# a remark\\n")
    {'numpy': '2.4.0'}
    """
    pairs = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", text, flags=re.MULTILINE)
    return {canonical(name): version for name, version in pairs}


def canonical(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def examine() -> Iterator[Finding]:
    """Every finding, most basic first."""
    python = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield _needed("Python", python, platform.python_version(), "install Python 3.11")
    yield _versions()
    yield from _hardware()
    chromium = next(filter(None, map(shutil.which, _BROWSERS)), None)
    yield _optional("Chromium", chromium, "none: only the browser tests want it")
    yield from _weights()


def _needed(what: str, good: bool, found: str, advice: str) -> Finding:
    return Finding(what, OK if good else RED, found, "" if good else advice)


def _optional(what: str, found: object, otherwise: str) -> Finding:
    return Finding(what, OK if found else NOTE, str(found or otherwise))


def _versions() -> Finding:
    pins = pinned(CONSTRAINTS.read_text(encoding="utf8"))
    here = {canonical(d.name): d.version for d in importlib.metadata.distributions()}
    # "+cpu" and the like name a build of the same version
    differ = [
        f"{name} {here[name]} (tested: {version})"
        for name, version in pins.items()
        if name in here and here[name].partition("+")[0] != version
    ]
    found = "; ".join(differ[:3]) or f"all as tested ({len(pins)} pins)"
    return _needed("versions", not differ, found, "pip install -c constraints.txt -e .")


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

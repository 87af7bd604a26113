"""What this machine has, and what to do about each thing that it lacks."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import WorkbookError

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
OK, NOTE, RED = "ok", "note", "red"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report. `status` is OK, NOTE (optional) or RED (to be mended)."""

    what: str
    status: str
    found: str
    advice: str = ""


def machine() -> dict[str, object]:
    """Processor, cores, memory, GPU, system, versions and date: what every measurement names."""
    import psutil
    import torch
    import transformers

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "date": datetime.date.today().isoformat(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
    yield _python()
    yield _versions()
    yield from _hardware()
    yield from _attention()
    yield _browser()
    yield from _cache()


def _python() -> Finding:
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    advice = "" if good else "install Python 3.11 and run `make clean run`"
    return Finding("Python", OK if good else RED, platform.python_version(), advice)


def _versions() -> Finding:
    pins = pinned(CONSTRAINTS.read_text(encoding="utf8"))
    installed = {canonical(d.name): d.version for d in importlib.metadata.distributions()}
    # "+cpu" and the like name a build of the same version
    differ = [
        f"{name} {installed[name]} (tested: {version})"
        for name, version in pins.items()
        if name in installed and installed[name].partition("+")[0] != version
    ]
    if not differ:
        return Finding("versions", OK, f"all as tested ({len(pins)} pins)")
    advice = "pip install -c constraints.txt -e ."
    return Finding("versions", RED, "; ".join(differ[:3]), advice)


def _hardware() -> Iterator[Finding]:
    facts = machine()
    threads = f"{facts['threads']} threads on {facts['cores']} cores"
    yield Finding("processor", OK, f"{facts['processor']}, {threads}")
    enough = float(str(facts["memory_gib"])) >= 4
    advice = "" if enough else "4 GiB are needed; close other programs or use PROFILE=smoke"
    yield Finding("memory", OK if enough else RED, f"{facts['memory_gib']} GiB", advice)
    gpu = facts["gpu"]
    yield Finding("GPU", OK if gpu else NOTE, str(gpu or "none: fine, nothing needs one"))


def _attention() -> Iterator[Finding]:
    from helpers.flash import backends

    for backend in backends():
        status = OK if backend.available else NOTE
        yield Finding(f"attention: {backend.name}", status, backend.reason)


def _browser() -> Finding:
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path:
        return Finding("Chromium", OK, path)
    return Finding("Chromium", NOTE, "none: only the browser tests want it")


def _cache() -> Iterator[Finding]:
    from helpers import cache, checkpoints

    try:
        folder = cache.home()
        writable = os.access(folder, os.W_OK)
        advice = "" if writable else "set WORKBOOK_HOME to a folder that you may write to"
        yield Finding("cache folder", OK if writable else RED, str(folder), advice)
        for kind in (checkpoints.bert, checkpoints.distilbert):
            yield Finding(f"pocket {kind.__name__}", OK, f"verified: {Path(kind()).name}")
    except (WorkbookError, OSError) as error:
        yield Finding("pocket checkpoints", RED, str(error), "see the line itself")

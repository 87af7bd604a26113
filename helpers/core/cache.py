"""Files that are whole or not there: the cache of what the workbook builds, and JSON.

`WORKBOOK_HOME` moves the cache; otherwise it is the platform's user cache.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.core.errors import WorkbookError

MANIFEST = "manifest.json"  # every file's size: some systems clear caches file by file


def home() -> Path:
    """The cache folder, made if need be."""
    from platformdirs import user_cache_path

    default = user_cache_path("distilbert-workbook")
    folder = Path(os.environ.get("WORKBOOK_HOME") or default)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkbookError(
            f"the cache folder {folder} cannot be made ({error.strerror}): "
            "set WORKBOOK_HOME to a folder that you may write to"
        ) from error
    return folder


def write_text(path: Path, text: str) -> None:
    """Write the file `path` whole or not at all; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf8")
    fresh.replace(path)


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON in the file `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def intact(folder: Path) -> bool:
    """Whether `folder` holds the files of its manifest, each as long as it was."""
    try:
        sizes = json.loads((folder / MANIFEST).read_bytes())
        found = {name: (folder / name).stat().st_size for name in sizes}
    except (OSError, ValueError):
        return False
    return bool(sizes) and found == sizes


def build_once(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `build(empty_folder)` unless it is there.

    It is built under a temporary name and renamed. Of two processes one builds and the
    other waits; what a killed one left is swept away by the next.
    """
    from filelock import FileLock

    folder = home() / name
    if intact(folder):
        return folder
    with FileLock(home() / f"{name}.lock"):
        if intact(folder):  # another process built it while this one waited
            return folder
        for leftover in home().glob(f".{name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = home() / f".{name}.{os.getpid()}"
        fresh.mkdir()
        build(fresh)
        sizes = {
            path.relative_to(fresh).as_posix(): path.stat().st_size
            for path in sorted(fresh.rglob("*"))
            if path.is_file()
        }
        write_json(fresh / MANIFEST, sizes)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder


def revisions_file() -> Path:
    """Where the Hub's fetched revisions are written down, for a whole class."""
    return home() / "revisions.json"


def recorded_revisions(path: Path | None = None) -> dict[str, str]:
    """{repository of the Hub: the commit that was fetched}; `path`: somebody else's."""
    place = path or revisions_file()
    if path is None and not place.exists():
        return {}
    what = "expected one JSON object, {repository: commit}, as `workbook prefetch`"
    try:
        found = json.loads(place.read_text(encoding="utf8"))
        wrong = [r for r, c in found.items() if not re.fullmatch("[0-9a-f]{40}", c)]
    except OSError as error:
        raise WorkbookError(f"{place} cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError, TypeError):
        raise WorkbookError(f"{place}: {what} writes it") from None
    if wrong:
        what = f"the revision of {wrong[0]} is {found[wrong[0]]!r}"
        raise WorkbookError(f"{place}: {what}; expected 40 hex digits")
    return found


def record_revision(repo: str, commit: str) -> None:
    """Write down that `repo` was fetched at `commit`; others keep theirs."""
    from filelock import FileLock

    with FileLock(revisions_file().with_suffix(".lock")):
        known = recorded_revisions() | {repo: commit}
        write_json(revisions_file(), dict(sorted(known.items())))

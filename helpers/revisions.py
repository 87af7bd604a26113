"""Which revision of each Hub repository was fetched: written down once, the same for a class.

`revisions.json` in the workbook's cache maps a repository's id to a commit hash. Whoever is given
a copy of it fetches and reads exactly the same files: `workbook prefetch --revisions FILE`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers.core.cache import home, write_json
from helpers.errors import WorkbookError

COMMIT = re.compile(r"[0-9a-f]{40}")


def recorded() -> Path:
    """Where the revisions that were fetched are written down: `revisions.json` in the cache."""
    return home() / "revisions.json"


def recorded_revision(repo: str) -> str | None:
    """The commit of `repo`, such as "nyu-mll/glue", that was fetched; None before that.

    Raises `WorkbookError` when `revisions.json` cannot be read.
    """
    return read(recorded()).get(repo) if recorded().exists() else None


def read(path: Path) -> dict[str, str]:
    """The revisions in a file: {repository: commit hash of 40 hex digits}.

    Raises `WorkbookError` on a file that is missing or holds anything else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise WorkbookError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise WorkbookError(f"{path}: expected JSON, as `workbook prefetch` writes it") from None
    if not isinstance(found, dict):
        raise WorkbookError(f"{path}: expected one JSON object, {{repository: commit hash}}")
    for repo, commit in found.items():
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise WorkbookError(
                f"{path}: the revision of {repo} is {commit!r}; expected 40 hex digits"
            )
    return found


def record(repo: str, commit: str) -> None:
    """Write down that `repo` was fetched at `commit`; other repositories keep theirs.

    Raises `WorkbookError` when `revisions.json` holds something else.
    """
    from filelock import FileLock

    path = recorded()
    with FileLock(path.with_suffix(".lock")):
        known = read(path) if path.exists() else {}
        write_json(path, dict(sorted((known | {repo: commit}).items())))

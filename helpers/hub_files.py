"""Files from the Hub, at one commit, with errors that say what to do.

`huggingface_hub` does the work: it keeps finished files, asks again for the rest of a file when a
connection breaks, and answers from its cache when every file of a commit is there. A file in which
a whole command broke off is fetched anew by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from helpers.errors import WorkbookError

Kind = Literal["model", "dataset"]
PREFETCH = "workbook prefetch"


@dataclass(frozen=True)
class Listing:
    """What a download would bring: names and sizes in bytes, and how much of it is here already."""

    commit: str
    sizes: dict[str, int]
    here: int

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    @property
    def missing(self) -> int:
        """Bytes that are still to be fetched."""
        return self.size - self.here


def listing(repo: str, kind: Kind, patterns: Sequence[str], revision: str | None) -> Listing:
    """What of `repo` matches the patterns, and its size, without fetching it. Needs a network.

    Raises `WorkbookError` without a network, on an unknown repository or revision, and when
    nothing matches.
    """
    from huggingface_hub import HfApi, snapshot_download

    with explained(repo, revision):
        HfApi().repo_info(repo, repo_type=kind, revision=revision)  # fails at once, not after 24 s
        files: list[Any] = snapshot_download(
            repo, repo_type=kind, revision=revision, allow_patterns=list(patterns), dry_run=True
        )
    if not files:
        raise WorkbookError(f"{repo} on the Hub has none of {', '.join(patterns)}")
    here = sum(file.file_size for file in files if file.is_cached)
    sizes = {file.filename: file.file_size for file in files}
    return Listing(files[0].commit_hash, sizes, here)


def snapshot(
    repo: str, kind: Kind, patterns: Sequence[str], revision: str | None, command: str = PREFETCH
) -> Path:
    """A folder with those files of `repo`; what is not cached is fetched.

    With a commit hash as `revision`, files that are here are opened without asking the Hub.
    `command` is what an error tells the reader to run.

    Raises `WorkbookError` on missing files without a network, or an unknown repository or revision.
    """
    from huggingface_hub import snapshot_download

    with explained(repo, revision, command=command):
        return Path(
            snapshot_download(
                repo, repo_type=kind, revision=revision, allow_patterns=list(patterns)
            )
        )


def card(repo: str, revision: str | None, command: str = PREFETCH) -> tuple[str, dict[str, Any]]:
    """(commit, the fields at the head of a data set's README.md); `command` as for `snapshot`.

    Raises `WorkbookError` as `snapshot` does.
    """
    from huggingface_hub import HfApi, hf_hub_download, metadata_load, try_to_load_from_cache

    where = {"repo_type": "dataset", "revision": revision}
    with explained(repo, revision, command=command):
        if not isinstance(try_to_load_from_cache(repo, "README.md", **where), str):
            HfApi().dataset_info(repo, revision=revision)  # fails at once, not after 24 s
        path = Path(hf_hub_download(repo, "README.md", **where))
        return path.parent.name, metadata_load(path) or {}


@contextmanager
def explained(
    repo: str, revision: str | None = None, what: str = "", command: str = PREFETCH
) -> Iterator[None]:
    """Turn what goes wrong with `repo` into one line: `what` was being done, `command` may help.

    Raises `WorkbookError` in place of any other error.
    """
    try:
        yield
    except WorkbookError:
        raise
    except Exception as error:
        raise WorkbookError(_line(_at(repo, revision), what, command, error)) from error


def _line(where: str, what: str, command: str, error: Exception) -> str:
    from huggingface_hub import errors

    chain = _chain(error)
    if any(isinstance(e, errors.OfflineModeIsEnabled) for e in chain):
        return (
            f"{where} is not whole on this machine, and HF_HUB_OFFLINE forbids to fetch it: unset "
            f"that and run `{command}`"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"{where}: the Hub has no such revision; correct the one that you gave, or the line "
            "in revisions.json"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{where} is not on the Hub (any more), or is not open to you"
    if isinstance(error, errors.LocalEntryNotFoundError) or _is_transport(chain):
        return (
            f"{where} cannot be fetched, the connection to the Hub failed: run `{command}` again "
            "with a network, finished files are kept"
        )
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return f"{where}{' ' + what if what else ''}: {reason}"


def _at(repo: str, revision: str | None) -> str:
    return f"{repo} at revision {revision[:12]}" if revision else repo


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _is_transport(chain: Sequence[BaseException]) -> bool:
    """Whether the network failed; the Hub's client wraps one HTTP library or another."""
    names = {base.__name__ for error in chain for base in type(error).__mro__}
    return bool(names & {"TransportError", "ConnectionError"})

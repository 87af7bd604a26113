"""Runs the workbook: papermill over the notebooks in order, a page each, an index."""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.core import notebook_files, pages, profiles, results, session
from helpers.core.errors import WorkbookError
from helpers.core.results import Folder, Result

# a cell that hangs must not hang whoever waits for it; only `full` may need hours
CELL_SECONDS = 20 * 60
USUAL_SECONDS = 45.0  # of a notebook whose time is not known
Given = dict[str, Any]  # parameters by name


@dataclass(frozen=True)
class Plan:
    """What to run: `jobs` are notebooks, each with what differs from its parameters."""

    profile: str
    parameters: Given
    only: tuple[str, ...]
    jobs: list[tuple[Path, Given]]

    @property
    def names(self) -> list[str]:
        """The notebooks to run, as their files are called."""
        return [path.stem for path, _ in self.jobs]


def plan(
    profile: str, only: tuple[str, ...] = (), parameters: Given | None = None
) -> Plan:
    """The notebooks whose names begin with one of `only`, or all, checked."""
    profiles.profile(profile)
    wanted = {"PROFILE": profile, **(parameters or {})}
    unknown, jobs = dict(wanted), []
    for path in notebook_files.notebooks(only):
        own = notebook_files.default_parameters(path)
        given = {name: value for name, value in wanted.items() if name in own}
        session.check_parameters(given, path.stem, own)
        jobs.append((path, {k: v for k, v in given.items() if own[k] != v}))
        unknown = {name: value for name, value in unknown.items() if name not in own}
    for name in unknown:
        raise WorkbookError(f"no notebook of this run has a parameter {name}")
    return Plan(profile, parameters or {}, only, jobs)


def left(asked: Plan, output: Path) -> Plan:
    """What the last run into `output` left of a plan: not reached, stopped, or failed.

    A notebook that is named in the plan and has no result there is left, too.
    """
    folder = results.load(output)
    if folder is None:
        return asked
    if not folder.is_of(asked.profile, asked.parameters):
        pairs = [shlex.join(["-p", k, str(v)]) for k, v in folder.parameters.items()]
        had = " ".join([f"the run in {output} had --profile {folder.profile}", *pairs])
        cure = "give --resume the same, or leave it out and begin a new run"
        raise WorkbookError(f"{had}: {cure}")
    wanted = {*folder.left}
    if asked.only:
        wanted.update(set(asked.names) - set(folder.results))
    return replace(asked, jobs=[job for job in asked.jobs if job[0].stem in wanted])


def expected_seconds(asked: Plan, output: Path) -> dict[str, float]:
    """What each notebook took the last time: in `output`, or when it was committed."""
    folder = results.load(output)
    found = folder.results if folder else {}
    seconds = {}
    for path, _ in asked.jobs:
        last, usual = found.get(path.stem), USUAL_SECONDS
        if asked.profile == "classroom":  # the committed outputs are such a run
            committed = notebook_files.read(path).metadata.get("workbook", {})
            usual = float(committed.get("seconds", usual))
        good = last and last.ok and last.profile == asked.profile
        seconds[path.stem] = max(last.seconds, 1.0) if good else usual
    return seconds


def run_notebook(
    path: Path, given: Given, output: Path, site: Sequence[pages.Chapter] = ()
) -> Result:
    """Execute one notebook; its executed copy and its page, one of `site`, to `output`.

    What happens inside the notebook is in the `Result`, and never raised.
    """
    output.mkdir(parents=True, exist_ok=True)
    parameters = {**notebook_files.default_parameters(path), **given}
    profile = profiles.profile(parameters["PROFILE"])
    began = time.perf_counter()
    # sockets and the half-run copy lie elsewhere: a kill leaves nothing in `output`
    with tempfile.TemporaryDirectory(prefix="workbook-") as scratch:
        copy = Path(scratch) / path.name
        limit = None if profile.online else CELL_SECONDS
        error = _execute(path, copy, given, output, limit)
        executed = notebook_files.read(copy if copy.exists() else path)
    seconds = time.perf_counter() - began
    values = notebook_files.records(executed)
    notebook_files.write(output / path.name, notebook_files.clean(executed))
    pages.write_page(executed, output / f"{path.stem}.html", site)
    other = {name: value for name, value in given.items() if name != "PROFILE"}
    return Result(path.stem, seconds, not error, values, error, profile.name, other)


def _execute(
    path: Path, copy: Path, given: Given, folder: Path, limit: int | None
) -> str:
    """Run `path` in `folder` with papermill, into `copy`; returns what stopped it."""
    import papermill
    from nbclient.exceptions import CellTimeoutError

    log = copy.with_name("kernel.log")
    try:
        papermill.execute_notebook(
            str(path),
            str(copy),
            parameters=given,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(folder),
            execution_timeout=limit,
            **_local_transport(log),
        )
    except papermill.PapermillExecutionError as failure:
        error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
        return error.splitlines()[0]
    except CellTimeoutError:
        return f"a cell took more than {limit:,} seconds and was stopped"
    except RuntimeError as failure:  # a kernel that died, or did not start
        said = log.read_text(errors="replace").split("\n") if log.exists() else []
        reason = next(filter(None, reversed(said)), "often for lack of memory")
        return f"{str(failure).splitlines()[0]} ({reason})"
    return ""


def _local_transport(log: Path) -> dict[str, Any]:
    """Talk to the kernel over sockets in its log's folder: no port is opened."""
    if os.name == "nt":  # no such sockets there: the loopback address serves
        return {}
    from jupyter_client.manager import AsyncKernelManager

    class FolderKernelManager(AsyncKernelManager):
        def __init__(self, **kwargs: Any):
            super().__init__(**kwargs)
            self.transport = "ipc"
            self.connection_file = str(log.with_name("kernel.json"))

        async def start_kernel(self, **kwargs: Any) -> None:
            with log.open("w") as file:
                await super().start_kernel(stderr=file, **kwargs)

    return {"kernel_manager_class": FolderKernelManager}


def run(
    asked: Plan, output: Path, finished: Callable[[Result], None] = lambda result: None
) -> list[Result]:
    """Run a plan; `results.json` and `index.html` in `output` grow with each notebook.

    One that fails does not stop the others; `finished` is called after each.
    """
    before = results.load(output)
    folder = results.begin(output, asked.profile, asked.parameters, asked.names)
    site = _site(before, asked, output)
    found = []
    for path, given in asked.jobs:
        result = run_notebook(path, given, output, site)
        folder = results.finish(output, result, folder)
        pages.write_index(folder.results, output, site)
        finished(result)
        found.append(result)
    return found


def _site(before: Folder | None, asked: Plan, output: Path) -> list[pages.Chapter]:
    """The chapters of all results and of this run; pages that lack one are renewed."""
    names = before.results if before else ()
    kept = {name: output / f"{name}.ipynb" for name in names}
    sources = kept | {path.stem: path for path, _ in asked.jobs}
    books = {name: notebook_files.read(path) for name, path in sorted(sources.items())}
    site = [pages.chapter(name, book) for name, book in books.items()]
    if before and {*before.results, *before.left} != set(books):
        for name, path in kept.items():
            pages.write_page(notebook_files.read(path), output / f"{name}.html", site)
    return site


def update(asked: Plan, output: Path) -> None:
    """Put a clean run's outputs into the committed notebooks, and the README's picture.

    All or none: a failed notebook, other parameters or other code is a `WorkbookError`.
    """
    folder = results.load(output)
    executed = {}
    for path, _ in asked.jobs:
        result = folder.results.get(path.stem) if folder else None
        if not (result and result.ok):
            raise WorkbookError(f"nothing was updated: {path.stem} failed")
        executed[path] = book = notebook_files.read(output / path.name)
        code = notebook_files.code_digest(book)
        if code != notebook_files.code_digest(notebook_files.read(path)):
            raise WorkbookError(
                f"nothing was updated: {path.stem} changed, or had other parameters"
            )
        book.metadata["workbook"] = {"code": code, "seconds": round(result.seconds)}
    for path, book in executed.items():
        notebook_files.write(path, book)
        if picture := notebook_files.picture(book):
            notebook_files.PICTURE.write_bytes(picture)

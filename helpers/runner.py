"""Runs the workbook: papermill over the notebooks in order, pages, an index, one results file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from helpers import notebook_files, pages, profiles, session
from helpers.errors import WorkbookError

# a cell that hangs must not hang whoever waits for the run; only `full` may need hours
CELL_SECONDS = 20 * 60


@dataclass
class Result:
    """How one notebook fared: what it recorded, how long it took, and why it stopped, if it did."""

    notebook: str
    seconds: float
    ok: bool
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def plan(
    profile: str, only: tuple[str, ...] = (), parameters: dict[str, Any] | None = None
) -> list[tuple[Path, dict[str, Any]]]:
    """The notebooks to run, each with the parameters that differ from its own.

    Raises `WorkbookError`, before anything runs, on an unknown profile or notebook, a parameter
    that none of the notebooks has, or a value that it must not take.
    """
    profiles.profile(profile)
    wanted = {"PROFILE": profile, **(parameters or {})}
    session.check_parameters({k: v for k, v in wanted.items() if k != "PROFILE"})
    paths = notebook_files.notebooks(only)
    defaults = {path: notebook_files.default_parameters(path) for path in paths}
    for name in wanted:
        if not any(name in own for own in defaults.values()):
            raise WorkbookError(f"no notebook of this run has a parameter {name}")
    return [
        (path, {k: v for k, v in wanted.items() if k in own and own[k] != v})
        for path, own in defaults.items()
    ]


def run_notebook(
    path: Path,
    parameters: dict[str, Any],
    output: Path,
    site: Sequence[pages.Chapter] | None = None,
) -> Result:
    """Execute one notebook with papermill; the executed copy and its page go to `output`.

    `site` are the pages that it stands among; without it the page stands alone.

    Never raises for what happens inside the notebook: that is in the `Result`.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError

    output.mkdir(parents=True, exist_ok=True)
    copy = output / path.name
    online = profiles.profile(parameters.get("PROFILE", "classroom")).online
    began, error = time.perf_counter(), ""
    try:
        papermill.execute_notebook(
            str(path),
            str(copy),
            parameters=parameters,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(output),
            execution_timeout=None if online else CELL_SECONDS,
            **_local_transport(),
        )
    except papermill.PapermillExecutionError as failure:
        error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}".splitlines()[0]
    except CellTimeoutError:
        error = f"a cell took more than {CELL_SECONDS:,} seconds and was stopped"
    seconds = time.perf_counter() - began
    executed = notebook_files.read(copy)
    values = notebook_files.records(executed)
    notebook_files.write(copy, notebook_files.clean(executed))
    pages.write_page(executed, output / f"{path.stem}.html", site)
    return Result(path.stem, seconds, not error, values, error)


def _local_transport() -> dict[str, Any]:
    """Talk to the kernel over sockets in a folder: no port is opened, no network is needed.

    Windows has no such sockets; there the loopback address serves.
    """
    if os.name == "nt":
        return {}
    from jupyter_client.manager import AsyncKernelManager

    class FolderKernelManager(AsyncKernelManager):
        def __init__(self, **kwargs: Any):
            super().__init__(**kwargs)
            self.transport = "ipc"

    return {"kernel_manager_class": FolderKernelManager}


def run(
    todo: list[tuple[Path, dict[str, Any]]],
    profile: str,
    output: Path,
    finished: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run every notebook of a plan, then write `results.json` and `index.html` to `output`.

    A notebook that fails does not stop the others. `finished` is called after each.
    """
    site = [pages.chapter(path.stem, notebook_files.read(path)) for path, _ in todo]
    results = []
    for path, parameters in todo:
        results.append(run_notebook(path, parameters, output, site))
        finished(results[-1])
    write_results(results, profile, output)
    pages.write_index(results, profile, output, site)
    return results


def write_results(results: list[Result], profile: str, output: Path) -> None:
    """`results.json`: for each notebook the values it recorded, its seconds, and whether it ran."""
    from helpers.doctor import machine

    report = {
        "profile": profile,
        "machine": machine(),
        "notebooks": {
            result.notebook: {k: v for k, v in asdict(result).items() if k != "notebook"}
            for result in results
        },
    }
    for entry in report["notebooks"].values():
        entry["seconds"] = round(entry["seconds"], 1)
    (output / "results.json").write_text(json.dumps(report, indent=2), encoding="utf8")


def update(todo: list[tuple[Path, dict[str, Any]]], results: list[Result], output: Path) -> None:
    """Put a clean run's outputs into the committed notebooks, and the README's picture in place.

    Raises `WorkbookError` when a notebook failed: the committed ones stay as they were.
    """
    if failed := [result.notebook for result in results if not result.ok]:
        raise WorkbookError(f"nothing was updated: {', '.join(failed)} failed")
    for (path, _), result in zip(todo, results, strict=True):
        executed = notebook_files.read(output / path.name)
        notebook_files.put_outputs(path, executed, result.seconds)
        if picture := notebook_files.picture(executed):
            notebook_files.PICTURE.write_bytes(picture)

"""Notebooks as files: find them, read their parameters, keep their outputs in step."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import nbformat

from helpers.core.cache import write_text
from helpers.core.errors import WorkbookError
from helpers.core.session import RECORD_MIME

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
PICTURE = ROOT / "data" / "picture.png"  # the README shows it
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


def notebooks(only: tuple[str, ...] = ()) -> list[Path]:
    """The notebooks in reading order; `only` keeps those whose names begin so."""
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    for start in only:
        if not any(path.name.startswith(start) for path in paths):
            names = ", ".join(path.stem for path in paths)
            raise WorkbookError(f"no notebook begins with {start!r}; there are {names}")
    return [path for path in paths if not only or path.name.startswith(only)]


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook whole or not at all."""
    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    """The cells that have this tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The outputs of all cells."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def default_parameters(path: Path) -> dict[str, Any]:
    """The constants of the cell tagged `parameters`, by name, as Python values."""
    cells = tagged(read(path), "parameters")
    if not cells:
        raise WorkbookError(f"{path.name} has no cell tagged 'parameters'")
    values: dict[str, Any] = {}
    exec(cells[0].source, {}, values)
    return values


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """A hash of all code: it changes when a source does, not when an output does."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n%%\n".join(code).encode()).hexdigest()[:16]


def records(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """What the notebook recorded with `workbook.record(...)`, all cells together."""
    values: dict[str, Any] = {}
    for output in outputs(notebook):
        values |= output.get("data", {}).get(RECORD_MIME, {}).get("values", {})
    return values


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take out, in place, what lives only while a kernel runs, and papermill's notes.

    Widget state breaks GitHub's preview; times would make every run a diff.
    """
    kept = {k: v for k, v in notebook.metadata.items() if k == "workbook"}
    kept |= {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook.metadata = kept
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags" and v}
    for output in outputs(notebook):
        output.get("data", {}).pop(WIDGET_MIME, None)
    return notebook


def picture(notebook: nbformat.NotebookNode) -> bytes | None:
    """The PNG below the cell tagged `picture`, if there is one: the README's."""
    for cell in tagged(notebook, "picture"):
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):
                return base64.b64decode(png)
    return None

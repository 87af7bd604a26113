"""All explorers of the workbook in one notebook, and all its outputs on one page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from helpers.core import notebook_files

NAME = "gallery"
WHOLE = ("00", "09")  # run whole in JupyterLab: the first page, and the framed views
DONE = "EVERY CELL RAN"
# a notebook's names are its own; 00 turns gradients off, others train
RUN = """import torch
from pathlib import Path
torch.set_grad_enabled(True)
space = {{"__name__": "__main__"}}
exec(Path("{name}.py").read_text(encoding="utf8"), space)"""


def rest() -> list[Path]:
    """The notebooks whose explorers are in the gallery."""
    paths = notebook_files.notebooks()
    return [path for path in paths if not path.name.startswith(WHOLE)]


def in_smoke(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path` without outputs, its `PROFILE` set to smoke."""
    notebook = notebook_files.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (cell,) = notebook_files.tagged(notebook, "parameters")
    pattern, smoke = r'^PROFILE = "\w+"', 'PROFILE = "smoke"'
    cell.source, found = re.subn(pattern, smoke, cell.source, flags=re.MULTILINE)
    assert found == 1, f"{path.name} has no PROFILE"
    return notebook


def save(notebook: nbformat.NotebookNode, file: Path) -> None:
    """Write a notebook with a last cell that says when all cells ran."""
    start, end = DONE[:5], DONE[5:]  # the source must not hold the words itself
    notebook.cells.append(new_code_cell(f"print({start!r} + {end!r})"))
    nbformat.write(notebook, file)


def explorers(paths: Sequence[Path], folder: Path) -> nbformat.NotebookNode:
    """Each notebook up to its explorers, run apart, and each explorer in a cell.

    What comes before an explorer is written to `folder`, a file for each notebook.
    """
    cells = []
    for path in paths:
        sources = [c.source for c in in_smoke(path).cells if c.cell_type == "code"]
        shown = [i for i, source in enumerate(sources) if shows_widget(source)]
        before = [s for s in sources[: shown[-1]] if not shows_widget(s)]
        (folder / f"{path.stem}.py").write_text("\n\n".join(before), encoding="utf8")
        cells.append(new_code_cell(RUN.format(name=path.stem)))
        cells += [new_code_cell(f"exec({sources[i]!r}, space)") for i in shown]
    return new_notebook(cells=cells, metadata={"kernelspec": notebook_files.KERNEL})


def shows_widget(source: str) -> bool:
    """Whether a cell displays an explorer."""
    return bool(re.search(r"^(widgets\.)?show\(", source, flags=re.MULTILINE))


def outputs(paths: Sequence[Path]) -> nbformat.NotebookNode:
    """The committed notebooks in one, as they are."""
    cells = [cell for path in paths for cell in notebook_files.read(path).cells]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return new_notebook(cells=cells)

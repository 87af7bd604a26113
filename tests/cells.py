"""Functions that stand in a notebook's cells, to be tried without the notebook."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat


def function(notebook: Path, name: str, **around: Any) -> Callable:
    """The function `name` of a notebook; `around` are the names that it finds there."""
    cells = nbformat.read(notebook, as_version=4).cells
    for cell in cells:
        if cell.cell_type == "code" and f"def {name}(" in cell.source:
            body = ast.parse(cell.source).body
            (node,) = [part for part in body if getattr(part, "name", "") == name]
            exec(compile(ast.Module([node], []), notebook.name, "exec"), around)
            return around[name]
    raise AssertionError(f"{notebook.name} defines no {name}")

"""What a notebook's cells define, to be tried without the notebook."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat


def defined(notebook: Path, name: str, **around: Any) -> Any:
    """The function or constant `name` of a notebook's cells.

    `around` are the names that it finds there.
    """
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code" and name in cell.source:
            for node in ast.parse(cell.source).body:
                targets = [ast.unparse(part) for part in getattr(node, "targets", [])]
                if name in (getattr(node, "name", ""), *targets):
                    exec(compile(ast.Module([node], []), notebook.name, "exec"), around)
                    return around[name]
    raise AssertionError(f"{notebook.name} defines no {name}")

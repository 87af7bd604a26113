"""Parts of a notebook's cells, to be tried without running the notebook."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat


def sources(notebook: Path) -> Iterator[str]:
    """What stands in its code cells."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            yield cell.source


def define(notebook: Path, name: str, **given: Any) -> Any:
    """A function that a cell defines, without the rest; `given` are its globals."""
    for source in sources(notebook):
        for node in ast.parse(source).body if f"def {name}(" in source else ():
            if isinstance(node, ast.FunctionDef) and node.name == name:
                exec(compile(ast.Module([node], []), name, "exec"), given)
                return given[name]
    raise AssertionError(f"no cell defines {name}")


def imports(notebook: Path) -> dict[str, Any]:
    """Everything that its cells import at their top."""
    kinds, found = (ast.Import, ast.ImportFrom), {}
    for source in sources(notebook):
        nodes = [node for node in ast.parse(source).body if isinstance(node, kinds)]
        exec(compile(ast.Module(nodes, []), str(notebook), "exec"), found)
    return found

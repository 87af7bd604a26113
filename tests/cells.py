"""What a notebook's cells define and import, to be tried without running it."""

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


def defined(notebook: Path, name: str, **around: Any) -> Any:
    """The function or constant `name` of a notebook's cells.

    `around` are the names that it finds there.
    """
    for source in sources(notebook):
        for node in ast.parse(source).body if name in source else ():
            targets = [ast.unparse(part) for part in getattr(node, "targets", [])]
            if name in (getattr(node, "name", ""), *targets):
                exec(compile(ast.Module([node], []), notebook.name, "exec"), around)
                return around[name]
    raise AssertionError(f"{notebook.name} defines no {name}")


def imports(notebook: Path) -> dict[str, Any]:
    """Everything that its cells import at their top."""
    kinds, found = (ast.Import, ast.ImportFrom), {}
    for source in sources(notebook):
        nodes = [node for node in ast.parse(source).body if isinstance(node, kinds)]
        exec(compile(ast.Module(nodes, []), str(notebook), "exec"), found)
    return found

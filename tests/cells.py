"""Code of a notebook's cells, to be run by itself."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat


def cell(notebook: Path, line: str) -> str:
    """The one code cell that holds `line`, a line of code or the beginning of one."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    (found,) = [source for source in code if f"\n{line}" in f"\n{source}"]
    return found


def defined(notebook: Path, name: str, **space: Any) -> Any:
    """A function that a cell defines, which finds what it needs in `space`."""
    source = cell(notebook, f"def {name}(")
    (found,) = [n for n in ast.parse(source).body if getattr(n, "name", "") == name]
    exec(ast.get_source_segment(source, found), space)
    return space[name]

"""What the commands of `workbook` share: options, and a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
OUTPUT = click.option("--output", default="build", type=FOLDER)
STORED = click.option("--output", type=FILE, help="Default: in data/measurements.")
KINDS = "smoke, classroom or full."
PROFILE = click.option("--profile", default="classroom", help=KINDS)


@contextmanager
def bar(keys: Sequence[str], label: str) -> Iterator[Callable[[str], None]]:
    """A progress bar over keys; gives the function that is told each finished one."""
    with click.progressbar(keys, label=label, show_pos=True, show_eta=True) as line:
        yield lambda key: line.update(keys.index(key) - line.pos + 1, current_item=key)

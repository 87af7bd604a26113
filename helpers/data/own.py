"""Files of the reader's own, read into the schema of a head: any fault is one line.

    reviews = load("reviews.csv", "classification")
    sms = load("spam.csv", "classification", columns={"text": "v2", "label": "v1"})

Everything is checked before anything is trained, and nothing is written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from helpers.data import checks, doubts, files
from helpers.data import columns as choice
from helpers.data.labels import Labels
from helpers.data.schemas import HEADS, NAMED, PAIRABLE, features
from helpers.data.source import Source, find, listed, say
from helpers.errors import WorkbookError

if TYPE_CHECKING:
    from datasets import Dataset

FEWEST = 10  # rows: fewer can neither be learnt from nor measured on


def load(
    path: str | os.PathLike[str],
    head: str,
    *,
    columns: Any = None,
    label_names: Any = None,
    encoding: str = "",
) -> Dataset:
    """The rows of a file as a `Dataset` with the columns of `schemas.features(head)`.

    `columns` maps the schema's columns to the file's, where names do not tell: a name,
    a number from 0 in a file without a header, or a list that is joined into one text.
    `label_names` is a list, the names of 0, 1, ..., or a dict from spellings to names.
    Both may be JSON. `encoding` is for files that are not UTF-8. What is doubtful is
    printed, a line each.

    Raises `WorkbookError`, one line with file, rows and a cure, on what cannot be used.
    """
    from datasets import Dataset

    if head not in HEADS:
        raise WorkbookError(
            f"{path}: found head {head!r}; expected one of {listed(HEADS)}"
        )
    told = choice.said("COLUMNS", columns), choice.said("LABEL_NAMES", label_names)
    source, notes = Source(find(path), head, *told, encoding.strip()), []
    labels = Labels(source)
    frame = files.read(source, notes, header=not choice.numbered(told[0]))
    if len(frame) < FEWEST:
        raise source.bad(f"{len(frame)} rows", f"{FEWEST} at least")
    table = choice.pick(frame, source, notes)
    rows, places = checks.rows(table, source, labels, notes)
    names: list[str] = []
    if head in NAMED:
        column = "tags" if head == "tokens" else "label"
        names = labels.order([choice.each(row[column]) for row in rows])
    doubts.repeats(rows, places, source, notes)
    doubts.unreadable(rows, places, source, notes)
    say(source.path, notes)
    pair = head in PAIRABLE and "text_pair" in rows[0]
    return Dataset.from_list(rows, features=features(head, names, pair=pair))

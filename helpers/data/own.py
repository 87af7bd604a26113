"""Files of the reader's own, read into the schema of a head: any fault is one line.

    reviews = load("reviews.csv", "classification")
    sms = load("spam.csv", "classification", columns={"text": "v2", "label": "v1"})

Everything is checked before anything is trained, and nothing is written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from helpers.core.errors import WorkbookError
from helpers.data import checks, doubts, files
from helpers.data import columns as choice
from helpers.data.labels import Labels
from helpers.data.schemas import HEADS, NAMED, PAIRABLE, features
from helpers.data.source import Source, find, listed, say

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
    printed, a line each; what cannot be used is one line with file, rows and a cure.
    """
    if head not in HEADS:
        raise WorkbookError(f"{path}: found head {head!r}; expected {listed(HEADS)}")
    told = choice.said("COLUMNS", columns), choice.said("LABEL_NAMES", label_names)
    source = Source(find(path), head, *told, encoding.strip())
    labels = Labels(source)
    frame = files.read(source, header=not choice.numbered(told[0]))
    table = frame if frame.empty else choice.pick(frame, source)
    rows, places = ([], []) if frame.empty else checks.rows(table, source, labels)
    if len(rows) < FEWEST:
        raise source.bad(f"{len(frame)} rows", f"{FEWEST} at least")
    column = "tags" if head == "tokens" else "label"
    named = [choice.each(row[column]) for row in rows] if head in NAMED else []
    names = labels.order(named) if named else []
    doubts.repeats(rows, places, source)
    doubts.unreadable(rows, places, source)
    say(source.path, source.notes)
    return _dataset(rows, head, column, names)


def _dataset(rows: list[Any], head: str, column: str, names: list[str]) -> Dataset:
    """The rows in the schema, their labels as numbers."""
    import pyarrow as pa
    from datasets import Dataset

    typed = features(head, names, pair=head in PAIRABLE and "text_pair" in rows[0])
    code = {name: number for number, name in enumerate(names)}
    for row in rows if names else ():
        label = row[column]
        many = isinstance(label, list)
        row[column] = [code[name] for name in label] if many else code[label]
    return Dataset(pa.Table.from_pylist(rows, schema=typed.arrow_schema))

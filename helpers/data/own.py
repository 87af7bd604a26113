"""Files of the reader's own, read into the schema of a head: any fault is one line.

    reviews = load("reviews.csv", "classification")
    sms = load("spam.csv", "classification", columns={"text": "v2", "label": "v1"})

Everything is checked before anything is trained, and nothing is written.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import pyarrow as pa
from datasets import Dataset

from helpers.core.errors import WorkbookError
from helpers.data import checks, files
from helpers.data import columns as choice
from helpers.data.labels import Labels
from helpers.data.schemas import HEADS, NAMED, PAIRABLE, features
from helpers.data.source import SHOWN, Source, find, listed, say, short
from helpers.data.splits import identity

FEWEST = 10  # rows: fewer can neither be learnt from nor measured on
CONTRADICTED = 0.1  # of the rows: more is no noise but a wrong column
Placed = list[tuple[str, dict[str, Any]]]  # where each row stands, and the row


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
    placed: Placed = []
    if not frame.empty:
        placed = checks.rows(choice.pick(frame, source), source, labels)
    if len(placed) < FEWEST:
        raise source.bad(f"{len(frame)} rows", f"{FEWEST} at least")
    rows, column = [row for _, row in placed], "tags" if head == "tokens" else "label"
    names = []
    if head in NAMED:
        names = labels.order([choice.each(row[column]) for row in rows])
    _repeats(placed, source)
    _unreadable(placed, source)
    say(source.path, source.notes)
    number = {name: n for n, name in enumerate(names)}
    for row in rows if names else ():
        label = row[column]
        many = isinstance(label, list)
        row[column] = [number[name] for name in label] if many else number[label]
    typed = features(head, names, pair=head in PAIRABLE and "text_pair" in rows[0])
    return Dataset(pa.Table.from_pylist(rows, schema=typed.arrow_schema))


def _repeats(placed: Placed, source: Source) -> None:
    """Notes rows whose text stood in an earlier one; refuses many contradictions."""
    first: dict[tuple[str, ...], tuple[str, Any]] = {}
    again, other = [], []
    for place, row in placed:
        said = [row[n] for n in ("label", "score", "tags", "answers") if n in row]
        before, then = first.setdefault(identity(row), (place, said))
        again += [f"{before} and {place}"] * (before != place)
        other += [f"{before} and {place}"] * (said != then)
    more = f", and {len(other) - SHOWN} more" * (len(other) > SHOWN)
    found = f"{len(other)} texts again with another label"
    found = f"{found} ({'; '.join(other[:SHOWN])}{more})"
    if source.head == "classification" and len(other) > CONTRADICTED * len(placed):
        raise source.bad(found, "one label a text (if it may have several: multilabel)")
    if again:
        both = "equal texts stay on one side of the split"
        source.notes.append(f"{len(again)} rows repeat a text ({again[0]}); {both}")
    if other:
        source.notes.append(f"{found}; no model gets both right")


def _unreadable(placed: Placed, source: Source) -> None:
    """Notes texts that are half [UNK] to the English vocabulary; refuses many."""
    bad = []
    for place, row in placed:
        text = " ".join(identity(row))
        # ASCII text has no [UNK], except in "words" of over 100 letters
        if not text.isascii() or max(map(len, text.split())) > 99:
            pieces = _tokenizer().tokenize(text)
            if 2 * pieces.count("[UNK]") >= len(pieces):
                bad.append(f"{place}: {short(text)}")
    if bad:
        what = "rows are mostly [UNK] to this English model"
        found = f"{len(bad)} of {len(placed)} {what} ({bad[0]})"
        if 2 * len(bad) > len(placed):
            raise source.bad(found, "English text")
        source.notes.append(found)


@cache
def _tokenizer() -> Any:
    from helpers.checkpoints import base_tokenizer

    return base_tokenizer("DistilBERT")

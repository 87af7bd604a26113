"""Rows of CSV, TSV, JSON Lines and JSON files, one at a time, each with the line it stands on.

Every reader takes a `TextFile` and yields (place, {column: value}). Values of CSV and TSV are
strings; those of JSON are whatever JSON holds.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from helpers.errors import WorkbookError
from helpers.file_text import Place, TextFile, counted, listed, short

Rows = Iterator[tuple[Place, dict[Any, Any]]]


def csv_rows(file: TextFile, *, header: bool = True) -> Rows:
    """The rows of a comma-separated file (or semicolons, or tabs), quoted as RFC 4180 says.

    Without a `header`, columns are numbered from 0. Blank lines are skipped.

    Raises `WorkbookError` on a malformed row: too short, too long, a quote never closed, ...
    """
    lines = (line for _, line in file)
    first = next(lines, "")
    marks = ",;\t" if header else ","  # half of Europe's spreadsheets write semicolons
    separator = next((mark for mark in marks if mark in first), ",")
    reader = csv.reader(_again(first, lines), delimiter=separator, strict=True)
    return _table(file, _cells(file, reader), header)


def tsv_rows(file: TextFile, *, header: bool = True) -> Rows:
    """The rows of a tab-separated file, in which a quote is a character like any other.

    A cell that holds quotes and was quoted for it by a CSV writer is unquoted.

    Raises `WorkbookError` as `csv_rows` does.
    """
    reader = csv.reader(
        (line for _, line in file), delimiter="\t", quoting=csv.QUOTE_NONE, strict=True
    )
    cells = ((place, [_unquoted(cell) for cell in row]) for place, row in _cells(file, reader))
    return _table(file, cells, header)


def _again(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    if cell[:1] == cell[-1:] == '"' and '"' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _cells(file: TextFile, reader: Any) -> Iterator[tuple[Place, list[str]]]:
    while True:
        place = Place(file.path, reader.line_num + 1)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _malformed(place, str(error), reader.line_num) from None
        if cells:
            yield place, cells


def _malformed(place: Place, error: str, last: int) -> WorkbookError:
    several = last > (place.number or 0)
    if "unexpected end" in error or ("field limit" in error and several):
        return place.bad(
            f"a quote that is not closed by line {last}",
            'a closing quote (a quote inside a quoted cell is written "")',
        )
    if "field limit" in error:
        most = f"{csv.field_size_limit():,}"
        return place.bad(f"a cell of over {most} characters", "a text of at most some pages")
    if "expected after" in error:
        return place.bad(
            "more text behind a closing quote",
            'a separator there (a quote inside a quoted cell is written "")',
        )
    if "new-line" in error:
        return place.bad("a carriage return inside a cell", "lines that end in a newline")
    return place.bad(f"a malformed row ({short(error)})", "one row of a table")


def _table(file: TextFile, rows: Iterator[tuple[Place, list[str]]], header: bool) -> Rows:
    columns: list[Any] | None = None
    for place, cells in rows:
        if columns is None:
            columns = _header(place, cells) if header else list(range(len(cells)))
            if header:
                continue
        if len(cells) != len(columns):
            as_in = "the header" if header else "the first row"
            hint = " (a cell that holds the separator must be quoted)" if header else ""
            raise place.bad(
                f"{counted(len(cells), 'cell')}, {short(cells[0])} first",
                f"{len(columns)}, as in {as_in}{hint}",
            )
        yield place, dict(zip(columns, cells, strict=True))


def _header(place: Place, cells: list[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    for column in columns:
        if column and columns.count(column) > 1:
            raise place.bad(f"the column {short(column)} twice", "a different name for each column")
    return columns


def jsonl_rows(file: TextFile) -> Rows:
    """The rows of a JSON Lines file: one object a line; blank lines are skipped.

    Raises `WorkbookError` on a line that is no JSON object.
    """
    for number, line in file:
        if not line.strip():
            continue
        place = Place(file.path, number)
        yield place, _object(place, parsed(place, line))


def json_rows(file: TextFile) -> Rows:
    """The rows of a JSON file that is one list of objects.

    Raises `WorkbookError` on anything else.
    """
    place = Place(file.path)
    return objects(place, parsed(place, file.text()))


def objects(place: Place, rows: Any) -> Rows:
    """The objects in a JSON list.

    Raises `WorkbookError` when it is no list, or one of them no object.
    """
    if not isinstance(rows, list):
        keys = f"an object with {listed(rows)}" if isinstance(rows, dict) else short(rows)
        raise place.bad(keys, "a JSON list of objects, one a row")
    for number, row in enumerate(rows, start=1):
        here = place._replace(number=number, unit="row")
        yield here, _object(here, row)


def parsed(place: Place, text: str) -> Any:
    """The JSON value that `text` holds; a key may stand only once in an object.

    Raises `WorkbookError` when it is none.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        if place.number is None and error.msg == "Extra data":
            raise place.bad(
                "a second JSON value behind the first",
                "one list of objects; with one object a line, call the file .jsonl",
            ) from None
        line = place.number or error.lineno
        raise place._replace(number=line).bad(
            f"broken JSON ({error.msg.lower()}, column {error.colno})",
            "valid JSON: double quotes, no comma before a closing bracket",
        ) from None
    except RecursionError:
        raise place.bad("JSON nested too deep", "a flat object") from None
    except ValueError as error:
        raise place.bad(str(error)[:80], "each key once, and plain values") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice in an object")
    return row


def _object(place: Place, row: Any) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    hint = " a line (a whole list of rows is a .json file)" if place.unit == "line" else ""
    kind = "a list" if isinstance(row, list) else short(row)
    raise place.bad(kind, f'one JSON object{hint}, such as {{"text": ...}}')

"""Rows without labels from a file of any size, and answers written beside them."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helpers.core.errors import WorkbookError
from helpers.data.columns import ENDING, SYNONYMS

Row = dict[str, Any]
ASKED = {
    "similarity": ("text", "text_pair"),
    "tokens": ("tokens",),
    "questions": ("question", "context"),
    "choices": ("context", "choices"),
}
OUTPUTS = (".csv", ".jsonl")


def rows(path: Path, encoding: str = "") -> Iterator[Row]:
    """The rows of a CSV, TSV, JSONL, Parquet or Excel file, one after the other.

    CSV and JSONL are read line by line, Parquet batch by batch: no more than a few rows
    are held. Cells of a CSV are texts.

    Raises `WorkbookError`, with the line, on what cannot be read.
    """
    kind, encoding = path.suffix.lower(), encoding or "utf-8-sig"
    if kind in (".jsonl", ".ndjson"):
        yield from _json_lines(path, encoding)
    elif kind == ".parquet":
        from pyarrow.parquet import ParquetFile

        for batch in ParquetFile(path).iter_batches(1_000):
            yield from batch.to_pylist()
    elif kind in (".xlsx", ".xls"):
        import pandas as pd

        yield from pd.read_excel(path, dtype=str, keep_default_na=False).to_dict(
            "records"
        )
    elif kind in (".csv", ".tsv", ".tab", ".txt"):
        yield from _csv(path, encoding)
    else:
        raise WorkbookError(f"{path}: expected .csv, .tsv, .jsonl, .xlsx or .parquet")


def _csv(path: Path, encoding: str) -> Iterator[Row]:
    import pandas as pd

    try:
        with path.open(encoding=encoding, newline="") as file:
            header = file.readline()
        if found := re.fullmatch(r"sep=(.)\s*", header):  # Excel's own first line
            mark, skip = found[1], 1
        else:
            mark, skip = (
                max(
                    "\t" if path.suffix in (".tsv", ".tab") else ",;\t|",
                    key=header.count,
                ),
                0,
            )
        for part in pd.read_csv(
            path, sep=mark, skiprows=skip, engine="python", dtype=str,
            keep_default_na=False, encoding=encoding, chunksize=1_000,
        ):  # fmt: skip
            yield from part.to_dict("records")
    except UnicodeDecodeError as error:
        raise WorkbookError(
            f"{path}: byte 0x{error.object[error.start]:02x} is not {encoding}; name the "
            "encoding, for instance --encoding cp1252"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise WorkbookError(f"{path}: {' '.join(str(error).split())}") from None


def _json_lines(path: Path, encoding: str) -> Iterator[Row]:
    with path.open(encoding=encoding) as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line) if line.strip() else {}
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise WorkbookError(f"{path}, line {number}: expected one JSON object")
            if row:
                yield row


def places(names: list[str], head: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """{column of the schema: column of the file}, by `columns` or by the usual names.

    Raises `WorkbookError` when a column is not found.
    """
    lower, found = {str(name).lower(): name for name in names}, {}
    for wanted in ASKED.get(head, ("text",)):
        if wanted in columns:
            found[wanted] = columns[wanted]
        elif wanted == "choices" and (
            several := [n for n in names if ENDING.fullmatch(str(n))]
        ):
            found[wanted] = several
        else:
            usual = (wanted, *SYNONYMS.get(wanted, "").split("|"))
            found[wanted] = next((lower[name] for name in usual if name in lower), None)
    pair = columns.get("text_pair") or lower.get("text_pair")
    if head in ("classification", "multilabel", "regression") and pair:
        found["text_pair"] = pair
    asked = [
        own
        for value in found.values()
        for own in (value if isinstance(value, list) else [value])
    ]
    if missing := [own for own in asked if own not in names]:
        lacks = next(wanted for wanted, own in found.items() if own in (None, *missing))
        raise WorkbookError(
            f"no column is {lacks!r} among {', '.join(map(str, names))}; say which: "
            f"--columns '{json.dumps({lacks: str(names[0])})}'"
        )
    return found


def in_schema(row: Row, where: Mapping[str, Any]) -> Row:
    """A row of the file in the columns of the head's schema."""
    found: Row = {}
    for column, own in where.items():
        value = [row[name] for name in own] if isinstance(own, list) else row[own]
        if column == "tokens" and isinstance(value, str):
            value = value.split()
        elif column != "choices" and column != "tokens":
            value = (
                " ".join(map(str, value))
                if isinstance(value, list)
                else str(value or "")
            )
        found[column] = value
    return found


def chunks(every: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of at most `size`."""
    while part := list(itertools.islice(every, size)):
        yield part


class Writer:
    """Rows with their answers, to a CSV or JSONL file that is there whole or not at
    all.
    """

    def __init__(self, path: Path):
        if path.suffix not in OUTPUTS:
            raise WorkbookError(f"{path}: expected a name that ends in .csv or .jsonl")
        if path.exists():
            raise WorkbookError(f"{path} is there already: name another --output")
        self.path, self.fresh = path, path.with_name(f".{path.name}.part")
        self.file = self.fresh.open("w", encoding="utf-8", newline="")
        self.csv: Any = None

    def write(self, rows: list[Row], answers: list[Row]) -> None:
        """Add rows, their answers in columns of their own behind."""
        for row, answer in zip(rows, answers, strict=True):
            names = {
                name: f"predicted_{name}" if name in row else name for name in answer
            }
            whole = row | {names[name]: value for name, value in answer.items()}
            if self.path.suffix == ".jsonl":
                self.file.write(json.dumps(whole, ensure_ascii=False) + "\n")
                continue
            if self.csv is None:
                self.csv = csv.DictWriter(self.file, list(whole))
                self.csv.writeheader()
            flat = {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v
                    for k, v in whole.items()}  # fmt: skip
            self.csv.writerow(flat)

    def close(self, whole: bool) -> None:
        """Put the file in its place, or take what there is away."""
        self.file.close()
        if whole:
            self.fresh.replace(self.path)
        else:
            self.fresh.unlink()

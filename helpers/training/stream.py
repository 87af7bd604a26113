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
from helpers.data.columns import ENDING, SYNONYMS, each

Row = dict[str, Any]
ASKED = {
    "similarity": ("text", "text_pair"),
    "tokens": ("tokens",),
    "questions": ("question", "context"),
    "choices": ("context", "choices"),
}
PART = 1_000  # rows of a CSV or Parquet file that are held at a time


def rows(path: Path, encoding: str = "") -> Iterator[Row]:
    """The rows of a CSV, TSV, JSONL, Parquet or Excel file, one after the other.

    All but Excel's are read a part at a time. Cells of a CSV are texts.
    """
    kind, encoding = path.suffix.lower(), encoding or "utf-8-sig"
    if kind in (".jsonl", ".ndjson"):
        yield from _json_lines(path, encoding)
    elif kind == ".parquet":
        from pyarrow.parquet import ParquetFile

        for batch in ParquetFile(path).iter_batches(PART):
            yield from batch.to_pylist()
    elif kind in (".xlsx", ".xls"):
        import pandas as pd

        table = pd.read_excel(path, dtype=str, keep_default_na=False)
        yield from table.to_dict("records")
    elif kind in (".csv", ".tsv", ".tab", ".txt"):
        yield from _csv(path, encoding)
    else:
        raise WorkbookError(f"{path}: expected .csv, .tsv, .jsonl, .xlsx or .parquet")


def _csv(path: Path, encoding: str) -> Iterator[Row]:
    import pandas as pd

    how = {"dtype": str, "keep_default_na": False, "chunksize": PART}
    try:
        with path.open(encoding=encoding, newline="") as file:
            header = file.readline()
            marks = "\t" if path.suffix in (".tsv", ".tab") else ",;\t|"
            mark = max(marks, key=header.count)
            if excel := re.fullmatch(r"sep=(.)\s*", header):  # Excel's own first line
                mark = excel[1]
            else:
                file.seek(0)
            for part in pd.read_csv(file, sep=mark, engine="python", **how):
                yield from part.to_dict("records")
    except UnicodeDecodeError as error:
        raise WorkbookError(
            f"{path}: byte 0x{error.object[error.start]:02x} is not {encoding}; "
            "name the encoding, for instance --encoding cp1252"
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
    """{column of the schema: that of the file}, by `columns` or by the usual names."""
    lower, found = {str(name).lower(): name for name in names}, {}
    for wanted in ASKED.get(head, ("text",)):
        several = [name for name in names if ENDING.fullmatch(str(name))]
        if wanted in columns:
            found[wanted] = columns[wanted]
        elif wanted == "choices" and several:
            found[wanted] = several
        else:
            usual = (wanted, *SYNONYMS.get(wanted, "").split("|"))
            found[wanted] = next((lower[name] for name in usual if name in lower), None)
    pair = columns.get("text_pair") or lower.get("text_pair")
    if head in ("classification", "multilabel", "regression") and pair:
        found["text_pair"] = pair
    for lacks, own in found.items():
        if any(name not in names for name in each(own)):
            raise WorkbookError(
                f"no column is {lacks!r} among {', '.join(map(str, names))}; say which:"
                f" --columns '{json.dumps({lacks: str(names[0])})}'"
            )
    return found


def in_schema(row: Row, where: Mapping[str, Any]) -> Row:
    """A row of the file in the columns of the head's schema."""
    found: Row = {}
    for column, own in where.items():
        value = [row[name] for name in own] if isinstance(own, list) else row[own]
        if column == "tokens" and isinstance(value, str):
            value = value.split()
        elif column not in ("choices", "tokens"):
            parts = map(str, value) if isinstance(value, list) else [str(value or "")]
            value = " ".join(parts)
        found[column] = value
    return found


def chunks(every: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of at most `size`."""
    while part := list(itertools.islice(every, size)):
        yield part


class Writer:
    """Rows with their answers to a CSV or JSONL file: there whole, or not at all."""

    def __init__(self, path: Path) -> None:
        if path.suffix not in (".csv", ".jsonl"):
            raise WorkbookError(f"{path}: expected a name that ends in .csv or .jsonl")
        if path.exists():
            raise WorkbookError(f"{path} is there already: name another --output")
        self.path, self.fresh = path, path.with_name(f".{path.name}.part")
        self.file = self.fresh.open("w", encoding="utf-8", newline="")
        self.csv: Any = None

    def write(self, rows: list[Row], answers: list[Row]) -> None:
        """Add rows, their answers in columns of their own behind."""
        for row, answer in zip(rows, answers, strict=True):
            taken = {name: f"predicted_{name}" for name in answer if name in row}
            whole = row | {taken.get(name, name): v for name, v in answer.items()}
            if self.path.suffix == ".jsonl":
                self.file.write(json.dumps(whole, ensure_ascii=False) + "\n")
                continue
            if self.csv is None:
                self.csv = csv.DictWriter(self.file, list(whole))
                self.csv.writeheader()
            for name, value in whole.items():
                if isinstance(value, list | dict):
                    whole[name] = json.dumps(value, ensure_ascii=False)
            self.csv.writerow(whole)

    def close(self, whole: bool) -> None:
        """Put the file in its place, or take what there is away."""
        self.file.close()
        if whole:
            self.fresh.replace(self.path)
        else:
            self.fresh.unlink()

"""Any format that people have, read into one table: a row an example.

CSV goes through Python's csv and JSON through its json (pandas pads short rows and gives
no line numbers), Excel through pandas, Parquet and `save_to_disk` through datasets.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.data import conll
from helpers.data.source import Source, listed, short
from helpers.errors import WorkbookError

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

PACKED = {".gz": gzip, ".bz2": bz2, ".xz": lzma}
TABLES = (".csv", ".tsv", ".tab", ".txt")
JSONS = (".json", ".jsonl", ".ndjson")
FORMATS = ".csv, .tsv, .txt, .json, .jsonl, .xlsx or .parquet (also as .gz or .zip)"
HOLES = b"\x81\x8d\x8f\x90\x9d"  # bytes that Windows-1252 leaves undefined
Rows = list[tuple[str, Any]]  # place, cells


def read(source: Source, notes: list[str], *, header: bool = True) -> pd.DataFrame:
    """The table in a file; without a `header` its columns are numbers from 0.

    Cells are texts, or what JSON and Parquet hold; a missing one is None. The index says
    where a row stands ("line 7"). What is doubtful is added to `notes`.

    Raises `WorkbookError` on whatever cannot be read as a table.
    """
    if source.path.is_dir():
        return _folder(source, notes)
    raw, suffix = _unpacked(source)
    if raw.startswith(b"PAR1"):
        return _parquet(raw, source)
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return _excel(raw, source, notes, header)
    text = _decoded(raw, source)
    if suffix in JSONS:
        return _json(text, suffix, source)
    if source.head == "corpus" and suffix == ".txt":
        lines = enumerate(text.split("\n"), 1)
        paragraphs = [(f"line {n}", [line.rstrip("\r")]) for n, line in lines]
        return _frame([row for row in paragraphs if row[1][0].strip()], ["text"])
    if source.head == "tokens" and not (suffix in TABLES and conll.is_table(text)):
        frame = _frame(conll.sentences(text, source, notes))
        return frame.rename_axis(conll.BY_WORD)
    if suffix not in TABLES:
        raise source.bad(f"the extension {suffix!r}", f"one of {FORMATS}")
    return _delimited(text, suffix, source, header)


def _unpacked(source: Source) -> tuple[bytes, str]:
    """The bytes of a file, out of its .zip, .gz, .bz2 or .xz, and the suffix inside."""
    path = source.path
    suffix = path.suffix.lower()
    try:
        raw = path.read_bytes()
        if suffix in PACKED:
            return PACKED[suffix].decompress(raw), Path(path.stem).suffix.lower()
        if not raw.startswith(b"PK\x03\x04"):
            return raw, suffix
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            names = [n for n in packed.namelist() if not re.search(r"/$|^__MACOSX", n)]
            if {"[Content_Types].xml", "content.xml"} & set(names):
                return raw, suffix  # a spreadsheet
            if len(names) != 1:
                raise source.bad(f"{listed(names)} inside", "one file: unpack yours")
            return packed.read(names[0]), Path(names[0]).suffix.lower()
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise source.bad(f"a damaged file ({error})", "one that can be read") from None


def _decoded(raw: bytes, source: Source) -> str:
    marked = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
    if not source.encoding and not marked and b"\0" in raw[:4000]:
        if raw[:2].count(0) != 1:
            raise source.bad("zero bytes, which no text has", f"one of {FORMATS}")
        wide = "utf-16-be" if raw[0] == 0 else "utf-16-le"
        raise source.bad("UTF-16", f"UTF-8, or: {source.command(encoding=wide)}")
    encoding = source.encoding or marked or "utf-8"
    try:
        text = raw.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        known = "cp1252 (Excel in Western Europe), latin-1, cp1251, gb18030 or utf-16"
        raise source.bad(f"the ENCODING {encoding!r}", known) from None
    except UnicodeDecodeError as error:
        other = "latin-1" if any(byte in raw for byte in HOLES) else "cp1252"
        near = raw[max(0, error.start - 12) : error.start + 12].decode(other, "replace")
        found = f"byte 0x{raw[error.start]:02x}, which is no {encoding}"
        mend = f"{source.command(encoding=other)} (which reads {near!r})"
        line = raw.count(b"\n", 0, error.start) + 1
        wanted = f"the file's encoding, as in {mend}"
        raise source.bad(found, wanted, f"line {line}") from None
    checks = {
        r"\s*$": ("an empty file", "one example a row"),
        r"\s*<(!doctype )?html": ("a web page", "the data: take its 'raw' link"),
        "version https://git-lfs": ("a Git LFS pointer", "the data (git lfs pull)"),
        r"(?s).*\0": (
            "zero bytes, which no text has",
            "another ENCODING, or another file",
        ),
    }
    for pattern, (found, expected) in checks.items():
        if re.match(pattern, text, re.IGNORECASE):
            raise source.bad(found, expected)
    return text


def _delimited(text: str, suffix: str, source: Source, header: bool) -> pd.DataFrame:
    first, mark = 1, ""
    if said := re.match(r'"?sep=(.)"?\r?\n', text):  # Excel's own first line
        first, mark, text = 2, said[1], text[said.end() :]
    mark = mark or _separator(text, "\t,;|" if suffix in (".tsv", ".tab") else ",;\t|")
    # tab-separated files quote nothing, so that a quote is a letter; unless all is quoted
    plain = mark == "\t" and not text.startswith('"')
    quoting = csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=mark, quoting=quoting, strict=True)
    rows, line = [], first
    try:
        for cells in reader:
            cells = [_unquoted(cell) for cell in cells] if plain else cells
            rows += [(f"line {line}", cells)] * bool(cells)  # blank lines have no cells
            line = first + reader.line_num
    except csv.Error as error:
        wanted = 'every quote closed, and a quote inside a quoted cell written ""'
        raise source.bad(f"a malformed row ({error})", wanted, f"line {line}") from None
    return _headed(rows, source, header)


def _separator(text: str, marks: str) -> str:
    """The mark that cuts most of the first lines into as many cells as the very first."""

    def share(mark: str) -> float:
        lines = io.StringIO(text[:200_000], newline="")
        some = itertools.islice(csv.reader(lines, delimiter=mark), 100)
        widths = [len(cells) for cells in some if cells] or [0]
        return (widths[0] > 1) * widths.count(widths[0]) / len(widths)

    return max(marks, key=share)  # of equals the first


def _unquoted(cell: str) -> str:
    """What a CSV writer meant by a cell that it quoted because it holds quotes."""
    inner = cell[1:-1]
    doubled = '"' in inner and '"' not in inner.replace('""', "")
    return (
        inner.replace('""', '"') if cell[:1] == cell[-1:] == '"' and doubled else cell
    )


def _headed(rows: Rows, source: Source, header: bool) -> pd.DataFrame:
    """Rows of one width under the names of the first, or under numbers."""
    names: list[Any] = list(range(len(rows[0][1]))) if rows else []
    if header and rows:
        cells = [c.strip() or f"Unnamed: {n}" for n, c in enumerate(rows.pop(0)[1])]
        before = Counter()
        for n, cell in enumerate(cells):  # twice the same name: as pandas names them
            names[n] = f"{cell}.{before[cell]}" if before[cell] else cell
            before[cell] += 1
    faults = []
    for place, cells in rows:
        while len(cells) > len(names) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(names):
            wanted = f"{len(names)}, as in the {'header' if header else 'first row'}"
            found = (
                f"{len(cells)} cell{'s' * (len(cells) != 1)}, {short(cells[0])} first"
            )
            hint = "a cell that holds the separator must be quoted"
            faults.append((place, found, f"{wanted} ({hint})"))
    if faults:
        raise source.refuse(faults)
    frame = _frame(rows, names)
    empty = [n for n in names if str(n).startswith("Unnamed: ") and not any(frame[n])]
    return frame.drop(columns=empty)


def _frame(rows: Rows, names: Sequence[Any] | None = None) -> pd.DataFrame:
    import pandas as pd

    places, cells = [place for place, _ in rows], [cells for _, cells in rows]
    frame = pd.DataFrame(cells, index=places, columns=names, dtype=object)
    return frame.where(frame.notna(), None)


def _json(text: str, suffix: str, source: Source) -> pd.DataFrame:
    try:
        whole = json.loads(text)
    except RecursionError:
        raise source.bad("JSON nested too deep", "a list of flat objects") from None
    except json.JSONDecodeError as error:
        if suffix == ".json" and error.msg != "Extra data":
            wanted = "valid JSON: double quotes, no comma before a closing bracket"
            raise source.bad(f"broken JSON ({error})", wanted) from None
        whole = None
    if whole is None or (suffix != ".json" and not isinstance(whole, list)):
        return _frame(_json_lines(text, source))
    if isinstance(whole, dict) and source.head == "questions" and "data" in whole:
        return _frame(_squad(whole["data"], source))
    if isinstance(whole, dict):
        whole = _rows_of(whole, source)
    return _frame(
        _objects([(f"row {n}", row) for n, row in enumerate(whole, 1)], source)
    )


def _json_lines(text: str, source: Source) -> Rows:
    rows, faults = [], []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            rows += [(f"line {number}", json.loads(line))] if line.strip() else []
        except (ValueError, RecursionError) as error:
            wanted = "one JSON object a line"
            faults.append((f"line {number}", f"broken JSON ({error})", wanted))
    if faults:
        raise source.refuse(faults)
    return _objects(rows, source)


def _objects(rows: Rows, source: Source) -> Rows:
    """Rows that are all JSON objects; spaCy's [text, {...}] becomes one."""
    made = [
        (place, {"text": row[0], **row[1]})
        if isinstance(row, list) and [type(part) for part in row] == [str, dict]
        else (place, row)
        for place, row in rows
    ]
    wanted = 'one JSON object, such as {"text": ...}'
    faults = [(p, short(row), wanted) for p, row in made if not isinstance(row, dict)]
    if faults:
        raise source.refuse(faults)
    return made


def _rows_of(whole: dict[str, Any], source: Source) -> list[Any]:
    """The rows in a JSON object: its one list, or columns as pandas writes them."""
    lists = [value for value in whole.values() if isinstance(value, list)]
    records = [found for found in lists if found and isinstance(found[0], dict)]
    if len(records) == 1:
        return records[0]
    columns = [list(v.values()) if isinstance(v, dict) else v for v in whole.values()]
    same = all(isinstance(c, list) and len(c) == len(columns[0]) for c in columns)
    if not columns or not same:
        raise source.bad(f"an object with {listed(whole)}", "a JSON list of objects")
    return [
        dict(zip(whole, cells, strict=True)) for cells in zip(*columns, strict=True)
    ]


def _squad(articles: Any, source: Source) -> Rows:
    """The questions of SQuAD's JSON, 1.1 and 2.0."""
    rows: Rows = []
    place = "the file"
    try:
        for i, article in enumerate(articles, 1):
            for j, paragraph in enumerate(article["paragraphs"], 1):
                place = f"article {i}, paragraph {j}"
                for question in paragraph["qas"]:
                    name = (
                        f" (id {short(question['id'], 30)})" if "id" in question else ""
                    )
                    place = f"question {len(rows) + 1}{name}"
                    text = {"context": paragraph["context"]}
                    rows.append((place, {"answers": [], **text, **question}))
    except (KeyError, TypeError, AttributeError) as error:
        wanted = "SQuAD's JSON: data, paragraphs, context, qas, question, answers"
        raise source.bad(f"no {error} there", wanted, place) from None
    return rows


def _folder(source: Source, notes: list[str]) -> pd.DataFrame:
    from datasets import DatasetDict, load_from_disk

    try:
        rows = load_from_disk(str(source.path))
    except FileNotFoundError:
        inside = listed(sorted(p.name for p in source.path.iterdir()))
        wanted = f"one file of it (there are {inside}), or one that save_to_disk made"
        raise source.bad("a folder", wanted) from None
    if isinstance(rows, DatasetDict):
        split = "train" if "train" in rows else next(iter(rows))
        if len(rows) > 1:
            notes.append(
                f"of {listed(rows)}, {split!r} is read; others: name the folder"
            )
        rows = rows[split]
    return _of_dataset(rows)


def _parquet(raw: bytes, source: Source) -> pd.DataFrame:
    import pyarrow.parquet as pq
    from datasets import Dataset

    try:
        return _of_dataset(Dataset(pq.read_table(io.BytesIO(raw))))
    except (ValueError, OSError) as error:
        raise source.bad(f"a damaged file ({error})", "a Parquet file") from None


def _of_dataset(rows: Dataset) -> pd.DataFrame:
    """A table with labels by their names, where the data set knows them."""
    from datasets import ClassLabel

    frame = _frame([(f"row {n}", row) for n, row in enumerate(rows.to_list(), 1)])

    def named(value: Any, names: list[str]) -> Any:
        if isinstance(value, list):
            return [named(one, names) for one in value]
        return names[value] if value in range(len(names)) else None

    for column, feature in rows.features.items():
        feature = getattr(feature, "feature", feature)
        if isinstance(feature, ClassLabel):
            frame[column] = [named(value, feature.names) for value in frame[column]]
    return frame


def _excel(raw: bytes, source: Source, notes: list[str], header: bool) -> pd.DataFrame:
    import pandas as pd

    how = {"sheet_name": None, "header": None, "dtype": str, "na_filter": False}
    try:
        sheets = pd.read_excel(io.BytesIO(raw), **how)
    except ImportError as error:
        needs = re.search(r"openpyxl|xlrd|odfpy|pyxlsb", str(error))
        cure = f"`pip install {needs[0] if needs else 'openpyxl'}`"
        wanted = f"{cure} once, or in Excel 'Save as', 'CSV UTF-8'"
        raise source.bad(
            "an Excel file, which pandas cannot open yet", wanted
        ) from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise source.bad(f"a damaged file ({error})", "an Excel file") from None
    name, sheet = next(iter(sheets.items()))
    if len(sheets) > 1:
        notes.append(f"of the sheets {listed(sheets)}, {name!r} is read")
    rows = [(f"row {n}", row) for n, row in enumerate(sheet.to_numpy().tolist(), 1)]
    return _headed([row for row in rows if any(row[1])], source, header)

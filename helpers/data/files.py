"""Any format that people have, read into one table: a row an example.

CSV goes through Python's csv and JSON through its json (pandas pads short rows and has
no line numbers), Excel through pandas, Parquet and `save_to_disk` through datasets.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
from datasets import Dataset, DatasetDict, load_from_disk

from helpers.data import conll
from helpers.data.schemas import label_names
from helpers.data.source import Bad, Source, listed, short

PACKED = {".gz": gzip, ".bz2": bz2, ".xz": lzma}
TABLES = (".csv", ".tsv", ".tab", ".txt")
JSONS = (".json", ".jsonl", ".ndjson")
FORMATS = ".csv, .tsv, .txt, .json, .jsonl, .xlsx or .parquet (also as .gz or .zip)"
EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx, .ods and .xls begin
DAMAGED = (OSError, EOFError, ValueError, KeyError, zlib.error, lzma.LZMAError)
DAMAGED += (zipfile.BadZipFile,)
HOLES = b"\x81\x8d\x8f\x90\x9d"  # bytes that Windows-1252 leaves undefined
Rows = list[tuple[str, Any]]  # place, cells


def read(source: Source, *, header: bool = True) -> pd.DataFrame:
    """The table in a file; without a `header` its columns are numbers from 0.

    Cells are texts, or what JSON and Parquet hold; a missing one is None. The index
    says where a row stands ("line 7").
    """
    if source.path.is_dir():
        return _folder(source)
    try:
        raw, suffix = _unpacked(source)
        if raw.startswith(b"PAR1"):
            table = pyarrow.parquet.read_table(io.BytesIO(raw))
            return _of_dataset(Dataset(table))
        sheet = _excel(raw, source) if raw.startswith(EXCEL) else []
    except ImportError as error:  # xlrd for .xls, odfpy for .ods
        found, wanted = "a spreadsheet that pandas cannot open yet", "it as 'CSV UTF-8'"
        raise source.bad(f"{found} ({error})", f"{wanted}, or the package") from None
    except DAMAGED as error:
        raise source.bad(f"a damaged file ({error})", "one that can be read") from None
    if sheet:
        return _headed(sheet, source, header)
    text = _decoded(raw, source)
    if suffix in JSONS:
        return frame_of(_json(text, suffix, source))
    if source.head == "corpus" and suffix == ".txt":
        lines = enumerate(io.StringIO(text, newline=None), 1)  # of \r, \n, \r\n alone
        rows = [(f"line {n}", [t.removesuffix("\n")]) for n, t in lines if t.strip()]
        return frame_of(rows, ["text"])
    names = set(re.split(r"[,;\t]", text.partition("\n")[0].strip().lower()))
    tagged = names & {"tokens", "words"} and names & {"tags", "ner_tags", "ner"}
    if source.head == "tokens" and not (suffix in TABLES and tagged):
        return frame_of(conll.sentences(text, source)).rename_axis(conll.BY_WORD)
    if suffix not in TABLES:
        raise source.bad(f"the extension {suffix!r}", f"one of {FORMATS}")
    return _headed(_delimited(text, suffix, source), source, header)


def frame_of(rows: Rows, names: Sequence[Any] | None = None) -> pd.DataFrame:
    """Rows as a table of Python objects, as they are."""
    places, cells = [place for place, _ in rows], [cells for _, cells in rows]
    frame = pd.DataFrame(cells, index=places, columns=names, dtype=object)
    return frame.where(frame.notna(), None)


def _unpacked(source: Source) -> tuple[bytes, str]:
    """The bytes of a file, out of its .zip, .gz, .bz2 or .xz, and the suffix inside."""
    path, raw = source.path, source.path.read_bytes()
    if packer := PACKED.get(path.suffix.lower()):
        path, raw = Path(path.stem), packer.decompress(raw)
    elif raw.startswith(b"PK\x03\x04"):
        packed = zipfile.ZipFile(io.BytesIO(raw))
        names = [n for n in packed.namelist() if not re.search("/$|^__MACOSX", n)]
        if not {"[Content_Types].xml", "content.xml"} & set(names):  # no spreadsheet
            if len(names) != 1:
                raise source.bad(f"{listed(names)} inside", "one file: unpack yours")
            path, raw = Path(names[0]), packed.read(names[0])
    return raw, path.suffix.lower()


def _decoded(raw: bytes, source: Source) -> str:
    marked = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    encoding = source.encoding or marked
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
        raise source.bad(found, f"the encoding named: {mend}", f"line {line}") from None
    if "\0" in text:
        wide = source.command(encoding="utf-16-le")
        wanted = f"one of {FORMATS}; if it is UTF-16: {wide}"
        raise source.bad("zero bytes, which no text has", wanted)
    if not text.strip():
        raise source.bad("an empty file", "one example a row")
    if re.match(r"\s*<(!doctype )?html", text, re.IGNORECASE):
        raise source.bad("a web page", "the data itself (a 'raw' link gives it)")
    return text


def _delimited(text: str, suffix: str, source: Source) -> Rows:
    first, mark = 1, ""
    if said := re.match(r'"?sep=(.)"?\r?\n', text):  # Excel's own first line
        first, mark, text = 2, said[1], text[said.end() :]
    marks = "\t,;|" if suffix in (".tsv", ".tab") else ",;\t|"
    mark = mark or max(marks, key=text.lstrip().partition("\n")[0].count)
    # a quote is a letter where tabs separate, unless the first cell is quoted
    plain = mark == "\t" and not text.startswith('"')
    quoting = csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=mark, quoting=quoting, strict=True)
    rows, line = [], first
    try:
        for cells in reader:
            if cells:  # blank lines have none
                cells = [_unquoted(cell) for cell in cells] if plain else cells
                rows.append((f"line {line}", cells))
            line = first + reader.line_num
    except csv.Error as error:
        found = str(error).encode("unicode_escape").decode()  # a tab in it shows
        wanted = 'every quote closed, and a quote inside a quoted cell written ""'
        place = f"line {line}"
        raise source.bad(f"a malformed row ({found})", wanted, place) from None
    return rows


def _unquoted(cell: str) -> str:
    """What a CSV writer meant by a cell that it quoted because it holds quotes."""
    quoted = re.fullmatch(r'"((?:[^"]*"")+[^"]*)"', cell)
    return quoted[1].replace('""', '"') if quoted else cell


def _headed(rows: Rows, source: Source, header: bool) -> pd.DataFrame:
    """Rows of one width under the names of the first, or under numbers."""
    names: list[Any] = list(range(len(rows[0][1])))
    if header:
        before = Counter()
        for n, cell in enumerate(rows.pop(0)[1]):
            name = cell.strip() or f"Unnamed: {n}"
            names[n] = f"{name}.{before[name]}" if before[name] else name  # as pandas
            before[name] += 1
    like = "header" if header else "first row"
    wanted = f"{len(names)}, as in the {like} (quote a cell that holds the separator)"
    again, faults = Bad("the header again", "it in the first line alone"), []
    for place, cells in rows:
        while len(cells) > len(names) and not cells[-1].strip():
            cells.pop()
        if header and cells == names and len(names) > 1:
            faults.append((place, again))
        if len(cells) != len(names):
            count = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
            faults.append((place, Bad(f"{count}, {short(cells[0])} first", wanted)))
    if faults:
        raise source.refuse(faults)
    frame = frame_of(rows, names)
    empty = [n for n in names if str(n).startswith("Unnamed: ") and not any(frame[n])]
    return frame.drop(columns=empty)


def _json(text: str, suffix: str, source: Source) -> Rows:
    """The objects in a JSON list, an object that holds one, or lines of their own."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if suffix == ".json" and "Extra data" not in str(error):
            raise source.bad(f"broken JSON ({error})", "valid JSON") from None
        lines = enumerate(text.split("\n"), 1)
        rows = [(f"line {n}", _parsed(line)) for n, line in lines if line.strip()]
    else:
        if isinstance(whole, dict) and source.head == "questions" and "data" in whole:
            return _squad(whole["data"], source)
        whole = _records(whole, source) if isinstance(whole, dict) else whole
        whole = whole if isinstance(whole, list) else [whole]
        rows = [(f"row {n}", row) for n, row in enumerate(whole, 1)]
    wanted = 'a JSON object, such as {"text": ...}'
    odd = [(place, row) for place, row in rows if not isinstance(row, dict)]
    if odd:
        bad = [
            row if isinstance(row, Bad) else Bad(short(row), wanted) for _, row in odd
        ]
        raise source.refuse(zip((place for place, _ in odd), bad, strict=True))
    return rows


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return Bad(f"broken JSON ({error})", "an object a line")


def _records(whole: dict[str, Any], source: Source) -> list[Any]:
    """The rows in a JSON object: a list of them, or columns as pandas writes them."""
    lists = [v for v in whole.values() if isinstance(v, list) and v]
    lists = [rows for rows in lists if isinstance(rows[0], dict)]
    if len(lists) == 1:
        return lists[0]
    try:
        return pd.DataFrame(whole, dtype=object).to_dict("records")
    except (TypeError, ValueError):
        found = f"an object with {listed(whole)}"
        raise source.bad(found, "a JSON list of objects") from None


def _squad(articles: Any, source: Source) -> Rows:
    """The questions of SQuAD's JSON, 1.1 and 2.0."""
    rows, place = [], "article 1"
    try:
        for i, article in enumerate(articles, 1):
            for j, paragraph in enumerate(article["paragraphs"], 1):
                place = f"article {i}, paragraph {j}"
                for asked in paragraph["qas"]:
                    place = f"question {len(rows) + 1}"
                    place += f" (id {short(asked['id'], 30)})" if "id" in asked else ""
                    rows.append((place, {**asked, "context": paragraph["context"]}))
    except (KeyError, TypeError, AttributeError) as error:
        wanted = "SQuAD's JSON: data, paragraphs, context, qas, question, answers"
        raise source.bad(f"no {error} there", wanted, place) from None
    return rows


def _folder(source: Source) -> pd.DataFrame:
    try:
        rows = load_from_disk(str(source.path))
    except FileNotFoundError:
        inside = listed(sorted(p.name for p in source.path.iterdir()))
        wanted = f"one file of it ({inside}), or a folder of save_to_disk"
        raise source.bad("a folder", wanted) from None
    if isinstance(rows, DatasetDict):
        split, *others = sorted(rows, key=lambda name: name != "train")
        if others:
            other = f"DATA_FILE {source.path / others[0]} is another"
            source.notes.append(f"of {listed(rows)}, {split!r} is read; {other}")
        rows = rows[split]
    return _of_dataset(rows)


def _of_dataset(rows: Dataset) -> pd.DataFrame:
    """A table with labels by their names, where the data set knows them."""
    frame = frame_of([(f"row {n}", row) for n, row in enumerate(rows.to_list(), 1)])
    for column in rows.column_names:
        if names := label_names(rows, column):
            name = dict(enumerate(names)).get
            many = (isinstance(cell, list) for cell in frame[column])
            both = zip(frame[column], many, strict=True)
            frame[column] = [list(map(name, c)) if m else name(c) for c, m in both]
    return frame


def _excel(raw: bytes, source: Source) -> Rows:
    how = {"sheet_name": None, "header": None, "dtype": str, "na_filter": False}
    sheets = pd.read_excel(io.BytesIO(raw), **how)
    name, sheet = next(iter(sheets.items()))
    if len(sheets) > 1:
        source.notes.append(f"of the sheets {listed(sheets)}, {name!r} is read")
    rows = [(f"row {n}", row) for n, row in enumerate(sheet.to_numpy().tolist(), 1)]
    rows = [(place, cells) for place, cells in rows if any(cells)]
    if not rows:
        raise source.bad(f"nothing in the sheet {name!r}", "one example a row")
    return rows

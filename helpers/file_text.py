"""Text files as people have them: what is wrong with their bytes, and their lines, numbered.

file = TextFile("reviews.csv")
for number, line in file: ...
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from helpers.errors import WorkbookError

LONGEST_MESSAGE = 290  # characters
LONGEST_LINE = 2**24  # bytes: a line of more is no line of a table
CP1252_HOLES = b"\x81\x8d\x8f\x90\x9d"  # bytes that Windows-1252 leaves undefined
CSV_FROM_EXCEL = "a text file (in Excel: 'Save as', 'CSV UTF-8')"
SIGNATURES = (
    (b"PK\x03\x04", "a zip archive, as an Excel .xlsx is", CSV_FROM_EXCEL),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", CSV_FROM_EXCEL),
    (b"\x1f\x8b", "a gzip archive", "the file inside it (gunzip unpacks it)"),
    (b"\xfd7zXZ", "an xz archive", "the file inside it (unxz unpacks it)"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive", "the file inside it (unzstd unpacks it)"),
    (b"PAR1", "a Parquet file", "CSV (pandas.read_parquet(...).to_csv(..., index=False))"),
    (b"ARROW1", "an Arrow file", "CSV (pandas.read_feather(...).to_csv(..., index=False))"),
    (b"SQLite format 3", "an SQLite database", "CSV (export the table)"),
    (b"%PDF", "a PDF", "a text file"),
    (b"\x89PNG", "a picture", "a text file"),
    (b"\x80\x04", "a Python pickle", "CSV or JSONL, which run no code when they are read"),
    (b"version https://git-lfs", "a Git LFS pointer", "the data itself (git lfs pull)"),
)
PAGE = (b"<!doctype html", b"<html")


class Place(NamedTuple):
    """Where in a file something stands: "reviews.csv, line 7"."""

    path: Path
    number: int | None = None
    unit: str = "line"
    detail: str = ""
    step: int = 0  # lines from one word to the next, where every word has a line of its own

    def __str__(self) -> str:
        shown = str(self.path) if len(str(self.path)) <= 70 else f".../{self.path.name}"
        where = f", {self.unit} {self.number}" if self.number is not None else ""
        return f"{shown}{where}{self.detail}"

    def word(self, i: int) -> Place:
        """The place of word `i`, counted from 0, of the sentence that starts here."""
        if self.step:
            return self._replace(number=(self.number or 0) + i * self.step)
        return self._replace(detail=f"{self.detail}, word {i + 1}")

    def bad(self, found: str, expected: str) -> WorkbookError:
        """The one line that says so, for the caller to raise; a long `found` is cut."""
        room = LONGEST_MESSAGE - len(f"{self}: found ; expected {expected}")
        if len(found) > room:
            found = found[: max(room - 3, 20)] + "..."
        return WorkbookError(f"{self}: found {found}; expected {expected}")


def short(value: Any, most: int = 40) -> str:
    """`value` as Python writes it, on one line, cut to about `most` characters."""
    if isinstance(value, str) and len(value) > most:
        value = value[: most - 3] + "..."
    text = repr(value)
    return text if len(text) <= 2 * most else text[: 2 * most] + "..."


def listed(values: Iterable[Any], most: int = 6) -> str:
    """`values` quoted and joined by commas, the first few of them.

    >>> listed(["text", "label"])
    "'text', 'label'"
    """
    values = list(values)
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(short(value, 20) for value in values[:most]) + more


def counted(count: int, thing: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{count:,} {thing}{'s' * (count != 1)}"


class TextFile:
    """A UTF-8 file; iterating gives (line number, line), `done` counts the bytes read so far.

    A byte order mark at the start is dropped. Lines end at newlines only and keep theirs.

    Raises `WorkbookError`, when made, on a path that is missing, a folder, empty or no text; when
    read, on bytes that are not UTF-8, zero bytes, or a line over 16 MB.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path, self.done = Path(path), 0
        if not self.path.exists():
            raise Place(self.path).bad("no such file", "the path of a text file")
        if not self.path.is_file():
            kind = "a folder" if self.path.is_dir() else "no regular file"
            raise Place(self.path).bad(kind, "the path of one text file")
        try:
            with self.path.open("rb") as opened:
                sample = opened.read(4096)
        except OSError as error:
            raise Place(self.path).bad(f"{error.strerror}", "a file you may read") from None
        self._check(sample)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.path.stat().st_size

    def _check(self, sample: bytes) -> None:
        here = Place(self.path)
        for start, kind, wanted in SIGNATURES:
            if sample.startswith(start):
                raise here.bad(kind, wanted)
        if sample.lstrip().lower().startswith(PAGE):
            raise here.bad("a web page", "the data itself (a 'raw' or 'download' link gives it)")
        if wide := _wide(sample):
            raise here.bad(f"{wide} text", f"UTF-8; convert it: {self._iconv(wide)}")
        if len(sample) < 4096 and not sample.removeprefix(b"\xef\xbb\xbf").strip():
            raise here.bad("an empty file", "one example a row")

    def __iter__(self) -> Iterator[tuple[int, str]]:
        with self.path.open("rb") as opened:
            number = 0
            while raw := opened.readline(LONGEST_LINE + 1):
                number += 1
                self.done += len(raw)
                if len(raw) > LONGEST_LINE:
                    raise Place(self.path, number).bad(
                        "a line of over 16 MB", "one example a line, of at most some pages"
                    )
                yield number, self._decoded(raw, number)

    def text(self) -> str:
        """The file whole."""
        raw = self.path.read_bytes()
        self.done = len(raw)
        return self._decoded(raw, 1)

    def _decoded(self, raw: bytes, number: int) -> str:
        if b"\0" in raw:
            line = number + raw.count(b"\n", 0, raw.index(b"\0"))
            raise Place(self.path, line).bad("a zero byte", "UTF-8 text, which holds none")
        try:
            return raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            skipped = len(raw) - len(error.object)  # the codec counts from behind the mark
            raise self._not_utf8(raw, skipped + error.start, number) from None

    def _not_utf8(self, raw: bytes, at: int, number: int) -> WorkbookError:
        line = number + raw.count(b"\n", 0, at)
        encoding = "LATIN1" if self._holds(CP1252_HOLES) else "CP1252"
        around = raw[max(0, at - 10) : at + 10].decode(encoding, errors="replace")
        return Place(self.path, line).bad(
            f"byte 0x{raw[at]:02x}, which is not UTF-8 ({encoding} would read {around!r})",
            f"UTF-8; convert it: {self._iconv(encoding)}",
        )

    def _iconv(self, encoding: str) -> str:
        name = self.path.name if len(self.path.name) <= 25 else f"FILE{self.path.suffix}"
        return f"iconv -f {encoding} -t UTF-8 {name} > new{self.path.suffix}"

    def _holds(self, wanted: bytes) -> bool:
        with self.path.open("rb") as opened:
            return any(
                any(byte in chunk for byte in wanted)
                for chunk in iter(lambda: opened.read(2**20), b"")
            )


def _wide(sample: bytes) -> str | None:
    """UTF-16 or UTF-32, if the first bytes look like it."""
    if sample[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "UTF-32"
    if sample[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    half = len(sample) // 2
    zeros = {"UTF-16LE": sample[1::2].count(0), "UTF-16BE": sample[::2].count(0)}
    return next((name for name, count in zeros.items() if half >= 4 and count > half * 0.7), None)

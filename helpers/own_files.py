"""Your own files, read into the contracts: one call, and any fault is one line.

    reviews = load("reviews.csv", "classification")
    reviews = load("export.tsv", "classification", columns={"text": "Body", "label": "Verdict"})
    encoded = tokenize(reviews, tokenizer, max_length=128)

Every row is checked before anything is trained, and nothing is written: the rows lie in memory
once, as Arrow, which takes about as much as the file itself. 100,000 rows of 20 words, 12 MB, need
less than 64 MiB to be loaded, and as much again to be tokenized.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.annotated import conll_rows, squad_rows
from helpers.columns import each, picked, resolve
from helpers.data.schemas import HEADS, NAMED, features
from helpers.file_text import Place, TextFile, counted, listed, short
from helpers.labels import Labels, Repeats
from helpers.row_checks import CHECKS
from helpers.sources import sha256
from helpers.tables import Rows, csv_rows, json_rows, jsonl_rows, tsv_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

FEWEST = 10  # rows: fewer can neither be learnt from nor measured on
BATCH = 1000  # rows that exist as Python objects at one time


def load(
    path: str | os.PathLike[str],
    head: str,
    *,
    names: Sequence[str] | None = None,
    columns: Mapping[str, Any] | None = None,
) -> Dataset:
    """The rows of a file as a `Dataset` with the columns of `schemas.features(head)`.

    Reads .csv, .tsv, .jsonl, .ndjson and .json (a list of objects); for tokens .conll, .bio and
    .txt instead of tables; for questions SQuAD JSON, 1.1 and 2.0; for a corpus also .txt, a
    paragraph a line. `columns` maps the contract's columns to the file's where their names do not
    say it; positions, counted from 0, mean that the file has no header:

    >>> load("codah.tsv", "choices", columns={"context": 1, "choices": [2, 3, 4, 5], "label": 6})

    `names` are the labels in order (a file may then hold names, or numbers from 0); without them
    they are the distinct labels of the file, sorted. Two texts with two labels are a warning.

    Raises `WorkbookError`, one line with file, row and what was expected, on everything else.
    """
    place = Place(Path(path))
    _check_request(place, head, names, columns)
    file, labels, repeats = TextFile(path), Labels(names), Repeats()
    rows = _picked(file, _reader(file, head, columns), head, columns)
    batches, pair = _batches(file, head, _checked(rows, head, labels, repeats))
    count = sum(len(batch) for batch in batches)
    if count < FEWEST:
        raise place.bad(counted(count, "row"), f"{FEWEST} at least")
    final: tuple[list[str], list[int]] = ([], [])
    if head in NAMED:
        final = labels.final(place, head, count)
        repeats.report(place)
    return _dataset(file, head, batches, final, pair, columns)


def tokenize(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    """`text` (and `text_pair`) as token ids, cut to `max_length`; labels and scores stay.

    Adds `input_ids` and `attention_mask`, unpadded; no token types, which DistilBERT does not read.
    For the heads that read whole texts; in memory, in batches, with a bar that says how many rows
    there are and how much time is left.

    Raises `ValueError` when the dataset has no `text`.
    """
    texts = [name for name in ("text", "text_pair") if name in dataset.column_names]
    if "text" not in texts:
        raise ValueError(f"columns are {dataset.column_names}; tokenize() needs 'text'")

    how = {"truncation": True, "max_length": max_length, "return_token_type_ids": False}

    def encode(batch: Mapping[str, list[str]]) -> Mapping[str, Any]:
        return tokenizer(*(batch[name] for name in texts), **how)

    doing = f"Tokenizing {len(dataset):,} rows"
    return dataset.map(encode, batched=True, remove_columns=texts, desc=doing)


def _check_request(
    place: Place, head: str, names: Sequence[str] | None, columns: Mapping[str, Any] | None
) -> None:
    if head not in HEADS:
        raise place.bad(f"head {short(head)}", f"one of {listed(HEADS, 8)}")
    if columns is not None and not isinstance(columns, Mapping):
        raise place.bad(f"columns={short(columns)}", 'columns={"text": "review", ...}')
    if names is None:
        return
    if head not in NAMED:
        raise place.bad(f"names of labels for {head}", "none: its labels have no names")
    if isinstance(names, str) or not all(isinstance(n, str) and n.strip() for n in names):
        raise place.bad(f"names={short(names)}", "a list of the labels' names")
    if len(names) < 2 or len(set(names)) < len(names):
        raise place.bad(f"names={short(names)}", "two or more, all different")


def _reader(file: TextFile, head: str, columns: Mapping[str, Any] | None) -> Rows:
    header = not _positions(columns)
    readers: dict[str, Callable[[], Rows]] = {
        ".csv": lambda: csv_rows(file, header=header),
        ".tsv": lambda: tsv_rows(file, header=header),
        ".jsonl": lambda: jsonl_rows(file),
        ".ndjson": lambda: jsonl_rows(file),
        ".json": lambda: squad_rows(file) if head == "questions" else json_rows(file),
    }
    if head == "tokens":
        del readers[".csv"], readers[".tsv"]
        readers |= dict.fromkeys((".conll", ".bio", ".txt"), lambda: conll_rows(file))
    if head == "corpus":
        readers[".txt"] = lambda: _paragraphs(file)
    suffix = file.path.suffix.lower()
    if suffix not in readers:
        raise Place(file.path).bad(
            f"the extension {short(suffix)}", f"for {head} one of {', '.join(readers)}"
        )
    return readers[suffix]()


def _positions(columns: Mapping[str, Any] | None) -> bool:
    return any(isinstance(name, int) for own in (columns or {}).values() for name in each(own))


def _paragraphs(file: TextFile) -> Rows:
    return (
        (Place(file.path, number), {"text": line.rstrip("\r\n")})
        for number, line in file
        if line.strip()
    )


def _picked(file: TextFile, rows: Rows, head: str, columns: Mapping[str, Any] | None) -> Rows:
    """The contract's columns of each row; ids, where there are any, must differ."""
    own, ids = None, {}
    for place, row in rows:
        if own is None:
            table = file.path.suffix.lower() in (".csv", ".tsv")
            own = resolve(Place(file.path, 1) if table else place, list(row), head, columns)
        if row.get("id") not in (None, "") and "id" not in own.values():
            first = ids.setdefault(hash(str(row["id"])), place.number)
            if first != place.number:
                raise place.bad(
                    f"the id {short(row['id'])} of {place.unit} {first} again",
                    "a different id for each row",
                )
        yield place, picked(place, row, own)


def _checked(rows: Rows, head: str, labels: Labels, repeats: Repeats) -> Iterator[dict[str, Any]]:
    check = CHECKS[head]
    for place, row in rows:
        clean = check(place, row, labels)
        if head == "classification":
            repeats.see(place, clean)
        yield clean


def _batches(
    file: TextFile, head: str, rows: Iterator[dict[str, Any]]
) -> tuple[list[pa.RecordBatch], bool]:
    """The rows as Arrow, labels still in the order seen; and whether they hold pairs."""
    import pyarrow as pa
    from datasets.utils import tqdm

    batches, schema, pair = [], None, False
    name, size = f"Reading {file.path.name}", {"unit": "B", "unit_scale": True, "delay": 1}
    with tqdm(total=file.size, desc=name, **size) as bar:
        while batch := list(itertools.islice(rows, BATCH)):
            if schema is None:
                pair = "text_pair" in batch[0] and head != "similarity"
                typed = features(head, ["?"] if head in NAMED else [], pair=pair)
                schema = typed.arrow_schema.remove_metadata()
            batches.append(pa.RecordBatch.from_pylist(batch, schema=schema))
            bar.update(file.done - bar.n)
    return batches, pair


def _dataset(
    file: TextFile,
    head: str,
    batches: list[pa.RecordBatch],
    final: tuple[list[str], list[int]],
    pair: bool,
    columns: Mapping[str, Any] | None,
) -> Dataset:
    import pyarrow as pa
    from datasets import Dataset, DatasetInfo

    names, numbers = final
    column = {"tokens": "tags"}.get(head, "label")
    if names and numbers != list(range(len(numbers))):
        batches = [_renumbered(batch, column, pa.array(numbers)) for batch in batches]
    typed = features(head, names, pair=pair)
    # a name of the contents, so that nothing computed from an older file is taken for this one's
    told = repr((sha256(file.path), head, names, sorted((columns or {}).items())))
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
    return Dataset(
        pa.Table.from_batches(batches), info=DatasetInfo(features=typed), fingerprint=fingerprint
    )


def _renumbered(batch: pa.RecordBatch, column: str, numbers: pa.Array) -> pa.RecordBatch:
    import pyarrow as pa

    old = batch.column(column)
    if pa.types.is_list(old.type):
        new = pa.ListArray.from_arrays(old.offsets, numbers.take(old.values), type=old.type)
    else:
        new = numbers.take(old)
    return batch.set_column(batch.schema.get_field_index(column), batch.schema.field(column), new)

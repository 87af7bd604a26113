"""What is doubtful in a whole file: rows that repeat, texts that no model can read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from helpers.data.source import SHOWN, Source, short

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTRADICTED = 0.1  # of the rows: more is no noise but a wrong column
Row = dict[str, Any]


def identity(row: Row) -> tuple[str, ...]:
    """The texts of a row, as an uncased model tells them apart."""
    parts = [row[n] for n in ("context", "question", "text", "text_pair") if n in row]
    parts += [*row.get("tokens", ()), *row.get("choices", ())]
    found = [" ".join(part.casefold().split()) for part in parts]
    return tuple(sorted(found) if "score" in row else found)


def repeats(rows: Sequence[Row], places: Sequence[str], source: Source) -> None:
    """Notes rows whose text stood in an earlier one; refuses many contradictions."""
    first: dict[tuple[str, ...], tuple[str, Any]] = {}
    again, other = [], []
    for place, row in zip(places, rows, strict=True):
        said = [row[n] for n in ("label", "score", "tags", "answers") if n in row]
        before, then = first.setdefault(identity(row), (place, said))
        again += [f"{before} and {place}"] * (before != place)
        other += [f"{before} and {place}"] * (said != then)
    more = f", and {len(other) - SHOWN} more" * (len(other) > SHOWN)
    named = "; ".join(other[:SHOWN]) + more
    found = f"{len(other)} texts again with another label ({named})"
    if source.head == "classification" and len(other) > CONTRADICTED * len(rows):
        raise source.bad(found, "one label a text (if it may have several: multilabel)")
    if again:
        both = "equal texts stay on one side of the split"
        source.notes.append(f"{len(again)} rows repeat a text ({again[0]}); {both}")
    if other:
        source.notes.append(f"{found}; no model gets both right")


def unreadable(rows: Sequence[Row], places: Sequence[str], source: Source) -> None:
    """Notes texts that are half [UNK] to the English vocabulary; refuses many."""
    bad = []
    for place, row in zip(places, rows, strict=True):
        text = " ".join(identity(row))
        # ASCII text has no [UNK], except in "words" of over 100 letters
        if not text.isascii() or max(map(len, text.split())) > 99:
            pieces = _tokenizer().tokenize(text)
            if 2 * pieces.count("[UNK]") >= len(pieces):
                bad.append(f"{place}: {short(text)}")
    if bad:
        what = "rows are mostly [UNK] to this English model"
        found = f"{len(bad)} of {len(rows)} {what} ({bad[0]})"
        if 2 * len(bad) > len(rows):
            raise source.bad(found, "English text")
        source.notes.append(found)


@cache
def _tokenizer() -> PreTrainedTokenizerBase:
    from helpers.checkpoints import base_tokenizer

    return base_tokenizer("DistilBERT")

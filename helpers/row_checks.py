"""One row of a file, checked and typed as its head's contract wants it.

Each check takes (place, row, labels) and gives the clean row, labels as numbers; what is wrong is
a `WorkbookError` that names the place, what was found and what was expected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from helpers.annotated import TAG
from helpers.data.schemas import CHOICES
from helpers.file_text import Place, counted, short
from helpers.labels import Labels
from helpers.tables import parsed

LONGEST = 10_000  # words: DistilBERT reads 512 tokens, so more is a file whose line breaks are gone
BIGGEST = 3.4e38  # what fits a float32
SEPARATORS = "|;,"
LETTERS = "ABCD"

Row = dict[str, Any]


def classification(place: Place, row: Row, labels: Labels) -> Row:
    """`text`, `text_pair` if there, and `label` as the number of one name."""
    return {**_texts(place, row), "label": labels.code(place, row["label"])}


def multilabel(place: Place, row: Row, labels: Labels) -> Row:
    """`label` as a list of numbers, perhaps empty; in a cell names stand apart by | or ; or ,."""
    codes = [labels.code(place, label) for label in _label_list(place, row["label"])]
    if len(set(codes)) < len(codes):
        raise place.bad(f"a label twice in {short(row['label'])}", "each label once")
    return {**_texts(place, row), "label": codes}


def regression(place: Place, row: Row, labels: Labels) -> Row:
    """`label` as a finite number."""
    return {**_texts(place, row), "label": number(place, row["label"], "label")}


def similarity(place: Place, row: Row, labels: Labels) -> Row:
    """Two texts and `score`, a finite number."""
    return {**_texts(place, row), "score": number(place, row["score"], "score")}


def corpus(place: Place, row: Row, labels: Labels) -> Row:
    """A `text` alone."""
    return _texts(place, row)


def tokens(place: Place, row: Row, labels: Labels) -> Row:
    """As many `tags`, BIO, as `tokens`; a file that starts an entity with I- is not repaired."""
    words = _list(place, row["tokens"], "tokens")
    tags = [labels.tag(place, tag) for tag in _list(place, row["tags"], "tags")]
    if len(words) != len(tags):
        raise place.bad(
            f"{counted(len(words), 'token')} and {counted(len(tags), 'tag')}",
            "one tag for every token",
        )
    if not words:
        raise place.bad("a sentence without tokens", "one token at least")
    before = "O"
    for i, (word, tag) in enumerate(zip(words, tags, strict=True)):
        if not isinstance(word, str) or not word.strip():
            raise place.word(i).bad(f"the token {short(word)}", "a word")
        _sound(place, word, "token")
        _check_tag(place, i, word, before, tag)
        before = tag
    return {
        "tokens": words,
        "tags": [labels.tag_code(place.word, i, t) for i, t in enumerate(tags)],
    }


def _check_tag(place: Place, i: int, word: str, before: str, tag: str) -> None:
    if not TAG.fullmatch(tag):
        raise place.word(i).bad(
            f"the tag {short(tag)}", "O, B-kind or I-kind (of BIOES: S- is B-, E- is I-)"
        )
    if tag.startswith("I-") and before not in (f"B-{tag[2:]}", tag):
        raise place.word(i).bad(
            f"{short(word)} tagged {tag} after {before}",
            f"B-{tag[2:]} on the first word of an entity",
        )


def questions(place: Place, row: Row, labels: Labels) -> Row:
    """`answers` that stand in `context` exactly where `answer_start` says, or none at all."""
    context, question = (text(place, row[name], name) for name in ("context", "question"))
    given = _table_answer(row) if "answers" not in row else _json_cell(place, row["answers"])
    texts, starts = _answers(place, given)
    for answer, start in zip(texts, starts, strict=True):
        _check_answer(place, context, answer, start)
    answers = {"text": texts, "answer_start": starts}
    return {"context": context, "question": question, "answers": answers}


def _table_answer(row: Row) -> Any:
    answer, start = row["answer_text"], row["answer_start"]
    if answer in ("", None) and start in ("", None, "-1", -1):
        return []
    return [{"text": answer, "answer_start": start}]


def _answers(place: Place, given: Any) -> tuple[list[str], list[int]]:
    if isinstance(given, list) and all(isinstance(one, dict) for one in given):
        given = {name: [one.get(name) for one in given] for name in ("text", "answer_start")}
    lists = (
        [given.get(name) for name in ("text", "answer_start")] if isinstance(given, dict) else []
    )
    if not lists or not all(isinstance(one, list) for one in lists):
        raise place.bad(
            f"the answers {short(given)}", '{"text": [...], "answer_start": [...]}, perhaps empty'
        )
    if len(lists[0]) != len(lists[1]):
        raise place.bad(
            f"{counted(len(lists[0]), 'answer')} and {counted(len(lists[1]), 'start')}",
            "a start for every answer",
        )
    texts = [text(place, answer, "answer") for answer in lists[0]]
    return texts, [_whole(place, start, "answer_start") for start in lists[1]]


def _check_answer(place: Place, context: str, answer: str, start: int) -> None:
    there = context[max(0, start) :][: len(answer)]
    if start >= 0 and there == answer:
        return
    places = _occurrences(context, answer)
    if not places:
        raise place.bad(
            f"the answer {short(answer)}, which is not in the context",
            "an answer copied from it letter by letter",
        )
    nearest = min(places, key=lambda at: abs(at - start))
    raise place.bad(
        f"{short(there)} at answer_start {start}",
        f"the answer {short(answer)}, which stands at {nearest}",
    )


def _occurrences(context: str, answer: str) -> list[int]:
    places, at = [], context.find(answer)
    while at >= 0:
        places.append(at)
        at = context.find(answer, at + 1)
    return places


def choices(place: Place, row: Row, labels: Labels) -> Row:
    """Four different endings of `context`, and which is right: 0 to 3, or A to D."""
    context = text(place, row["context"], "context")
    endings = _list(place, row["choices"], "choices")
    if len(endings) != CHOICES:
        raise place.bad(counted(len(endings), "ending"), f"{CHOICES}")
    endings = [text(place, ending, f"ending {i}") for i, ending in enumerate(endings)]
    stripped = [ending.strip() for ending in endings]
    for i, ending in enumerate(stripped):
        if (first := stripped.index(ending)) < i:
            raise place.bad(f"endings {first} and {i} equal, {short(ending)}", "four that differ")
    return {"context": context, "choices": endings, "label": _which(place, row["label"])}


def _which(place: Place, label: Any) -> int:
    if isinstance(label, str) and label.strip().upper() in tuple(LETTERS):
        return LETTERS.index(label.strip().upper())
    right = "0 to 3 or A to D, the right ending counted from 0"
    found = _whole(place, label, "label", right)
    if not 0 <= found < CHOICES:
        raise place.bad(f"the label {found}", right)
    return found


CHECKS: dict[str, Callable[[Place, Row, Labels], Row]] = {
    "classification": classification,
    "multilabel": multilabel,
    "regression": regression,
    "similarity": similarity,
    "tokens": tokens,
    "questions": questions,
    "choices": choices,
    "corpus": corpus,
}


def text(place: Place, value: Any, column: str) -> str:
    """`value`, which must be a text with something in it, and of 10,000 words at most."""
    if not isinstance(value, str):
        raise place.bad(f"{_json(value)} as {column}", "a text in quotes")
    if not value.strip():
        kind = "an empty" if not value else "nothing but blanks as"
        raise place.bad(f"{kind} {column}", "a text in every row")
    if len(value) > 2 * LONGEST and len(value.split()) > LONGEST:
        raise place.bad(
            f"a {column} of {len(value.split()):,} words",
            f"{LONGEST:,} at most: DistilBERT reads 512 tokens, so cut it into passages",
        )
    _sound(place, value, column)
    return value


def number(place: Place, value: Any, column: str) -> float:
    """`value` as a float; numbers as text, as tables hold them, are read."""
    try:
        if isinstance(value, bool) or "_" in str(value):
            raise ValueError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        hint = " (write 3.5, not 3,5)" if isinstance(value, str) and "," in value else ""
        raise place.bad(f"the {column} {_json(value)}", f"a number{hint}") from None
    if not math.isfinite(found) or abs(found) > BIGGEST:
        raise place.bad(f"the {column} {found}", "a finite number of up to 3.4e38")
    return found


def _texts(place: Place, row: Row) -> Row:
    return {name: text(place, row[name], name) for name in ("text", "text_pair") if name in row}


def _sound(place: Place, value: str, column: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise place.bad(f"half a character, {half}, in the {column}", "Unicode text") from None


def _whole(place: Place, value: Any, column: str, expected: str = "a whole number") -> int:
    try:
        if isinstance(value, (bool, float)) or "_" in str(value):
            raise ValueError
        return int(value)
    except (TypeError, ValueError):
        raise place.bad(f"the {column} {_json(value)}", expected) from None


def _label_list(place: Place, value: Any) -> list[Any]:
    if not isinstance(value, str) or value.strip().startswith("["):
        return _list(place, value, "labels")
    if not value.strip():
        return []
    separator = next((mark for mark in SEPARATORS if mark in value), "|")
    return value.split(separator)


def _list(place: Place, value: Any, column: str) -> list[Any]:
    value = _json_cell(place, value)
    if not isinstance(value, list):
        raise place.bad(f"{_json(value)} as {column}", 'a JSON list, such as ["a", "b"]')
    return value


def _json_cell(place: Place, value: Any) -> Any:
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        return parsed(place, value)
    return value


def _json(value: Any) -> str:
    return short(value) if isinstance(value, str) else short(json.dumps(value)).strip("'")

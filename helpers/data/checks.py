"""One row of a file, checked and typed as its head's schema wants it."""

from __future__ import annotations

import ast
import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from helpers.data import conll
from helpers.data.labels import Labels
from helpers.data.schemas import CHOICES
from helpers.data.source import Bad, Source, short

LONGEST = 10_000  # words: a file whose line breaks are gone
Row = dict[str, Any]


def rows(table: pd.DataFrame, source: Source, labels: Labels) -> list[tuple[str, Row]]:
    """Where each row stands, and the row in its schema, labels by name."""
    if source.head == "tokens":
        table = _tagged(table, source, labels)
    if source.head == "multilabel":
        table = table.assign(label=_split(list(map(_value, table["label"]))))
    if source.head == "choices" and not source.label_names:
        _check_count(table, source)
    others = {"tokens": _tokens, "questions": _questions, "choices": _choices}
    check = others.get(source.head, _texts)
    made = checked(table, source, lambda row: check(row, labels))
    return list(zip(table.index, made, strict=True))


def checked(
    table: pd.DataFrame, source: Source, check: Callable[[Row], Any]
) -> list[Any]:
    """What `check` makes of each row; rows of which it makes none are refused."""
    made, faults = [], []
    for place, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            made.append(check(row))
        except Bad as bad:
            at = place if bad.word is None else f"{place}, word {bad.word + 1}"
            if bad.word is not None and table.index.name == conll.BY_WORD:
                at = f"line {int(place.split()[1]) + bad.word}"
            faults.append((at, bad))
    if faults:
        raise source.refuse(faults)
    return made


def text(value: Any, column: str) -> str:
    """`value`, a text with something in it, of 10,000 words at most."""
    if not isinstance(value, str) or not value.strip():
        empty = value is None or isinstance(value, str)
        found = f"an empty {column}" if empty else f"{short(value)} as {column}"
        raise Bad(found, "a text in every row")
    if len(value) > 2 * LONGEST and len(value.split()) > LONGEST:
        raise Bad(f"a {column} of {len(value.split()):,} words", f"{LONGEST:,} at most")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Bad(f"half a character in {short(value)}", "Unicode text")
    return value


def number(value: Any, column: str) -> float:
    """`value`, a finite number that fits a float32."""
    try:
        found = float("nan" if isinstance(value, bool) or "_" in str(value) else value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not abs(found) < 3.4e38:
        hint = " (3.5, not 3,5)" if "," in str(value) else ""
        raise Bad(f"the {column} {short(value)}", f"a finite number{hint}")
    return found


def many(value: Any, column: str) -> list[Any]:
    """A list, or the text of one as JSON or Python writes it."""
    found = _value(value)
    if not isinstance(found, list):
        raise Bad(f"{short(value)} as {column}", 'a list, such as ["a", "b"]')
    return found


def _value(cell: Any) -> Any:
    """What a table's cell holds, if that is the text of a list or an object."""
    if isinstance(cell, str) and cell.strip()[:1] in ("[", "{"):
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(cell)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return cell


def _split(cells: list[Any]) -> list[Any]:
    """Lists of labels, which may stand in a cell with a mark between them."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    mark = next((m for m in "|;," if any(m in cell for cell in texts)), "|")
    split = {cell: cell.split(mark) if cell.strip() else [] for cell in texts}
    return [split[cell] if isinstance(cell, str) else cell for cell in cells]


def _texts(row: Row, labels: Labels) -> Row:
    """Rows of the heads that read one text or two."""
    made = {n: text(row[n], n) for n in ("text", "text_pair") if n in row}
    head = labels.source.head
    if head == "classification":
        made["label"] = labels.name(row["label"])
    elif head == "multilabel":
        made["label"] = [labels.name(one) for one in many(row["label"], "labels")]
        if len(set(made["label"])) < len(made["label"]):
            raise Bad(f"a label twice in {short(made['label'])}", "each label once")
    elif head != "corpus":
        column = "score" if head == "similarity" else "label"
        made[column] = number(row[column], column)
    return made


def _tagged(table: pd.DataFrame, source: Source, labels: Labels) -> pd.DataFrame:
    """Sentences with BIO tags by name, out of spans, words or lists, of any scheme."""

    def parts(row: Row) -> tuple[list[Any], list[str]]:
        if "spans" in row:
            spans = many(row["spans"], "spans")
            return conll.from_spans(text(row["text"], "text"), spans)
        words, tags = many(row["tokens"], "tokens"), many(row["tags"], "tags")
        if len(words) != len(tags) or not words:
            found = f"{len(words)} tokens and {len(tags)} tags"
            raise Bad(found, "a tag for every token")
        return words, [labels.name(tag) for tag in tags]

    words, tags = zip(*checked(table, source, parts), strict=True)
    if all(tag.isdecimal() for tag in itertools.chain(*tags)):
        last = max(map(int, itertools.chain(*tags)))
        names = ["O", *(f"{mark}-KIND{n}" for n in range(1, last + 1) for mark in "BI")]
        mend = f"their names in order: {source.command(label_names=names[: last + 1])}"
        raise source.bad(f"tags as numbers, 0 to {last}", mend)
    bio, scheme = conll.to_bio(list(tags))
    if scheme:
        source.notes.append(f"the tags are {scheme}; they are read as BIO")
    made = table[[]].assign(tokens=words, tags=bio)
    return made[[found != ["-DOCSTART-"] for found in words]]


def _tokens(row: Row, labels: Labels) -> Row:
    before = "O"
    for n, (word, tag) in enumerate(zip(row["tokens"], row["tags"], strict=True)):
        if not isinstance(word, str) or not word.strip():
            raise Bad(f"{short(word)} as token", "a word", n)
        text(word, "token")
        if not conll.TAG.fullmatch(tag) or tag[:2] not in ("O", "B-", "I-"):
            raise Bad(f"the tag {short(tag)}", "O, B-kind or I-kind", n)
        if tag[0] == "I" and before[2:] != tag[2:]:
            found = f"{short(word)} tagged {tag} after {before}"
            raise Bad(found, f"B-{tag[2:]} on the first word of an entity", n)
        before = tag
    return row


def _questions(row: Row, labels: Labels) -> Row:
    context, question = (text(row[name], name) for name in ("context", "question"))
    given = _given(row)
    impossible = str(row.get("is_impossible")).lower()
    if impossible == str(bool(given)).lower():
        found = f"{len(given)} answers, is_impossible {impossible}"
        raise Bad(found, "one or the other")
    texts = [text(one.get("text"), "answer") for one in given]
    told = [one.get("answer_start") for one in given]
    starts = [_start(context, *one) for one in zip(texts, told, strict=True)]
    answers = {"text": texts, "answer_start": starts}
    return {"context": context, "question": question, "answers": answers}


def _given(row: Row) -> list[Row]:
    """The answers of a question, each with its text and perhaps its start."""
    given = _value(row["answers"] if "answers" in row else row["answer_text"])
    if given in ("", None):
        return []
    if isinstance(given, str):
        return [{"text": given, "answer_start": row.get("answer_start")}]
    if isinstance(given, dict):  # as datasets holds them: lists side by side
        texts, starts = (
            many(given.get(name), name) for name in ("text", "answer_start")
        )
        if len(texts) != len(starts):
            raise Bad(f"{len(texts)} answers and {len(starts)} starts", "as many")
        sides = zip(texts, starts, strict=True)
        return [{"text": answer, "answer_start": start} for answer, start in sides]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise Bad(f"the answers {short(given)}", '[{"text": ..., "answer_start": ...}]')
    return given


def _start(context: str, answer: str, told: Any) -> int:
    """Where the answer begins: as told, or where it stands if it stands there once."""
    start = -1 if told in ("", None) else int(number(told, "answer_start"))
    if start >= 0 and context.startswith(answer, start):
        return start
    places = [m.start() for m in re.finditer(f"(?={re.escape(answer)})", context)]
    if not places:
        found = f"the answer {short(answer)}, which is not in the context"
        raise Bad(found, "a part of it, letter by letter")
    if told in ("", None) and len(places) == 1:
        return places[0]
    near = min(places, key=lambda place: abs(place - start))
    there = short(context[max(0, start) :][: len(answer)])
    found = f"{there} at answer_start {short(told)}"
    raise Bad(found, f"the answer {short(answer)}, which stands at {near}")


def _check_count(table: pd.DataFrame, source: Source) -> None:
    there = {str(label).strip().removesuffix(".0") for label in table["label"]}
    if there <= set("1234"):
        one, zero = (source.command(label_names=list(n)) for n in ("1234", "0123"))
        found = f"the labels {', '.join(sorted(there))} and never 0"
        wanted = f"0 to 3. Do yours count from 1? {one} or, if not, {zero}"
        raise source.bad(found, wanted)


def _choices(row: Row, labels: Labels) -> Row:
    context = text(row["context"], "context")
    endings = [text(one, "ending") for one in many(row["choices"], "choices")]
    bare = [ending.strip() for ending in endings]
    if len(endings) != CHOICES:
        raise Bad(f"{len(endings)} endings", f"{CHOICES}")
    if twice := [n for n, ending in enumerate(bare) if bare.index(ending) < n]:
        ending = bare[twice[0]]
        found = f"endings {bare.index(ending)} and {twice[0]} equal, {short(ending)}"
        raise Bad(found, "four that differ")
    label, names = str(row["label"]).strip().removesuffix(".0"), list("0123")
    if labels.spelled:
        label, names = labels.name(label), labels.names or names
    for spelled in [] if label in names else (list("ABCD"), list("abcd"), bare):
        label = names[spelled.index(label)] if label in spelled else label
    if label not in names:
        right = "0 to 3 or A to D, the right ending counted from 0"
        raise Bad(f"the label {label if label.isdecimal() else short(label)}", right)
    return {"context": context, "choices": endings, "label": names.index(label)}

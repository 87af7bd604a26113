"""Files with annotations in them: CoNLL (a word and its tag a line) and SQuAD JSON.

Both readers take a `TextFile` and yield (place, {column: value}), as those in `tables.py` do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from helpers.file_text import Place, TextFile, counted, listed, short
from helpers.tables import Rows, objects, parsed

LONGEST_SENTENCE = 10_000  # words: more means that the blank lines are gone
TAG = re.compile(r"O|[BI]-\S+")
BLANKS = re.compile(r"[ \t]+")  # not \s: a no-break space belongs to its word


def conll_rows(file: TextFile) -> Rows:
    """The sentences of a CoNLL file: {"tokens": [...], "tags": [...]}.

    Columns are separated by tabs or blanks: the word first, its tag last. A blank line ends a
    sentence; `-DOCSTART-` lines and comments before a sentence ("# ...", without a tag) are
    skipped. Whether the tags are BIO is for the reader of the rows to check.

    Raises `WorkbookError` on a word without tag, a changing number of columns, or a sentence of
    over 10,000 words.
    """
    start, words, width = 0, [], 0
    for number, line in file:
        line = line.rstrip("\r\n")
        if not line.strip(" \t") or line.startswith("-DOCSTART-"):
            if words:
                yield _sentence(file, start, words)
            words = []
            continue
        cells = _cells(line)
        if not words and line.startswith("# ") and _is_comment(cells, width):
            continue
        width = width or len(cells)
        _check_line(Place(file.path, number), cells, width)
        start = start if words else number
        words.append((cells[0], cells[-1]))
        if len(words) > LONGEST_SENTENCE:
            raise Place(file.path, start).bad(
                f"a sentence of over {LONGEST_SENTENCE:,} words",
                "a blank line between sentences",
            )
    if words:
        yield _sentence(file, start, words)


def _cells(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else BLANKS.split(line.strip(" "))


def _is_comment(cells: list[str], width: int) -> bool:
    return not TAG.fullmatch(cells[-1]) or bool(width and len(cells) != width)


def _check_line(place: Place, cells: list[str], width: int) -> None:
    if len(cells) < 2:
        raise place.bad(f"the word {short(cells[0])} alone", "a word and its tag, 'Paris B-place'")
    if len(cells) != width:
        raise place.bad(
            f"{counted(len(cells), 'column')}, {short(cells[0])} first",
            f"{width}, as in the lines before",
        )


def _sentence(file: TextFile, start: int, words: list[tuple[str, str]]) -> tuple[Place, dict]:
    tokens, tags = zip(*words, strict=True)
    return Place(file.path, start, step=1), {"tokens": list(tokens), "tags": list(tags)}


def squad_rows(file: TextFile) -> Rows:
    """The questions of a SQuAD file, 1.1 or 2.0: context, question, answers, and the id if any.

    A JSON list of objects is read as rows, like any other.

    Raises `WorkbookError` when `data`, `paragraphs`, `qas` or a part of a question is missing, or
    when `is_impossible` contradicts the answers.
    """
    place = Place(file.path)
    whole = parsed(place, file.text())
    if isinstance(whole, list):
        yield from objects(place, whole)
        return
    number = 0
    for i, article in enumerate(_list(place, whole, "data"), start=1):
        where = Place(file.path, i, "article")
        for j, paragraph in enumerate(_list(where, article, "paragraphs"), start=1):
            inside = where._replace(detail=f", paragraph {j}")
            for question in _list(inside, paragraph, "qas"):
                number += 1
                yield _question(file, number, inside, paragraph, question)


def _list(place: Place, holder: Any, name: str) -> Iterator[Any]:
    if not isinstance(holder, dict):
        raise place.bad(short(holder), f"an object with a list {name!r}, as SQuAD JSON has")
    if not isinstance(holder.get(name), list):
        there = listed(holder) or "nothing"
        raise place.bad(f"{there} here", f"a list {name!r}, as SQuAD JSON has")
    return iter(holder[name])


def _question(
    file: TextFile, number: int, inside: Place, paragraph: dict, question: Any
) -> tuple[Place, dict]:
    if not isinstance(question, dict):
        raise inside.bad(short(question), "a question as an object")
    name = f" (id {short(question['id'], 30)})" if "id" in question else ""
    place = Place(file.path, number, "question", name)
    if "context" not in paragraph:
        raise inside.bad(f"{listed(paragraph)} here", "a 'context' beside the 'qas'")
    for part in ("question", "answers"):
        if part not in question:
            raise place.bad(f"{listed(question)} here", f"{part!r} among them")
    _check_impossible(place, question)
    row = {part: question[part] for part in ("id", "question", "answers") if part in question}
    return place, {"context": paragraph["context"], **row}


def _check_impossible(place: Place, question: dict) -> None:
    impossible, answers = question.get("is_impossible"), question["answers"]
    if impossible is True and answers:
        raise place.bad("is_impossible with answers", "'answers': [] or 'is_impossible': false")
    if impossible is False and not answers:
        raise place.bad("no answer, yet is_impossible is false", "an answer, or is_impossible true")

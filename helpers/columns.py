"""Which column of a file is which column of a contract: named by you, or found by its name.

    resolve(place, ["id", "Review", "stars"], "classification", None)
    -> {"text": "Review", "label": "stars"}

A name is matched exactly, then without regard to case, then by the usual synonyms below. When two
columns would do, none is chosen: the error names both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.data.schemas import CHOICES, PAIRABLE
from helpers.file_text import Place, counted, listed, short

Own = dict[str, Any]  # contract's column -> the file's: a name, a position, or four of them

NEEDED = {
    "classification": ("text", "label"),
    "multilabel": ("text", "label"),
    "regression": ("text", "label"),
    "similarity": ("text", "text_pair", "score"),
    "tokens": ("tokens", "tags"),
    "questions": ("context", "question", "answers"),
    "choices": ("context", "choices", "label"),
    "corpus": ("text",),
}
ANSWER = ("answer_text", "answer_start")  # what a table has instead of `answers`
SYNONYMS = {
    "text": ("sentence", "review", "content", "sentence1", "premise"),
    "text_pair": ("sentence2", "hypothesis"),
    "label": ("labels", "class", "category", "sentiment", "stars", "rating"),
    "score": ("similarity", "similarity_score", "label"),
    "tokens": ("words",),
    "tags": ("ner_tags", "labels"),
    "context": ("passage", "paragraph", "startphrase", "ctx"),
    "question": ("query",),
    "answer_text": ("answer",),
    "answer_start": ("start",),
    "choices": ("endings", "options"),
}
FOURS = tuple(
    tuple(f"{stem}{mark}" for mark in marks)
    for stem in ("choice", "ending", "option")
    for marks in ("0123", ("_0", "_1", "_2", "_3"), "1234", ("_a", "_b", "_c", "_d"), "abcd")
)


def resolve(
    place: Place, there: Sequence[Any], head: str, columns: Mapping[str, Any] | None
) -> Own:
    """The file's column for each of the contract's; `text_pair` only if there is one.

    `there` are the file's columns, names or positions; `columns` is the reader's own choice.

    Raises `WorkbookError` when a column is missing, ambiguous, or taken twice.
    """
    own = _chosen(place, there, head, columns or {})
    wanted = list(NEEDED[head])
    if head == "questions" and _split_answers(there, own):
        wanted[2:] = ANSWER
    for column in wanted:
        if column not in own:
            own[column] = _found(place, there, column, head, own)
    if head in PAIRABLE and "text_pair" not in own and _candidates(there, "text_pair", head, own):
        own["text_pair"] = _found(place, there, "text_pair", head, own)
    return own


def _chosen(place: Place, there: Sequence[Any], head: str, columns: Mapping[str, Any]) -> Own:
    known = [*NEEDED[head], *(["text_pair"] if head in PAIRABLE else [])]
    known += ANSWER if head == "questions" else ()
    own: Own = {}
    used: set[Any] = set()
    for column, names in columns.items():
        if column not in known:
            raise place.bad(f"columns={{{short(column)}: ...}}", f"columns for {listed(known)}")
        several = each(names)
        if len(several) != 1 and (column != "choices" or len(several) != CHOICES):
            raise place.bad(
                f"{counted(len(several), 'column')} for {column!r}",
                "one column, or for 'choices' four",
            )
        for name in several:
            if name not in there:
                raise place.bad(
                    f"no column {short(name)}", f"one of the file's columns: {listed(there)}"
                )
            if name in used:
                raise place.bad(
                    f"column {short(name)} chosen twice", "a column of its own for each"
                )
            used.add(name)
        own[column] = several if len(several) > 1 else several[0]
    return own


def _split_answers(there: Sequence[Any], own: Own) -> bool:
    if any(column in own for column in ANSWER):
        return True
    if "answers" in own or _candidates(there, "answers", "questions", own):
        return False
    return any(_candidates(there, column, "questions", own) for column in ANSWER)


def _candidates(there: Sequence[Any], column: str, head: str, own: Own) -> list[Any]:
    taken = [one for name in own.values() for one in each(name)]
    free = [name for name in there if isinstance(name, str) and name not in taken]
    if column in free:
        return [column]
    folded = {name: name.casefold() for name in free}
    synonyms = SYNONYMS.get(column, ())
    if (head, column) == ("regression", "label"):
        synonyms = (*synonyms, "score")
    same = [name for name in free if folded[name] == column]
    return same or [name for name in free if folded[name] in synonyms]


def _found(place: Place, there: Sequence[Any], column: str, head: str, own: Own) -> Any:
    found = _candidates(there, column, head, own)
    if len(found) == 1:
        return found[0]
    if found:
        raise place.bad(
            f"columns {' and '.join(map(short, found[:3]))}, any of which may be {column!r}",
            f"your choice, as in columns={{{column!r}: {short(found[0])}}}",
        )
    if column == "choices" and (four := _four(there)):
        return four
    raise place.bad(
        f"columns {listed(there)}",
        f"one called {column!r}, or columns={{{column!r}: NAME}} (a position, such as 0, if the "
        "file has no header)",
    )


def _four(there: Sequence[Any]) -> list[Any] | None:
    folded = {name.casefold(): name for name in there if isinstance(name, str)}
    return next(([folded[n] for n in four] for four in FOURS if set(four) <= set(folded)), None)


def each(name: Any) -> list[Any]:
    """The columns that stand for one of the contract's: one, or four for `choices`."""
    return list(name) if isinstance(name, (list, tuple)) else [name]


def picked(place: Place, row: Mapping[Any, Any], own: Own) -> dict[str, Any]:
    """The contract's columns of one row.

    Raises `WorkbookError` when this row lacks a column that the first one had.
    """
    try:
        return {
            column: [row[one] for one in name] if isinstance(name, (list, tuple)) else row[name]
            for column, name in own.items()
        }
    except KeyError as missing:
        raise place.bad(
            f"columns {listed(row)}", f"{missing.args[0]!r} among them, as in the first row"
        ) from None

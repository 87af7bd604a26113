"""Which column of a file is which of the schema: by COLUMNS, or by its name."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pandas as pd
import yaml

from helpers.core.errors import WorkbookError
from helpers.data import conll
from helpers.data.schemas import CHOICES, PAIRABLE
from helpers.data.source import Source, listed, short

ASKED = ("context", "question")
SHAPES = {  # what a row needs: one of these
    **{head: [("text", "label")] for head in PAIRABLE},
    "similarity": [("text", "text_pair", "score")],
    "tokens": [("tokens", "tags"), ("text", "spans")],
    "questions": [(*ASKED, "answers"), (*ASKED, "answer_text")],
    "choices": [("context", "choices", "label")],
    "corpus": [("text",)],
}
OPTIONAL = dict.fromkeys(PAIRABLE, ("text_pair",))
OPTIONAL["questions"] = ("answer_start", "is_impossible")
SYNONYMS = {
    "text": "sentence|sentence1|question1|review|premise|content|comment|comment_text"
    "|tweet|message|body|document|utterance",
    "text_pair": "sentence2|question2|hypothesis",
    "label": "labels|class|category|target|gold_label|sentiment|stars|rating|polarity"
    "|intent|is_duplicate",
    "score": "similarity|similarity_score|relatedness_score|label",
    "tokens": "words|word|token",
    "tags": "ner_tags|ner|labels|tag",
    "spans": "entities|label|labels",
    "context": "passage|paragraph|startphrase|ctx",
    "question": "query",
    "answer_text": "answer",
    "answer_start": "start",
    "choices": "endings|options",
}
KNOWN = {*SYNONYMS}.union(*(names.split("|") for names in SYNONYMS.values()))
ENDING = re.compile(r"(choice|ending|option|answer)[ _]?([0-4]|[a-d])")  # four columns
JOINED = ("text", "text_pair", *ASKED)  # several columns make one text
FLAGGED = ("classification", "multilabel")  # columns of 0 and 1 may be their labels
ONES, ZEROS = {"1", "1.0", "true"}, {"0", "0.0", "false"}


def said(name: str, value: Any) -> Any:
    """The value of a parameter, which papermill's -p gives as JSON or YAML."""
    try:  # Windows' shells take the quotes out of JSON, which leaves YAML
        found = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        found = value
    wanted, good = (dict, list, tuple), '["bad", "good"]'
    if name == "COLUMNS":
        wanted, good = dict, '{"text": "v2", "label": "v1"}'
    if found and not isinstance(found, wanted):
        raise WorkbookError(f"{name} is {value!r}; expected such as {good}")
    return found or None


def each(own: Any) -> list[Any]:
    """The one or several that stand for one."""
    return list(own) if isinstance(own, list | tuple) else [own]


def numbered(columns: dict[str, Any] | None) -> bool:
    """Whether COLUMNS says numbers, which means that the file has no header."""
    there = [str(one) for own in (columns or {}).values() for one in each(own)]
    return bool(there) and all(one.isdecimal() for one in there)


def pick(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    """The table in the schema's columns; those that are not the schema's are left out.

    Where names do not tell, the error shows the command that names the columns.
    """
    own = _chosen(frame, source)
    label = own.get("label", own.get("score"))
    if isinstance(label, int) and _is_header(frame[label]):
        first = listed(frame.iloc[0], 4)
        source.notes.append(f"{frame.index[0]} is taken for a header: {first}")
        frame = frame.iloc[1:]
    picked = frame[[]].copy()
    for column, names in own.items():
        rows = frame[each(names)].to_numpy().tolist()
        if not isinstance(names, list):
            rows = [cell for (cell,) in rows]
        elif column in JOINED:
            texts = (
                [str(cell) for cell in row if cell not in ("", None)] for row in rows
            )
            rows = [" ".join(row) for row in texts]
        elif column == "label":
            flags = ([str(cell).lower() in ONES for cell in row] for row in rows)
            rows = [list(itertools.compress(names, row)) for row in flags]
        picked[column] = pd.Series(rows, frame.index, dtype=object)
    return picked


def _is_header(label: pd.Series) -> bool:
    """Whether the first of these labels is a name of their column."""
    first, rest = label.iloc[0], label.iloc[1:]
    few = rest.nunique() <= len(rest) / 2 or rest.str.fullmatch(r"-?[\d.]+").all()
    return bool(few) and first not in set(rest) and not re.fullmatch(r"-?[\d.]+", first)


def _chosen(frame: pd.DataFrame, source: Source) -> dict[str, Any]:
    """The file's column, or columns, for each of the schema's that the file has."""
    told, shapes = _told(frame, source), SHAPES[source.head]
    filled = [_filled(frame, shape, told, source) for shape in shapes]
    for shape, own in zip(shapes, filled, strict=True):
        if set(shape) <= set(own):
            return own
    lacking = listed(name for name in shapes[0] if name not in filled[0])
    guess = _guess(frame, source, filled[0])
    wanted = f"{lacking} among them, or to be told: {guess}"
    raise source.bad(f"the columns {listed(frame)}", wanted)


def _filled(
    frame: pd.DataFrame, shape: tuple[str, ...], told: dict[str, Any], source: Source
) -> dict[str, Any]:
    own, head = dict(told), source.head
    for column in (*shape, *OPTIONAL.get(head, ())):
        if column in own:
            continue
        found = _candidates(_free(frame, own), column, head)
        if len(found) > 1:
            command = source.command(columns={**told, column: found[0]})
            which = f"the columns {listed(found, 3)}, each of which may be {column!r}"
            raise source.bad(which, f"your choice, such as {command}")
        own |= {column: found[0]} if found else {}
    four = sorted((name for name in frame if ENDING.fullmatch(_fold(name))), key=_fold)
    if "choices" in shape and "choices" not in own and len(four) == CHOICES:
        own["choices"] = four
    if head in FLAGGED and "label" not in own:
        cells = {
            name: set(frame[name].map(str).str.lower()) for name in _free(frame, own)
        }
        flags = [name for name, found in cells.items() if found <= ONES | ZEROS]
        own |= {"label": flags} if len(flags) > 1 else {}
    return own


def _free(frame: pd.DataFrame, own: dict[str, Any]) -> list[Any]:
    """The file's columns that are none of the schema's yet."""
    taken = [name for names in own.values() for name in each(names)]
    return [name for name in frame if name not in taken]


def _candidates(free: list[Any], column: str, head: str) -> list[Any]:
    """Columns of that very name, else in other letters, else of its synonyms."""
    synonyms = SYNONYMS.get(column, "").split("|")
    synonyms += ["score"] if (head, column) == ("regression", "label") else []
    exact = [name for name in free if re.sub(r"\.\d+$", "", str(name)) == column]
    same = [name for name in free if _fold(name) == column]
    return exact or same or [name for name in free if _fold(name) in synonyms]


def _fold(name: Any) -> str:
    return re.sub(r"\.\d+$", "", str(name).casefold().strip())


def _told(frame: pd.DataFrame, source: Source) -> dict[str, Any]:
    """What COLUMNS says, in the file's own spelling."""
    if frame.index.name == conll.BY_WORD:  # which has read it
        return {}
    head, own = source.head, {}
    known = {*OPTIONAL.get(head, ())}.union(*SHAPES[head])
    spelled = {_fold(name): name for name in frame} | {
        str(name): name for name in frame
    }
    for column, names in (source.columns or {}).items():
        found = [spelled.get(str(n), spelled.get(_fold(n))) for n in each(names)]
        free = [*_free(frame, own)]
        several = column in JOINED or (column == "label" and head in FLAGGED)
        fits = several or len(found) in (1, CHOICES if column == "choices" else 1)
        wrong = [n for n, f in zip(each(names), found, strict=True) if f not in free]
        wrong += [] if fits else [names]
        if column not in known or wrong:
            guess = _guess(frame, source, {})
            wanted = f"{listed(sorted(known))}, each named as one of {listed(frame)}"
            what = (wrong if column in known else [column])[0]
            raise source.bad(f"{short(what)} in COLUMNS", f"{wanted}, as in {guess}")
        own[column] = found if len(found) > 1 else found[0]
    return own


def _guess(frame: pd.DataFrame, source: Source, told: dict[str, Any]) -> str:
    """The command with the columns that look right, by what stands in them."""
    some = frame.iloc[:: len(frame) // 1000 + 1].map(str)
    # a name that is also a value of its column: the first line is no header
    bare = any(_fold(n) not in KNOWN and str(n) in set(some[n]) for n in frame)
    free = _free(frame, told)
    # words a cell, of four letters or more: a date has none
    prose = {n: some[n].str.count(r"[^\W\d_]{4,}").mean() for n in free}
    texts = [n for n in free if prose[n] >= 1.5] or sorted(free, key=prose.get)[-1:]
    wanted, guess = [c for c in SHAPES[source.head][0] if c not in told], dict(told)
    texts = texts if {*JOINED, "choices"} & set(wanted) else []

    def unlike(name: Any) -> tuple[Any, ...]:  # a column of labels
        parts = re.split(r"[\W_]+", _fold(name))
        hints, kinds = (parts[-1] in KNOWN) + bool(KNOWN & set(parts)), set(some[name])
        return len(kinds) < 2, -hints, "" in kinds, len(kinds)

    labels = sorted((n for n in free if n not in texts), key=unlike)
    for column in wanted:
        pool = texts if column in (*JOINED, "choices") and texts else labels
        every = len(wanted) < 3 and pool is texts  # titles belong to their text
        count = len(pool) if every else CHOICES if column == "choices" else 1
        names = [list(frame).index(n) if bare else n for n in pool[:count]] or ["NAME"]
        guess[column] = names if len(names) > 1 else names[0]
        del pool[:count]
    return source.command(columns=guess)

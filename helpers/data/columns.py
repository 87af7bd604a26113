"""Which column of a file is which of the schema: said in COLUMNS, or found by its name."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from helpers.data import conll
from helpers.data.schemas import CHOICES, PAIRABLE
from helpers.data.source import Source, listed, short
from helpers.errors import WorkbookError

if TYPE_CHECKING:
    import pandas as pd

ASKED = ("context", "question")
SHAPES = {  # what a row needs: one of these
    **dict.fromkeys(PAIRABLE, [("text", "label")]),
    "similarity": [("text", "text_pair", "score")],
    "tokens": [("tokens", "tags"), ("text", "spans")],
    "questions": [(*ASKED, "answers"), (*ASKED, "answer_text")],
    "choices": [("context", "choices", "label")],
    "corpus": [("text",)],
}
OPTIONAL = {
    **dict.fromkeys(PAIRABLE, ("text_pair",)),
    "tokens": ("sentence",),
    "questions": ("answer_start", "is_impossible"),
}
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
    "sentence": "sentence #|sentence_id|sent_id|sentence_number",
    "context": "passage|paragraph|startphrase|ctx",
    "question": "query",
    "answer_text": "answer",
    "answer_start": "start",
    "choices": "endings|options",
}
KNOWN = {*SYNONYMS, "answers"}.union(*(names.split("|") for names in SYNONYMS.values()))
ENDING = re.compile(r"(choice|ending|option|answer)[ _]?([0-4]|[a-d])")  # four columns
JOINED = ("text", "text_pair", *ASKED)  # several columns make one text
FLAGGED = (
    "classification",
    "multilabel",
)  # several columns of 0 and 1 are their labels
ONES, ZEROS = {"1", "1.0", "true"}, {"0", "0.0", "false"}


def said(name: str, value: Any) -> Any:
    """The value of a parameter, which papermill's -p gives as a text of JSON (or YAML).

    Raises `WorkbookError` on a text that is neither a list nor an object.
    """
    import yaml  # Windows' shells take the quotes out of JSON, which leaves YAML

    try:
        found = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        found = value
    if found and not isinstance(found, dict | list | tuple):
        good = (
            '{"text": "v2", "label": "v1"}' if name == "COLUMNS" else '["bad", "good"]'
        )
        raise WorkbookError(f"{name} is {value!r}; expected such as {good}")
    return found or None


def each(own: Any) -> list[Any]:
    """The one or several that stand for one."""
    return list(own) if isinstance(own, list | tuple) else [own]


def numbered(columns: Any) -> bool:
    """Whether COLUMNS says numbers, which means that the file has no header."""
    values = columns.values() if isinstance(columns, dict) else ()
    there = [str(one) for own in values for one in each(own)]
    return bool(there) and all(one.isdecimal() for one in there)


def pick(frame: pd.DataFrame, source: Source, notes: list[str]) -> pd.DataFrame:
    """The table in the schema's columns; those that are not the schema's are left out.

    Raises `WorkbookError`, with the command that names the columns, where names do not.
    """
    import pandas as pd

    own = _chosen(frame, source)
    if 0 in frame.columns and _is_header(frame, own):
        notes.append(
            f"{frame.index[0]} is taken for a header: {listed(frame.iloc[0], 4)}"
        )
        frame = frame.iloc[1:]
    picked = frame[[]].copy()
    for column, names in own.items():
        rows = frame[each(names)].to_numpy().tolist()
        if not isinstance(names, list):
            rows = [cell for (cell,) in rows]
        elif column in JOINED:
            rows = [
                " ".join(str(c) for c in row if c not in ("", None)) for row in rows
            ]
        elif column == "label":
            flags = ([str(cell).lower() in ONES for cell in row] for row in rows)
            rows = [list(itertools.compress(names, row)) for row in flags]
        picked[column] = pd.Series(rows, frame.index, dtype=object)
    return picked


def _chosen(frame: pd.DataFrame, source: Source) -> dict[str, Any]:
    """The file's column, or columns, for each of the schema's that the file has."""
    told, shapes = _told(frame, source), SHAPES[source.head]
    filled = [_filled(frame, shape, told, source) for shape in shapes]
    for shape, own in zip(shapes, filled, strict=True):
        if set(shape) <= set(own):
            return own
    lacking = listed(name for name in shapes[0] if name not in filled[0])
    wanted = f"{lacking} among them, or to be told: {_guess(frame, source, told)}"
    raise source.bad(f"the columns {listed(frame)}", wanted)


def _filled(
    frame: pd.DataFrame, shape: tuple[str, ...], told: dict[str, Any], source: Source
) -> dict[str, Any]:
    own = dict(told)
    for column in (*shape, *OPTIONAL.get(source.head, ())):
        found = [] if column in own else _candidates(frame, column, source.head, own)
        if len(found) > 1:
            command = source.command(columns={**told, column: found[0]})
            which = f"the columns {listed(found, 3)}, each of which may be {column!r}"
            raise source.bad(which, f"your choice, such as {command}")
        own |= {column: found[0]} if found else {}
    several: dict[str, list[Any]] = {}
    if "choices" in shape:
        four = [name for name in frame if ENDING.fullmatch(_fold(name))]
        several["choices"] = sorted(four, key=_fold) if len(four) == CHOICES else []
    if source.head in FLAGGED:
        rest = [name for name in frame if name not in own.values()]
        flags = [n for n in rest if set(frame[n].map(str).str.lower()) <= ONES | ZEROS]
        several["label"] = flags if len(flags) > 1 else []
    return {**{column: names for column, names in several.items() if names}, **own}


def _candidates(frame: pd.DataFrame, column: str, head: str, own: dict) -> list[Any]:
    """Free columns of that very name, else in other letters, else of its synonyms."""
    taken = [name for names in own.values() for name in each(names)]
    free = [name for name in frame if name not in taken]
    synonyms = SYNONYMS.get(column, "").split("|")
    synonyms += ["score"] if (head, column) == ("regression", "label") else []
    exact = [name for name in free if re.sub(r"\.\d+$", "", str(name)) == column]
    same = [name for name in free if _fold(name) == column]
    return exact or same or [name for name in free if _fold(name) in synonyms]


def _fold(name: Any) -> str:
    return re.sub(r"\.\d+$", "", str(name).casefold().strip())


def _told(frame: pd.DataFrame, source: Source) -> dict[str, Any]:
    """What COLUMNS says, in the file's own spelling."""
    if not source.columns or frame.index.name == conll.BY_WORD:  # which read it already
        return {}
    told, head = source.columns, source.head
    known = {*OPTIONAL.get(head, ())}.union(*SHAPES[head])
    spelled = {_fold(name): name for name in frame} | {
        str(name): name for name in frame
    }
    own, taken, wrong = {}, [], []
    for column, names in told.items() if isinstance(told, dict) else [(told, [])]:
        found = [spelled.get(str(n), spelled.get(_fold(n))) for n in each(names)]
        own[str(column)] = found[0] if len(found) == 1 else found
        several = column in JOINED or (column == "label" and head in FLAGGED)
        right = len(found) == (CHOICES if column == "choices" else 1) or several
        right = right or (column == "choices" and len(found) == 1)
        wrong += [] if str(column) in known and right else [column]
        wrong += [
            n
            for n, one in zip(each(names), found, strict=True)
            if one in (None, *taken)
        ]
        taken += found
    if wrong:
        wanted = f"{listed(sorted(known))}, each named as one of {listed(frame)}"
        guess = _guess(frame, source, {})
        raise source.bad(f"{short(wrong[0])} in COLUMNS", f"{wanted}, as in {guess}")
    return own


def _is_header(frame: pd.DataFrame, own: dict[str, Any]) -> bool:
    """Whether the first row of a file without a header is a header after all."""
    label = own.get("label", own.get("score"))
    cells = [str(frame.iloc[0][n]) for names in own.values() for n in each(names)]
    if isinstance(label, list | None) or max(len(cell.split()) for cell in cells) > 3:
        return False
    rest = frame[label].iloc[1:]
    few = rest.nunique() <= len(rest) / 2 or rest.str.fullmatch(r"-?[\d.]+").all()
    return bool(few) and frame[label].iloc[0] not in set(rest)


def _guess(frame: pd.DataFrame, source: Source, told: dict[str, Any]) -> str:
    """The command with the columns that look right, by what stands in them."""
    some = frame.iloc[:: len(frame) // 1000 + 1].map(str)
    # a name that is also a value of its column: the first line is no header
    bare = any(_fold(n) not in KNOWN and str(n) in set(some[n]) for n in frame)
    free = [
        n for n in frame if n not in [o for own in told.values() for o in each(own)]
    ]
    prose = {n: some[n].str.count(r"[^\W\d_]+\b").mean() for n in free}  # words a cell
    texts = [n for n in free if prose[n] > 3] or sorted(free, key=prose.get)[-1:]

    def unlike(name: Any) -> tuple[Any, ...]:  # a column of labels
        parts = re.split(r"[\W_]+", _fold(name))
        hints, kinds = (parts[-1] in KNOWN) + bool(KNOWN & set(parts)), set(some[name])
        return len(kinds) < 2, -hints, "" in kinds, len(kinds)

    labels = sorted((n for n in free if n not in texts), key=unlike)
    wanted, guess = [c for c in SHAPES[source.head][0] if c not in told], dict(told)
    for column in wanted:
        pool = texts if column in (*JOINED, "choices") and texts else labels
        every = len(wanted) < 3 and pool is texts  # titles belong to their text
        count = len(pool) if every else CHOICES if column == "choices" else 1
        names = [list(frame).index(n) if bare else n for n in pool[:count]] or ["NAME"]
        guess[column] = names if len(names) > 1 else names[0]
        del pool[:count]
    return source.command(columns=guess)

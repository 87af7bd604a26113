"""One row of a file, checked and typed as its head's schema wants it; and doubtful files."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from helpers.data import conll
from helpers.data.labels import Bad, Labels
from helpers.data.schemas import CHOICES
from helpers.data.source import Source, short

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

LONGEST = 10_000  # words: a file whose line breaks are gone
CONTRADICTED = 0.1  # of the rows: more is no noise but a wrong column
Row = dict[str, Any]


def rows(
    table: pd.DataFrame, source: Source, labels: Labels, notes: list[str]
) -> tuple[list[Row], list[str]]:
    """Every row in its schema, labels by name, and where each stands.

    Raises `WorkbookError`, one line, that names the bad rows.
    """
    head = source.head
    if head == "tokens":
        table = _tagged(table, source, labels, notes)
    if head == "multilabel":
        texts = [cell for cell in table["label"] if isinstance(cell, str)]
        mark = next(
            (m for m in "|;," if any(m in c for c in texts if c[:1] != "[")), "|"
        )
        table = table.assign(label=[_labels(cell, mark) for cell in table["label"]])
    if head == "choices":
        _check_count(table, source)
    return checked(table, source, lambda row: CHECKS[head](row, labels)), list(
        table.index
    )


def checked(
    table: pd.DataFrame, source: Source, check: Callable[[Row], Any]
) -> list[Any]:
    """What `check` makes of each row; a word of a CoNLL row stands on a line of its own."""
    made, faults = [], []
    for place, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            made.append(check(row))
        except Bad as bad:
            if bad.word is not None and table.index.name == conll.BY_WORD:
                place = f"line {int(place.split()[1]) + bad.word}"
            elif bad.word is not None:
                place = f"{place}, word {bad.word + 1}"
            faults.append((place, bad.found, bad.expected))
    if faults:
        raise source.refuse(faults)
    return made


def text(value: Any, column: str) -> str:
    """`value`, a text with something in it, of 10,000 words at most."""
    if not isinstance(value, str) or not value.strip():
        found = (
            f"an empty {column}"
            if value in (None, "")
            else f"{short(value)} as {column}"
        )
        raise Bad(found, "a text in every row")
    if len(value) > 2 * LONGEST and len(value.split()) > LONGEST:
        raise Bad(f"a {column} of {len(value.split()):,} words", f"{LONGEST:,} at most")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Bad(f"half a character in {short(value)}", "Unicode text")
    return value


def number(value: Any, column: str) -> float:
    """`value` as a finite float32."""
    try:
        found = (
            math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
        )
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not abs(found) < 3.4e38:
        hint = " (3.5, not 3,5)" if "," in str(value) else ""
        raise Bad(f"the {column} {short(value)}", f"a finite number{hint}")
    return found


def whole(value: Any, column: str) -> int:
    """`value` as a whole number."""
    found = number(value, column)
    if found != int(found):
        raise Bad(f"the {column} {short(value)}", "a whole number")
    return int(found)


def cell(value: Any) -> Any:
    """A list or an object that a table holds as text, as JSON or Python writes it."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return value


def many(value: Any, column: str) -> list[Any]:
    """A list, or its text."""
    found = cell(value)
    if not isinstance(found, list):
        raise Bad(f"{short(value)} as {column}", 'a list, such as ["a", "b"]')
    return found


def _texts(row: Row) -> Row:
    return {
        name: text(row[name], name) for name in ("text", "text_pair") if name in row
    }


def _labels(value: Any, mark: str) -> Any:
    found = cell(value)
    if isinstance(found, str):
        return [part for part in found.split(mark)] if found.strip() else []
    return found


def _multilabel(row: Row, labels: Labels) -> Row:
    found = [labels.name(one) for one in many(row["label"], "labels")]
    if len(set(found)) < len(found):
        raise Bad(f"a label twice in {short(found)}", "each label once")
    return {**_texts(row), "label": found}


def _tagged(
    table: pd.DataFrame, source: Source, labels: Labels, notes: list[str]
) -> pd.DataFrame:
    """Sentences with BIO tags by name, from spans, words or lists of any scheme."""
    if "spans" not in table and not any(
        isinstance(cell(c), list) for c in table["tokens"]
    ):
        table = conll.by_sentence(table, source)

    def parts(row: Row) -> tuple[list[Any], list[str]]:
        if "spans" in row:
            try:
                return conll.from_spans(
                    text(row["text"], "text"), many(row["spans"], "spans")
                )
            except ValueError as error:
                found = getattr(error, "found", f"{error}")
                raise Bad(
                    found, "[start, end, kind], inside of the text and apart"
                ) from None
        words, tags = many(row["tokens"], "tokens"), many(row["tags"], "tags")
        if len(words) != len(tags) or not words:
            raise Bad(
                f"{len(words)} tokens and {len(tags)} tags", "a tag for every token"
            )
        return words, [labels.name(tag) for tag in tags]

    pairs = checked(table, source, parts)
    flat = {tag for _, tags in pairs for tag in tags}
    if flat and all(tag.isdecimal() for tag in flat):
        some = ["O", *(f"{mark}-KIND{n}" for n in range(1, 50) for mark in "BI")]
        names = some[: max(map(int, flat)) + 1]
        wanted = f"their names, in order: {source.command(label_names=names)}"
        raise source.bad(
            f"the numbers {', '.join(sorted(flat, key=int)[:9])} as tags", wanted
        )
    bio, scheme = conll.to_bio([tags for _, tags in pairs])
    if scheme:
        notes.append(f"the tags are {scheme}; they are read as BIO")
    made = table[[]].assign(tokens=[words for words, _ in pairs], tags=bio)
    return made[[words != ["-DOCSTART-"] for words in made["tokens"]]]


def _tokens(row: Row, labels: Labels) -> Row:
    before = "O"
    for n, (word, tag) in enumerate(zip(row["tokens"], row["tags"], strict=True)):
        try:
            text(word, "token")
        except Bad as bad:
            raise Bad(bad.found, "a word", n) from None
        if not (tag == "O" or (tag[:2] in ("B-", "I-") and conll.TAG.fullmatch(tag))):
            raise Bad(f"the tag {short(tag)}", "O, B-kind or I-kind", n)
        if tag[0] == "I" and before[2:] != tag[2:]:
            found = f"{short(word)} tagged {tag} after {before}"
            raise Bad(found, f"B-{tag[2:]} on the first word of an entity", n)
        before = tag
    return row


def _questions(row: Row, labels: Labels) -> Row:
    context, question = (text(row[name], name) for name in ("context", "question"))
    given = cell(row["answers"] if "answers" in row else row["answer_text"])
    if not isinstance(given, list | dict):
        none = given in ("", None)
        given = (
            [] if none else [{"text": given, "answer_start": row.get("answer_start")}]
        )
    if isinstance(given, dict):  # as datasets holds them: lists side by side
        sides = [many(given.get(name), name) for name in ("text", "answer_start")]
        if len(sides[0]) != len(sides[1]):
            raise Bad(f"{len(sides[0])} answers and {len(sides[1])} starts", "as many")
        given = [{"text": t, "answer_start": s} for t, s in zip(*sides, strict=True)]
    if not all(isinstance(one, dict) for one in given):
        raise Bad(f"the answers {short(given)}", '[{"text": ..., "answer_start": ...}]')
    impossible = str(row.get("is_impossible")).lower()
    if impossible == str(bool(given)).lower():
        raise Bad(
            f"{len(given)} answers, is_impossible {impossible}", "one or the other"
        )
    texts = [text(one.get("text"), "answer") for one in given]
    starts = [
        _start(context, t, one.get("answer_start"))
        for t, one in zip(texts, given, strict=True)
    ]
    answers = {"text": texts, "answer_start": starts}
    return {"context": context, "question": question, "answers": answers}


def _start(context: str, answer: str, said: Any) -> int:
    """Where the answer begins: as said, or where it stands if it stands there once."""
    start = -1 if said in ("", None) else whole(said, "answer_start")
    if start >= 0 and context[start:].startswith(answer):
        return start
    places = [n for n in range(len(context)) if context.startswith(answer, n)]
    if not places:
        raise Bad(
            f"the answer {short(answer)}, which is not in the context", "a part of it"
        )
    if said in ("", None) and len(places) == 1:
        return places[0]
    near = min(places, key=lambda place: abs(place - start))
    there = context[max(0, start) :][: len(answer)]
    raise Bad(
        f"{short(there)} at answer_start {said}",
        f"{short(answer)}, which stands at {near}",
    )


def _check_count(table: pd.DataFrame, source: Source) -> None:
    there = {str(label).strip().removesuffix(".0") for label in table["label"]}
    if not source.label_names and there <= set("1234") and there:
        one, zero = (
            source.command(label_names=list(names)) for names in ("1234", "0123")
        )
        found = (
            f"the labels {', '.join(sorted(there))} and never 0: do they count from 1?"
        )
        raise source.bad(found, f"0 to 3, or for yes: {one}, for no: {zero}")


def _choices(row: Row, labels: Labels) -> Row:
    context = text(row["context"], "context")
    endings = [text(one, "ending") for one in many(row["choices"], "choices")]
    bare = [ending.strip() for ending in endings]
    if len(endings) != CHOICES:
        raise Bad(f"{len(endings)} endings", f"{CHOICES}")
    for n, ending in enumerate(bare):
        if bare.index(ending) < n:
            found = f"endings {bare.index(ending)} and {n} equal, {short(ending)}"
            raise Bad(found, "four that differ")
    label = str(row["label"]).strip().removesuffix(".0")
    names = labels.names or list("0123")
    if labels.spelled:
        label = labels.name(label)
    elif label.upper() in tuple("ABCD"):
        label = names["ABCD".index(label.upper())]
    elif label in bare:
        label = names[bare.index(label)]
    if label not in names:
        wanted = "0 to 3 or A to D, the right ending counted from 0"
        raise Bad(f"the label {short(row['label'])}", wanted)
    return {"context": context, "choices": endings, "label": names.index(label)}


CHECKS: dict[str, Callable[[Row, Labels], Row]] = {
    "classification": lambda row, ls: {**_texts(row), "label": ls.name(row["label"])},
    "multilabel": _multilabel,
    "regression": lambda row, _: {
        **_texts(row),
        "label": number(row["label"], "label"),
    },
    "similarity": lambda row, _: {
        **_texts(row),
        "score": number(row["score"], "score"),
    },
    "tokens": _tokens,
    "questions": _questions,
    "choices": _choices,
    "corpus": lambda row, _: _texts(row),
}


def identity(row: Row) -> tuple[str, ...]:
    """What rows have in common that the (uncased) model cannot tell apart."""
    parts = [row[n] for n in ("text", "text_pair", "context", "question") if n in row]
    parts += row.get("tokens", []) + row.get("choices", [])
    found = tuple(" ".join(part.casefold().split()) for part in parts)
    return tuple(sorted(found)) if "score" in row else found


def repeats(
    made: Sequence[Row], places: Sequence[str], source: Source, notes: list[str]
) -> None:
    """Note rows whose text stood in an earlier one, and those with another label there.

    Raises `WorkbookError` when a tenth of a classification's rows contradict another.
    """
    first, again, other = {}, [], []
    for place, row in zip(places, made, strict=True):
        before, answer = first.setdefault(identity(row), (place, _answer(row)))
        if before != place:
            again.append((before, place))
        if answer != _answer(row):
            other.append((before, place))
    if other:
        named = "; ".join(" and ".join(pair) for pair in other[:SHOWN])
        found = f"{len(other)} texts again with another label ({named}{', ...' * (len(other) > SHOWN)})"
        if source.head == "classification" and len(other) > CONTRADICTED * len(made):
            raise source.bad(found, "one label for a text (for several: multilabel)")
        notes.append(f"{found}; no model gets both right")
    if again:
        pair = " and ".join(again[0])
        notes.append(
            f"{len(again)} rows repeat another ({pair}); equal texts stay on one side of the split"
        )


SHOWN = 10


def _answer(row: Row) -> Any:
    return row.get("label", row.get("score", row.get("tags", row.get("answers"))))


@cache
def _tokenizer() -> PreTrainedTokenizerBase:
    from helpers.checkpoints import base_tokenizer

    return base_tokenizer("DistilBERT")


def unreadable(
    made: Sequence[Row], places: Sequence[str], source: Source, notes: list[str]
) -> None:
    """Note texts of which half or more is [UNK] to the English vocabulary.

    Raises `WorkbookError` when that is most of the file.
    """
    texts = [" ".join(identity(row)) for row in made]
    # plain English has none, and needs no tokenizer
    odd = [
        n
        for n, t in enumerate(texts)
        if not t.isascii() or max(map(len, t.split())) > 100
    ]
    odd = odd[:: len(odd) // 5000 + 1]
    if not odd:
        return
    found = _tokenizer()([texts[n] for n in odd], add_special_tokens=False)["input_ids"]
    unknown = _tokenizer().unk_token_id
    bad = [
        n
        for n, ids in zip(odd, found, strict=True)
        if 2 * ids.count(unknown) >= len(ids)
    ]
    if not bad:
        return
    told = f"{len(bad)} of {len(made)} rows are mostly [UNK] to this English model ({places[bad[0]]}: {short(texts[bad[0]])})"
    if 2 * len(bad) > len(odd) and 2 * len(bad) > len(made):
        raise source.bad(told, "English text")
    notes.append(told)

"""Labels of a file by name: what LABEL_NAMES says of them, and what can be doubted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from helpers.data.schemas import NAMED
from helpers.data.source import Bad, Source, listed, short

MANY = 20  # as many names may occur once or twice each
WHOLE = re.compile(r"-?\d+")
FRACTION = re.compile(r"[-+]?\d*[.,]\d+(e[-+]?\d+)?", re.IGNORECASE)


def plain(value: Any) -> str:
    """A label as a text, the same from JSON, CSV and Excel: true, True; 1, 1.0."""
    if isinstance(value, list) and len(value) == 1:  # as doccano writes one class
        value = value[0]
    if not isinstance(value, str | int | float):
        found = "no label" if value is None else f"the label {short(value)}"
        raise Bad(found, "one name or one whole number in every row")
    text = " ".join(str(value).split())
    text = text.lower() if text.lower() in ("true", "false") else text
    text = re.sub(r"^(-?\d+)\.0*$", r"\1", text)
    if not text:
        raise Bad("an empty label", "a name or a whole number in every row")
    if FRACTION.fullmatch(text):
        wanted = "a name or a whole number (fractions: regression)"
        raise Bad(f"the label {text}", wanted)
    return text.encode(errors="replace").decode()  # no half characters


def fold(name: str) -> str:
    """A name without case, kinds of blanks (`_` and `-` too) and forms of letters."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return text if WHOLE.fullmatch(text) else " ".join(re.split(r"[\s_-]+", text))


class Labels:
    """What LABEL_NAMES says: a list names 0, 1, ...; a dict maps spellings to names."""

    def __init__(self, source: Source):
        self.source, told = source, source.label_names
        self.names: list[str] = []  # all of them in order, if they are said
        self.spelled: dict[str, str] = {}
        if told and source.head not in (*NAMED, "choices"):
            wanted = f"none: {source.head} has no names of labels"
            raise source.bad("LABEL_NAMES", wanted)
        if isinstance(told, dict):
            self.spelled = {plain(old): plain(new) for old, new in told.items()}
            numbers = sorted(map(repr, range(len(told))))
            if sorted(map(repr, told.values())) == numbers:  # {"bad": 0, "good": 1}
                told = sorted(told, key=told.get)
        if isinstance(told, list | tuple):
            self.names = [str(name).strip() for name in told]
            if len(set(self.names)) < max(len(told), 2) or "" in self.names:
                wanted = "two names or more, all different"
                raise source.bad(f"LABEL_NAMES {listed(told)}", wanted)
            numbers = {str(n): name for n, name in enumerate(self.names)}
            self.spelled = numbers | {name: name for name in self.names}

    def name(self, value: Any) -> str:
        """The name that is meant by a label of the file."""
        text = plain(value)
        alike = [name for name in self.names if fold(name) == fold(text)]
        if text in self.spelled or not self.names or len(alike) == 1:
            return self.spelled.get(text, alike[0] if alike else text)
        wanted = f"one of {listed(self.names)}, or 0 to {len(self.names) - 1}"
        if text == str(len(self.names)):
            from_one = {str(n): name for n, name in enumerate(self.names, 1)}
            wanted += f"; from 1: {self.source.command(label_names=from_one)}"
        raise Bad(f"the label {short(value)}", wanted)

    def order(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The names in order: as said, or those of the rows sorted, numbers as numbers.

        Refuses names that differ in spelling alone, and where nothing is to be told.
        """
        count, head = Counter(name for row in rows for name in row), self.source.head
        found = set(count) - {"O" if head == "tokens" else None}
        if len(found) < 1 + (head == "classification"):
            none = f"no labels but {listed(count) or 'none'}"
            raise self.source.bad(none, "more of them")
        if self.names:
            return self.names
        self._check_spelling(count)
        if head == "tokens":
            kinds = sorted({tag[2:] for tag in found})
            return ["O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]
        if len(found) > max(MANY, len(rows) / 2):
            what = f"{len(found):,} different labels in {len(rows):,} rows"
            wanted = "each label in several rows (is it that column?)"
            raise self.source.bad(what, wanted)
        said = [name for name in dict.fromkeys(self.spelled.values()) if name in found]
        numbers = all(WHOLE.fullmatch(name) for name in found)
        return [*said, *sorted(found - set(said), key=int if numbers else None)]

    def _check_spelling(self, count: Counter[str]) -> None:
        alike, command = defaultdict(list), self.source.command
        for name, _ in count.most_common():
            alike[fold(name)].append(name)
        said = {*self.spelled, *self.spelled.values()}
        pairs = [names for names in alike.values() if names[1:] and set(names) - said]
        numbers = [name for name in count if WHOLE.fullmatch(name)]
        words = [name for name in count if name not in numbers]
        if pairs:
            same = {old: names[0] for names in pairs for old in names[1:]}
            found = "; ".join(" and ".join(map(repr, names)) for names in pairs[:4])
            mend = command(label_names={**self.spelled, **same})
            wanted = f"one spelling; if they are the same: {mend}"
            raise self.source.bad(f"the labels {found}", wanted)
        if numbers and words and set(count) - said:
            found = f"{listed(numbers, 3)}; {listed(words, 3)}"
            mend = command(label_names=dict.fromkeys(numbers, words[0]))
            wanted = f"one kind, or what each means, as in {mend}"
            raise self.source.bad(f"numbers and names as labels, {found}", wanted)

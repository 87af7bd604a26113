"""Labels of a file by name: what LABEL_NAMES says of them, and what can be doubted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from helpers.data.schemas import NAMED
from helpers.data.source import Source, listed, short

MANY = 20  # as many names may occur once or twice each
WHOLE = re.compile(r"-?\d+")


class Bad(ValueError):
    """A fault of one row; of its word number `word`, counted from 0, if there is one."""

    def __init__(self, found: str, expected: str, word: int | None = None):
        super().__init__(found)
        self.found, self.expected, self.word = found, expected, word


def plain(value: Any) -> str:
    """A label as a text, the same from JSON, CSV and Excel: true, True; 1, 1.0.

    Raises `Bad` on what cannot be a label's name.
    """
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
    if re.fullmatch(r"[-+]?\d*\.\d+(e[-+]?\d+)?", text, re.IGNORECASE):
        raise Bad(
            f"the label {text}", "a name or a whole number (fractions: regression)"
        )
    return text.encode(errors="replace").decode()  # no half characters


class Labels:
    """Names of labels by LABEL_NAMES: a list, names of 0, 1, ...; or a dict of spellings."""

    def __init__(self, source: Source):
        self.source, told = source, source.label_names
        self.names: list[str] = []  # all of them in order, if they are said
        self.spelled: dict[str, str] = {}
        if told and source.head not in (*NAMED, "choices"):
            raise source.bad(
                "LABEL_NAMES", f"none: {source.head} has no names of labels"
            )
        if isinstance(told, dict):
            numbers = sorted(told.values(), key=str)
            if numbers == list(range(len(numbers))):  # {"bad": 0, "good": 1}
                told = sorted(told, key=told.get)
            else:
                self.spelled = {plain(old): plain(new) for old, new in told.items()}
        if isinstance(told, list | tuple):
            self.names = [str(name).strip() for name in told]
            if len(set(self.names)) < max(len(told), 2) or "" in self.names:
                wanted = "two names or more, all different"
                raise source.bad(f"LABEL_NAMES {listed(told)}", wanted)
            self.spelled = {str(n): name for n, name in enumerate(self.names)}
            self.spelled |= {name: name for name in self.names}

    def name(self, value: Any) -> str:
        """The name that is meant by a label of the file.

        Raises `Bad` on one that is not among the names.
        """
        text = plain(value)
        if not self.names or text in self.spelled:
            return self.spelled.get(text, text)
        alike = [name for name in self.names if fold(name) == fold(text)]
        if len(alike) == 1:
            return alike[0]
        count = len(self.names)
        wanted = f"one of {listed(self.names)}, or 0 to {count - 1}"
        if text == str(count):
            from_one = {str(n): name for n, name in enumerate(self.names, 1)}
            wanted += f"; from 1: {self.source.command(label_names=from_one)}"
        raise Bad(f"the label {short(value)}", wanted)

    def order(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The names in order: as said, or those of the rows sorted, numbers as numbers.

        Raises `WorkbookError` on names that differ only in spelling, and where there is
        nothing to tell apart.
        """
        count = Counter(name for row in rows for name in row)
        tags = self.source.head == "tokens"
        if not self.names:
            self._check_spelling(count)
        if len(set(count) - ({"O"} if tags else set())) < 2 - (
            self.source.head != "classification"
        ):
            raise self.source.bad(
                f"no labels but {listed(count) or 'none'}", "more than that"
            )
        if self.names:
            return self.names
        if tags:
            kinds = sorted({tag[2:] for tag in count if tag != "O"})
            return ["O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]
        if len(count) > max(MANY, len(rows) / 2):
            found = f"{len(count):,} different labels in {len(rows):,} rows"
            raise self.source.bad(
                found, "each label in several rows (is it that column?)"
            )
        said = list(dict.fromkeys(self.spelled.values()))
        numbers = all(WHOLE.fullmatch(name) for name in count)
        found = sorted(count, key=int if numbers else None)
        return [n for n in said if n in count] + [n for n in found if n not in said]

    def _check_spelling(self, count: Counter[str]) -> None:
        alike = defaultdict(list)
        for name, _ in count.most_common():
            alike[fold(name)].append(name)
        said = {*self.spelled, *self.spelled.values()}
        pairs = [
            names for names in alike.values() if len(names) > 1 and set(names) - said
        ]
        if pairs:
            same = {old: names[0] for names in pairs for old in names[1:]}
            told = f"LABEL_NAMES to say that they are the same"
            command = self.source.command(label_names={**self.spelled, **same})
            found = "; ".join(" and ".join(map(repr, names)) for names in pairs[:4])
            raise self.source.bad(f"the labels {found}", f"{told}: {command}")
        numbers = [name for name in count if WHOLE.fullmatch(name)]
        words = [name for name in count if name not in numbers]
        if numbers and words and set(count) - said:
            found = (
                f"numbers and names as labels: {listed(numbers, 3)}, {listed(words, 3)}"
            )
            command = self.source.command(label_names=dict(zip(numbers, words)))
            raise self.source.bad(found, f"one kind, or what each is called: {command}")


def fold(name: str) -> str:
    """What is left of a name without case, blanks, `_`, `-` and other forms of letters."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return text if WHOLE.fullmatch(text) else " ".join(re.split(r"[\s_-]+", text))

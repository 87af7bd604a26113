"""Labels of a file as numbers: names that were given, or those that the rows turn out to hold.

Rows are read once, so that a label gets its number when it is first seen; `final` says which names
there were, in order, and what each number becomes.
"""

from __future__ import annotations

import re
import warnings
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from helpers.file_text import Place, counted, listed, short

WHOLE = re.compile(r"-?\d+")
DECIMAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?")
MANY = 20  # as many names may occur once or twice each
CONTRADICTED = 0.1  # of the rows: more is no noise but a wrong column


class Labels:
    """Name -> number. With `names`, a label must be one of them, or its number from 0."""

    def __init__(self, names: Sequence[str] | None):
        self.given = list(names) if names is not None else None
        self.codes = {name: code for code, name in enumerate(self.given or [])}
        self.numbered = any(WHOLE.fullmatch(name) for name in self.codes)

    def code(self, place: Place, value: Any) -> int:
        """The number of the label `value`, a word or a whole number.

        Raises `WorkbookError` on anything else, on an unknown name, and on words among numbers.
        """
        name = self._name(place, value)
        found = self.codes.get(name)
        if found is not None:
            return found
        return self._new(place, name) if self.given is None else self._given(place, name)

    def _name(self, place: Place, value: Any) -> str:
        if isinstance(value, float) or value is None or isinstance(value, (bool, list, dict)):
            kind = {float: "the number"}.get(type(value), "the value")
            raise place.bad(f"{kind} {short(value)} as label", "a name or a whole number")
        name = str(value).strip()
        if not name:
            raise place.bad("an empty label", "a name or a whole number in every row")
        if name in self.codes:
            return name
        if DECIMAL.fullmatch(name) and not WHOLE.fullmatch(name):
            raise place.bad(
                f"the number {short(name)} as label",
                "a name or a whole number (write 1, not 1.0; fractions are for regression)",
            )
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise place.bad(f"half a character in the label {short(name)}", "Unicode text")
        return name

    def _new(self, place: Place, name: str) -> int:
        whole = bool(WHOLE.fullmatch(name))
        if self.codes and whole != self.numbered:
            kind = "a whole number" if self.numbered else "a name"
            raise place.bad(
                f"the label {short(name)}",
                f"{kind}, as in the rows before (or say names=[...])",
            )
        self.numbered = whole
        return self.codes.setdefault(name, len(self.codes))

    def _given(self, place: Place, name: str) -> int:
        assert self.given is not None
        if WHOLE.fullmatch(name) and not self.numbered:
            if 0 <= int(name) < len(self.given):
                return int(name)
            raise place.bad(
                f"the label {short(name)}", f"0 to {len(self.given) - 1}, for {listed(self.given)}"
            )
        raise place.bad(f"the unknown label {short(name)}", f"one of {listed(self.given)}")

    def tag(self, place: Place, value: Any) -> str:
        """A tag by name; a number counts in the names that were given.

        Raises `WorkbookError` when it is neither.
        """
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and self.given:
            if 0 <= value < len(self.given):
                return self.given[value]
            raise place.bad(f"the tag {value}", f"0 to {len(self.given) - 1}")
        hint = " (numbers need names=[...])" if isinstance(value, int) else ""
        raise place.bad(f"the tag {short(value)}", f"O, B-kind or I-kind{hint}")

    def tag_code(self, word: Callable[[int], Place], i: int, tag: str) -> int:
        """The number of the tag of word `i`, whose place is `word(i)`."""
        if self.given is None:
            return self.codes.setdefault(tag, len(self.codes))
        if tag not in self.codes:
            raise word(i).bad(f"the unknown tag {short(tag)}", f"one of {listed(self.given)}")
        return self.codes[tag]

    def final(self, place: Place, head: str, rows: int) -> tuple[list[str], list[int]]:
        """(names in order, new number of each old number).

        Found names are sorted, whole numbers as numbers; tags are O, then B- and I- of each kind.

        Raises `WorkbookError` when there is nothing to tell apart, or nearly a label a row.
        """
        if self.given is not None:
            return self.given, list(range(len(self.given)))
        self._check_variety(place, head, rows)
        if head == "tokens":
            kinds = sorted({tag[2:] for tag in self.codes if tag != "O"})
            names = ["O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]
        else:
            names = sorted(self.codes, key=(lambda n: (int(n), n)) if self.numbered else None)
        return names, [names.index(name) for name in self.codes]

    def _check_variety(self, place: Place, head: str, rows: int) -> None:
        found = list(self.codes)
        if head == "classification" and len(found) < 2:
            raise place.bad(f"one label only, {listed(found)}", "two classes at least")
        if head == "multilabel" and not found:
            raise place.bad("no label in any row", "some rows with labels")
        if head == "tokens" and found == ["O"]:
            raise place.bad("no tag but O", "some words tagged B-kind")
        if len(found) > max(MANY, rows / 2) and head != "tokens":
            raise place.bad(
                f"{len(found):,} different labels in {rows:,} rows",
                "each label in several rows (is this the column of labels?)",
            )


class Repeats:
    """Notices a text that stands in a classification file twice, with two labels.

    A few are the noise of every real file ("good", 4 stars; "good", 5 stars) and give a warning.
    Many mean a wrong column, or several labels a text, one in each row: an error.
    Texts are held as hashes, 12 bytes and a dict entry a row.
    """

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self.codes, self.numbers = array("i"), array("q")
        self.rows, self.example = 0, ""

    def see(self, place: Place, row: dict[str, Any]) -> None:
        """Note one clean row."""
        self.codes.append(row["label"])
        self.numbers.append(place.number or 0)
        key = hash((row["text"], row.get("text_pair")))
        first = self.first.setdefault(key, len(self.codes) - 1)
        if self.codes[first] != row["label"]:
            self.rows += 1
            self.example = self.example or (
                f"{place.unit}s {self.numbers[first]} and {place.number}, {short(row['text'], 30)}"
            )

    def report(self, place: Place) -> None:
        """Warn of contradictions; raise `WorkbookError` when they are over a tenth of the rows."""
        if not self.rows:
            return
        found = f"{counted(self.rows, 'text')} again with another label ({self.example})"
        if self.rows > CONTRADICTED * len(self.codes):
            raise place.bad(found, "one label for a text (for several, the head is multilabel)")
        warnings.warn(f"{place}: found {found}; no model gets both right", stacklevel=3)

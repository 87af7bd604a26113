"""Exercise checks that name the likely mistake and never raise.

An `Exercise` knows the right answer as a function, and each likely mistake as the
function that makes it. An attempt is run on a few inputs: if it answers as the right
one does, it passes; if it answers as a known mistake does, that mistake is named;
otherwise the first difference is shown.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NOT_ATTEMPTED = "not attempted yet"
PASSED = "passed"
MISTAKE = "a likely mistake"
WRONG = "not yet right"
_MARKS = {NOT_ATTEMPTED: ("○", "#666"), PASSED: ("✓", "#1a7f37")}


@dataclass(frozen=True)
class Verdict:
    """A `status`, one of this module's four constants, and why."""

    status: str
    message: str = ""

    def __str__(self) -> str:
        mark, _ = _MARKS.get(self.status, ("✗", ""))
        return f"{mark} {self.status}" + (f": {self.message}" if self.message else "")

    def _repr_html_(self) -> str:
        _, colour = _MARKS.get(self.status, ("", "#b35900"))
        style = f"border-left:4px solid {colour};padding:.3em .8em"
        return f"<div style='{style}'>{html.escape(str(self))}</div>"


@dataclass(frozen=True)
class Drawn:
    """Inputs made of tensors, drawn when they are asked for: torch loads slowly."""

    draw: Callable[[], Iterable[tuple]]

    def __iter__(self) -> Iterator[tuple]:
        return iter(self.draw())


@dataclass(frozen=True)
class Exercise:
    """One exercise: its right answer, the inputs to try, and the mistakes worth naming.

    `inputs` holds one tuple of arguments per try. `mistakes` maps a message to the
    function that makes that mistake. An exercise without arguments may also be answered
    with a plain value.
    """

    answer: Callable[..., Any]
    inputs: Iterable[tuple] = ((),)
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    praise: str = ""

    def __call__(self, attempt: Any) -> None:
        """Show the verdict on `attempt`, a function or a value, below the cell."""
        from IPython.display import display

        display(self.verdict(attempt))

    def verdict(self, attempt: Any) -> Verdict:
        """Judge `attempt`; whatever it does, this returns."""
        try:
            given = self._answers(attempt if callable(attempt) else lambda *_: attempt)
        except NotImplementedError:
            return Verdict(NOT_ATTEMPTED)
        except Exception as error:
            return Verdict(WRONG, f"your code raised {type(error).__name__}: {error}")
        if all(value is None or value is ... for value in given):
            return Verdict(NOT_ATTEMPTED)
        right = self._answers(self.answer)
        if same(given, right):
            return Verdict(PASSED, self.praise)
        for message, mistaken in self.mistakes.items():
            if same(given, self._answers(mistaken)):
                return Verdict(MISTAKE, message)
        tries = zip(self.inputs, given, right, strict=True)
        first = next(each for each in tries if not same(*each[1:]))
        asked, mine, theirs = map(_short, first)
        tried = f"for {asked} " if first[0] else ""
        return Verdict(WRONG, f"{tried}expected {theirs}, got {mine}")

    def _answers(self, function: Callable[..., Any]) -> list:
        return [function(*arguments) for arguments in self.inputs]


def same(left: Any, right: Any) -> bool:
    """Equal, floats and tensors nearly so, element by element in lists and dicts."""
    left, right = (v.tolist() if hasattr(v, "tolist") else v for v in (left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        both = [(left[key], right[key]) for key in left.keys() & right.keys()]
        return left.keys() == right.keys() and all(same(*pair) for pair in both)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) or isinstance(right, float):
        try:
            return abs(left - right) <= 1e-4 * max(1.0, abs(right))
        except TypeError:
            return False
    return type(left) is type(right) and left == right


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

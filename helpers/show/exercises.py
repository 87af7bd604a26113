"""Exercise checks that name the likely mistake and never raise.

An `Exercise` knows the right answer as a function, and each likely mistake as the
function that makes it. An attempt is run on a few inputs: if it answers as the right
one does, it passes; if it answers as a known mistake does, that mistake is named;
otherwise the first difference is shown.

Each notebook's exercises stand in a module of their own, `from helpers.show.exercises
import tokenization as check`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOT_ATTEMPTED = "not attempted yet"
PASSED = "passed"
MISTAKE = "a likely mistake"
WRONG = "not yet right"
_MARKS = {
    NOT_ATTEMPTED: ("○", "#666"),
    PASSED: ("✓", "#1a7f37"),
    MISTAKE: ("✗", "#b35900"),
}


@dataclass(frozen=True)
class Verdict:
    """What a check has to say: a `status`, one of this module's four constants, and
    why.
    """

    status: str
    message: str

    def __str__(self) -> str:
        mark, _ = _MARKS.get(self.status, ("✗", "#b35900"))
        return f"{mark} {self.status}" + (f": {self.message}" if self.message else "")

    def _repr_html_(self) -> str:
        _, colour = _MARKS.get(self.status, ("✗", "#b35900"))
        return (
            f"<div style='border-left:4px solid {colour};padding:.3em .8em'>"
            f"{html.escape(str(self))}</div>"
        )


class Drawn(Sequence):
    """Inputs made of tensors, drawn when they are asked for: torch loads slowly."""

    def __init__(self, draw: Callable[[], Iterable[tuple]]) -> None:
        self.draw = draw

    def __len__(self) -> int:
        return len(list(self))

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

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
    inputs: Sequence[tuple] = ((),)
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    praise: str = ""

    def __call__(self, attempt: Any) -> None:
        """Show the verdict on `attempt`, a function or a value, below the cell."""
        from IPython.display import display

        display(self.verdict(attempt))

    def verdict(self, attempt: Any) -> Verdict:
        """Judge `attempt`; whatever it does, this returns."""
        function = attempt if callable(attempt) else lambda *_: attempt
        try:
            given = [function(*arguments) for arguments in self.inputs]
        except NotImplementedError:
            return Verdict(NOT_ATTEMPTED, "")
        except Exception as error:
            return Verdict(WRONG, f"your code raised {type(error).__name__}: {error}")
        if all(value is None or value is ... for value in given):
            return Verdict(NOT_ATTEMPTED, "")
        right = self._answers(self.answer)
        if same(given, right):
            return Verdict(PASSED, self.praise)
        for message, mistaken in self.mistakes.items():
            if same(given, self._answers(mistaken)):
                return Verdict(MISTAKE, message)
        return Verdict(WRONG, self._first_difference(given, right))

    def _answers(self, function: Callable[..., Any]) -> list:
        return [function(*arguments) for arguments in self.inputs]

    def _first_difference(self, given: list, right: list) -> str:
        for arguments, mine, theirs in zip(self.inputs, given, right, strict=True):
            if not same(mine, theirs):
                tried = f"for {_short(arguments)} " if arguments else ""
                return f"{tried}expected {_short(theirs)}, got {_short(mine)}"
        return ""


def same(left: Any, right: Any, tolerance: float = 1e-4) -> bool:
    """Equal, with tolerance for floats and tensors, element by element in lists and
    dicts.
    """
    if hasattr(left, "tolist"):
        left = left.tolist()
    if hasattr(right, "tolist"):
        right = right.tolist()
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same(left[k], right[k]) for k in left
        )
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and all(same(a, b, tolerance) for a, b in pairs)
    if isinstance(left, float) or isinstance(right, float):
        try:
            return abs(left - right) <= tolerance * max(1.0, abs(right))
        except TypeError:
            return False
    return type(left) is type(right) and left == right


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."

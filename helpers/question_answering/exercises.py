"""Exercises of `07_question_answering`: the right answers and the likely mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from helpers.show.exercises import Exercise
from helpers.training.squad import answer_f1, normalize_answer


def _words(given: str, right: str) -> tuple[list[str], list[str]]:
    return normalize_answer(given).split(), normalize_answer(right).split()


def _f1(given: list[str], right: list[str], shared: int) -> float:
    return (
        2 * shared / (len(given) + len(right))
        if given and right
        else float(given == right)
    )


def _raw_words(given: str, right: str) -> float:
    a, b = given.split(), right.split()
    return _f1(a, b, (Counter(a) & Counter(b)).total())


def _sets(given: str, right: str) -> float:
    a, b = (sorted(set(words)) for words in _words(given, right))
    return _f1(a, b, len(set(a) & set(b)))


def _share_of(given: str, right: str, *, of_right: bool) -> float:
    a, b = _words(given, right)
    if not a or not b:
        return float(a == b)
    return (Counter(a) & Counter(b)).total() / len(b if of_right else a)


def _empty_is_wrong(given: str, right: str) -> float:
    a, b = _words(given, right)
    return _f1(a, b, (Counter(a) & Counter(b)).total()) if a and b else 0.0


token_f1 = Exercise(
    answer=answer_f1,
    inputs=[
        ("in the year 1969", "1969"),
        ("Neil Armstrong", "Armstrong"),
        ("The Eagle!", "eagle"),
        ("tick tick tick tock", "tick tock tock"),
        ("a small step for man", "one small step"),
        ("", "1969"),
        ("", ""),
        ("the moon", "the sea"),
    ],
    mistakes={
        "Compare normalised words: case, punctuation and articles do not count.": _raw_words,
        "Repeats count: “tick tick” shares two words with “tick tick”. Sets forget that.": _sets,
        "That is the precision alone: the share of the given words that are right.": (
            lambda given, right: _share_of(given, right, of_right=False)
        ),
        "That is the recall alone: the share of the right words that were given.": (
            lambda given, right: _share_of(given, right, of_right=True)
        ),
        "Both empty means that silence was right: 1, not 0.": _empty_is_wrong,
    },
    praise="This is the F1 of every question-answering table since 2016.",
)


Floats = Sequence[float]


def _best(start: Floats, end: Floats, longest: int, least: int = 1) -> tuple[int, int]:
    """The pair with the highest sum, of `least` to `longest` tokens."""
    pairs = [
        (start[i] + end[j], -i, -j)
        for i in range(len(start))
        for j in range(i + least - 1, min(len(end), i + longest))
    ]
    _, i, j = max(pairs)
    return -i, -j


def _apart(start: Floats, end: Floats, longest: int) -> tuple[int, int]:
    return max(range(len(start)), key=start.__getitem__), max(
        range(len(end)), key=end.__getitem__
    )


def _start_first(start: Floats, end: Floats, longest: int) -> tuple[int, int]:
    i, _ = _apart(start, end, longest)
    return i, max(range(i, min(len(end), i + longest)), key=end.__getitem__)


best_span = Exercise(
    answer=_best,
    inputs=[
        ([0.0, 4.0, 3.0, 1.0], [0.0, 0.5, 2.0, 1.0], 3),
        ([1.0, 0.0, 5.0, 0.0], [6.0, 1.0, 2.0, 1.5], 2),
        ([5.0, 0.0, 0.0, 2.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 2.0, 7.0], 3),
        ([4.0, 3.75, 0.0, 0.0], [0.0, 0.0, 3.0, 6.0], 3),
        ([0.0, 1.0, 9.0, 2.0], [1.0, 2.0, 8.0, 3.0], 4),
        ([5.0, 0.0, 0.0, 4.0], [0.0, 1.0, 3.0, 5.0], 3),
    ],
    mistakes={
        "Each maximum alone: nothing keeps the end behind the start. Score pairs.": _apart,
        "The best start need not belong to the best pair: try every start.": _start_first,
        "`longest` counts tokens, and both ends belong to the answer: i..i+longest-1.": (
            lambda start, end, longest: _best(start, end, longest + 1)
        ),
        "You ignored `longest`.": lambda start, end, longest: _best(
            start, end, len(start)
        ),
        "An answer may be one token long: start and end may be the same place.": (
            lambda start, end, longest: _best(start, end, longest, least=2)
        ),
    },
    praise="The library function does the same for a whole batch at once.",
)

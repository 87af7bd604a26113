"""Exercises of `07_question_answering`: the right answers and the likely mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from helpers.show.exercises import Exercise
from helpers.training.squad import answer_f1, normalize_answer

Words = Sequence[str]
Floats = Sequence[float]


def _normal(*texts: str) -> list[list[str]]:
    return [normalize_answer(text).split() for text in texts]


def _shared(given: Words, right: Words) -> int:
    return (Counter(given) & Counter(right)).total()


def _f1(given: Words, right: Words) -> float:
    if not given or not right:
        return float(given == right)
    return 2 * _shared(given, right) / (len(given) + len(right))


def _precision(given: Words, right: Words) -> float:
    if not given or not right:
        return float(given == right)
    return _shared(given, right) / len(given)


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
        "Compare normalised words: case, punctuation and articles do not count.": (
            lambda given, right: _f1(given.split(), right.split())
        ),
        "Repeats count: “tick tick” shares two words with “tick tick”. "
        "Sets forget that.": (
            lambda *pair: _f1(*(sorted(set(words)) for words in _normal(*pair)))
        ),
        "That is the precision alone: the share of the given words that are right.": (
            lambda given, right: _precision(*_normal(given, right))
        ),
        "That is the recall alone: the share of the right words that were given.": (
            lambda given, right: _precision(*_normal(right, given))
        ),
        "Both empty means that silence was right: 1, not 0.": (
            lambda *pair: _f1(*_normal(*pair)) if any(_normal(*pair)) else 0.0
        ),
    },
    praise="This is the F1 of every question-answering table since 2016.",
)


def _best(start: Floats, end: Floats, longest: int, least: int = 1) -> tuple[int, int]:
    """The pair with the highest sum, of `least` to `longest` tokens."""
    pairs = [
        (i, j)
        for i in range(len(start))
        for j in range(i + least - 1, min(len(end), i + longest))
    ]
    return max(pairs, key=lambda pair: start[pair[0]] + end[pair[1]])


def _highest(values: Floats) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _start_first(start: Floats, end: Floats, longest: int) -> tuple[int, int]:
    first = _highest(start)
    return first, first + _highest(end[first : first + longest])


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
        "Each maximum alone: nothing keeps the end behind the start. Score pairs.": (
            lambda start, end, longest: (_highest(start), _highest(end))
        ),
        "The best start need not belong to the best pair: try every start.": (
            _start_first
        ),
        "`longest` counts tokens, and both ends belong to the answer: "
        "i..i+longest-1.": lambda start, end, longest: _best(start, end, longest + 1),
        "You ignored `longest`.": (
            lambda start, end, longest: _best(start, end, len(start))
        ),
        "An answer may be one token long: start and end may be the same place.": (
            lambda start, end, longest: _best(start, end, longest, least=2)
        ),
    },
    praise="The library function does the same for a whole batch at once.",
)

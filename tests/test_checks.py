"""Checks judge; they never raise."""

import pytest

from helpers.show import exercises as checks
from helpers.show.exercises import Exercise, same

square = Exercise(
    answer=lambda x: x * x,
    inputs=[(2.0,), (3.0,)],
    mistakes={"Did you double it?": lambda x: 2 * x},
)


def crash(x):
    raise ZeroDivisionError("by nought")


def unfinished(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("attempt", "status", "message"),
    [
        (lambda x: None, checks.NOT_ATTEMPTED, ""),
        (lambda x: ..., checks.NOT_ATTEMPTED, ""),
        (unfinished, checks.NOT_ATTEMPTED, ""),
        (lambda x: x**2, checks.PASSED, ""),
        (lambda x: x + x, checks.MISTAKE, "Did you double it?"),
        (lambda x: x + 1, checks.WRONG, "for (2.0,) expected 4.0, got 3.0"),
        (crash, checks.WRONG, "your code raised ZeroDivisionError: by nought"),
        (lambda: 1, checks.WRONG, "your code raised TypeError"),
        ("text", checks.WRONG, "for (2.0,) expected 4.0, got 'text'"),
    ],
)
def test_every_kind_of_attempt_gets_its_verdict(attempt, status, message):
    verdict = square.verdict(attempt)
    assert verdict.status == status
    assert verdict.message.startswith(message)


def test_a_plain_value_is_judged_too():
    exercise = Exercise(answer=lambda: 7, mistakes={"one too many?": lambda: 8})
    assert exercise.verdict(7).status == checks.PASSED
    assert exercise.verdict(8).message == "one too many?"
    assert exercise.verdict(None).status == checks.NOT_ATTEMPTED


def test_a_verdict_escapes_what_the_reader_wrote():
    verdict = square.verdict(lambda x: "<script>alert(1)</script>")
    assert "<script>" not in verdict._repr_html_()


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        ([1, [2.00001]], (1, [2.0]), True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ([1, 2], [1], False),
        (True, 1, False),
        (float("nan"), 1.0, False),
        ("1", 1.0, False),
    ],
)
def test_same(left, right, equal):
    assert same(left, right) is equal

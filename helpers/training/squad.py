"""Exact match and F1 of answers, as SQuAD counts them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean

PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single spaces.

    >>> normalize_answer("The  Beatles' last (rooftop) concert.")
    'beatles last rooftop concert'
    """
    bare = text.lower().translate(PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def exact_match(answer: str, gold: str) -> float:
    """1.0 if both are the same after `normalize_answer`, else 0.0."""
    return float(normalize_answer(answer) == normalize_answer(gold))


def answer_f1(answer: str, gold: str) -> float:
    """F1 in [0, 1] of the words that both share, normalised, repeats counted.

    If either is empty, that is "no answer", 1.0 if both are and else 0.0.

    >>> round(answer_f1("in the year 1969", "1969"), 3)  # precision 1/3, recall 1
    0.5
    """
    words, right = (normalize_answer(text).split() for text in (answer, gold))
    if not words or not right:
        return float(words == right)
    shared = (Counter(words) & Counter(right)).total()
    return 2 * shared / (len(words) + len(right))


def best_match(answer: str, golds: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1, each with the right answer that fits best; none means ""."""
    # the official script drops right answers of which nothing is left, such as "The"
    kept = [gold for gold in golds if normalize_answer(gold)] or [""]
    pairs = [(exact_match(answer, gold), answer_f1(answer, gold)) for gold in kept]
    return tuple(map(max, zip(*pairs, strict=True)))


def squad_scores(
    predictions: Mapping[Hashable, str], references: Mapping[Hashable, Sequence[str]]
) -> dict[str, float]:
    """`exact_match` and `f1`, in [0, 1], of one text for each question.

    Of several right answers the best match counts; none means that there is no answer,
    and "" says so. The same two follow for the questions with an answer
    (`has_answer_...`) and without (`no_answer_...`), where there are any.

    >>> squad_scores({1: "Neil Armstrong", 2: "Mars"}, {1: ["Armstrong"], 2: []})["f1"]
    0.3333333333333333

    Source: the official evaluation scripts of SQuAD 1.1 and 2.0, which report
    percentages (Rajpurkar et al. 2016, arXiv:1606.05250, and 2018, arXiv:1806.03822).
    """
    if not references:
        raise ValueError("there is nothing to score: no questions")
    for question in predictions.keys() ^ references.keys():
        lacks = "prediction" if question in references else "right answer"
        raise ValueError(f"question {question!r} has no {lacks}")
    pairs = {q: best_match(predictions[q], golds) for q, golds in references.items()}
    groups = {
        "": list(pairs.values()),
        "has_answer_": [pair for q, pair in pairs.items() if references[q]],
        "no_answer_": [pair for q, pair in pairs.items() if not references[q]],
    }
    return {
        prefix + name: fmean(pair[at] for pair in group)
        for prefix, group in groups.items()
        if group
        for at, name in enumerate(("exact_match", "f1"))
    }

"""One data contract per head: which columns a row has, and of what type.

Sample sets, Hub sets and your own files all end up in one of these shapes, so that the
code that fine-tunes a head never asks where its data came from.

    classification  text, [text_pair,] label             label: one of the names
    multilabel      text, [text_pair,] label             label: a list of names, perhaps empty
    regression      text, [text_pair,] label             label: a number
    similarity      text, text_pair, score               score: a number
    tokens          tokens, tags                         a tag for every word, BIO
    questions       context, question, answers           answers: {text, answer_start}, may be empty
    choices         context, choices, label              four endings, and which one is right
    corpus          text
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Features

HEADS = (
    "classification", "multilabel", "regression", "similarity", "tokens", "questions", "choices",
    "corpus",
)  # fmt: skip
NAMED = ("classification", "multilabel", "tokens")  # heads whose labels have names
PAIRABLE = (
    "classification",
    "multilabel",
    "regression",
)  # heads that may read two texts
CHOICES = 4


def features(head: str, names: Sequence[str] = (), *, pair: bool = False) -> Features:
    """The typed columns of `head`. `names` are the labels' names; `pair` adds
    `text_pair`.

    >>> list(features("classification", ["bad", "good"], pair=True))
    ['text', 'text_pair', 'label']

    Raises `ValueError` on an unknown head, or when names or a pair do not belong to it.
    """
    from datasets import ClassLabel, Features, List, Value

    if head not in HEADS:
        raise ValueError(f"head is {head!r}; it must be one of {', '.join(HEADS)}")
    if (head in NAMED) != bool(names):
        raise ValueError(
            f"{head} {'needs' if head in NAMED else 'has no'} names of labels"
        )
    if pair and head not in PAIRABLE:
        raise ValueError(f"{head} does not take an optional second text")
    text, named = Value("string"), ClassLabel(names=list(names)) if names else None
    texts = {"text": text, "text_pair": text} if pair else {"text": text}
    columns: dict[str, dict[str, Any]] = {
        "classification": {**texts, "label": named},
        "multilabel": {**texts, "label": List(named)},
        "regression": {**texts, "label": Value("float32")},
        "similarity": {"text": text, "text_pair": text, "score": Value("float32")},
        "tokens": {"tokens": List(text), "tags": List(named)},
        "questions": {
            "context": text,
            "question": text,
            "answers": {"text": List(text), "answer_start": List(Value("int32"))},
        },
        "choices": {
            "context": text,
            "choices": List(text, length=CHOICES),
            "label": Value("int32"),
        },
        "corpus": {"text": text},
    }
    return Features(columns[head])

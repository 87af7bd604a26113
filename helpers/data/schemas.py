"""One schema per head, the same for sample sets, the Hub's and your own files.

classification  text, [text_pair,] label     label: one of the names
multilabel      text, [text_pair,] label     label: a list of names, perhaps empty
regression      text, [text_pair,] label     label: a number
similarity      text, text_pair, score       score: a number
tokens          tokens, tags                 a tag for every word, BIO
questions       context, question, answers   {text, answer_start}, may be empty
choices         context, choices, label      four endings, and which one is right
corpus          text
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, List, Value

PAIRABLE = ("classification", "multilabel", "regression")  # may read two texts
HEADS = (*PAIRABLE, "similarity", "tokens", "questions", "choices", "corpus")
NAMED = ("classification", "multilabel", "tokens")  # heads whose labels have names
CHOICES = 4


def label_names(rows: Dataset, column: str) -> list[str]:
    """The names of a column of labels, or of lists of them; none of other columns."""
    feature = rows.features.get(column)
    return getattr(getattr(feature, "feature", feature), "names", None) or []


def features(head: str, names: Sequence[str] = (), *, pair: bool = False) -> Features:
    """The typed columns of `head`; `names` of its labels, `pair` adds `text_pair`.

    >>> list(features("classification", ["bad", "good"], pair=True))
    ['text', 'text_pair', 'label']
    """
    if head not in HEADS:
        raise ValueError(f"head is {head!r}; it must be one of {', '.join(HEADS)}")
    if (head in NAMED) != bool(names):
        needs = "needs" if head in NAMED else "has no"
        raise ValueError(f"{head} {needs} names of labels")
    if pair and head not in PAIRABLE:
        raise ValueError(f"{head} does not take an optional second text")
    text, number, whole = Value("string"), Value("float32"), Value("int32")
    named = ClassLabel(names=list(names)) if names else None
    texts = {"text": text, "text_pair": text} if pair else {"text": text}
    answers = {"text": List(text), "answer_start": List(whole)}
    columns: dict[str, dict[str, Any]] = {
        "classification": {**texts, "label": named},
        "multilabel": {**texts, "label": List(named)},
        "regression": {**texts, "label": number},
        "similarity": {"text": text, "text_pair": text, "score": number},
        "tokens": {"tokens": List(text), "tags": List(named)},
        "questions": {"context": text, "question": text, "answers": answers},
        "choices": {"context": text, "choices": List(text, length=4), "label": whole},
        "corpus": {"text": text},
    }
    return Features(columns[head])

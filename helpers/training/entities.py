"""Entities of tagged sentences: where they stand, and what a small window finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

Sentences = Sequence[Sequence[str]]
Entity = tuple[int, str, int, int]  # row, kind, first word, last word, inclusive


def found(rows: Sentences) -> set[Entity]:
    """All entities of rows of tags.

    >>> found([["O", "B-place", "I-place"]])
    {(0, 'place', 1, 2)}
    """
    from seqeval.metrics.sequence_labeling import get_entities

    return {(i, *e) for i, tags in enumerate(rows) for e in get_entities(list(tags))}


def places(tokens: Sequence[str], tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Entities as (kind, first character, past the last) in the tokens and blanks.

    >>> places(["In", "Visby", "."], ["O", "B-place", "O"])
    [('place', 3, 8)]
    """
    starts = [0, *accumulate(len(token) + 1 for token in tokens)]
    order = sorted(found([tags]), key=lambda entity: entity[2])
    return [(kind, starts[a], starts[b] + len(tokens[b])) for _, kind, a, b in order]


def torn(text: str, entities: Sequence[tuple[str, int, int]]) -> list[str]:
    """Those of the entities of `places` that begin or end inside a word, described."""
    framed, lines = f" {text} ", []
    for kind, a, b in sorted(entities, key=lambda entity: entity[1]):
        if framed[a] != " " or framed[b + 1] != " ":
            first, last = framed.rfind(" ", 0, a + 2), framed.find(" ", max(a + 1, b))
            lines.append(f"{text[a:b]!r} ({kind}) in {framed[first + 1 : last]!r}")
    return lines


def window(tokens: Sequence[str], at: int, capitals: bool = True) -> Mapping[str, Any]:
    """What one sees of a word through a window of three words, its shape with it."""
    word, around = tokens[at], ["^", *tokens, "$"]
    seen = {f"word={word.lower()}": 1, "digit": word[:1].isdigit(), "first": at == 0}
    seen |= {f"before={around[at].lower()}": 1, f"after={around[at + 2].lower()}": 1}
    return seen | {"capital": word[:1].isupper()} if capitals else seen


def window_tags(
    words: Sentences, tags: Sentences, test: Sentences, capitals: bool = True
) -> list[list[str]]:
    """The tags that a logistic regression on `window` gives the test words.

    It learns from `words` and their `tags`, a row for each sentence.
    """
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def flat(rows: Sentences) -> list[Mapping[str, Any]]:
        return [window(row, at, capitals) for row in rows for at in range(len(row))]

    model = make_pipeline(DictVectorizer(), LogisticRegression(max_iter=2000, C=10.0))
    model.fit(flat(words), [tag for row in tags for tag in row])
    said = iter(model.predict(flat(test)).tolist())
    return [[next(said) for _ in row] for row in test]

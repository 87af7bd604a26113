"""Entities of tagged sentences: where they stand, which are new, a baseline."""

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


def by_kind(
    right: Sentences, guessed: Sentences, kinds: Sequence[str]
) -> dict[str, tuple[float, float, int]]:
    """{kind: (precision, recall, true entities)}; a share of nothing is 0."""
    table = {}
    for kind in kinds:
        t, s = ({e for e in found(side) if e[1] == kind} for side in (right, guessed))
        table[kind] = (len(t & s) / max(1, len(s)), len(t & s) / max(1, len(t)), len(t))
    return table


def seen_and_new(
    train: tuple[Sentences, Sentences], test: tuple[Sentences, Sentences]
) -> dict[str, set[Entity]]:
    """The test entities whose words, with this kind, stood in training, and the others.

    `train` and `test` are (words, tags), a row for each sentence; letter case does not
    count.
    """

    def named(words: Sentences, entity: Entity) -> tuple[str, str]:
        row, kind, first, last = entity
        return kind, " ".join(words[row][first : last + 1]).lower()

    known = {named(train[0], entity) for entity in found(train[1])}
    asked = found(test[1])
    seen = {entity for entity in asked if named(test[0], entity) in known}
    return {"seen in training": seen, "new": asked - seen}


def with_and_without_doubles(
    ordinary: set[str], words: Sentences, right: Sentences, guessed: Sentences
) -> dict[str, list[bool]]:
    """Whether each capitalised entity word got its kind, in two groups of words.

    Those whose small-letter spelling is among the `ordinary` words, and the others.
    """
    groups: dict[str, list[bool]] = {"with a double": [], "without": []}
    for row in zip(words, right, guessed, strict=True):
        for word, tag, guess in zip(*row, strict=True):
            if tag != "O" and word[:1].isupper():
                group = "with a double" if word.lower() in ordinary else "without"
                groups[group].append(guess[1:] == tag[1:])
    return groups


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

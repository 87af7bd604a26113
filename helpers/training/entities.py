"""Entities of tagged sentences: where they stand, which were met before, what a window
finds.

What notebook 06 counts, as pure functions of words and BIO tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

Sentences = Sequence[Sequence[str]]


def found(rows: Sentences) -> set[tuple[int, str, int, int]]:
    """All entities of rows of tags: (row, kind, first word, last word), the last
    inclusive.

    >>> found([["O", "B-place", "I-place"]])
    {(0, 'place', 1, 2)}
    """
    from seqeval.metrics.sequence_labeling import get_entities

    return {
        (i, *entity)
        for i, tags in enumerate(rows)
        for entity in get_entities(list(tags))
    }


def places(tokens: Sequence[str], tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Entities as (kind, first character, behind the last) of the tokens joined by
    blanks.

    >>> places(["In", "Visby", "."], ["O", "B-place", "O"])
    [('place', 3, 8)]
    """
    starts = [0, *accumulate(len(token) + 1 for token in tokens)]
    order = sorted(found([tags]), key=lambda entity: entity[2])
    return [(kind, starts[a], starts[b] + len(tokens[b])) for _, kind, a, b in order]


def torn(text: str, entities: Sequence[tuple[str, int, int]]) -> list[str]:
    """Those of the entities that begin or end inside a word of `text`, described.

    `entities` are as `places` gives them; words stand between blanks.
    """
    framed = f" {text} "
    return [
        f"{text[a:b]!r} ({kind}) in {_words_at(text, a, b)!r}"
        for kind, a, b in sorted(entities, key=lambda entity: entity[1])
        if framed[a] != " " or framed[b + 1] != " "
    ]


def _words_at(text: str, start: int, end: int) -> str:
    """The whole words that `text[start:end]` touches."""
    stop = text.find(" ", max(start, end - 1))
    return text[text.rfind(" ", 0, start + 1) + 1 : len(text) if stop < 0 else stop]


def by_kind(
    right: Sentences, guessed: Sentences, kinds: Sequence[str]
) -> dict[str, tuple[float, float, int]]:
    """{kind: (precision, recall, true entities)}; a share of nothing is 0."""
    true, said = found(right), found(guessed)
    table = {}
    for kind in kinds:
        t, s = (
            {entity for entity in side if entity[1] == kind} for side in (true, said)
        )
        table[kind] = (len(t & s) / max(1, len(s)), len(t & s) / max(1, len(t)), len(t))
    return table


def seen_and_new(
    train: tuple[Sentences, Sentences], test: tuple[Sentences, Sentences]
) -> dict[str, set[tuple[int, str, int, int]]]:
    """The test entities in two groups: their words, with this kind, stood in training,
    or not.

    `train` and `test` are (words, tags), a row for each sentence; letter case does not
    count.
    """
    known = {_named(train[0], entity) for entity in found(train[1])}
    groups: dict[str, set] = {"seen in training": set(), "new": set()}
    for entity in found(test[1]):
        groups["seen in training" if _named(test[0], entity) in known else "new"].add(
            entity
        )
    return groups


def _named(words: Sentences, entity: tuple[int, str, int, int]) -> tuple[str, str]:
    row, kind, first, last = entity
    return kind, " ".join(words[row][first : last + 1]).lower()


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
    """What one sees of a word through a window of three: itself, its neighbours, its
    shape.
    """
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

    def flat(rows: Sentences) -> list[Mapping[str, Any]]:
        return [
            window(tokens, at, capitals) for tokens in rows for at in range(len(tokens))
        ]

    features = DictVectorizer()
    seen, answers = (
        features.fit_transform(flat(words)),
        [tag for row in tags for tag in row],
    )
    model = LogisticRegression(max_iter=2000, C=10.0).fit(seen, answers)
    said = iter(model.predict(features.transform(flat(test))))
    return [[str(next(said)) for _ in tokens] for tokens in test]

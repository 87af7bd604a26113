"""Exercises of `06_token_classification`: the right answers and the likely mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.show.exercises import Exercise

Pieces = Sequence[int | None]

# O, B-person, I-person, B-place, I-place: a begin is odd, its inside the next number
_SENTENCES = [
    ([None, 0, 0, 1, None], [1, 0]),
    ([None, 0, 1, 1, 1, 2, None], [0, 3, 0]),
    ([None, 0, 0, 1, 1, 2, 3, 3, None, None], [1, 2, 0, 1]),
    ([None, 0, 1, 1, None], [1, 1]),
]


def _every_piece(word_ids: Pieces, labels: Sequence[int]) -> list[int]:
    found, before = [], None
    for word in word_ids:
        if word is None:
            found.append(-100)
        elif word == before and labels[word] % 2:
            found.append(labels[word] + 1)
        else:
            found.append(labels[word])
        before = word
    return found


def _first_piece(word_ids: Pieces, labels: Sequence[int]) -> list[int]:
    before = [None, *word_ids]
    return [
        -100 if word is None or word == last else labels[word]
        for word, last in zip(word_ids, before, strict=False)
    ]


def _specials_outside(word_ids: Pieces, labels: Sequence[int]) -> list[int]:
    return [0 if label == -100 else label for label in _every_piece(word_ids, labels)]


def _zipped(word_ids: Pieces, labels: Sequence[int]) -> list[int]:
    room = len(word_ids) - 1
    return ([-100, *labels] + [-100] * room)[: len(word_ids)]


def _always_next(word_ids: Pieces, labels: Sequence[int]) -> list[int]:
    """Adds 1 to every continued piece, whatever its word's label."""
    before = [None, *word_ids]
    return [
        -100 if word is None else labels[word] + (word == last)
        for word, last in zip(word_ids, before, strict=False)
    ]


every_piece = Exercise(
    answer=_every_piece,
    inputs=_SENTENCES,
    mistakes={
        "The continued pieces repeat B: each would begin a new entity. Turn their B into I.": (
            lambda word_ids, labels: [
                -100 if w is None else labels[w] for w in word_ids
            ]
        ),
        "That is the other convention: here the continued pieces get a label as well.": (
            _first_piece
        ),
        "[CLS], [SEP] and [PAD] are no words: their label is -100, not O.": _specials_outside,
        "You went along labels and pieces in step. A word may have several: go by word_ids.": (
            _zipped
        ),
        "A continued O stays O, and a continued I stays I; only B (odd) becomes I, the next.": (
            _always_next
        ),
    },
    praise="This is what align_labels(..., every_piece=inside) does.",
)

Tags = Sequence[str]
Entities = list[tuple[str, int, int]]

_TAG_ROWS: list[tuple[list[str]]] = [
    (["O", "B-person", "I-person", "O"],),
    (["B-person", "B-person", "O", "B-place"],),
    (["B-place", "I-date", "I-date", "O", "O"],),
    (["O", "I-place", "O", "B-date", "I-date"],),
    (["O", "O"],),
]


def _entities(
    tags: Tags,
    *,
    splits: bool = True,
    kinds: bool = True,
    last: bool = True,
    strict: bool = False,
    past: int = 0,
) -> Entities:
    """Entities (kind, first, last) of BIO tags; the keywords turn right steps into
    mistakes.
    """
    found: Entities = []
    open_one: tuple[str, int] | None = None
    for at, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        goes_on = open_one is not None and (
            (mark == "I" and (kind == open_one[0] or not kinds))
            or (mark == "B" and kind == open_one[0] and not splits)
        )
        if open_one is not None and not goes_on:
            if last or at < len(tags):
                found.append((*open_one, at - 1 + past))
            open_one = None
        if open_one is None and (mark == "B" or (mark == "I" and not strict)):
            open_one = (kind, at)
    return found


entities = Exercise(
    answer=_entities,
    inputs=_TAG_ROWS,
    mistakes={
        "An entity that reaches the last word is lost: close what is open after the loop.": (
            lambda tags: _entities(tags, last=False)
        ),
        "B always begins a new entity, also right behind one of the same kind.": (
            lambda tags: _entities(tags, splits=False)
        ),
        "An I of another kind does not belong to the open entity: it begins its own.": (
            lambda tags: _entities(tags, kinds=False)
        ),
        "The last word is inclusive here: one word less.": lambda tags: _entities(
            tags, past=1
        ),
        "Like CoNLL's script, count an I that follows nothing as a beginning.": (
            lambda tags: _entities(tags, strict=True)
        ),
    },
    praise="seqeval's get_entities gives the same.",
)

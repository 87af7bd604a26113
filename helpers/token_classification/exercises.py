"""Exercises of `06_token_classification`: the right answers and the likely mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.show.exercises import Exercise

Pieces = Sequence[int | None]
Labels = Sequence[int]


def _every_piece(word_ids: Pieces, labels: Labels) -> list[int]:
    """The right answer: the continued pieces of a begin (odd) get the next number."""
    return [
        label + (label % 2 == 1 and word is not None and word == before)
        for word, before, label in _steps(word_ids, labels)
    ]


def _steps(
    word_ids: Pieces, labels: Labels
) -> list[tuple[int | None, int | None, int]]:
    """Of each piece: its word, the word before, its word's label or -100."""
    return [
        (word, before, -100 if word is None else labels[word])
        for word, before in zip(word_ids, [None, *word_ids], strict=False)
    ]


def _first_piece(word_ids: Pieces, labels: Labels) -> list[int]:
    steps = _steps(word_ids, labels)
    return [-100 if word == before else label for word, before, label in steps]


def _always_next(word_ids: Pieces, labels: Labels) -> list[int]:
    """Adds 1 to every continued piece, whatever its word's label."""
    steps = _steps(word_ids, labels)
    return [
        label + (word is not None and word == before) for word, before, label in steps
    ]


def _zipped(word_ids: Pieces, labels: Labels) -> list[int]:
    return [-100, *labels, *[-100] * len(word_ids)][: len(word_ids)]


every_piece = Exercise(
    answer=_every_piece,
    # O, B-person, I-person, B-place, I-place: a begin is odd, its inside the next
    inputs=[
        ([None, 0, 0, 1, None], [1, 0]),
        ([None, 0, 1, 1, 1, 2, None], [0, 3, 0]),
        ([None, 0, 0, 1, 1, 2, 3, 3, None, None], [1, 2, 0, 1]),
        ([None, 0, 1, 1, None], [1, 1]),
    ],
    mistakes={
        "The continued pieces repeat B: each would begin a new entity. Turn their B "
        "into I.": lambda *given: [label for _, _, label in _steps(*given)],
        "That is the other convention: here the continued pieces get a label as "
        "well.": _first_piece,
        "[CLS], [SEP] and [PAD] are no words: their label is -100, not O.": (
            lambda *given: [max(label, 0) for label in _every_piece(*given)]
        ),
        "You went along labels and pieces in step. A word may have several: go by "
        "word_ids.": _zipped,
        "A continued O stays O, and a continued I stays I; only B (odd) becomes I, "
        "the next.": _always_next,
    },
    praise="This is what align_labels(..., every_piece=inside) does.",
)

Entities = list[tuple[str, int, int]]


def _entities(
    tags: Sequence[str],
    *,
    splits: bool = True,
    kinds: bool = True,
    last: bool = True,
    strict: bool = False,
    past: int = 0,
) -> Entities:
    """Entities (kind, first, last) of BIO tags; the keywords make mistakes."""
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
    inputs=[
        (["O", "B-person", "I-person", "O"],),
        (["B-person", "B-person", "O", "B-place"],),
        (["B-place", "I-date", "I-date", "O", "O"],),
        (["O", "I-place", "O", "B-date", "I-date"],),
        (["O", "O"],),
    ],
    mistakes={
        "An entity that reaches the last word is lost: close what is open after the "
        "loop.": lambda tags: _entities(tags, last=False),
        "B always begins a new entity, also right behind one of the same kind.": (
            lambda tags: _entities(tags, splits=False)
        ),
        "An I of another kind does not belong to the open entity: it begins its "
        "own.": lambda tags: _entities(tags, kinds=False),
        "The last word is inclusive here: one word less.": (
            lambda tags: _entities(tags, past=1)
        ),
        "Like CoNLL's script, count an I that follows nothing as a beginning.": (
            lambda tags: _entities(tags, strict=True)
        ),
    },
    praise="seqeval's get_entities gives the same.",
)

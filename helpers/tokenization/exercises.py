"""Exercises of notebook 01: the right answers, and the mistakes worth naming."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from helpers.show.exercises import Exercise

_VOCAB = {"play", "p", "plays", "##ing", "##ground", "##s", "un", "unhappy", "u", "the"}


def _first_piece(word: str, vocab: Collection[str]) -> str:
    ends = range(len(word), 0, -1)
    return next((word[:end] for end in ends if word[:end] in vocab), "[UNK]")


def _shortest(word: str, vocab: Collection[str]) -> str:
    ends = range(1, len(word) + 1)
    return next((word[:end] for end in ends if word[:end] in vocab), "[UNK]")


def _never_whole(word: str, vocab: Collection[str]) -> str:
    ends = range(len(word) - 1, 0, -1)
    return next((word[:end] for end in ends if word[:end] in vocab), "[UNK]")


def _empty_when_unknown(word: str, vocab: Collection[str]) -> str:
    found = _first_piece(word, vocab)
    return "" if found == "[UNK]" else found


first_piece = Exercise(
    answer=_first_piece,
    inputs=[
        (word, _VOCAB)
        for word in ("playing", "plays", "unhappy", "thesis", "zebra", "u")
    ],
    mistakes={
        "That is the shortest match. From which end should the tries begin?": _shortest,
        "A word that is in the vocabulary as a whole comes back cut, or as [UNK]. Does your first "
        "try use all of its letters?": _never_whole,
        "The matches are right. What should come back when nothing matches?": _empty_when_unknown,
    },
    praise="this step, repeated from where the last piece ended, is all of WordPiece",
)


def _count_windows(tokens: int, max_length: int, stride: int) -> int:
    room = max_length - 2
    step = room - stride
    return 1 if tokens <= room else 1 + -(-(tokens - room) // step)


def _no_special(tokens: int, max_length: int, stride: int) -> int:
    return _count_windows(tokens, max_length + 2, stride)


def _stride_is_step(tokens: int, max_length: int, stride: int) -> int:
    room = max_length - 2
    return 1 if tokens <= room else 1 + -(-(tokens - room) // stride)


def _no_overlap(tokens: int, max_length: int, stride: int) -> int:
    return _count_windows(tokens, max_length, 0)


def _rounded_down(tokens: int, max_length: int, stride: int) -> int:
    room = max_length - 2
    return 1 if tokens <= room else 1 + (tokens - room) // (room - stride)


count_windows = Exercise(
    answer=_count_windows,
    inputs=[
        (6, 12, 4),
        (10, 12, 4),
        (11, 12, 4),
        (22, 12, 4),
        (23, 12, 4),
        (1000, 128, 32),
    ],
    mistakes={
        "Every window also carries [CLS] and [SEP]. How much room is left for the text?": (
            _no_special
        ),
        "You move on by `stride` tokens. In this library `stride` is the overlap: what is the "
        "step?": _stride_is_step,
        "You count windows that do not overlap. By how much less does each one move on?": (
            _no_overlap
        ),
        "The last, shorter window is missing. Which way should the division round?": _rounded_down,
    },
    praise="try it on the numbers that the next cell prints",
)


def _padded_share(lengths: Sequence[int]) -> float:
    return 1 - sum(lengths) / (max(lengths) * len(lengths))


padded_share = Exercise(
    answer=_padded_share,
    inputs=[([2, 4, 10, 8],), ([5, 5, 5],), ([1, 9],)],
    mistakes={
        "That is the share of real tokens. Which share was asked for?": (
            lambda lengths: 1 - _padded_share(lengths)
        ),
        "You divide by the real tokens. How many positions does the padded tensor have in all?": (
            lambda lengths: (max(lengths) * len(lengths) - sum(lengths)) / sum(lengths)
        ),
        "That is the number of padded positions. As a share of what?": (
            lambda lengths: float(max(lengths) * len(lengths) - sum(lengths))
        ),
        "Is every row padded to 512 here, or to the longest row of its batch?": (
            lambda lengths: 1 - sum(lengths) / (512 * len(lengths))
        ),
    },
)

"""Exercises of notebook 01: the right answers, and the mistakes worth naming."""

from collections.abc import Collection, Iterable, Sequence

from helpers.show.exercises import Exercise

_VOCAB = {"play", "p", "plays", "##ing", "##ground", "##s", "un", "unhappy", "u", "the"}
_WORDS = ("playing", "plays", "unhappy", "thesis", "zebra", "u")


def _first(word: str, vocab: Collection[str], ends: Iterable[int]) -> str:
    return next((word[:end] for end in ends if word[:end] in vocab), "[UNK]")


def _first_piece(word: str, vocab: Collection[str]) -> str:
    return _first(word, vocab, range(len(word), 0, -1))


first_piece = Exercise(
    answer=_first_piece,
    inputs=[(word, _VOCAB) for word in _WORDS],
    mistakes={
        "That is the shortest match. From which end should the tries "
        "begin?": lambda word, vocab: _first(word, vocab, range(1, len(word) + 1)),
        "A word that is in the vocabulary as a whole comes back cut, or as [UNK]. "
        "Does your first try use all of its letters?": lambda word, vocab: _first(
            word, vocab, range(len(word) - 1, 0, -1)
        ),
        "The matches are right. What should come back when nothing "
        "matches?": lambda word, vocab: _first_piece(word, vocab).replace("[UNK]", ""),
    },
    praise="this step, repeated from where the last piece ended, is all of WordPiece",
)


def _windows(tokens: int, room: int, step: int) -> int:
    """Windows of `room` tokens, each `step` behind the one before."""
    return 1 if tokens <= room else 1 + -(-(tokens - room) // step)


def _rounded_down(tokens: int, size: int, stride: int) -> int:
    room = size - 2
    return 1 if tokens <= room else 1 + (tokens - room) // (room - stride)


count_windows = Exercise(
    answer=lambda tokens, size, stride: _windows(tokens, size - 2, size - 2 - stride),
    inputs=[
        *((tokens, 12, 4) for tokens in (6, 10, 11, 22, 23)),
        (1000, 128, 32),
    ],
    mistakes={
        "Every window also carries [CLS] and [SEP]. How much room is left for the "
        "text?": lambda tokens, size, stride: _windows(tokens, size, size - stride),
        "You move on by `stride` tokens. In this library `stride` is the overlap: what "
        "is the step?": lambda tokens, size, stride: _windows(tokens, size - 2, stride),
        "You count windows that do not overlap. By how much less does each one move "
        "on?": lambda tokens, size, stride: _windows(tokens, size - 2, size - 2),
        "The last, shorter window is missing. Which way should the division "
        "round?": _rounded_down,
    },
    praise="try it on the numbers that the next cell prints",
)


def _padded(lengths: Sequence[int], longest: int = 0) -> int:
    """The padded positions when each row is as long as `longest`, or the longest."""
    return (longest or max(lengths)) * len(lengths) - sum(lengths)


padded_share = Exercise(
    answer=lambda lengths: _padded(lengths) / (max(lengths) * len(lengths)),
    inputs=[([2, 4, 10, 8],), ([5, 5, 5],), ([1, 9],)],
    mistakes={
        "That is the share of real tokens. Which share was asked "
        "for?": lambda lengths: sum(lengths) / (max(lengths) * len(lengths)),
        "You divide by the real tokens. How many positions does the padded tensor "
        "have in all?": lambda lengths: _padded(lengths) / sum(lengths),
        "That is the number of padded positions. As a share of what?": lambda lengths: (
            float(_padded(lengths))
        ),
        "Is every row padded to 512 here, or to the longest row of its "
        "batch?": lambda lengths: _padded(lengths, 512) / (512 * len(lengths)),
    },
)

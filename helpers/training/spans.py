"""From words and characters to word pieces and back: labels of words, spans of answers.

A model sees pieces; people label words (entities) and characters (answers). Here the
two are laid side by side, in both directions, as pure functions.

    align_labels, word_tags      words to pieces and back, for token classification
    best_spans, answers          logits to pieces to characters, for question answering

`helpers.training.windows` holds the way there for questions: characters to pieces.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

    from helpers.training.windows import Windows

CHUNK = 64  # windows decoded at a time: 64 x 512 x 30 scores are 4 MB


def align_labels(
    word_ids: Sequence[int | None],
    labels: Sequence[int],
    *,
    ignore: int = -100,
    every_piece: Mapping[int, int] | None = None,
) -> list[int]:
    """The label of each piece (S,), from the labels of the words (W,).

    `word_ids` (S,) says which word a piece is of, None for [CLS], [SEP] and [PAD], as
    the tokenizer's `word_ids(row)` does. A word's first piece carries its label; all
    else is `ignore`, which the loss leaves out. With `every_piece` the continued pieces
    count too: it maps a begin label to its inside label (`insides(names)`), and what it
    does not map stays as it is.

    >>> align_labels([None, 0, 0, 1, None], [1, 0])  # Quu ##x sang, with Quux as B-person
    [-100, 1, -100, 0, -100]
    >>> align_labels([None, 0, 0, 1, None], [1, 0], every_piece={1: 2})
    [-100, 1, 2, 0, -100]

    Raises `ValueError` when a piece is of a word that has no label: then these are not
    the words that were labelled.
    """
    last = max((word for word in word_ids if word is not None), default=-1)
    if last >= len(labels):
        raise ValueError(
            f"the pieces are of {last + 1} words or more, but there are {len(labels)} labels; "
            "tokenize the labelled words themselves, with is_split_into_words=True"
        )
    aligned, before = [], None
    for word in word_ids:
        if word is None:
            aligned.append(ignore)
        elif word != before:
            aligned.append(labels[word])
        elif every_piece is None:
            aligned.append(ignore)
        else:
            aligned.append(every_piece.get(labels[word], labels[word]))
        before = word
    return aligned


def insides(names: Sequence[str]) -> dict[int, int]:
    """Begin label to inside label, both by number: what `align_labels(every_piece=...)`
    takes.

    >>> insides(["O", "B-person", "I-person"])
    {1: 2}

    Raises `ValueError` when a B- name has no I- name.
    """
    begins = {name: label for label, name in enumerate(names) if name.startswith("B-")}
    lacking = [name for name in begins if f"I-{name[2:]}" not in names]
    if lacking:
        raise ValueError(
            f"{lacking[0]} has no I-{lacking[0][2:]} among the names of labels"
        )
    return {label: list(names).index(f"I-{name[2:]}") for name, label in begins.items()}


def word_tags(
    piece_tags: Sequence[Hashable],
    word_ids: Sequence[int | None],
    words: int,
    *,
    outside: Hashable = "O",
) -> list[Any]:
    """The tag of each of the `words` words (W,), from those of the pieces (S,).

    A word has the tag of its first piece. Words without a piece, since truncation cut
    them off or the tokenizer drops all their characters, get `outside`, so that words
    and tags stay in step.

    >>> word_tags(["O", "B-person", "I-person", "O", "O"], [None, 0, 0, 1, None], 3)
    ['B-person', 'O', 'O']

    Raises `ValueError` when tags and pieces differ in number, or a piece is of no such
    word.
    """
    if len(piece_tags) < len(word_ids):  # more is fine: a padded batch
        raise ValueError(f"{len(piece_tags)} tags for {len(word_ids)} pieces")
    tags: dict[int, Hashable] = {}
    for tag, word in zip(piece_tags, word_ids, strict=False):
        if word is not None:
            tags.setdefault(word, tag)
    if tags and max(tags) >= words:
        raise ValueError(
            f"a piece is of word {max(tags) + 1}, but there are {words} words"
        )
    return [tags.get(word, outside) for word in range(words)]


def best_spans(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    allowed: torch.Tensor,
    max_answer_length: int = 30,
    n_best: int = 20,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `n_best` spans of each row: first tokens, last tokens (inclusive), scores;
    all (B, n).

    A span is a pair i <= j < i + `max_answer_length`, i and j both `allowed` (B, S);
    its score is start_logits[i] + end_logits[j], both (B, S), in float32. Best first;
    among equal scores the lower start goes first, then the shorter. Where a row has
    fewer spans, the rest is 0, 0, -inf. One pass over a band (B, S, max_answer_length),
    never over (B, S, S).

    Raises `ValueError` on shapes that differ, limits below 1, or an allowed logit that
    is not finite.
    """
    import torch

    if min(max_answer_length, n_best) < 1:
        raise ValueError("max_answer_length and n_best must be 1 or more")
    if (
        not start_logits.shape == end_logits.shape == allowed.shape
        or start_logits.ndim != 2
    ):
        shapes = [tuple(tensor.shape) for tensor in (start_logits, end_logits, allowed)]
        raise ValueError(
            f"start, end and allowed are {shapes}; expected three times (B, S)"
        )
    starts, ends = (
        t.float().masked_fill(~allowed, -math.inf) for t in (start_logits, end_logits)
    )
    if not (starts[allowed].isfinite().all() and ends[allowed].isfinite().all()):
        raise ValueError("a logit is not finite; did the training diverge?")
    length = max(1, min(max_answer_length, starts.shape[1]))
    pad = torch.nn.functional.pad
    band = pad(ends, (0, length - 1), value=-math.inf).unfold(
        1, length, 1
    )  # [b, i, l]: end i + l
    scores = (starts[:, :, None] + band).flatten(
        1
    )  # (B, S * length), ordered as ties are
    scores = pad(scores, (0, max(0, n_best - scores.shape[1])), value=-math.inf)
    places = _highest(scores, n_best)
    best = scores.gather(1, places)
    first = places // length
    found = best > -math.inf
    return first * found, (first + places % length) * found, best


def _highest(scores: torch.Tensor, n: int) -> torch.Tensor:
    """Places (B, n) of the n highest of each row (B, M), the lower place first among
    equals.
    """
    least = scores.topk(n).values[:, -1:]  # topk itself orders equals as it likes
    above, equal = scores > least, scores == least
    room = n - above.sum(1, keepdim=True)
    chosen = (
        (above | (equal & (equal.cumsum(1) <= room)))
        .nonzero()[:, 1]
        .view(len(scores), n)
    )
    order = scores.gather(1, chosen).sort(dim=1, descending=True, stable=True).indices
    return chosen.gather(1, order)


class Span(NamedTuple):
    """`context[start:end]`, its score (a sum of two logits) and its probability in [0,
    1].
    """

    text: str
    start: int
    end: int
    score: float
    probability: float


class Prediction(NamedTuple):
    """What a model says to one question."""

    text: str  # the decision: the best span's text, or "" for "no answer"
    spans: list[Span]  # the n best, best first
    null: Span  # "no answer": empty text, the null score
    gap: (
        float  # null score minus the best span's; above the threshold means "no answer"
    )


def answers(
    windows: Windows,
    contexts: Sequence[str],
    start_logits: Any,
    end_logits: Any,
    *,
    max_answer_length: int = 30,
    n_best: int = 20,
    threshold: float | None = 0.0,
) -> list[Prediction]:
    """One `Prediction` for each question, from the logits (N, S) of all its windows.

    Logits are tensors or arrays, padded on the right, rows in the order of `windows`.
    The null score is start + end at [CLS], and of several windows the lowest: the
    question is unanswerable only if every window says so. "No answer" is said when the
    null score exceeds the best span's by more than `threshold`; with None never, as in
    SQuAD 1.1. Probabilities are a softmax over the n best spans and, unless `threshold`
    is None, the null score. A span that two windows hold counts once, with its higher
    score; ties as in `best_spans`.

    Raises `ValueError` when logits, windows and contexts do not fit, or a logit is not
    finite.

    Source: `write_predictions` in `run_squad.py` of google-research/bert. Unlike there,
    all pairs are tried instead of the n best starts with the n best ends, and a span
    may begin in a window where its first token has little context.
    """
    import torch

    starts, ends = (
        torch.as_tensor(logits).float() for logits in (start_logits, end_logits)
    )
    _check_fit(windows, contexts, starts, ends)
    found: list[dict[tuple[int, int], float]] = [{} for _ in contexts]
    allowed = windows.allowed(starts.shape[1])
    for at in range(0, len(windows), CHUNK):
        part = range(len(windows))[at : at + CHUNK]
        best = best_spans(
            *(logits[at : at + CHUNK] for logits in (starts, ends, allowed)),
            max_answer_length,
            n_best,
        )
        for window, *spans in zip(
            part, *(tensor.tolist() for tensor in best), strict=True
        ):
            _keep(found[windows.rows[window]], windows.offsets[window], spans)
    nulls = [math.inf] * len(contexts)
    for row, score in zip(
        windows.rows, (starts[:, 0] + ends[:, 0]).tolist(), strict=True
    ):
        nulls[row] = min(nulls[row], score)
    return [
        _predict(context, spans, null, n_best, threshold)
        for context, spans, null in zip(contexts, found, nulls, strict=True)
    ]


def _check_fit(windows: Windows, contexts: Sequence[str], starts, ends) -> None:
    longest = max(map(len, windows.sequence_ids), default=1)
    for logits in (starts, ends):
        if logits.ndim != 2 or len(logits) != len(windows) or logits.shape[1] < longest:
            raise ValueError(
                f"logits are {tuple(logits.shape)}; expected ({len(windows)}, {longest} or more), "
                "one row for each window"
            )
        if not logits[:, 0].isfinite().all():
            raise ValueError("a logit is not finite; did the training diverge?")
    if set(windows.rows) != set(range(len(contexts))):
        raise ValueError(
            f"windows of {len(set(windows.rows))} questions, {len(contexts)} contexts"
        )


def _keep(found: dict[tuple[int, int], float], offsets, spans) -> None:
    """Add one window's spans (first tokens, last tokens, scores) to a question's, by
    characters.
    """
    for first, last, score in zip(*spans, strict=True):
        if score > -math.inf:
            where = int(offsets[first][0]), int(offsets[last][1])
            found[where] = max(score, found.get(where, -math.inf))


def _predict(
    context: str,
    found: Mapping[tuple[int, int], float],
    null: float,
    n_best: int,
    threshold: float | None,
) -> Prediction:
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:n_best]
    scores = [score for _, score in ranked] + ([] if threshold is None else [null])
    highest = max(scores, default=0.0)
    total = sum(math.exp(score - highest) for score in scores)
    spans = [
        Span(context[start:end], start, end, score, math.exp(score - highest) / total)
        for (start, end), score in ranked
    ]
    share = 0.0 if threshold is None else math.exp(null - highest) / total
    gap = null - spans[0].score if spans else math.inf
    silent = not spans or (threshold is not None and gap > threshold)
    text = "" if silent else spans[0].text
    return Prediction(text, spans, Span("", 0, 0, null, share), gap)

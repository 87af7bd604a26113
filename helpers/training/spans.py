"""From words to word pieces and back, and from logits to answers.

    align_labels, word_tags      words to pieces and back, for token classification
    best_spans, answers          logits to pieces to characters, for question answering

`helpers.training.windows` holds the way there for questions: characters to pieces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import pad

from helpers.training.windows import Windows

CHUNK = 64  # windows decoded at a time: 64 x 512 x 30 scores are 4 MB


def align_labels(
    word_ids: Sequence[int | None],
    labels: Sequence[int],
    *,
    every_piece: Mapping[int, int] | None = None,
) -> list[int]:
    """The label of each piece (S,), from the labels of the words (W,).

    `word_ids` (S,) says which word a piece is of, None for [CLS], [SEP] and [PAD]. A
    word's first piece carries its label; all else is -100, which the loss leaves out.
    With `every_piece`, begin labels to their inside labels, continued pieces count too.

    >>> align_labels([None, 0, 0, 1, None], [1, 0])  # Quu ##x sang: B-person, O
    [-100, 1, -100, 0, -100]
    >>> align_labels([None, 0, 0, 1, None], [1, 0], every_piece={1: 2})
    [-100, 1, 2, 0, -100]
    """
    last = max((word for word in word_ids if word is not None), default=-1)
    if last >= len(labels):
        raise ValueError(
            f"the pieces are of {last + 1} words or more, but there are {len(labels)} "
            "labels; tokenize the labelled words themselves, with "
            "is_split_into_words=True"
        )
    aligned = []
    for before, word in zip([None, *word_ids], word_ids, strict=False):
        if word is None or (word == before and every_piece is None):
            aligned.append(-100)
        elif word == before:
            aligned.append(every_piece.get(labels[word], labels[word]))
        else:
            aligned.append(labels[word])
    return aligned


def word_tags(
    piece_tags: Sequence[Any], word_ids: Sequence[int | None], words: int
) -> list[Any]:
    """The tag of each of the `words` words: that of its first piece.

    Words without a piece, since truncation cut them off or the tokenizer drops all
    their characters, get "O", so that words and tags stay in step.

    >>> word_tags(["O", "B-person", "I-person", "O", "O"], [None, 0, 0, 1, None], 3)
    ['B-person', 'O', 'O']
    """
    if len(piece_tags) < len(word_ids):  # more is fine: a padded batch
        raise ValueError(f"{len(piece_tags)} tags for {len(word_ids)} pieces")
    tags: dict[int, Any] = {}
    for tag, word in zip(piece_tags, word_ids, strict=False):
        if word is not None:
            tags.setdefault(word, tag)
    if (last := max(tags, default=-1)) >= words:
        raise ValueError(f"a piece is of word {last + 1}, but there are {words} words")
    return [tags.get(word, "O") for word in range(words)]


def best_spans(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    allowed: torch.Tensor,
    max_answer_length: int = 30,
    n_best: int = 20,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `n_best` spans of each row: first and last tokens, and scores, all (B, n).

    A span is a pair i <= j < i + `max_answer_length`, both `allowed` (B, S); its score
    is start_logits[i] + end_logits[j], both (B, S), in float32. Of equal scores the
    lower start goes first, then the shorter. Where a row has fewer spans, the rest is
    0, 0, -inf. One pass over a band (B, S, max_answer_length), never over (B, S, S).
    """
    if min(max_answer_length, n_best) < 1:
        raise ValueError("max_answer_length and n_best must be 1 or more")
    shapes = [tuple(tensor.shape) for tensor in (start_logits, end_logits, allowed)]
    if len(set(shapes)) > 1 or allowed.ndim != 2:
        raise ValueError(
            f"start, end and allowed are {shapes}; expected three times (B, S)"
        )
    starts, ends = (
        t.float().masked_fill(~allowed, -math.inf) for t in (start_logits, end_logits)
    )
    if not (starts[allowed].isfinite().all() and ends[allowed].isfinite().all()):
        raise ValueError("a logit is not finite; did the training diverge?")
    length = max(1, min(max_answer_length, starts.shape[1]))
    band = pad(ends, (0, length - 1), value=-math.inf).unfold(1, length, 1)  # end i + l
    scores = (starts[:, :, None] + band).flatten(1)  # (B, S * length), in order of ties
    scores = pad(scores, (0, max(0, n_best - scores.shape[1])), value=-math.inf)
    places = _highest(scores, n_best)
    best = scores.gather(1, places)
    first, found = places // length, best > -math.inf
    return first * found, (first + places % length) * found, best


def _highest(scores: torch.Tensor, n: int) -> torch.Tensor:
    """Places (B, n) of the n highest a row, best first; of equals the lower place."""
    least = scores.topk(n).values[:, -1:]  # topk itself orders equals as it likes
    above, equal = scores > least, scores == least
    chosen = above | (equal & (equal.cumsum(1) <= n - above.sum(1, keepdim=True)))
    places = chosen.nonzero()[:, 1].view(-1, n)
    order = scores.gather(1, places).sort(dim=1, descending=True, stable=True).indices
    return places.gather(1, order)


class Span(NamedTuple):
    """`context[start:end]`, its score (a sum of two logits), its probability."""

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
    gap: float  # null score minus the best span's


def answers(
    windows: Windows,
    contexts: Sequence[str],
    start_logits: Any,
    end_logits: Any,
    *,
    max_answer_length: int = 30,
    n_best: int = 20,
    threshold: float = 0.0,
) -> list[Prediction]:
    """One `Prediction` for each question, from the logits (N, S) of all its windows.

    The null score is start + end at [CLS], and of several windows the lowest: the
    question is unanswerable only if every window says so. "No answer" is said when the
    null score exceeds the best span's by more than `threshold`. Probabilities are a
    softmax over the n best spans and the null score. A span that two windows hold
    counts once, with its higher score; ties as in `best_spans`.

    Source: `write_predictions` in `run_squad.py` of google-research/bert. Unlike there,
    all pairs are tried, and a span may begin where its first token has little context.
    """
    logits = [torch.as_tensor(side).float() for side in (start_logits, end_logits)]
    _check_fit(windows, contexts, logits)
    found: list[dict[tuple[int, int], float]] = [{} for _ in contexts]
    nulls = [math.inf] * len(contexts)
    allowed = windows.allowed(logits[0].shape[1])
    for at in range(0, len(windows), CHUNK):
        part = [table[at : at + CHUNK] for table in (*logits, allowed)]
        silent = (part[0][:, 0] + part[1][:, 0]).tolist()
        best = [side.tolist() for side in best_spans(*part, max_answer_length, n_best)]
        for window, (null, *spans) in enumerate(zip(silent, *best, strict=True), at):
            row, offsets = windows.rows[window], windows.offsets[window]
            nulls[row] = min(nulls[row], null)
            for first, last, score in zip(*spans, strict=True):
                if score > -math.inf:
                    where = int(offsets[first][0]), int(offsets[last][1])
                    found[row][where] = max(score, found[row].get(where, -math.inf))
    rows = zip(contexts, found, nulls, strict=True)
    return [_predict(*row, n_best, threshold) for row in rows]


def _check_fit(
    windows: Windows, contexts: Sequence[str], both: Sequence[torch.Tensor]
) -> None:
    longest = max(map(len, windows.offsets), default=1)
    for logits in both:
        if logits.ndim != 2 or len(logits) != len(windows) or logits.shape[1] < longest:
            raise ValueError(
                f"logits are {tuple(logits.shape)}; expected ({len(windows)}, "
                f"{longest} or more), one row for each window"
            )
        if not logits[:, 0].isfinite().all():
            raise ValueError("a logit is not finite; did the training diverge?")
    if (asked := set(windows.rows)) != set(range(len(contexts))):
        raise ValueError(f"windows of {len(asked)} questions, {len(contexts)} contexts")


def _predict(
    context: str,
    found: Mapping[tuple[int, int], float],
    null: float,
    n_best: int,
    threshold: float,
) -> Prediction:
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:n_best]
    scores = torch.tensor([null, *(score for _, score in ranked)], dtype=torch.float64)
    share, *shares = scores.softmax(0).tolist()
    spans = [
        Span(context[start:end], start, end, score, probability)
        for ((start, end), score), probability in zip(ranked, shares, strict=True)
    ]
    gap = null - spans[0].score if spans else math.inf
    text = spans[0].text if spans and gap <= threshold else ""
    return Prediction(text, spans, Span("", 0, 0, null, share), gap)

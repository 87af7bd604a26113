"""Exercises of notebook 04: the right answers and the likely mistakes."""

import math
from collections.abc import Iterator
from typing import Any

from helpers.show.exercises import Drawn, Exercise


def _questions() -> Iterator[tuple]:
    """Logits (B, S, V) and labels (B, S), most of them -100, half of the rest right."""
    import torch

    draw = torch.Generator().manual_seed(1)
    for rows, length, vocabulary in ((2, 6, 5), (3, 5, 8), (4, 9, 7)):
        logits = torch.randn(rows, length, vocabulary, generator=draw)  # (B, S, V)
        best = logits.argmax(-1)  # (B, S)
        wrong = torch.rand(rows, length, generator=draw) < 0.5
        labels = torch.where(wrong, (best + 1) % vocabulary, best)
        labels[torch.rand(rows, length, generator=draw) < 0.5] = -100
        labels[0, 0], labels[1, 1] = -100, best[1, 1]  # never all of one kind
        yield logits, labels


def _share(best: Any, labels: Any) -> float:
    return (best == labels)[labels != -100].float().mean().item()


def _accuracy(logits: Any, labels: Any) -> float:
    return _share(logits.argmax(-1), labels)


def _wrong_axis(logits: Any, labels: Any) -> float:
    """The argmax over positions (B, V), cut or repeated to the labels' shape."""
    best = logits.argmax(1)  # (B, V)
    repeats = -(-labels.shape[1] // best.shape[1])
    return _share(best.repeat(1, repeats)[:, : labels.shape[1]], labels)


def _mean_of_rows(logits: Any, labels: Any) -> float:
    rows = zip(logits, labels, strict=True)
    shares = [_accuracy(row, wanted) for row, wanted in rows if (wanted != -100).any()]
    return sum(shares) / len(shares)


masked_accuracy = Exercise(
    answer=_accuracy,
    inputs=Drawn(_questions),
    mistakes={
        "Did you divide by all positions? Those with label -100 asked "
        "nothing.": lambda z, labels: (z.argmax(-1) == labels).float().mean().item(),
        "Over which axis is your argmax? The last one, dim=-1, is the "
        "vocabulary.": _wrong_axis,
        "You count right answers. Which share of the hidden positions is "
        "that?": lambda z, labels: (z.argmax(-1) == labels).sum().item(),
        "That is a mean of the rows' shares. A row with more gaps should count for "
        "more.": _mean_of_rows,
        "That is the share of wrong answers. Which share is right?": lambda z, labels: (
            1 - _accuracy(z, labels)
        ),
    },
    praise="-100 is the library's mark for 'not asked': the loss skips it too.",
)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


pseudo_perplexity = Exercise(
    answer=lambda log_probs: math.exp(-_mean(log_probs)),
    inputs=[
        ([-1.0, -2.0, -3.0],),
        ([-0.25, -0.5],),
        ([-4.0, -1.5, -0.125, -2.0, -0.75],),
    ],
    mistakes={
        "Below 1? Log-probabilities are negative: where is the minus "
        "sign?": lambda log_probs: math.exp(_mean(log_probs)),
        "Did you sum? Take the mean over the tokens, or longer texts always look "
        "worse.": lambda log_probs: math.exp(-sum(log_probs)),
        "That is the mean surprise in nats. The perplexity is exp of "
        "it.": lambda log_probs: -_mean(log_probs),
        "You averaged after exp. Average the log-probabilities, then take exp "
        "once.": lambda log_probs: _mean(list(map(math.exp, log_probs))),
        "Log-probabilities in nats need exp, base e. Base 2 belongs to "
        "bits.": lambda log_probs: 2 ** -_mean(log_probs),
    },
    praise="1 would be a model that is never surprised; 30,522 one that guesses "
    "blindly.",
)

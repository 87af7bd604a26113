"""Exercises of `04_masked_language_modeling`: the right answers and the likely
mistakes.
"""

from __future__ import annotations

import math
from typing import Any

from helpers.show.exercises import Drawn, Exercise


def _questions() -> list[tuple]:
    """Logits (B, S, V) and labels (B, S), most of them -100; about half of the rest are
    right.
    """
    import torch

    draw, inputs = torch.Generator().manual_seed(1), []
    for rows, length, vocabulary in ((2, 6, 5), (3, 5, 8), (4, 9, 7)):
        logits = torch.randn(rows, length, vocabulary, generator=draw)  # (B, S, V)
        best = logits.argmax(-1)  # (B, S)
        wrong = torch.rand(rows, length, generator=draw) < 0.5
        labels = torch.where(wrong, (best + 1) % vocabulary, best)
        labels[torch.rand(rows, length, generator=draw) < 0.5] = -100
        labels[0, 0], labels[1, 1] = -100, best[1, 1]  # never all of one kind
        inputs.append((logits, labels))
    return inputs


def _accuracy(logits: Any, labels: Any) -> float:
    hidden = labels != -100
    return (logits.argmax(-1) == labels)[hidden].float().mean().item()


def _wrong_axis(logits: Any, labels: Any) -> float:
    """The argmax over positions (B, V), cut or repeated to the labels' shape."""
    best = logits.argmax(1)  # (B, V)
    repeats = -(-labels.shape[1] // best.shape[1])
    best = best.repeat(1, repeats)[:, : labels.shape[1]]
    hidden = labels != -100
    return (best == labels)[hidden].float().mean().item()


masked_accuracy = Exercise(
    answer=_accuracy,
    inputs=Drawn(_questions),
    mistakes={
        "Did you divide by all positions? Those with label -100 asked nothing.": (
            lambda logits, labels: (logits.argmax(-1) == labels).float().mean().item()
        ),
        "Over which axis is your argmax? The last one, dim=-1, is the vocabulary.": _wrong_axis,
        "You count right answers. Which share of the hidden positions is that?": (
            lambda logits, labels: (logits.argmax(-1) == labels).sum().item()
        ),
        "That is a mean of the rows' shares. A row with more gaps should count for more.": (
            lambda logits, labels: (
                sum(
                    _accuracy(row[None], answers[None])
                    for row, answers in zip(logits, labels, strict=True)
                    if (answers != -100).any()
                )
                / sum(int((answers != -100).any()) for answers in labels)
            )
        ),
        "That is the share of wrong answers. Which share is right?": (
            lambda logits, labels: 1 - _accuracy(logits, labels)
        ),
    },
    praise="-100 is the library's mark for 'not asked': the loss skips it too.",
)

_LOG_PROBS = [
    ([-1.0, -2.0, -3.0],),
    ([-0.25, -0.5],),
    ([-4.0, -1.5, -0.125, -2.0, -0.75],),
]

pseudo_perplexity = Exercise(
    answer=lambda log_probs: math.exp(-sum(log_probs) / len(log_probs)),
    inputs=_LOG_PROBS,
    mistakes={
        "Below 1? Log-probabilities are negative: where is the minus sign?": (
            lambda log_probs: math.exp(sum(log_probs) / len(log_probs))
        ),
        "Did you sum? Take the mean over the tokens, or longer texts always look worse.": (
            lambda log_probs: math.exp(-sum(log_probs))
        ),
        "That is the mean surprise in nats. The perplexity is exp of it.": (
            lambda log_probs: -sum(log_probs) / len(log_probs)
        ),
        "You averaged after exp. Average the log-probabilities, then take exp once.": (
            lambda log_probs: (
                sum(math.exp(-value) for value in log_probs) / len(log_probs)
            )
        ),
        "Log-probabilities in nats need exp, base e. Base 2 belongs to bits.": (
            lambda log_probs: 2 ** (-sum(log_probs) / len(log_probs))
        ),
    },
    praise="1 would be a model that is never surprised; 30,522 one that guesses blindly.",
)

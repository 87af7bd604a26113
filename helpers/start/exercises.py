"""Checks of notebook 00's exercises."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from helpers.show.exercises import Exercise


def _softmax(logits: Sequence[float]) -> list[float]:
    exponentials = [math.exp(logit) for logit in logits]
    return [value / sum(exponentials) for value in exponentials]


softmax = Exercise(
    answer=_softmax,
    inputs=[([2.0, 1.0, 0.0],), ([0.5, 0.5],), ([-1.0, 3.0, 0.5, 0.0],)],
    mistakes={
        "These do not add up to 1. Which sum is left to divide by?": (
            lambda logits: [math.exp(logit) for logit in logits]
        ),
        "A negative logit must still give a positive share. Did you take exp first?": (
            lambda logits: [logit / sum(logits) for logit in logits]
        ),
        "The likeliest must not get 1. Did you divide by the largest, not by the sum?": (
            lambda logits: [math.exp(logit - max(logits)) for logit in logits]
        ),
        "These are logarithms of probabilities. Is one exp missing at the end?": (
            lambda logits: [math.log(share) for share in _softmax(logits)]
        ),
    },
    praise="positive, adding up to 1, in the same order as the logits.",
)

Ids = list[int]


def _labels(
    where_masked: Callable[[int, int], int], elsewhere: Callable[[int, int], int]
):
    """A labels function that treats masked and visible places by the two given
    rules.
    """

    def labels(input_ids: Ids, original_ids: Ids, mask_id: int) -> Ids:
        return [
            (where_masked if given == mask_id else elsewhere)(given, wanted)
            for given, wanted in zip(input_ids, original_ids, strict=True)
        ]

    return labels


mask_labels = Exercise(
    answer=_labels(lambda given, wanted: wanted, lambda given, wanted: -100),
    inputs=[
        ([101, 1996, 103, 102], [101, 1996, 3899, 102], 103),
        ([101, 103, 103, 2003, 102], [101, 2026, 3899, 2003, 102], 103),
        ([2, 9, 9, 8, 3], [2, 7, 6, 8, 3], 9),
    ],
    mistakes={
        "You score the visible words, not the masked. Are the branches swapped?": _labels(
            lambda given, wanted: -100, lambda given, wanted: wanted
        ),
        "The label at a mask is [MASK] itself. Which list still knows the word?": _labels(
            lambda given, wanted: given, lambda given, wanted: -100
        ),
        "0 is a real id, that of [PAD]. Which value does the loss skip?": _labels(
            lambda given, wanted: wanted, lambda given, wanted: 0
        ),
        "Every position is scored, as in the article. What should visible words get?": _labels(
            lambda given, wanted: wanted, lambda given, wanted: wanted
        ),
    },
    praise="only the hidden words are scored.",
)

clueless_loss = Exercise(
    answer=lambda classes: math.log(classes),
    inputs=[(2,), (3,), (9,), (30_522,)],
    mistakes={
        "Right idea, other base: the library's loss uses the natural logarithm.": (
            lambda classes: math.log2(classes)
        ),
        "That is base 10: the library's loss uses the natural logarithm.": (
            lambda classes: math.log10(classes)
        ),
        "That is the probability of the right class. What does cross-entropy do with it?": (
            lambda classes: 1 / classes
        ),
        "A loss cannot be negative here: is a minus sign missing?": (
            lambda classes: math.log(1 / classes)
        ),
    },
    praise="ln(classes): the first number to look for when a training starts.",
)


def _shapes(
    batch: int, tokens: int, classes: int, choices: int, vocabulary: int
) -> dict:
    return {
        "masked": (batch, tokens, vocabulary),
        "sequence": (batch, classes),
        "choice": (batch, choices),
        "token": (batch, tokens, classes),
        "start": (batch, tokens),
    }


def _but(head: str, shape: Callable[..., tuple]) -> Callable[..., dict]:
    """`_shapes` with one head's shape replaced: one mistake alone."""
    return lambda *sizes: {**_shapes(*sizes), head: shape(*sizes)}


head_shapes = Exercise(
    answer=_shapes,
    inputs=[(1, 8, 2, 2, 30_522), (16, 128, 5, 4, 30_522), (3, 7, 9, 6, 1_000)],
    mistakes={
        "start: that is the layer inside; its two columns come out as two tensors.": _but(
            "start", lambda b, s, c, n, v: (b, s, 2)
        ),
        "start: one score per text? Which token should the answer start at?": _but(
            "start", lambda b, s, c, n, v: (b, 2)
        ),
        "choice: the rows of one question are folded back into one row of scores.": _but(
            "choice", lambda b, s, c, n, v: (b * n, 1)
        ),
        "sequence: one answer per text, or one per token?": _but(
            "sequence", lambda b, s, c, n, v: (b, s, c)
        ),
        "token: one answer per text, or one per token?": _but(
            "token", lambda b, s, c, n, v: (b, c)
        ),
        "masked: every position gets a score for every piece of the vocabulary.": _but(
            "masked", lambda b, s, c, n, v: (b, v)
        ),
    },
    praise="you can now read any of these heads by its shape.",
)

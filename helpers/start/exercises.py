"""Checks of notebook 00's exercises."""

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
        "These do not add up to 1. Which sum is left to divide by?": lambda logits: (
            list(map(math.exp, logits))
        ),
        "A negative logit must still give a positive share. "
        "Did you take exp first?": lambda logits: [x / sum(logits) for x in logits],
        "The likeliest must not get 1. Did you divide by the largest, "
        "not by the sum?": lambda logits: [math.exp(x - max(logits)) for x in logits],
        "These are logarithms of probabilities. Is one exp missing "
        "at the end?": lambda logits: [math.log(x) for x in _softmax(logits)],
    },
    praise="positive, adding up to 1, in the same order as the logits.",
)


def _labels(rule: Callable[[bool, int, int], int]):
    """Labels by `rule(masked, id that the model sees, id that was there)`."""

    def labels(input_ids: list[int], original_ids: list[int], mask_id: int) -> list:
        pairs = zip(input_ids, original_ids, strict=True)
        return [rule(seen == mask_id, seen, wanted) for seen, wanted in pairs]

    return labels


mask_labels = Exercise(
    answer=_labels(lambda masked, seen, wanted: wanted if masked else -100),
    inputs=[
        ([101, 1996, 103, 102], [101, 1996, 3899, 102], 103),
        ([101, 103, 103, 2003, 102], [101, 2026, 3899, 2003, 102], 103),
        ([2, 9, 9, 8, 3], [2, 7, 6, 8, 3], 9),
    ],
    mistakes={
        "You score the visible words, not the masked. Are the branches "
        "swapped?": _labels(lambda masked, _, wanted: -100 if masked else wanted),
        "The label at a mask is [MASK] itself. Which list still knows "
        "the word?": _labels(lambda masked, seen, _: seen if masked else -100),
        "0 is a real id, that of [PAD]. Which value does the loss skip?": _labels(
            lambda masked, _, wanted: wanted if masked else 0
        ),
        "Every position is scored, as in the article. What should visible "
        "words get?": _labels(lambda masked, seen, wanted: wanted),
    },
    praise="only the hidden words are scored.",
)

clueless_loss = Exercise(
    answer=math.log,
    inputs=[(2,), (3,), (9,), (30_522,)],
    mistakes={
        "Right idea, other base: the library's loss uses the natural "
        "logarithm.": math.log2,
        "That is base 10: the library's loss uses the natural logarithm.": math.log10,
        "That is the probability of the right class. What does cross-entropy "
        "do with it?": lambda classes: 1 / classes,
        "A loss cannot be negative here: is a minus sign missing?": lambda classes: (
            -math.log(classes)
        ),
    },
    praise="ln(classes): the first number to look for when a training starts.",
)


_SHAPES = {
    "masked": "BSV",
    "sequence": "BC",
    "choice": "BN",
    "token": "BSC",
    "start": "BS",
}


def _shapes(**wrong: Sequence[str]) -> Callable[..., dict]:
    """The shapes by name: B texts, S tokens, C classes, N choices, V vocabulary."""

    def shapes(*sizes: int) -> dict[str, tuple[int, ...]]:
        size = dict(zip("BSCNV", sizes, strict=True)) | {"1": 1, "2": 2}
        size["B * N"] = size["B"] * size["N"]
        return {head: tuple(map(size.get, s)) for head, s in (_SHAPES | wrong).items()}

    return shapes


head_shapes = Exercise(
    answer=_shapes(),
    inputs=[(1, 8, 2, 2, 30_522), (16, 128, 5, 4, 30_522), (3, 7, 9, 6, 1_000)],
    mistakes={
        "start: that is the layer inside; its two columns come out as two "
        "tensors.": _shapes(start="BS2"),
        "start: one score per text? Which token should the answer start at?": _shapes(
            start="B2"
        ),
        "choice: the rows of one question are folded back into one row of "
        "scores.": _shapes(choice=("B * N", "1")),
        "sequence: one answer per text, or one per token?": _shapes(sequence="BSC"),
        "token: one answer per text, or one per token?": _shapes(token="BC"),
        "masked: every position gets a score for every piece of the "
        "vocabulary.": _shapes(masked="BV"),
    },
    praise="you can now read any of these heads by its shape.",
)

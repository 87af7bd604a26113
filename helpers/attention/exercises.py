"""Exercises of `09_attention_visualization`: the right answers and the likely
mistakes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from helpers.show.exercises import Drawn, Exercise

_ROWS = [([0.5, 0.25, 0.25],), ([0.7, 0.1, 0.1, 0.1],), ([0.125, 0.0, 0.375, 0.5],)]


def _bits(row: list[float], log: Callable[[float], float] = math.log2) -> float:
    return -sum(weight * log(weight) for weight in row if weight > 0)


entropy = Exercise(
    answer=_bits,
    inputs=_ROWS,
    mistakes={
        "Those are nats, from the natural logarithm. Bits take base 2.": (
            lambda row: _bits(row, math.log)
        ),
        "Logarithms of weights are negative: where is the minus sign?": (
            lambda row: -_bits(row)
        ),
        "That is the mean over the tokens. Each log already comes with its weight: "
        "sum them.": (lambda row: _bits(row) / len(row)),
        "The logarithms are not weighed. How often does each surprise happen?": (
            lambda row: -sum(math.log2(weight) for weight in row if weight > 0)
        ),
        "That is 2 to the entropy, the number of tokens it feels like. "
        "The bits themselves?": (lambda row: 2 ** _bits(row)),
    },
    praise="an even row of S tokens has log2(S) bits, one weight of 1 has none.",
)


def _layers() -> list[tuple]:
    """Two layers' weights (heads, S, S), rows that sum to 1."""
    import torch

    draw = torch.Generator().manual_seed(0)
    return [
        tuple((3 * torch.randn(2, heads, size, size, generator=draw)).softmax(-1))
        for heads, size in ((2, 3), (3, 4), (1, 5))
    ]


def _mixed(weights: Any) -> Any:
    """One layer as rollout sees it, (S, S): heads averaged, half of it the token
    itself.
    """
    import torch

    return (weights.mean(0) + torch.eye(weights.shape[-1])) / 2


def _residual_once(first: Any, second: Any) -> Any:
    import torch

    return (second.mean(0) @ first.mean(0) + torch.eye(first.shape[-1])) / 2


rollout = Exercise(
    answer=lambda first, second: _mixed(second) @ _mixed(first),
    inputs=Drawn(_layers),
    mistakes={
        "Where is the residual connection? "
        "Half of each layer's output is the token itself.": (
            lambda first, second: second.mean(0) @ first.mean(0)
        ),
        "The order: the second layer reads what the first has mixed, second @ first.": (
            lambda first, second: _mixed(first) @ _mixed(second)
        ),
        "Rows sum to 4: after adding the identity, divide by 2 in each layer.": (
            lambda first, second: 4 * _mixed(second) @ _mixed(first)
        ),
        "Each layer has a residual connection of its own: "
        "add the identity before multiplying.": (_residual_once),
        "Is that `*`? A matrix product, `@`, follows every way through the "
        "first layer.": (lambda first, second: _mixed(second) * _mixed(first)),
    },
    praise="each row still sums to 1: a share of every input token.",
)

"""Exercises of notebook 02: the right answers and the likely mistakes."""

from collections.abc import Iterator, Sequence
from typing import Any

from helpers.show.exercises import Drawn, Exercise


def _layer(dim: int, hidden_dim: int) -> int:
    attention = 4 * (dim * dim + dim)
    feed_forward = dim * hidden_dim + hidden_dim + hidden_dim * dim + dim
    return attention + feed_forward + 2 * (2 * dim)


layer_parameters = Exercise(
    answer=_layer,
    inputs=[(768, 3072), (384, 1536), (8, 24)],
    mistakes={
        "Does every Linear have a bias too, one number per output?": lambda d, h: (
            4 * d * d + 2 * d * h + 4 * d
        ),
        "Only the matrices? Biases and the two LayerNorms hold numbers as "
        "well.": lambda d, h: 4 * d * d + 2 * d * h,
        "Did you count out_lin? Attention has four Linear layers, not "
        "three.": lambda d, h: _layer(d, h) - d * d - d,
        "Where are the two LayerNorms, with a weight and a bias of length dim "
        "each?": lambda d, h: _layer(d, h) - 4 * d,
        "Close. There are two LayerNorms, and each has a weight and a bias of length "
        "dim.": lambda d, h: _layer(d, h) - 2 * d,
        "Is the bias of lin1 as long as its output, hidden_dim, and that of lin2 as "
        "long as dim?": lambda d, h: _layer(d, h) - h + d,
    },
    praise="and 7,087,872 for the full-size layer: six of them are what DistilBERT "
    "left out.",
)

size_reduction = Exercise(
    answer=lambda large, small: 1 - small / large,
    inputs=[(109_482_240, 66_362_880), (200, 50), (7, 7)],
    mistakes={
        "Did you divide by the small model? 'Smaller by' is a share of the large "
        "one.": lambda large, small: (large - small) / small,
        "That is the share that remains. Which share is gone?": lambda large, small: (
            small / large
        ),
        "That is how many times as large the large one is. Which share of it is "
        "gone?": lambda large, small: large / small,
        "Right number, but as a percentage: return a share between 0 and "
        "1.": lambda large, small: 100 * (1 - small / large),
        "That is how many parameters are gone. As a share of "
        "what?": lambda large, small: large - small,
    },
    praise="the published 40% is this number, rounded.",
)


def _queries_and_keys() -> Iterator[tuple]:
    import torch

    draw = torch.Generator().manual_seed(0)
    for length, width in ((3, 4), (5, 9), (2, 32)):
        yield tuple(torch.randn(2, length, width, generator=draw))  # q, k: (S, d) each


def _attention(q: Any, k: Any, power: float = -0.5, axis: int = -1) -> Any:
    return (q @ k.T * q.shape[-1] ** power).softmax(axis)  # (S, S)


attention_weights = Exercise(
    answer=_attention,
    inputs=Drawn(_queries_and_keys),
    mistakes={
        "Where is the scale? Divide the scores by the square root of the head's "
        "width.": lambda q, k: _attention(q, k, power=0),
        "Did you divide by the width itself? It is its square root.": lambda q, k: (
            _attention(q, k, power=-1)
        ),
        "Do your columns sum to 1? Each row should: the softmax runs over the keys, "
        "dim=-1.": lambda q, k: _attention(q, k, axis=0),
        "Did you multiply by the square root instead of dividing by it?": lambda q, k: (
            _attention(q, k, power=0.5)
        ),
        "Did you scale after the softmax? Then the rows no longer sum to "
        "1.": lambda q, k: _attention(q, k, power=0) / q.shape[-1] ** 0.5,
        "These are the scores. A softmax turns each row into weights that sum to "
        "1.": lambda q, k: q @ k.T / q.shape[-1] ** 0.5,
    },
    praise="without the scale, wide heads would put nearly all weight on one token.",
)


def _renumber(
    state: dict, layers: Sequence[int], order: Sequence[int] = (), others: bool = True
) -> dict:
    """The right answer; with another `order`, or without the `others`, a mistake."""
    order, kept = order or layers, {}
    for name, value in state.items():
        pieces = name.split(".")
        if pieces[0] != "layer":
            kept.update({name: value} if others else {})
        elif int(pieces[1]) in layers:
            new = list(order).index(int(pieces[1]))
            kept[".".join(("layer", str(new), *pieces[2:]))] = value
    return kept


_STATE = {"embeddings.word": 100, "layer_norm": 101} | {
    f"layer.{n}.{part}": 2 * n + at
    for n in range(12)
    for at, part in enumerate(("q_lin", "lin1"))
}

renumber = Exercise(
    answer=_renumber,
    inputs=[(_STATE, [0, 2, 4]), (_STATE, [11, 1]), (_STATE, [0, 2, 4, 7, 9, 11])],
    mistakes={
        "The names keep their old numbers. A model of three layers looks for layers 0, "
        "1 and 2.": lambda state, layers: _renumber(state, layers, range(12)),
        "Where did the names outside the layers go? Embeddings stay as they "
        "are.": lambda state, layers: _renumber(state, layers, others=False),
        "Are these the first layers? Take the ones that `layers` "
        "names.": lambda state, layers: _renumber(state, range(len(layers))),
        "[11, 1] means layer 11 first: new numbers follow the order of the "
        "list.": lambda state, layers: _renumber(state, layers, sorted(layers)),
    },
    praise="this is what `choose_layers` does, and all that 'initialised from the "
    "teacher' means.",
)

"""What a layer costs, counted: floating-point operations, and bytes of scores.

A multiplication and an addition count as two operations, as everybody counts them.
Softmax, LayerNorm, GELU and biases are left out: they are few operations (though not
few bytes).
"""

from __future__ import annotations

from collections.abc import Sequence

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
TILE = (
    128  # queries, and keys, that a tile holds; the kernels choose between 64 and 256
)


def layer_flops(lengths: Sequence[int], dim: int, hidden_dim: int) -> dict[str, int]:
    """Operations of one layer on texts of these lengths: `matrices`, `attention`.

    `matrices`: the six linear layers, 2 operations for each weight and token.
    `attention`: scores and weighted values, 2 x 2 x dim for each pair of tokens of a
    text.

    >>> layer_flops([2], 3, 12)
    {'matrices': 432, 'attention': 48}
    """
    tokens = sum(lengths)
    matrices = 2 * tokens * (4 * dim * dim + 2 * dim * hidden_dim)
    return {"matrices": matrices, "attention": sum(4 * dim * n * n for n in lengths)}


def model_flops(lengths: Sequence[int], layers: int, dim: int, hidden_dim: int) -> int:
    """Operations of `layers` such layers: what an encoder must do for the real
    tokens.
    """
    return layers * sum(layer_flops(lengths, dim, hidden_dim).values())


def attention_share(length: int, dim: int, hidden_dim: int) -> float:
    """Which share of a layer's operations is attention between tokens, 0 to 1.

    >>> round(attention_share(128, 768, 3072), 3)
    0.027
    """
    counted = layer_flops([length], dim, hidden_dim)
    return counted["attention"] / sum(counted.values())


def score_bytes(length: int, batch: int, heads: int, dtype: str = "float32") -> int:
    """Bytes of one layer's score matrix (batch, heads, length, length).

    >>> score_bytes(512, 1, 12)
    12582912
    """
    return batch * heads * length * length * BYTES[dtype]


def tile_bytes(length: int, batch: int, heads: int, tile: int = TILE) -> int:
    """Bytes that tiles hold instead: one tile of scores, and two sums for each query,
    all fp32.

    One tile for each text and head, as if all were worked on at once.
    """
    side = min(tile, length)
    return batch * heads * (side * side + 2 * length) * 4


def state_bytes(length: int, batch: int, dim: int, dtype: str = "float32") -> int:
    """Bytes of queries, keys, values and outputs (batch, length, dim): needed in either
    case.
    """
    return 4 * batch * length * dim * BYTES[dtype]

"""What attention weights say, as arithmetic on arrays: no model, no tokenizer.

Weights are `weights[..., query, key]`: how much of what `query` reads comes from `key`.
Rows of real tokens sum to 1; rows and columns of padding are zero, as
`helpers.attention.maps.maps` leaves them.

    entropy, rollout            how spread a row is; what reaches a layer through those below it
    places, patterns, merge     how much goes to the next token, to [SEP], to the same word, ...
    resemblance, cka            which layer of one model is most like which layer of another
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np


def entropy(weights: np.ndarray) -> np.ndarray:
    """Bits of each row: weights (..., S, S) to (..., S); 0 log 0 = 0.

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 1.0]
    """
    weights = np.asarray(weights, dtype=np.float64)
    safe = np.where(weights > 0, weights, 1.0)
    return -(weights * np.log2(safe)).sum(-1) + 0.0  # + 0.0: no row has "-0.0" bits


def rollout(weights: np.ndarray) -> np.ndarray:
    """How much of the last layer's position i stems from token j, (S, S); each row sums
    to 1.

    `weights` (layers, heads, S, S). Heads are averaged, half of each layer's output is
    taken to come through its residual connection, and the layers are multiplied. This
    treats layers as plain averages, which they are not: values, output projections and
    feed-forwards are left out.

    Source: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers"
    (arXiv:2005.00928).
    """
    reached = np.eye(np.shape(weights)[-1])
    for layer in np.asarray(weights, dtype=np.float64).mean(1):
        mixed = layer + np.eye(len(layer))
        reached = mixed / mixed.sum(-1, keepdims=True) @ reached
    return reached


class Pattern(NamedTuple):
    """One pattern, measured: how much the heads give to it, and what giving evenly
    would give.
    """

    weight: np.ndarray  # (layers, heads), the mean over `tokens` queries
    chance: float  # the mean that even attention over all real tokens would give
    tokens: int  # queries for which the pattern can be at all

    @property
    def times_chance(self) -> np.ndarray:
        """(layers, heads): 1 where a head gives as much as even attention would."""
        return self.weight / self.chance


def places(
    input_ids: np.ndarray,
    real: np.ndarray,
    special: Collection[int],
    marks: dict[str, int],
    texts: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """For each pattern the keys that count for each query, bool (B, S, S).

    `input_ids` and `real` (the attention mask) are (B, S), `special` all ids that are
    no word, `marks` those to report by name, such as {"[CLS]": 101, "[SEP]": 102}, and
    `texts` (B, S) the number of the text that a token is of. Queries are words alone.
    "next", "previous", "itself", "same word" (the same piece elsewhere) and "other
    text" count words only, so that the last word has no next. Without `texts` there is
    no "other text".
    """
    ids, real = np.asarray(input_ids), np.asarray(real, dtype=bool)
    word = real & ~np.isin(ids, list(special))
    both = word[:, :, None] & word[:, None, :]
    at = np.arange(ids.shape[1])
    step = at[None, :] - at[:, None]  # key - query
    alike = ids[:, :, None] == ids[:, None, :]
    found = {
        name: both & (step == n)
        for name, n in (("next", 1), ("previous", -1), ("itself", 0))
    }
    found |= {
        name: word[:, :, None] & (real & (ids == mark))[:, None, :]
        for name, mark in marks.items()
    }
    found["same word"] = both & alike & (step != 0)
    if texts is not None:
        found["other text"] = both & (texts[:, :, None] != texts[:, None, :])
    return found


def patterns(
    weights: np.ndarray, found: dict[str, np.ndarray], real: np.ndarray
) -> dict[str, Pattern]:
    """Each of `found`'s patterns, measured on one batch of weights (layers, B, heads,
    S, S).

    The weight is the sum over the keys that count, averaged over the queries that have
    one; a pattern that no query has is left out. `found` comes from `places`, `real` is
    (B, S).
    """
    weights, length = np.asarray(weights), np.asarray(real).sum(-1)  # (B,)
    measured = {}
    for name, keys in found.items():
        tokens = int(keys.any(-1).sum())
        if tokens:
            total = np.einsum("lbhqk,bqk->lh", weights, keys, dtype=np.float64)
            chance = (keys.sum((1, 2)) / length).sum()
            measured[name] = Pattern(total / tokens, float(chance / tokens), tokens)
    return measured


def merge(batches: Iterable[dict[str, Pattern]]) -> dict[str, Pattern]:
    """Several batches' patterns as one: the means over all their queries."""
    parts: dict[str, list[Pattern]] = {}
    for batch in batches:
        for name, pattern in batch.items():
            parts.setdefault(name, []).append(pattern)
    return {name: _mean(group) for name, group in parts.items()}


def _mean(group: list[Pattern]) -> Pattern:
    tokens = sum(part.tokens for part in group)
    weight = sum(part.weight * (part.tokens / tokens) for part in group)
    chance = sum(part.chance * (part.tokens / tokens) for part in group)
    return Pattern(weight, chance, tokens)


def resemblance(teacher_maps: np.ndarray, student_maps: np.ndarray) -> np.ndarray:
    """How alike each teacher layer (rows) and student layer (columns) look, in 0 to 1;
    1 is equal.

    Both maps (layers, B, heads, S, S) of the same batch; layers and heads may differ in
    number. 1 - the mean Jensen-Shannon distance (the root of the divergence in bits)
    between the two layers' rows, heads averaged first, over real queries (rows of
    padding are zero and left out).

    Raises `ValueError` when the two are not of the same batch.
    """
    teacher, student = (
        np.asarray(m, dtype=np.float64).mean(2) for m in (teacher_maps, student_maps)
    )
    if teacher.shape[1:] != student.shape[1:]:
        raise ValueError(
            f"maps of {teacher.shape[1:]} and {student.shape[1:]}: not the same batch"
        )
    real = student[0].sum(-1) > 0  # (B, S)
    teacher, student = teacher[:, real], student[:, real]  # (layers, N, S)
    return np.array([[1 - _distance(t, s).mean() for s in student] for t in teacher])


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distances of the rows of two (N, S), (N,)."""
    bits = entropy((one + other) / 2) - (entropy(one) + entropy(other)) / 2
    return np.sqrt(bits.clip(0, 1))  # rounding can leave it a hair below zero


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear CKA of two sets of vectors of the same N tokens, (N, d1) and (N, d2), in 0
    to 1.

    1 when one is the other turned, scaled and shifted: what differs is no more than the
    axes.

    Source: Kornblith et al. 2019, "Similarity of Neural Network Representations
    Revisited" (arXiv:1905.00414). Raises `ValueError` when the numbers of tokens
    differ.
    """
    one, other = (np.asarray(vectors, dtype=np.float64) for vectors in (one, other))
    if len(one) != len(other):
        raise ValueError(f"{len(one)} vectors and {len(other)}: not of the same tokens")
    one, other = one - one.mean(0), other - other.mean(0)
    norm = np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
    return float(np.linalg.norm(other.T @ one) ** 2 / norm)

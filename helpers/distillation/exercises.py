"""Exercises of notebook 03: the right answers, and the mistakes worth naming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from helpers.show.exercises import Exercise


def _logits() -> Iterator[tuple]:
    """Logits (N, V) of student and teacher, and a temperature."""
    draw = torch.Generator().manual_seed(0)
    for tokens, vocabulary, tau in ((2, 3, 2.0), (4, 7, 1.5), (3, 5, 4.0)):
        yield *(3 * torch.randn(2, tokens, vocabulary, generator=draw)), tau


def _kl(z: Any, y: Any) -> Any:
    """KL(softmax(y) || softmax(z)) at each token, (N,)."""
    log_q, log_p = z.log_softmax(-1), y.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


soft_loss = Exercise(
    answer=lambda z, y, tau: _kl(z / tau, y / tau).mean() * tau**2,
    inputs=list(_logits()),
    mistakes={
        "Where is T squared? Without it the gradient shrinks as the temperature "
        "grows.": lambda z, y, tau: _kl(z / tau, y / tau).mean(),
        "That is KL(student || teacher). The teacher's probabilities do the "
        "weighing.": lambda z, y, tau: _kl(y / tau, z / tau).mean() * tau**2,
        "Did you take the mean over the vocabulary too? Sum over words, mean over "
        "tokens.": lambda z, y, tau: (
            _kl(z / tau, y / tau).mean() * tau**2 / z.shape[-1]
        ),
        "That is the sum over the tokens: a longer batch would count for more.": (
            lambda z, y, tau: _kl(z / tau, y / tau).sum() * tau**2
        ),
        "Did you multiply by T once? The loss falls with T squared.": (
            lambda z, y, tau: _kl(z / tau, y / tau).mean() * tau
        ),
        "The logits are not divided by the temperature yet.": (
            lambda z, y, tau: _kl(z, y).mean() * tau**2
        ),
        "Both must be softened: is one of the two still at temperature 1?": (
            lambda z, y, tau: _kl(z, y / tau).mean() * tau**2
        ),
    },
    praise="this is `distillation_loss`, the first and heaviest of the three.",
)


def _states() -> Iterator[tuple]:
    """Hidden states (B, S, D) of student and teacher; which tokens are valid (B, S)."""
    draw = torch.Generator().manual_seed(0)
    for lengths, width in (((2, 4), 3), ((5, 1), 4), ((3, 3, 1), 2)):
        shape, places = (2, len(lengths), max(lengths), width), range(max(lengths))
        valid = torch.tensor([[at < length for at in places] for length in lengths])
        yield *(torch.randn(shape, generator=draw) + 0.3), valid


def _cosines(h: Any, g: Any) -> Any:
    return (h * g).sum(-1) / (h.norm(dim=-1) * g.norm(dim=-1))


hidden_loss = Exercise(
    answer=lambda h, g, valid: 1 - _cosines(h[valid], g[valid]).mean(),
    inputs=list(_states()),
    mistakes={
        "Is padding in the mean? `student[valid]` leaves only the real tokens.": (
            lambda h, g, valid: 1 - _cosines(h, g).mean()
        ),
        "The padding is zeroed, but still counted: divide by the number of valid "
        "tokens.": lambda h, g, valid: 1 - (_cosines(h, g) * valid).mean(),
        "That is the similarity, and it should grow. Which loss falls as it grows?": (
            lambda h, g, valid: _cosines(h[valid], g[valid]).mean()
        ),
        "Minus the cosine has the right gradient. So that a perfect student gets 0, "
        "add 1.": lambda h, g, valid: -_cosines(h[valid], g[valid]).mean(),
        "A dot product grows with the vectors. Where are their lengths divided out?": (
            lambda h, g, valid: 1 - (h[valid] * g[valid]).sum(-1).mean()
        ),
        "That is the sum over the tokens. The loss is their mean.": (
            lambda h, g, valid: (1 - _cosines(h[valid], g[valid])).sum()
        ),
    },
    praise="directions only: a student whose vectors are all twice as long loses "
    "nothing.",
)


def _shares(seen: Any, labels: Any, mask: int, kept: bool = True, whole: Any = None):
    """The right answer; `kept` and `whole` (what it is a share of) change it."""
    chosen = [(a, b) for a, b in zip(seen, labels, strict=True) if b != -100]
    masked = sum(a == mask for a, _ in chosen)
    same = sum(a == b for a, b in chosen) if kept else 0
    counts = {"mask": masked, "random": len(chosen) - masked - same, "kept": same}
    return {kind: n / (whole or len(chosen)) for kind, n in counts.items()}


def _unchosen_kept(seen: Any, labels: Any, mask: int) -> dict[str, float]:
    pairs = zip(seen, labels, strict=True)
    return _shares(seen, [a if b == -100 else b for a, b in pairs], mask)


mask_shares = Exercise(
    answer=_shares,
    inputs=[
        ([101, 103, 7, 8, 9, 102], [-100, 5, -100, 8, 6, -100], 103),
        ([101, 103, 103, 103, 7, 7, 102], [-100, 5, 6, 7, 7, -100, -100], 103),
        ([2, 4, 4, 4, 9, 9, 3], [-100, 5, 6, 7, 9, 8, -100], 4),
    ],
    mistakes={
        "Shares of all tokens? Divide by those that were chosen: label not -100.": (
            lambda seen, labels, mask: _shares(seen, labels, mask, whole=len(seen))
        ),
        "A label of -100 means not chosen at all: such a token is not 'kept'.": (
            _unchosen_kept
        ),
        "A chosen token whose id equals its label was kept, not replaced.": (
            lambda seen, labels, mask: _shares(seen, labels, mask, kept=False)
        ),
        "These are counts. As a share of the chosen tokens?": (
            lambda seen, labels, mask: _shares(seen, labels, mask, whole=1)
        ),
    },
    praise="'random' is exact here up to one word in 30,522: the draw may hit the word "
    "itself.",
)

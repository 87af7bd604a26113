"""Exercises of notebook 03: the right answers, and the mistakes worth naming."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from helpers.show.exercises import Drawn, Exercise


def _seeded() -> Any:
    import torch

    return torch.Generator().manual_seed(0)


def _logits(draw: Any) -> Iterator[tuple]:
    """Logits (N, V) of student and teacher, and a temperature."""
    import torch

    for tokens, vocabulary, temperature in ((2, 3, 2.0), (4, 7, 1.5), (3, 5, 4.0)):
        student, teacher = 3 * torch.randn(2, tokens, vocabulary, generator=draw)
        yield student, teacher, temperature


def _divergences(student: Any, teacher: Any, temperature: float) -> Any:
    """KL(teacher || student) at each token, (N,)."""
    log_q = (student / temperature).log_softmax(-1)
    log_p = (teacher / temperature).log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


soft_loss = Exercise(
    answer=lambda s, t, temperature: (
        _divergences(s, t, temperature).mean() * temperature**2
    ),
    inputs=Drawn(lambda: _logits(_seeded())),
    mistakes={
        "Where is T squared? Without it the gradient shrinks as the temperature grows.": (
            lambda s, t, temperature: _divergences(s, t, temperature).mean()
        ),
        "That is KL(student || teacher). The teacher's probabilities do the weighing.": (
            lambda s, t, temperature: (
                _divergences(t, s, temperature).mean() * temperature**2
            )
        ),
        "Did you take the mean over the vocabulary too? Sum over words, mean over tokens.": (
            lambda s, t, temperature: (
                _divergences(s, t, temperature).mean() * temperature**2 / s.shape[-1]
            )
        ),
        "That is the sum over the tokens: a longer batch would count for more.": (
            lambda s, t, temperature: (
                _divergences(s, t, temperature).sum() * temperature**2
            )
        ),
        "Did you multiply by T once? The loss falls with T squared.": (
            lambda s, t, temperature: (
                _divergences(s, t, temperature).mean() * temperature
            )
        ),
        "The logits are not divided by the temperature yet.": (
            lambda s, t, temperature: _divergences(s, t, 1.0).mean() * temperature**2
        ),
        "Both must be softened: is one of the two still at temperature 1?": (
            lambda s, t, temperature: (
                _divergences(s * temperature, t, temperature).mean() * temperature**2
            )
        ),
    },
    praise="this is `distillation_loss`, the first and heaviest of the three.",
)


def _states(draw: Any) -> Iterator[tuple]:
    """Hidden states (B, S, D) of student and teacher, and which tokens are valid (B,
    S).
    """
    import torch

    for lengths, width in (((2, 4), 3), ((5, 1), 4), ((3, 3, 1), 2)):
        shape = (2, len(lengths), max(lengths), width)
        student, teacher = torch.randn(*shape, generator=draw) + 0.3
        yield (
            student,
            teacher,
            torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
        )


def _cosines(student: Any, teacher: Any) -> Any:
    return (student * teacher).sum(-1) / (student.norm(dim=-1) * teacher.norm(dim=-1))


hidden_loss = Exercise(
    answer=lambda s, t, valid: 1 - _cosines(s[valid], t[valid]).mean(),
    inputs=Drawn(lambda: _states(_seeded())),
    mistakes={
        "Is padding in the mean? `student[valid]` leaves only the real tokens.": (
            lambda s, t, valid: 1 - _cosines(s, t).mean()
        ),
        "The padding is zeroed, but still counted: divide by the number of valid tokens.": (
            lambda s, t, valid: 1 - (_cosines(s, t) * valid).mean()
        ),
        "That is the similarity, and it should grow. Which loss falls as it grows?": (
            lambda s, t, valid: _cosines(s[valid], t[valid]).mean()
        ),
        "Minus the cosine has the right gradient. So that a perfect student gets 0, add 1.": (
            lambda s, t, valid: -_cosines(s[valid], t[valid]).mean()
        ),
        "A dot product grows with the vectors. Where are their lengths divided out?": (
            lambda s, t, valid: 1 - (s[valid] * t[valid]).sum(-1).mean()
        ),
        "That is the sum over the tokens. The loss is their mean.": (
            lambda s, t, valid: (1 - _cosines(s[valid], t[valid])).sum()
        ),
    },
    praise="directions only: a student whose vectors are all twice as long loses nothing.",
)


def _shares(
    ids: list[int],
    labels: list[int],
    mask_id: int,
    of: Callable[[int, int], int] = lambda chosen, tokens: chosen,
    kept_is_random: bool = False,
) -> dict[str, float]:
    """The right answer, and with the switches some of the wrong ones."""
    chosen = [(a, b) for a, b in zip(ids, labels, strict=True) if b != -100]
    masked = sum(a == mask_id for a, _ in chosen)
    kept = 0 if kept_is_random else sum(a == b for a, b in chosen)
    counts = {"mask": masked, "random": len(chosen) - masked - kept, "kept": kept}
    return {kind: n / of(len(chosen), len(ids)) for kind, n in counts.items()}


def _unchosen_are_kept(
    ids: list[int], labels: list[int], mask_id: int
) -> dict[str, float]:
    filled = [a if b == -100 else b for a, b in zip(ids, labels, strict=True)]
    return _shares(ids, filled, mask_id)


mask_shares = Exercise(
    answer=_shares,
    inputs=[
        ([101, 103, 7, 8, 9, 102], [-100, 5, -100, 8, 6, -100], 103),
        ([101, 103, 103, 103, 7, 7, 102], [-100, 5, 6, 7, 7, -100, -100], 103),
        ([2, 4, 4, 4, 9, 9, 3], [-100, 5, 6, 7, 9, 8, -100], 4),
    ],
    mistakes={
        "Shares of all tokens? Divide by those that were chosen: label not -100.": (
            lambda ids, labels, mask_id: _shares(
                ids, labels, mask_id, of=lambda c, n: n
            )
        ),
        "A label of -100 means not chosen at all: such a token is not 'kept'.": _unchosen_are_kept,
        "A chosen token whose id equals its label was kept, not replaced.": (
            lambda ids, labels, mask_id: _shares(
                ids, labels, mask_id, kept_is_random=True
            )
        ),
        "These are counts. As a share of the chosen tokens?": (
            lambda ids, labels, mask_id: _shares(
                ids, labels, mask_id, of=lambda c, n: 1
            )
        ),
    },
    praise="'random' is exact here up to one word in 30,522: the draw may hit the word itself.",
)

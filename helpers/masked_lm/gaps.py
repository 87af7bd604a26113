"""Gaps in texts: hiding tokens, putting the gaps to a model, and texts of one's own.

batches = draw(tokenizer, texts, seed=0)
right, nats = ask(model, batches)
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from helpers.core.errors import WorkbookError
from helpers.training.metrics import masked_logits

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST = 500  # characters of one text of your own: safely under 128 tokens in English
FEWEST, SHORTEST = 5, 1000  # texts and characters that a file must hold


def own_texts(path: str) -> tuple[Sequence[str], Sequence[str]]:
    """The texts of a UTF-8 file: (to learn from, the last fifth held out).

    One paragraph a line; long ones are cut between words. A file that is missing, no
    UTF-8 text, or too short is a `WorkbookError`.
    """
    from helpers.data.texts import read_texts, split

    lines = [line for paragraphs in read_texts([path]).values() for line in paragraphs]
    pieces = [piece for line in lines for piece in textwrap.wrap(line, LONGEST)]
    characters = sum(map(len, pieces))
    if len(pieces) < FEWEST or characters < SHORTEST:
        raise WorkbookError(
            f"{path}: {len(pieces)} texts of {characters:,} characters in all; "
            f"expected {FEWEST} and {SHORTEST:,} at least"
        )
    return split(pieces, 0.2)


def draw(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], seed: int, **how: Any
) -> list[dict[str, torch.Tensor]]:
    """The texts in padded batches of 16, with tokens hidden by the library's collator.

    Each batch holds `input_ids`, `attention_mask` and `labels` (B, S), -100 where
    nothing was hidden. `how` goes to `DataCollatorForLanguageModeling`; the same `seed`
    hides the same tokens.
    """
    from transformers import DataCollatorForLanguageModeling

    hide = DataCollatorForLanguageModeling(tokenizer, seed=seed, **how)
    texts, batches = sorted(texts, key=len), []
    fit = {"truncation": True, "max_length": 128, "padding": True}
    for start in range(0, len(texts), 16):
        # whole-word masking wants offsets, and only equally long rows of them
        rows = tokenizer(texts[start : start + 16], return_offsets_mapping=True, **fit)
        count = len(rows["input_ids"])
        batches.append(
            hide([{key: rows[key][i] for key in rows} for i in range(count)])
        )
    return batches


def ask(
    model: PreTrainedModel, batches: Sequence[dict[str, torch.Tensor]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """For every gap: was the model's first guess right (N,), its surprise in nats (N,).

    Gaps stand in the order of `answers(batches)`; scores are computed at the gaps only.
    """
    import torch
    from torch.nn.functional import cross_entropy

    right, nats = [], []
    model.eval()
    for batch in batches:
        gap = batch["labels"] != -100  # (B, S)
        labels = batch["labels"][gap].to(model.device)  # (n,)
        with torch.inference_mode():
            logits = masked_logits(model, batch, gap).float()  # (n, V)
        right.append((logits.argmax(-1) == labels).cpu())
        nats.append(cross_entropy(logits, labels, reduction="none").cpu())
    return torch.cat(right), torch.cat(nats)


def answers(batches: Sequence[dict[str, torch.Tensor]]) -> torch.Tensor:
    """The ids that the gaps of all batches hid, (N,)."""
    import torch

    return torch.cat([batch["labels"][batch["labels"] != -100] for batch in batches])

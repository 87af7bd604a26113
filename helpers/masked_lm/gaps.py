"""Gaps in texts: hiding tokens, putting the gaps to a model, and texts of one's own.

batches = draw(tokenizer, texts, seed=0)
right, nats = ask(model, batches)
"""

from __future__ import annotations

import random
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
KINDS = ("a word in\none piece", "first piece of\na split word", "a later\npiece (##)")


def own_texts(path: str) -> tuple[Sequence[str], Sequence[str]]:
    """The texts of a UTF-8 file, one paragraph a line: (to learn from, the last fifth
    held out).

    Long paragraphs are cut between words at 500 characters.

    Raises `WorkbookError`, one line, on a file that is missing, no UTF-8 text, or too
    short.
    """
    from helpers.data.texts import read_texts, split

    lines = [line for paragraphs in read_texts([path]).values() for line in paragraphs]
    pieces = [piece for line in lines for piece in textwrap.wrap(line, LONGEST)]
    if len(pieces) < FEWEST or sum(map(len, pieces)) < SHORTEST:
        raise WorkbookError(
            f"{path}: {len(pieces)} texts of {sum(map(len, pieces)):,} characters in all; "
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
            hide([{name: rows[name][i] for name in rows} for i in range(count)])
        )
    return batches


def ask(
    model: PreTrainedModel, batches: Sequence[dict[str, torch.Tensor]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put every gap to the model: was its first guess right (N,), and its surprise in
    nats (N,).

    Gaps stand in the order of `answers(batches)`; scores are computed at the gaps only.
    """
    import torch

    right, nats = [], []
    model.eval()
    for batch in batches:
        wanted = batch["labels"] != -100  # (B, S)
        labels = batch["labels"][wanted].to(model.device)  # (n,)
        with torch.inference_mode():
            logits = masked_logits(model, batch, wanted).float()  # (n, V)
        right.append((logits.argmax(-1) == labels).cpu())
        nats.append(
            torch.nn.functional.cross_entropy(logits, labels, reduction="none").cpu()
        )
    return torch.cat(right), torch.cat(nats)


def answers(batches: Sequence[dict[str, torch.Tensor]]) -> torch.Tensor:
    """The ids that the gaps of all batches hid, (N,)."""
    import torch

    return torch.cat([batch["labels"][batch["labels"] != -100] for batch in batches])


def hidden(batches: Sequence[dict[str, torch.Tensor]]) -> torch.Tensor:
    """Which of all tokens, padding left out, are gaps: booleans (tokens,)."""
    import torch

    return torch.cat(
        [(batch["labels"] != -100)[batch["attention_mask"] == 1] for batch in batches]
    )


def everywhere(
    batches: Sequence[dict[str, torch.Tensor]],
) -> list[dict[str, torch.Tensor]]:
    """The same gaps, but with a label at every token that is not padding: a common
    mistake.
    """
    wrong = []
    for batch in batches:
        truth = batch["labels"].where(batch["labels"] != -100, batch["input_ids"])
        wrong.append(
            {**batch, "labels": truth.where(batch["attention_mask"] == 1, -100)}
        )
    return wrong


def by_kind(
    tokenizer: PreTrainedTokenizerBase,
    batches: Sequence[dict[str, Any]],
    values: torch.Tensor,
) -> dict[str, tuple[float, float, int]]:
    """Mean of `values` (N,), one a gap, its standard error and N, for each of `KINDS`,
    and all.

    A kind that does not occur is left out.
    """
    import torch

    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    continues = torch.tensor([piece.startswith("##") for piece in pieces])  # (V,)
    kinds = []
    for batch in batches:
        wanted = batch["labels"] != -100  # (B, S)
        later = continues[
            torch.where(wanted, batch["labels"], batch["input_ids"])
        ]  # (B, S)
        first = ~later & later.roll(-1, 1)  # the next piece goes on
        kinds.append((2 * later + 1 * first)[wanted])
    kind, values = torch.cat(kinds), values.float()  # (N,) each
    groups = {name: values[kind == number] for number, name in enumerate(KINDS)} | {
        "all": values
    }
    return {name: _summary(group) for name, group in groups.items() if len(group)}


def _summary(values: torch.Tensor) -> tuple[float, float, int]:
    error = values.std(correction=0).item() / len(values) ** 0.5
    return values.mean().item(), error, len(values)


def frequency_loss(
    tokenizer: PreTrainedTokenizerBase, train: Sequence[str], wanted: torch.Tensor
) -> float:
    """Mean surprise in nats of who guesses each piece as often as it occurs in `train`.

    `wanted` (N,): the ids to guess. Every piece counts once more than it occurs, so
    that none is impossible.
    """
    import torch

    counts = torch.ones(len(tokenizer))
    for ids in tokenizer(list(train), add_special_tokens=False, verbose=False)[
        "input_ids"
    ]:
        counts += torch.bincount(
            torch.tensor(ids, dtype=torch.long), minlength=len(tokenizer)
        )
    return -(counts / counts.sum()).log()[wanted].mean().item()


def paired_change(before: torch.Tensor, after: torch.Tensor) -> tuple[float, float]:
    """Mean of after minus before over paired gaps (N,), and the standard error of that
    mean.
    """
    difference = after - before
    return difference.mean().item(), difference.std().item() / len(difference) ** 0.5


def changes_by_word(
    tokenizer: PreTrainedTokenizerBase,
    wanted: torch.Tensor,
    gain: torch.Tensor,
    often: int,
) -> list[tuple[str, float, int]]:
    """(word, mean gain, times asked), largest gain first, of words asked at least
    `often` times.

    `wanted` (N,) ids of the gaps, `gain` (N,) in nats. Pieces with other signs than
    letters go.
    """
    rows = []
    for token in wanted.unique().tolist():
        word, at = tokenizer.convert_ids_to_tokens(token), wanted == token
        if word.isalpha() and at.sum() >= often:
            rows.append((word, gain[at].mean().item(), int(at.sum())))
    return sorted(rows, key=lambda row: -row[1])


def one_gap_each(
    tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], seed: int
) -> list[tuple[str, str, str]]:
    """For each sentence, one word taken out: (the sentence with [MASK], the word, a
    stray word).

    Only words that the tokenizer keeps whole; sentences without one are left out. The
    stray word is any word of any sentence.
    """
    pick, cases = random.Random(seed), []
    everything = [
        word for sentence in sentences for word in sentence.rstrip(".").split()
    ]
    for sentence in sentences:
        words = sentence.rstrip(".").split()[:60]
        usable = [
            at for at, word in enumerate(words) if word.lower() in tokenizer.vocab
        ]
        if usable:
            at = pick.choice(usable)
            gap = " ".join([*words[:at], tokenizer.mask_token, *words[at + 1 :]]) + "."
            cases.append((gap, words[at].lower(), pick.choice(everything)))
    return cases


def shuffled(text: str, seed: int) -> str:
    """The words of a sentence in another order, a full stop left at the end."""
    words = text.rstrip(".").split()
    random.Random(seed).shuffle(words)
    return " ".join(words) + "."

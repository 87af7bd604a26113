"""How well a model does, as numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def masked_accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    maskings: int = 1,
    seed: int = 0,
    max_length: int = 128,
    batch_size: int = 16,
) -> dict[str, float]:
    """The share of hidden tokens that a masked language model puts first.

    BERT's own test: 15% of the tokens are chosen; of these 80% become [MASK], 10% a
    random token, 10% stay. The same `seed` draws the same masks for every model with
    this tokenizer.

    Returns `accuracy` in [0, 1], `loss` (mean cross-entropy in nats) and `targets`, how
    many tokens were asked for. `maskings` repeats the texts with other masks.

    Raises `ValueError` when `texts` is empty.
    """
    if not texts:
        raise ValueError("masked_accuracy needs at least one text")
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    return masked_accuracy_of_ids(
        model, tokenizer, ids, maskings=maskings, seed=seed, batch_size=batch_size
    )


def masked_accuracy_of_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sequences: Sequence[Sequence[int]],
    *,
    maskings: int = 1,
    seed: int = 0,
    batch_size: int = 16,
) -> dict[str, float]:
    """`masked_accuracy` of texts that are tokens already, with [CLS] and [SEP]: lists
    of ids.
    """
    import torch
    from transformers import DataCollatorForLanguageModeling

    # neighbours of like length share a batch, so that little is spent on padding
    rows = sorted(({"input_ids": list(row)} for row in sequences), key=_length)
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=seed)
    right = loss = targets = 0.0
    model.eval()
    for start in [s for _ in range(maskings) for s in range(0, len(rows), batch_size)]:
        batch = mask(rows[start : start + batch_size])
        wanted = batch["labels"] != -100  # (B, S)
        answers = batch["labels"][wanted].to(model.device)  # (N,)
        with torch.inference_mode():
            logits = masked_logits(model, batch, wanted)  # (N, V)
        right += (logits.argmax(-1) == answers).sum().item()
        loss += torch.nn.functional.cross_entropy(
            logits.float(), answers, reduction="sum"
        ).item()
        targets += len(answers)
    return {
        "accuracy": right / targets,
        "loss": loss / targets,
        "targets": int(targets),
    }


def _length(row) -> int:
    return len(row["input_ids"])


def masked_logits(model: PreTrainedModel, batch, wanted):
    """Logits (N, V) at the `wanted` positions (B, S) only: the rest of the (B, S, V) is
    not made.

    Works on `BertForMaskedLM` and `DistilBertForMaskedLM`.
    """
    inputs = {
        name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")
    }
    hidden = model.base_model(**inputs).last_hidden_state[
        wanted.to(model.device)
    ]  # (N, dim)
    if hasattr(model, "cls"):
        return model.cls(hidden)
    hidden = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    return model.vocab_projector(hidden)


def pseudo_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int = 128,
    batch_size: int = 64,
) -> dict[str, Any]:
    """How surprised a masked language model is by `texts`, each token guessed from all
    others.

    A text of n tokens becomes n rows (n, S), row i with only its i-th token behind
    [MASK]; -log of the probability of that token is its surprise, in nats. The head is
    applied at the n masks only.

    Returns `pseudo_perplexity`, exp of the mean surprise over all tokens (1 at best; no
    unit), `tokens`, how many there were, and `surprises`, one list of nats per text, in
    its own order. Comparable between models with the same tokenizer only: the mean is
    per token.

    Raises `ValueError` without texts, or on a text without tokens.

    Source: Salazar et al. 2020, "Masked Language Model Scoring", section 2
    (arXiv:1910.14659).
    """
    if not texts:
        raise ValueError("pseudo_perplexity needs texts of at least one token")
    rows = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_length,
        return_special_tokens_mask=True,
    )
    places = [
        (t, p) for t, row in enumerate(rows["special_tokens_mask"]) for p in _zeros(row)
    ]
    surprises: list[list[float]] = [[] for _ in texts]
    for start in range(0, len(places), batch_size):
        chunk = places[start : start + batch_size]
        ids = [rows["input_ids"][text] for text, _ in chunk]
        nats = _surprises(model, tokenizer, ids, [place for _, place in chunk])
        for (text, _), surprise in zip(chunk, nats, strict=True):
            surprises[text].append(surprise)
    if not all(surprises):
        raise ValueError("pseudo_perplexity needs texts of at least one token")
    mean = sum(map(sum, surprises)) / len(places)
    return {
        "pseudo_perplexity": math.exp(mean),
        "tokens": len(places),
        "surprises": surprises,
    }


def _zeros(row: Sequence[int]) -> list[int]:
    return [place for place, value in enumerate(row) if not value]


def _surprises(
    model, tokenizer, ids: Sequence[Sequence[int]], places: Sequence[int]
) -> list:
    """-log p in nats of the token at one place of each row, hidden there and nowhere
    else.
    """
    import torch

    batch = tokenizer.pad(
        [{"input_ids": list(row)} for row in ids], return_tensors="pt"
    )
    wanted = torch.zeros_like(
        batch["input_ids"], dtype=torch.bool
    )  # (B, S), one in each row
    wanted[range(len(ids)), list(places)] = True
    answers = batch["input_ids"][wanted].to(model.device)  # (B,)
    batch["input_ids"][wanted] = tokenizer.mask_token_id
    model.eval()
    with torch.inference_mode():
        logits = masked_logits(model, batch, wanted).float()  # (B, V)
    return torch.nn.functional.cross_entropy(logits, answers, reduction="none").tolist()


def most_frequent(
    tokenizer: PreTrainedTokenizerBase, train: Sequence[str], test: Sequence[str]
) -> tuple[str, float]:
    """The most frequent piece of `train`, and its share in [0, 1] of the pieces of
    `test`.
    """
    counts = [
        Counter(
            token
            for row in tokenizer(texts, add_special_tokens=False)["input_ids"]
            for token in row
        )
        for texts in (list(train), list(test))
    ]
    token, _ = counts[0].most_common(1)[0]
    return tokenizer.convert_ids_to_tokens(token), counts[1][token] / counts[1].total()

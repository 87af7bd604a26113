"""How well a masked language model does, as numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def masked_accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int = 128,
    **how: Any,
) -> dict[str, float]:
    """The share of hidden tokens that a masked language model puts first.

    BERT's own test: 15% of the tokens are chosen; of these 80% become [MASK], 10% a
    random token, 10% stay. `how` goes to `masked_accuracy_of_ids`.
    """
    if not texts:
        raise ValueError("masked_accuracy needs at least one text")
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    return masked_accuracy_of_ids(model, tokenizer, ids, **how)


def masked_accuracy_of_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sequences: Sequence[Sequence[int]],
    *,
    maskings: int = 1,
    seed: int = 0,
    batch_size: int = 16,
) -> dict[str, float]:
    """`masked_accuracy` of lists of token ids, with [CLS] and [SEP].

    Returns `accuracy` in [0, 1], `loss` (mean cross-entropy in nats) and `targets`, how
    many tokens were asked for. `maskings` repeats the texts with other masks; the same
    `seed` draws the same masks for every model with this tokenizer.
    """
    import torch
    from transformers import DataCollatorForLanguageModeling

    # neighbours of like length share a batch, so that little is spent on padding
    rows = [{"input_ids": list(row)} for row in sorted(sequences, key=len)]
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=seed)
    right = loss = targets = 0.0
    model.eval()
    for start in [*range(0, len(rows), batch_size)] * maskings:
        batch = mask(rows[start : start + batch_size])
        wanted = batch["labels"] != -100  # (B, S)
        answers = batch["labels"][wanted].to(model.device)  # (N,)
        with torch.inference_mode():
            logits = masked_logits(model, batch, wanted).float()  # (N, V)
        right += (logits.argmax(-1) == answers).sum().item()
        loss += torch.nn.functional.cross_entropy(
            logits, answers, reduction="sum"
        ).item()
        targets += len(answers)
    shares = {"accuracy": right / targets, "loss": loss / targets}
    return {**shares, "targets": int(targets)}


def masked_logits(model: PreTrainedModel, batch: Any, wanted: Any) -> Any:
    """Logits (N, V) of a BERT or DistilBERT with its masked LM head, at the `wanted`
    positions (B, S) only: the rest of the (B, S, V) is not made.
    """
    names = ("input_ids", "attention_mask")
    inputs = {name: batch[name].to(model.device) for name in names}
    states = model.base_model(**inputs).last_hidden_state
    hidden = states[wanted.to(model.device)]  # (N, dim)
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

    A text of n tokens becomes n rows, row i with only its i-th token behind [MASK];
    -log of the probability of that token is its surprise, in nats.

    Returns `pseudo_perplexity`, exp of the mean surprise over all tokens (1 at best),
    `tokens`, how many there were, and `surprises`, one list of nats per text. Models
    with other tokenizers cannot be compared: the mean is per token.

    Source: Salazar et al. 2020, "Masked Language Model Scoring", section 2
    (arXiv:1910.14659).
    """
    how = {"truncation": True, "max_length": max_length}
    rows = tokenizer(list(texts) or [""], **how, return_special_tokens_mask=True)
    places = [
        [at for at, special in enumerate(mask) if not special]
        for mask in rows["special_tokens_mask"]
    ]
    if not all(places):
        raise ValueError("pseudo_perplexity needs texts of at least one token")
    flat = [(rows["input_ids"][i], at) for i, row in enumerate(places) for at in row]
    nats: list[float] = []
    for start in range(0, len(flat), batch_size):
        ids, at = zip(*flat[start : start + batch_size], strict=True)
        nats += _surprises(model, tokenizer, ids, at)
    left = iter(nats)
    return {
        "pseudo_perplexity": math.exp(sum(nats) / len(nats)),
        "tokens": len(nats),
        "surprises": [[next(left) for _ in row] for row in places],
    }


def _surprises(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[Sequence[int]],
    places: Sequence[int],
) -> list[float]:
    """-log p in nats of the token at one place of each row, hidden there only."""
    import torch

    rows = [{"input_ids": list(row)} for row in ids]
    batch = tokenizer.pad(rows, return_tensors="pt")
    wanted = torch.zeros_like(batch["input_ids"], dtype=torch.bool)  # (B, S)
    wanted[range(len(rows)), list(places)] = True
    answers = batch["input_ids"][wanted].to(model.device)  # (B,)
    batch["input_ids"][wanted] = tokenizer.mask_token_id
    model.eval()
    with torch.inference_mode():
        logits = masked_logits(model, batch, wanted).float()  # (B, V)
    return torch.nn.functional.cross_entropy(logits, answers, reduction="none").tolist()


def most_frequent(
    tokenizer: PreTrainedTokenizerBase, train: Sequence[str], test: Sequence[str]
) -> tuple[str, float]:
    """The most frequent piece of `train`, and its share in [0, 1] of `test`."""
    learned, asked = (
        Counter(chain(*tokenizer(list(texts), add_special_tokens=False)["input_ids"]))
        for texts in (train, test)
    )
    token = learned.most_common(1)[0][0]
    return tokenizer.convert_ids_to_tokens(token), asked[token] / asked.total()

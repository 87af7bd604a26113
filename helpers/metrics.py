"""How well a model does, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

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

    BERT's own test: 15% of the tokens are chosen; of these 80% become [MASK], 10% a random token,
    10% stay. The same `seed` draws the same masks for every model with this tokenizer.

    Returns `accuracy` in [0, 1], `loss` (mean cross-entropy in nats) and `targets`, how many
    tokens were asked for. `maskings` repeats the texts with other masks.

    Raises `ValueError` when `texts` is empty.
    """
    import torch
    from transformers import DataCollatorForLanguageModeling

    if not texts:
        raise ValueError("masked_accuracy needs at least one text")
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    # neighbours of like length share a batch, so that little is spent on padding
    rows = sorted(({"input_ids": row} for row in ids), key=lambda row: len(row["input_ids"]))
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
        loss += torch.nn.functional.cross_entropy(logits.float(), answers, reduction="sum").item()
        targets += len(answers)
    return {"accuracy": right / targets, "loss": loss / targets, "targets": int(targets)}


def masked_logits(model: PreTrainedModel, batch, wanted):
    """Logits (N, V) at the `wanted` positions (B, S) only: the rest of the (B, S, V) is not made.

    Works on `BertForMaskedLM` and `DistilBertForMaskedLM`.
    """
    inputs = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
    hidden = model.base_model(**inputs).last_hidden_state[wanted.to(model.device)]  # (N, dim)
    if hasattr(model, "cls"):
        return model.cls(hidden)
    hidden = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    return model.vocab_projector(hidden)


def most_frequent(
    tokenizer: PreTrainedTokenizerBase, train: Sequence[str], test: Sequence[str]
) -> tuple[str, float]:
    """The most frequent piece of `train`, and its share in [0, 1] of the pieces of `test`."""
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

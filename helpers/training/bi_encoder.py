"""Two towers: each text is read alone, and only the vectors meet.

The heads of `transformers` read a pair of texts as one sequence and learn from zero
what to make of it. An encoder that was pretrained to give sentences comparable vectors,
as the pocket checkpoints' was, need not: fine-tuning improves on something.

Source: Reimers and Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

SHARPNESS = 20.0  # cosines lie close together; a softmax needs them further apart


def sentence_vectors(
    encoder: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """One unit vector a text (N, dim), in float32: the mean of its last hidden states.

    `input_ids` and `attention_mask` are (N, S); padding does not count.
    """
    hidden = encoder(input_ids, attention_mask=attention_mask).last_hidden_state
    weights = attention_mask[..., None].to(hidden.dtype)  # (N, S, 1)
    mean = (hidden * weights).sum(1).float() / weights.sum(1).float()
    return functional.normalize(mean, dim=-1)


class Towers(nn.Module):
    """The first of a row's texts against each of the others, by their vectors' cosine.

    With `top`, rows are pairs, and `logits` (B,) their similarity, `top` where the
    vectors agree: trained by the mean squared error of logits / top. Without, rows are
    a text and K choices, and `logits` (B, K) their cosines times `SHARPNESS`: trained
    by cross-entropy.
    """

    def __init__(self, encoder: nn.Module, top: float | None = None) -> None:
        super().__init__()
        self.base_model, self.config, self.top = encoder, encoder.config, top

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
        **_unused: Any,
    ) -> dict[str, torch.Tensor]:
        """`logits`, and `loss` with `labels` (B,). `input_ids` is (B, texts, S)."""
        flat = (tensor.flatten(0, 1) for tensor in (input_ids, attention_mask))
        vectors = sentence_vectors(self.base_model, *flat)
        vectors = vectors.view(*input_ids.shape[:2], -1)
        cosines = (vectors[:, :1] * vectors[:, 1:]).sum(-1)  # (B, texts - 1)
        if self.top is None:
            output = {"logits": SHARPNESS * cosines}
            if labels is not None:
                output["loss"] = functional.cross_entropy(output["logits"], labels)
        else:
            cosines = cosines[:, 0]
            output = {"logits": self.top * cosines}
            if labels is not None:
                target = labels.float() / self.top
                output["loss"] = functional.mse_loss(cosines, target)
        return output

"""A model small enough that a test may train it."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertModel

from helpers.checkpoints import Checkpoint, base_tokenizer

SHAPE = {"n_layers": 1, "dim": 32, "n_heads": 4, "hidden_dim": 64}


def checkpoint(folder: Path) -> Checkpoint:
    """A DistilBERT of one layer in `folder`: random weights, the real vocabulary."""
    torch.manual_seed(0)
    DistilBertModel(DistilBertConfig(**SHAPE)).save_pretrained(folder)
    base_tokenizer("DistilBERT").save_pretrained(folder)
    return Checkpoint(folder)

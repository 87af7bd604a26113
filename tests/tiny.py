"""Checkpoints of one small layer with the real vocabulary: what only has to run."""

from __future__ import annotations

from pathlib import Path

from helpers.checkpoints import Checkpoint, base_tokenizer

SIZES = {
    "DistilBert": {"n_layers": 1, "dim": 32, "n_heads": 4, "hidden_dim": 64},
    "Bert": {
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    },
}


def model(head: str = "Model", family: str = "DistilBert", seed: int = 0):
    """An untrained model of the library, in evaluation mode; the same for a seed."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**SIZES[family])
    return getattr(transformers, family + head)(config).eval()


def checkpoint(folder: Path, family: str = "DistilBert") -> Checkpoint:
    """Such an encoder, saved with its tokenizer."""
    model(family=family).save_pretrained(folder)
    base_tokenizer(family.replace("Bert", "BERT")).save_pretrained(folder)
    return Checkpoint(folder)

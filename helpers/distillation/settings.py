"""What a distillation run is made of: one table, of which the options are made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal


def _setting(default: Any, help: str = "", **option: Any) -> Any:
    """A field, with what `workbook distill` says of it: arguments of a click option."""
    return field(default=default, metadata={"help": help, **option})


@dataclass(frozen=True)
class Settings:
    """The defaults are the original's, with one process of its eight."""

    texts: tuple[str, ...] = _setting((), "File, folder or 'glob'; a paragraph a line.")
    hub: tuple[str, ...] = _setting(
        (), "A Hub set with texts.", metavar="NAME[:CONFIG]"
    )
    profile: str = "full"
    teacher: str = _setting("", "Folder or Hub id. Default: the profile's BERT.")
    revision: str | None = _setting(None, "The teacher's revision on the Hub.")
    student_layers: tuple[int, ...] = _setting(
        (0, 2, 4, 7, 9, 11), "Teacher layers to start from.", metavar="0,2,4"
    )
    n_layers: int = _setting(0, "Start from so many random layers instead.")
    distillation: float = _setting(5.0, "Weight of the distillation loss.")
    masked_lm: float = _setting(2.0, "Weight of the masked-LM loss.")
    cosine: float = _setting(1.0, "Weight of the cosine loss.")
    mse: float = _setting(0.0, "Weight of the squared distance of the logits.")
    temperature: float = _setting(2.0, "Of the distillation loss.")
    positions: Literal["all", "masked"] = _setting("all", "Of the distillation loss.")
    masking: Literal["uniform", "smoothed"] = _setting(
        "uniform", "How words are drawn."
    )
    mlm_probability: float = _setting(0.15, "Share of the tokens that is masked.")
    clean: float = _setting(0.0, "Share of sequences left unmasked, for the cosine.")
    max_length: int = _setting(512, "Tokens of a sequence.")
    steps: int = _setting(-1, "Optimizer steps; replaces --epochs.")
    epochs: float = _setting(3.0, "Passes over the texts.")
    batch_size: int = _setting(5, "Sequences for each process and pass.")
    accumulation: int = _setting(50, "Passes for each optimizer step.")
    learning_rate: float = _setting(5e-4, "The highest one.")
    warmup: float = _setting(0.05, "Steps, or a share of them below 1.")
    decay_steps: int = _setting(0, "Flat rate that falls to 0 over the last steps.")
    max_grad_norm: float = _setting(5.0, "Longer gradients are shortened to this.")
    dropout: float = _setting(0.1, "Of the student.")
    freeze_embeddings: bool = _setting(
        False, "Teach the rest alone.", off="/--train-embeddings"
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = _setting(
        "fp32", "auto: bf16 where the processor supports it."
    )
    held_out: float = _setting(0.02, "Share of each text that is kept back.")
    repeat: tuple[tuple[str, int], ...] = _setting(
        (), "How often a text comes in an epoch.", metavar="TEXT TIMES"
    )
    log_every: int = _setting(50, "Steps from one line of log.jsonl to the next.")
    save_every: int = _setting(500, "Steps from one checkpoint to the next.")
    seed: int = _setting(0, "Draws masks, order and random layers.")


# what two cores change of the original: a few layers, short sequences
_POCKET = Settings(
    student_layers=(0, 2, 5), cosine=50.0, positions="masked", mlm_probability=0.2,
    max_length=128, batch_size=24, accumulation=1, warmup=100, max_grad_norm=1.0,
    dropout=0.0, freeze_embeddings=True, precision="auto", held_out=0.04,
)  # fmt: skip
RECIPES = {
    "smoke": replace(_POCKET, profile="smoke", steps=4, log_every=1, save_every=2),
    "classroom": replace(_POCKET, profile="classroom"),
    "full": Settings(),
}

"""The three profiles in one table: checkpoints, data and budgets, no other code."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.core.errors import WorkbookError

# revisions that many public projects pin; None would mean whatever the Hub serves today
HUB_REVISIONS = {
    "bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "distilbert-base-uncased": "12040accade4e8a0f71eabdb258fecc2e7e948be",
}


@dataclass(frozen=True)
class Profile:
    """What one value of `PROFILE` stands for."""

    name: str
    bert: str  # "pocket", or a Hub id
    distilbert: str  # "pocket", or a Hub id
    passages: int | None  # passages of the corpus to read; None: all of them
    maskings: int  # how often a passage is masked anew when masked accuracy is measured
    strings: int  # generated strings that a claim is tried on
    online: bool  # whether anything may be fetched
    distil_steps: int = 4  # steps of each live distillation run
    timings: int = 1  # how often two models are timed against each other
    adapt_steps: int = 2  # steps of each fine-tuning run of a masked language model
    adapt_rate: float = 3e-4  # its learning rate: smaller for larger models
    head_rows: int | None = None  # rows that a head learns from; None: all of them
    head_steps: int = -1  # steps of a head's fine-tuning; -1: as its recipe says


# fmt: off
PROFILES = {
    # a few seconds a notebook: every cell runs
    "smoke": Profile(
        "smoke", "pocket", "pocket", 8, 1, 300, online=False,
        head_rows=48, head_steps=2,
    ),
    # the default: real learning on two CPU cores with no network
    "classroom": Profile(
        "classroom", "pocket", "pocket", None, 4, 5_000, online=False,
        distil_steps=90, timings=15, adapt_steps=24,
    ),
    # the full-size models and the Hub's data: a network needed, a GPU recommended
    "full": Profile(
        "full", "bert-base-uncased", "distilbert-base-uncased", 200, 4, 20_000,
        online=True, distil_steps=3_000, timings=30, adapt_steps=64, adapt_rate=5e-5,
        head_rows=20_000,
    ),
}
# fmt: on


def profile(name: str) -> Profile:
    """The profile of this name; `WorkbookError` for any other name."""
    if name not in PROFILES:
        known = ", ".join(PROFILES)
        raise WorkbookError(f"PROFILE is {name!r}; it must be one of {known}")
    return PROFILES[name]

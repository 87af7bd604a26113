"""The three profiles: one table that names checkpoints, data and budgets. The code is the same."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.errors import WorkbookError

# Revisions that many public projects pin; None would mean "whatever the Hub serves today".
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


PROFILES = {
    # a few seconds a notebook: every cell runs
    "smoke": Profile("smoke", "pocket", "pocket", 8, 1, 300, online=False),
    # the default: real learning on two CPU cores with no network
    "classroom": Profile("classroom", "pocket", "pocket", None, 4, 5_000, online=False),
    # the full-size models and the Hub's data: a network needed, a GPU recommended
    "full": Profile(
        "full", "bert-base-uncased", "distilbert-base-uncased", 200, 4, 20_000, online=True
    ),
}


def profile(name: str) -> Profile:
    """The profile of this name.

    Raises `WorkbookError` for any other name.
    """
    if name not in PROFILES:
        raise WorkbookError(f"PROFILE is {name!r}; it must be one of {', '.join(PROFILES)}")
    return PROFILES[name]

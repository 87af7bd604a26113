"""Fetch what `full` needs, beforehand: models and data sets, at revisions that are written down.

Shown first: what it is, how big, and whether there is room. A fetch that broke off is taken up by
the same command. Afterwards `full` opens everything without a network.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers import hub_files, hub_sets, profiles, revisions
from helpers.errors import WorkbookError
from helpers.hub_files import Kind, Listing

# Exact names: bert-base-uncased also carries its weights in five other formats.
MODEL_FILES = (
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
    "special_tokens_map.json",
)  # fmt: skip
NEEDED = MODEL_FILES[:2]
COPIES = 2  # `datasets` unpacks a set twice: for `hub_sets.load`, and for plain `load_dataset`
UNPACKED = 4  # how much larger a set is then than as Parquet, where its README does not say


@dataclass(frozen=True)
class Part:
    """One model or set, at one commit: what will be fetched of it.

    `unpacked`: bytes that it takes besides its files.
    """

    name: str
    repo: str
    kind: Kind
    patterns: tuple[str, ...]
    listing: Listing
    unpacked: int = 0


def models() -> tuple[str, ...]:
    """The Hub ids that the profile `full` opens."""
    full = profiles.profile("full")
    return full.bert, full.distilbert


def plan(
    with_models: bool, sets: Iterable[str], pinned: Mapping[str, str] | None = None
) -> list[Part]:
    """What to fetch, each part at its commit, sizes included; asks the Hub, fetches nothing big.

    A revision comes from `pinned`, else from what was fetched before, else from the profile, else
    it is the newest. All sets of one repository get the same.

    Raises `WorkbookError` on an unknown set, before the Hub is asked, and as `hub_files.listing`.
    """
    pinned = pinned or {}
    wanted = [(name, hub_sets.find(name)) for name in sets]
    parts = [_model(repo, pinned) for repo in models()] if with_models else []
    commits: dict[str, str] = {}
    for name, hub_set in wanted:
        revision = commits.get(hub_set.repo) or _revision(hub_set.repo, pinned)
        parts.append(_set(name, revision))
        commits[hub_set.repo] = parts[-1].listing.commit
    return parts


def _revision(repo: str, pinned: Mapping[str, str]) -> str | None:
    return pinned.get(repo) or revisions.recorded_revision(repo) or profiles.HUB_REVISIONS.get(repo)


def _model(repo: str, pinned: Mapping[str, str]) -> Part:
    listing = hub_files.listing(repo, "model", MODEL_FILES, _revision(repo, pinned))
    for name in NEEDED:
        if name not in listing.sizes:
            raise WorkbookError(f"{repo} at revision {listing.commit[:12]} has no {name}")
    return Part(repo, repo, "model", MODEL_FILES, listing)


def _set(name: str, revision: str | None) -> Part:
    hub_set = hub_sets.find(name)
    commit, fields = hub_files.card(hub_set.repo, revision)
    patterns = tuple(hub_sets.patterns(hub_sets.splits(hub_set, fields)))
    listing = hub_files.listing(hub_set.repo, "dataset", patterns, commit)
    info = hub_sets.card_info(hub_set, fields)
    once = (info and info.dataset_size) or UNPACKED * listing.size
    return Part(name, hub_set.repo, "dataset", patterns, listing, COPIES * once)


def check_room(parts: Iterable[Part]) -> tuple[int, int]:
    """(bytes that the parts will take, bytes free), where that is tightest.

    Raises `WorkbookError` when a disk has too little.
    """
    from datasets import config
    from huggingface_hub import constants

    needs: dict[Path, int] = defaultdict(int)
    for part in parts:
        needs[Path(constants.HF_HUB_CACHE)] += part.listing.missing
        needs[Path(config.HF_DATASETS_CACHE)] += part.unpacked
    disks: dict[int, tuple[int, Path]] = {}
    for folder, need in needs.items():
        there = _existing(folder)
        device = os.stat(there).st_dev
        disks[device] = (disks.get(device, (0, there))[0] + need, there)
    rooms = [(need, shutil.disk_usage(folder).free, folder) for need, folder in disks.values()]
    for need, free, folder in rooms:
        if need > free:
            raise WorkbookError(
                f"too little room: {size(need)} needed and {size(free)} free on the disk of "
                f"{folder}; fetch less, or set HF_HOME to a folder on a larger disk"
            )
    return min(((need, free) for need, free, _ in rooms), key=lambda r: r[1] - r[0])


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def fetch(parts: Iterable[Part], say: Callable[[str], None] = print) -> None:
    """Fetch the parts, build the sets, and write down each revision as soon as all of it is here.

    Raises `WorkbookError` when the connection fails or a set is not what the workbook knows; what
    is finished stays, and the same call goes on from there.
    """
    for part in parts:
        commit = part.listing.commit
        hub_files.snapshot(part.repo, part.kind, part.patterns, commit)
        if part.kind == "model":
            _name_main(part)
            say(f"{part.name}: {size(part.listing.size)}")
        else:
            say(f"{part.name}: {_build(part)}")
        revisions.record(part.repo, commit)


def _name_main(part: Part) -> None:
    """Where it is the newest commit, let plain `from_pretrained(name)` find it offline too."""
    from huggingface_hub import HfApi

    with hub_files.explained(part.repo):
        newest = HfApi().model_info(part.repo).sha
    if newest == part.listing.commit:
        hub_files.snapshot(part.repo, part.kind, part.patterns, "main")


def _build(part: Part) -> str:
    """Build the set for `hub_sets.load` and for plain `load_dataset`; counts of its rows."""
    from datasets import load_dataset

    commit = part.listing.commit
    rows = hub_sets.load(part.name, revision=commit)
    with hub_files.explained(part.repo, commit, "cannot be built"):
        load_dataset(part.repo, hub_sets.find(part.name).config, revision=commit)
    return " + ".join(f"{len(rows[split]):,}" for split in hub_sets.SPLITS) + " rows"


def size(count: float) -> str:
    """Bytes for people, decimal as disks and the Hub count them: 440.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"

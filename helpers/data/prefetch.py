"""Fetch what `full` needs beforehand: models and data sets, at commits written down.

Said first: what it is, how big, whether there is room. A fetch that broke off is taken
up by the same command. Afterwards `full` opens everything without a network.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import config
from huggingface_hub import HfApi, constants, snapshot_download
from tqdm import tqdm

from helpers.checkpoints import ready_made
from helpers.core import profiles
from helpers.core.cache import record_revision, recorded_revisions
from helpers.core.errors import WorkbookError
from helpers.data.hub import SETS, builder, explained, find, load

# exact names: bert-base-uncased also holds its weights in five other formats
MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]
MODEL_FILES += ["tokenizer_config.json", "special_tokens_map.json"]
UNPACKED = 4  # how much larger a set is than its files, where its card is silent


@dataclass(frozen=True)
class Part:
    """One model or set at one commit, in bytes. `unpacked`: what building takes."""

    name: str
    repo: str
    commit: str
    size: int
    missing: int
    unpacked: int


def models() -> tuple[str, ...]:
    """The models that `full` opens: two to start from, and two fine-tuned already."""
    full = profiles.profile("full")
    return full.bert, full.distilbert, *ready_made.HUB.values()


def plan(names: Iterable[str], pinned: Mapping[str, str] | None = None) -> list[Part]:
    """What fetching these sets and models takes; asks the Hub, fetches nothing big.

    A revision comes from `pinned`, else from what was recorded, else from the profile,
    else it is the newest; sets of one repository get the same.
    """
    known = profiles.HUB_REVISIONS | recorded_revisions() | dict(pinned or {})
    repos = {name: name if name in models() else find(name).repo for name in names}
    parts = []
    for name, repo in repos.items():
        with explained(repo, known.get(repo, "")):
            parts.append(_part(name, repo, known.get(repo, "")))
        known[repo] = parts[-1].commit
    return parts


def _part(name: str, repo: str, revision: str) -> Part:
    if name not in SETS:
        commit = str(HfApi().model_info(repo, revision=revision or None).sha)
        size, missing = _sizes(repo, "model", commit, MODEL_FILES, MODEL_FILES[:2])
        return Part(name, repo, commit, size, missing, 0)
    found = builder(SETS[name], revision)
    urls = [url for urls in found.config.data_files.values() for url in urls]
    paths = [url.partition(f"@{found.hash}/")[2] for url in urls]
    size, missing = _sizes(repo, "dataset", str(found.hash), paths, paths)
    built = Path(found.cache_dir).exists()
    unpacked = 0 if built else found.info.dataset_size or UNPACKED * size
    return Part(name, repo, str(found.hash), size, missing, unpacked)


def _sizes(
    repo: str, kind: str, commit: str, files: list[str], needed: list[str]
) -> tuple[int, int]:
    """Bytes of the files, and of those among them that are still to be fetched."""
    where = {"repo_type": kind, "revision": commit, "allow_patterns": files}
    found = snapshot_download(repo, dry_run=True, **where)
    if lost := {*needed} - {file.filename for file in found}:
        what = f"{repo} at revision {commit[:12]}"
        raise WorkbookError(f"{what} has no {', '.join(sorted(lost))}")
    missing = sum(file.file_size for file in found if not file.is_cached)
    return sum(file.file_size for file in found), missing


def check_room(parts: Sequence[Part]) -> tuple[int, int]:
    """(bytes that the parts take, bytes free), where that is tightest."""
    wanted = {
        constants.HF_HUB_CACHE: sum(part.missing for part in parts),
        config.HF_DATASETS_CACHE: sum(part.unpacked for part in parts),
    }
    disks: dict[int, tuple[int, Path]] = {}
    for cache, more in wanted.items():
        places = (Path(cache), *Path(cache).parents)
        there = next(place for place in places if place.exists())
        disk = there.stat().st_dev
        disks[disk] = (disks.get(disk, (0, there))[0] + more, there)
    rooms = [(n, shutil.disk_usage(there).free, there) for n, there in disks.values()]
    need, free, there = min(rooms, key=lambda room: room[1] - room[0])
    if need > free:
        what = f"{size(need)} needed and {size(free)} free on the disk of {there}"
        mend = "fetch less, or set HF_HOME to a folder on a larger disk"
        raise WorkbookError(f"too little room: {what}; {mend}")
    return need, free


def size(count: float) -> str:
    """Bytes for people, decimal as the Hub counts them: 440MB."""
    return tqdm.format_sizeof(count, "B")


def fetch(parts: Iterable[Part], say: Callable[[str], None] = print) -> None:
    """Fetch the parts, build the sets, and record a revision when its part is whole.

    What is finished stays; after an error the same call goes on from there.
    """
    for part in parts:
        if part.name in SETS:
            rows = load(part.name, revision=part.commit).num_rows.values()
            say(f"{part.name}: {' + '.join(f'{count:,}' for count in rows)} rows")
        else:
            with explained(part.repo, part.commit):
                newest = HfApi().model_info(part.repo).sha == part.commit
                # with "main", plain from_pretrained(name) finds it offline too
                where = {"repo_id": part.repo, "allow_patterns": MODEL_FILES}
                for at in (part.commit, "main")[: 1 + newest]:
                    snapshot_download(revision=at, **where)
            say(f"{part.name}: {size(part.size)}")
        record_revision(part.repo, part.commit)

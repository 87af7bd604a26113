"""The script that made the adapter still makes one, and goes on where it was stopped."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from safetensors.torch import load_file

from helpers.checkpoints import ADAPTER
from helpers.data import passages

SCRIPT = ROOT / "data" / "pocket" / "train_adapter.py"


def train(texts, output, steps):
    small = ["--batch", "4", "--clean", "1", "--length", "32", "--rank", "2", "--save-every", "2"]
    paths = ["--texts", str(texts), "--output", str(output)]
    schedule = ["--steps", str(steps), "--decay-steps", "1"]
    return subprocess.run(
        [sys.executable, str(SCRIPT), *paths, *schedule, *small],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=300,
    )


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "passages.txt").write_text("\n".join(passages("classroom", "train")))
    return folder


def test_it_trains_stops_and_goes_on(texts, tmp_path):
    output = tmp_path / "adapter"
    first = train(texts, output, steps=2)
    assert first.returncode == 0, first.stderr
    second = train(texts, output, steps=4)
    assert second.returncode == 0, second.stderr
    log = json.loads((output / "log.json").read_text())
    assert [h["step"] for h in log["history"] if "held_out_masked_accuracy" in h] == [2, 4]
    assert [(s["after_step"], s["rank"]) for s in log["starts"]] == [(0, 2), (2, 2)]
    made, shipped = load_file(output / "adapter.safetensors"), load_file(ADAPTER)
    assert made.keys() == shipped.keys()
    changed = made["bert.encoder.layer.0.attention.self.query.lora_B"]
    assert changed.abs().max() > 0


def test_a_folder_without_texts_is_one_line(tmp_path):
    done = train(tmp_path, tmp_path / "out", steps=1)
    assert done.returncode == 1
    assert "no *.txt files" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_shipped_adapter_is_light_and_half_precision():
    import torch

    tensors = load_file(ADAPTER)
    assert ADAPTER.stat().st_size < 6_000_000
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}

"""The scripts that made adapter and student still make them, and go on where they were
stopped.
"""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from safetensors.torch import load_file

from helpers.checkpoints import ADAPTER, STUDENT
from helpers.data import passages

POCKET = ROOT / "data" / "pocket"
SMALL = ["--tokens", "120", "--clean", "0.3", "--length", "32", "--save-every", "60"]


def train(script, texts, output, minutes, *more):
    paths = ["--texts", str(texts), "--output", str(output), "--minutes", str(minutes)]
    return subprocess.run(
        [sys.executable, str(POCKET / script), *paths, *SMALL, *more],
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


@pytest.mark.parametrize(
    ("script", "made", "shipped", "more"),
    [
        ("train_adapter.py", "adapter.safetensors", ADAPTER, ["--rank", "2"]),
        (
            "train_student.py",
            "student.safetensors",
            STUDENT,
            ["--every-layer", "1", "--segments"],
        ),
    ],
)
def test_it_trains_stops_and_goes_on(texts, tmp_path, script, made, shipped, more):
    output = tmp_path / "run"
    first = train(script, texts, output, 0.005, *more)
    assert first.returncode == 0, first.stderr
    second = train(script, texts, output, 0.01, *more)
    assert second.returncode == 0, second.stderr
    log = json.loads((output / "log.json").read_text())
    looks = [h for h in log["history"] if "held_out_masked_accuracy" in h]
    steps, starts = [look["step"] for look in looks], log["starts"]
    assert len(steps) == 2
    assert 0 < steps[0] < steps[1]
    assert [start["after_step"] for start in starts] == [0, steps[0]]
    tensors = load_file(output / made)
    assert tensors.keys() == load_file(shipped).keys()
    if made.startswith("adapter"):
        assert (
            tensors["bert.encoder.layer.0.attention.self.query.lora_B"].abs().max() > 0
        )


def test_the_adapter_goes_on_from_the_one_that_ships(texts, tmp_path):
    output = tmp_path / "run"
    done = train("train_adapter.py", texts, output, 0.001)
    assert done.returncode == 0, done.stderr
    name = "bert.encoder.layer.3.output.dense.lora_A"
    gap = (
        (load_file(output / "adapter.safetensors")[name] - load_file(ADAPTER)[name])
        .abs()
        .max()
    )
    assert gap < 0.05


@pytest.mark.parametrize("script", ["train_adapter.py", "train_student.py"])
def test_a_folder_without_texts_is_one_line(tmp_path, script):
    done = train(script, tmp_path, tmp_path / "out", 1)
    assert done.returncode == 1
    assert "no such text file" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_shipped_adapter_is_light_and_half_precision():
    import torch

    tensors = load_file(ADAPTER)
    assert ADAPTER.stat().st_size < 6_000_000
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}

"""The scripts that made adapter and student still make them, and go on where they were
stopped.
"""

import json

import pytest
import torch
import train_adapter
import train_student
from click.testing import CliRunner
from safetensors.torch import load_file

from helpers.checkpoints import ADAPTER, STUDENT
from helpers.data import passages

SMALL = ["--tokens", "120", "--clean", "0.3", "--length", "32", "--save-every", "60"]


def train(script, texts, output, minutes, *more):
    paths = ["--texts", str(texts), "--output", str(output), "--minutes", str(minutes)]
    return CliRunner().invoke(script.main, [*paths, *SMALL, *more])


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "passages.txt").write_text(
        "\n".join(passages("classroom", "train")[:200])
    )
    return folder


MORE = {
    train_adapter: ("adapter.safetensors", ADAPTER, ["--rank", "2"]),
    train_student: (
        "student.safetensors", STUDENT, ["--every-layer", "1", "--segments"],
    ),
}  # fmt: skip
each = pytest.mark.parametrize("script", MORE, ids=lambda script: script.__name__)


@each
def test_it_trains_stops_and_goes_on(texts, tmp_path, script):
    output, (made, shipped, more) = tmp_path / "run", MORE[script]
    for minutes in (0.005, 0.01):
        done = train(script, texts, output, minutes, *more)
        assert done.exit_code == 0, done.output
    log = json.loads((output / "log.json").read_text())
    looks = [h for h in log["history"] if "held_out_masked_accuracy" in h]
    steps, starts = [look["step"] for look in looks], log["starts"]
    assert len(steps) == 2
    assert 0 < steps[0] < steps[1]
    assert [start["after_step"] for start in starts] == [0, steps[0]]
    tensors = load_file(output / made)
    assert tensors.keys() == load_file(shipped).keys()
    if script is train_adapter:
        name = "bert.encoder.layer.0.attention.self.query.lora_B"
        assert tensors[name].abs().max() > 0


def test_the_adapter_goes_on_from_the_one_that_ships(texts, tmp_path):
    output = tmp_path / "run"
    done = train(train_adapter, texts, output, 0.001)
    assert done.exit_code == 0, done.output
    name = "bert.encoder.layer.3.output.dense.lora_A"
    mine, shipped = (
        load_file(f)[name] for f in (output / "adapter.safetensors", ADAPTER)
    )
    assert (mine - shipped).abs().max() < 0.05


@each
def test_a_folder_without_texts_is_one_line(tmp_path, script):
    done = train(script, tmp_path, tmp_path / "out", 1)
    assert done.exit_code == 1
    assert "no such text file" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_shipped_adapter_is_light_and_half_precision():
    tensors = load_file(ADAPTER)
    assert ADAPTER.stat().st_size < 6_000_000
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}

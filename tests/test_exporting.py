"""Every head in every form: int8, ONNX Runtime, OpenVINO answer as the original."""

from __future__ import annotations

import functools
import logging

import numpy as np
import pytest
import torch
import transformers
from conftest import HEADS
from variants import int8_in_torch

from helpers.checkpoints import distilbert
from helpers.core.errors import WorkbookError
from helpers.data import rows
from helpers.speed_and_size import exporting

CLOSE = 1e-4  # the same fp32 arithmetic in another order
# int8: at least so many equal choices; the mean distance at most so much of the size.
# torch's own keeps activations in seven bits, and the heads here are untrained
BOUNDS = {"onnx": (0.85, 0.2), "torch": (0.6, 0.3)}
needs_onnx, needs_openvino = (
    pytest.mark.skipif(bool(exporting.lacks(extra)), reason=f"no extra {extra}")
    for extra in ("onnx", "openvino")
)
each = pytest.mark.parametrize("head", HEADS)
ONNX = pytest.param("onnx", marks=needs_onnx)
ENGINES = [ONNX, pytest.param("openvino", marks=needs_openvino)]


@functools.cache  # the first fresh head of a process is drawn unlike the later ones
def load(head):
    torch.manual_seed(0)
    kind = getattr(transformers, f"DistilBert{head}")
    return kind.from_pretrained(distilbert()).eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """`files(head)`: the ONNX file of a head, in fp32 and int8, made once."""
    shelf, made = tmp_path_factory.mktemp("onnx"), {}

    def find(head):
        if head not in made:
            plain = exporting.to_onnx(load(head), shelf / f"{head}.onnx")
            made[head] = plain, exporting.to_int8(plain, shelf / f"{head}.int8.onnx")
        return made[head]

    return find


@pytest.fixture(scope="module")
def feed(tokenizer):
    """Eight reviews, or (4, 2) of them for multiple choice, padded, as arrays."""
    texts = [row["text"] for row in rows("reviews", "test")][:8]
    batch = tokenizer(texts, padding=True, return_tensors="np")
    batch.pop("token_type_ids")

    def shaped(head):
        pairs = head == "ForMultipleChoice"
        found = {name: array.astype(np.int64) for name, array in batch.items()}
        return {n: a.reshape(4, 2, -1) if pairs else a for n, a in found.items()}

    return shaped


def wanted(model, feed):
    with torch.no_grad():
        output = model(**{n: torch.from_numpy(array) for n, array in feed.items()})
    return {name: tensor.numpy() for name, tensor in output.items()}


def real(array, feed):
    """Rows of real tokens where there is a row for each token; else all."""
    mask = feed["attention_mask"].astype(bool)
    return array[mask] if array.shape[: mask.ndim] == mask.shape else array


def choices(head, array, feed):
    """A class, a word, a place; for the bare model the largest state."""
    if head == "ForQuestionAnswering":
        return np.where(feed["attention_mask"], array, -np.inf).argmax(-1)
    return real(array, feed).argmax(-1)


def off(found, want, feed):
    """The largest distance over all outputs, on real tokens."""
    assert set(found) == set(want)
    return max(np.abs(real(found[n], feed) - real(want[n], feed)).max() for n in want)


def agree(head, found, want, feed):
    """The share of equal choices; the mean distance over the size (rms) of `want`."""
    same, apart = [], []
    for name in want:
        pair = [array[name] for array in (found, want)]
        same.append(np.equal(*(choices(head, array, feed) for array in pair)).ravel())
        mine, theirs = (real(array, feed) for array in pair)
        apart.append(np.abs(mine - theirs).mean() / np.sqrt(np.square(theirs).mean()))
    return np.concatenate(same).mean(), max(apart)


@each
@pytest.mark.parametrize("run", ENGINES)
def test_another_engine_gives_the_models_numbers(head, run, files, feed, tmp_path):
    inputs, model = feed(head), load(head)
    if run == "onnx":
        engine = exporting.onnx_run(files(head)[0], 1)
    else:
        file = exporting.to_openvino(model, tmp_path / "model.xml")
        engine = exporting.openvino_run(file, 1, "f32")
    assert off(engine(inputs), wanted(model, inputs), inputs) < CLOSE
    if head != "Model":
        return
    for shape in ((1, 1), (2, 512), (5, 3)):  # batch and length stay free
        ids = np.random.default_rng(0).integers(1000, 30_000, shape)
        other = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        assert off(engine(other), wanted(model, other), other) < CLOSE
    mask = np.ones_like(inputs["attention_mask"])  # the padding mask goes along
    ignored = engine({**inputs, "attention_mask": mask})
    assert off(ignored, wanted(model, inputs), inputs) > 100 * CLOSE


@each
@pytest.mark.parametrize("kind", [ONNX, "torch"])
def test_int8_stays_near(head, kind, files, feed):
    inputs, model = feed(head), load(head)
    want = wanted(model, inputs)
    if kind == "onnx":
        sizes = [file.stat().st_size for file in files(head)]
        found = exporting.onnx_run(files(head)[1], 1)(inputs)
        assert sizes[1] < 0.3 * sizes[0]
    else:
        small = int8_in_torch(model)
        found = wanted(small, inputs)
        assert exporting.saved_bytes(small) < exporting.saved_bytes(model)
        assert off(wanted(model, inputs), want, inputs) == 0, "it is left alone"
    same, apart = agree(head, found, want, inputs)
    least, most = BOUNDS[kind]
    assert 0 < apart < most
    assert same >= least


@pytest.mark.parametrize("extra", ["onnx", "openvino"])
def test_without_its_extra_one_line_says_what_to_type(extra, monkeypatch, tmp_path):
    monkeypatch.setitem(exporting.EXTRAS, extra, ("no_such_package",))
    line = f"pip install -c constraints.txt -e '.[{extra}]'"
    assert exporting.lacks(extra) == line
    with pytest.raises(WorkbookError) as told:
        getattr(exporting, f"to_{extra}")(load("Model"), tmp_path / "model")
    assert line in str(told.value)
    assert not list(tmp_path.iterdir())


@needs_onnx
def test_exporting_is_quiet_and_leaves_logging_as_it_was(capsys, tmp_path, recwarn):
    model = load("ForSequenceClassification")
    capsys.readouterr(), recwarn.clear()
    exporting.to_onnx(model, tmp_path / "model.onnx")
    assert capsys.readouterr() == ("", "")
    assert not recwarn.list
    assert logging.root.manager.disable == 0
    (only,) = tmp_path.iterdir()  # one file, weights and all
    assert only.name == "model.onnx"


def test_bytes_are_those_of_the_file(tmp_path):
    model = load("Model")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    stored = (tmp_path / "weights.pt").stat().st_size
    assert exporting.saved_bytes(model) == pytest.approx(stored, rel=0.01)
    assert exporting.saved_bytes(tmp_path / "weights.pt") == stored
    (tmp_path / "m.xml").write_bytes(b"x" * 10)
    (tmp_path / "m.bin").write_bytes(b"x" * 90)
    assert exporting.saved_bytes(tmp_path / "m.xml") == 100


@needs_openvino
def test_openvino_reports_to_nobody(python):
    code = """
import socket, sys
def refuse(*_):
    raise AssertionError("a connection")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pathlib import Path
from tempfile import TemporaryDirectory
from transformers import DistilBertConfig, DistilBertModel
from helpers.speed_and_size import exporting
with TemporaryDirectory() as shelf:
    sizes = {"n_layers": 1, "dim": 32, "n_heads": 2, "hidden_dim": 64}
    model = DistilBertModel(DistilBertConfig(**sizes))
    exporting.openvino_run(exporting.to_openvino(model, Path(shelf) / "model.xml"), 1)
print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""
    done = python(code, CI="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

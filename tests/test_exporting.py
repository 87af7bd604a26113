"""Every head in every form: int8, ONNX Runtime, OpenVINO answer as the original does."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import transformers
from conftest import HEADS

from helpers import exporting
from helpers.checkpoints import distilbert
from helpers.data import rows
from helpers.errors import WorkbookError

CLOSE = 1e-4  # the same fp32 arithmetic in another order
# int8: at least so many equal choices; the mean distance at most so much of the numbers' size.
# torch's own keeps activations in seven bits, and the heads here are untrained: near things
BOUNDS = {"onnx": (0.85, 0.2), "torch": (0.6, 0.3)}
needs_onnx = pytest.mark.skipif(bool(exporting.lacks("onnx")), reason="without the extra onnx")
needs_openvino = pytest.mark.skipif(
    bool(exporting.lacks("openvino")), reason="without the extra openvino"
)
each = pytest.mark.parametrize("head", HEADS)


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
    batch = tokenizer(texts, padding=True, return_token_type_ids=False, return_tensors="np")

    def shaped(head):
        pairs = head == "ForMultipleChoice"
        found = {name: array.astype(np.int64) for name, array in batch.items()}
        return {n: a.reshape(4, 2, -1) if pairs else a for n, a in found.items()}

    return shaped


def wanted(model, feed):
    with torch.no_grad():
        output = model(**{name: torch.from_numpy(array) for name, array in feed.items()})
    return {name: tensor.numpy() for name, tensor in output.items()}


def real(array, feed):
    """Rows of real tokens where there is a row for each token; else all."""
    mask = feed["attention_mask"].astype(bool)
    return array[mask] if array.shape[: mask.ndim] == mask.shape else array


def choices(head, array, feed):
    """What a head chooses: a class, a word, a place; for the bare model the largest state."""
    if head == "ForQuestionAnswering":
        return np.where(feed["attention_mask"], array, -np.inf).argmax(-1)
    return real(array, feed).argmax(-1)


def off(found, want, feed):
    """The largest distance over all outputs, on real tokens."""
    assert set(found) == set(want)
    return max(np.abs(real(found[n], feed) - real(want[n], feed)).max() for n in want)


def agree(head, found, want, feed):
    """The share of equal choices, and the mean distance over the size (rms) of what was wanted."""
    same = [choices(head, found[n], feed) == choices(head, want[n], feed) for n in want]
    apart = [
        np.abs(real(found[n], feed) - real(want[n], feed)).mean()
        / np.sqrt(np.square(real(want[n], feed)).mean())
        for n in want
    ]
    return np.concatenate([s.ravel() for s in same]).mean(), max(apart)


@needs_onnx
@each
def test_onnx_runtime_gives_the_models_numbers(head, files, feed):
    inputs = feed(head)
    found = exporting.onnx_run(files(head)[0], 1)(inputs)
    assert off(found, wanted(load(head), inputs), inputs) < CLOSE


@needs_onnx
@each
def test_int8_in_onnx_runtime_stays_near(head, files, feed):
    inputs = feed(head)
    want = wanted(load(head), inputs)
    found = exporting.onnx_run(files(head)[1], 1)(inputs)
    same, apart = agree(head, found, want, inputs)
    least, most = BOUNDS["onnx"]
    assert 0 < apart < most
    assert same >= least
    plain, small = (path.stat().st_size for path in files(head))
    assert small < 0.3 * plain


@each
def test_int8_in_torch_stays_near(head, feed):
    model, inputs = load(head), feed(head)
    want = wanted(model, inputs)
    small = exporting.int8_in_torch(model)
    found = wanted(small, inputs)
    same, apart = agree(head, found, want, inputs)
    least, most = BOUNDS["torch"]
    assert 0 < apart < most
    assert same >= least
    assert exporting.saved_bytes(small) < exporting.saved_bytes(model)
    assert off(wanted(model, inputs), want, inputs) == 0, "the original is left alone"


@needs_openvino
@each
def test_openvino_gives_the_models_numbers(head, feed, tmp_path):
    inputs = feed(head)
    file = exporting.to_openvino(load(head), tmp_path / "model.xml")
    found = exporting.openvino_run(file, 1, "f32")(inputs)
    assert off(found, wanted(load(head), inputs), inputs) < CLOSE


@needs_onnx
@pytest.mark.parametrize("shape", [(1, 1), (1, 512), (5, 3)])
def test_batch_and_length_stay_free(files, shape):
    ids = np.random.default_rng(0).integers(1000, 30_000, shape)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    found = exporting.onnx_run(files("Model")[0], 1)(inputs)
    assert off(found, wanted(load("Model"), inputs), inputs) < CLOSE


@needs_openvino
def test_openvino_takes_any_shape(tmp_path):
    run = exporting.openvino_run(
        exporting.to_openvino(load("Model"), tmp_path / "model.xml"), 1, "f32"
    )
    for shape in ((1, 1), (2, 512), (5, 3)):
        ids = np.random.default_rng(0).integers(1000, 30_000, shape)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        assert off(run(inputs), wanted(load("Model"), inputs), inputs) < CLOSE


@needs_onnx
def test_the_padding_mask_goes_along(files, feed):
    inputs = feed("Model")
    run = exporting.onnx_run(files("Model")[0], 1)
    ignored = run({**inputs, "attention_mask": np.ones_like(inputs["attention_mask"])})
    assert off(ignored, wanted(load("Model"), inputs), inputs) > 100 * CLOSE


@pytest.mark.parametrize(("extra", "function"), [("onnx", "to_onnx"), ("openvino", "to_openvino")])
def test_without_its_extra_one_line_says_what_to_type(extra, function, monkeypatch, tmp_path):
    monkeypatch.setitem(exporting.EXTRAS, extra, ("no_such_package",))
    line = f"pip install -c constraints.txt -e '.[{extra}]'"
    assert exporting.lacks(extra) == line
    with pytest.raises(WorkbookError) as told:
        getattr(exporting, function)(load("Model"), tmp_path / "model")
    assert line in str(told.value)
    assert not list(tmp_path.iterdir())


@needs_onnx
def test_exporting_is_quiet_and_leaves_logging_as_it_was(capsys, tmp_path, recwarn):
    exporting.to_onnx(load("ForSequenceClassification"), tmp_path / "model.onnx")
    assert capsys.readouterr() == ("", "")
    assert not recwarn.list
    assert logging.root.manager.disable == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"], "one file, weights and all"


def test_bytes_are_those_of_the_file(tmp_path):
    model = load("Model")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    stored = (tmp_path / "weights.pt").stat().st_size
    assert exporting.saved_bytes(model) == pytest.approx(stored, rel=0.01)
    assert exporting.saved_bytes(tmp_path / "weights.pt") == stored
    for name, size in (("m.xml", 10), ("m.bin", 90)):
        (tmp_path / name).write_bytes(b"x" * size)
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
from helpers import exporting
with TemporaryDirectory() as shelf:
    model = DistilBertModel(DistilBertConfig(n_layers=1, dim=32, n_heads=2, hidden_dim=64))
    exporting.openvino_run(exporting.to_openvino(model, Path(shelf) / "model.xml"), 1)
print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""
    done = python(code, CI="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

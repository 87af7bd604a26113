"""A model in other forms: int8 weights, ONNX Runtime, OpenVINO (the last two extras).

Every engine is called alike, with a feed of arrays {"input_ids", "attention_mask"},
int64 (B, S), or (B, C, S) for multiple choice, and answers with a dict of arrays by the
outputs' names.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel

    Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]

EXTRAS = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("openvino",)}


def lacks(extra: str) -> str:
    """What to type for "onnx" or "openvino"; empty where all of it is installed."""
    here = all(importlib.util.find_spec(name) for name in EXTRAS[extra])
    return "" if here else f"pip install -c constraints.txt -e '.[{extra}]'"


def _require(extra: str) -> None:
    if line := lacks(extra):
        raise WorkbookError(f"{' or '.join(EXTRAS[extra])} is missing: {line}")
    # importing OpenVINO would report its use to its makers, over the network
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@contextmanager
def _silence() -> Iterator[None]:
    """The exporters tell of every step; errors still come through, as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    out, err = redirect_stdout(StringIO()), redirect_stderr(StringIO())
    try:
        with warnings.catch_warnings(action="ignore"), out, err:
            yield
    finally:
        logging.disable(before)


def example(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Inputs that a model is traced with: two rows, one padded; all sizes stay free."""
    import torch

    ids = torch.tensor([[101, 2023, 2003, 1037, 3231, 102], [101, 2023, 102, 0, 0, 0]])
    if type(model).__name__.endswith("MultipleChoice"):
        ids = torch.stack([ids, ids.flip(0), ids], dim=1)  # (2, 3, 6)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def to_onnx(model: PreTrainedModel, path: Path) -> Path:
    """Write `model` as one ONNX file in fp32; batch and length stay free."""
    _require("onnx")
    import onnx_ir
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    with _silence():
        free, inputs = OnnxConfig(dynamic=True), example(model)
        exported = OnnxExporter().export(model.eval(), inputs, config=free)
        onnx_ir.save(exported.program, str(path))
    return path


def to_int8(path: Path, out: Path) -> Path:
    """Write the ONNX file `path` with int8 weights, word vectors included.

    One scale for each output channel; activations are quantized as they come, with one
    scale a tensor.
    """
    _require("onnx")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path)
    del graph.graph.value_info[:]  # shapes of the weights before they are turned
    how = {"per_channel": True, "weight_type": QuantType.QInt8}
    with _silence():
        quantize_dynamic(graph, out, op_types_to_quantize=["MatMul", "Gather"], **how)
    return out


def onnx_run(path: Path, threads: int) -> Run:
    """Open an ONNX file in ONNX Runtime, on the CPU."""
    _require("onnx")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(None, dict(feed)), strict=True))


def to_openvino(model: PreTrainedModel, path: Path) -> Path:
    """Write `model` as OpenVINO's `path` (.xml), weights beside it (.bin), in fp32."""
    _require("openvino")
    import openvino
    from transformers.exporters import exporter_openvino as exporters

    with _silence():
        free, inputs = exporters.OpenVINOConfig(dynamic=True), example(model)
        exporter = exporters.OpenVINOExporter()
        exported = exporter.export(model.eval(), inputs, config=free)
        openvino.save_model(exported.program, path, compress_to_fp16=False)
    return path


def openvino_run(path: Path, threads: int, precision: str = "") -> Run:
    """Open OpenVINO's form on the CPU. `precision`: "f32", "bf16"; else its own choice.

    Its own choice is bf16 where the processor computes that.
    """
    _require("openvino")
    import openvino

    how = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    how |= {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    compiled = openvino.Core().compile_model(path, "CPU", how)

    def run(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = compiled(dict(feed))
        return {port.any_name: found[port] for port in compiled.outputs}

    return run


def saved_bytes(thing: torch.nn.Module | Path) -> int:
    """Bytes of a model's weights as they are stored; of a file, with its `.bin`."""
    import torch

    if isinstance(thing, torch.nn.Module):
        with TemporaryFile() as file:
            torch.save(thing.state_dict(), file)
            return file.tell()
    weights = thing.with_suffix(".bin")
    beside = thing.suffix == ".xml" and weights.exists()
    return thing.stat().st_size + (weights.stat().st_size if beside else 0)

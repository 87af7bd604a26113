"""A model in other forms: int8 weights, ONNX Runtime, OpenVINO. The last two are
extras.

Every form is called alike, with a feed of arrays {"input_ids", "attention_mask"}, int64
(B, S), or (B, C, S) for multiple choice, and answers with a dict of arrays by the
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
from typing import TYPE_CHECKING

from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel

    Arrays = Mapping[str, np.ndarray]
    Run = Callable[[Arrays], dict[str, np.ndarray]]

EXTRAS = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("openvino",)}


def lacks(extra: str) -> str:
    """What to type for the extra "onnx" or "openvino"; empty where all of it is
    installed.
    """
    gone = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    return install(extra) if gone else ""


def install(extra: str) -> str:
    """The line that installs an extra, typed in the checkout."""
    return f"pip install -c constraints.txt -e '.[{extra}]'"


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
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(StringIO()),
            redirect_stderr(StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def example(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Inputs that a model is traced with: two rows, one of them padded. All sizes stay
    free.
    """
    import torch

    ids = torch.tensor([[101, 2023, 2003, 1037, 3231, 102], [101, 2023, 102, 0, 0, 0]])
    if type(model).__name__.endswith("MultipleChoice"):
        ids = torch.stack([ids, ids.flip(0), ids], dim=1)  # (2, 3, 6)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def to_onnx(model: PreTrainedModel, path: Path) -> Path:
    """Write `model` as one ONNX file in fp32; batch and length stay free.

    By the exporter of `transformers`, itself on top of `torch.onnx`. Raises
    `WorkbookError` without the extra `onnx`.
    """
    _require("onnx")
    import onnx_ir
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    with _silence():
        config = OnnxConfig(dynamic=True)
        exported = OnnxExporter().export(model.eval(), example(model), config=config)
        onnx_ir.save(exported.program, str(path))
    return path


def to_int8(path: Path, out: Path, embeddings: bool = True) -> Path:
    """Write the ONNX file `path` with int8 weights, one scale for each output channel.

    Activations are quantized as they come, one scale a tensor. With `embeddings` the
    word vectors too, for the size; without, only the matrices that are multiplied.
    Raises `WorkbookError` without the extra `onnx`.
    """
    _require("onnx")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path)
    del graph.graph.value_info[
        :
    ]  # shapes noted before weights are turned: they would not fit
    kinds = ["MatMul", "Gather"] if embeddings else ["MatMul"]
    with _silence():
        quantize_dynamic(
            graph,
            out,
            op_types_to_quantize=kinds,
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
    return out


def onnx_run(path: Path, threads: int) -> Run:
    """Open an ONNX file in ONNX Runtime, on the CPU. Raises `WorkbookError` without the
    extra.
    """
    _require("onnx")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(None, dict(feed)), strict=True))


def to_openvino(model: PreTrainedModel, path: Path) -> Path:
    """Write `model` in OpenVINO's form, `path` (.xml) and weights beside it (.bin), in
    fp32.

    Raises `WorkbookError` without the extra `openvino`.
    """
    _require("openvino")
    import openvino
    from transformers.exporters.exporter_openvino import (
        OpenVINOConfig,
        OpenVINOExporter,
    )

    with _silence():
        config = OpenVINOConfig(dynamic=True)
        exported = OpenVINOExporter().export(
            model.eval(), example(model), config=config
        )
        openvino.save_model(exported.program, path, compress_to_fp16=False)
    return path


def openvino_run(path: Path, threads: int, precision: str = "") -> Run:
    """Open OpenVINO's form on the CPU. `precision`: "f32", "bf16", or empty for its own
    choice.

    Its own choice is bf16 where the processor computes that. Raises `WorkbookError`
    without it.
    """
    _require("openvino")
    import openvino

    how = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    how |= {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    compiled = openvino.Core().compile_model(path, "CPU", how)

    def run(feed: Arrays) -> dict[str, np.ndarray]:
        found = compiled(dict(feed))
        return {port.any_name: found[port] for port in compiled.outputs}

    return run


def int8_in_torch(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose linear layers hold int8 weights, one scale for each output channel.

    Activations are quantized as they come, one scale a tensor, to seven bits only.
    By `torch.ao`, which torch means to remove one day and says so at every call.
    """
    import torch

    quantization = torch.ao.quantization
    kinds = {torch.nn.Linear: quantization.per_channel_dynamic_qconfig}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantization.quantize_dynamic(model.eval(), kinds)


def saved_bytes(thing: torch.nn.Module | Path) -> int:
    """Bytes of a model's weights as they would be stored; of a file, with its `.bin`
    beside it.
    """
    import torch

    if isinstance(thing, torch.nn.Module):
        shelf = _Counter()
        torch.save(thing.state_dict(), shelf)
        return shelf.size
    beside = thing.with_suffix(".bin")
    weights = beside.stat().st_size if thing.suffix == ".xml" and beside.exists() else 0
    return thing.stat().st_size + weights


class _Counter:
    """A file that only counts what is written to it."""

    size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

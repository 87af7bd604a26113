"""The ways of notebook 11 to label texts, for `make bench` and the tests."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, pipeline

from helpers.flash_attention.unpadded import unpadded
from helpers.speed_and_size import exporting
from helpers.speed_and_size.ladder import BATCH, Predict, Rung, no_compiler

Forward = Callable[[dict[str, np.ndarray]], np.ndarray]  # a padded batch -> its logits
NAMES = (
    "pipeline",
    "batches",
    "sorted by length",
    "unpadded",
    "bf16",
    "int8",
    "ONNX Runtime",
    "ONNX Runtime int8",
    "OpenVINO",
    "torch.compile",
)


def padded(rows: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """`input_ids` and `attention_mask`, int64 (B, S), of lists of ids."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


def labelled(
    forward: Forward,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    size: int = BATCH,
    ordered: bool = True,
) -> np.ndarray:
    """Labels (N,) of the texts, in their own order: shortest first, or as they come."""
    ids = tokenizer(list(texts), truncation=True)["input_ids"]
    lengths, labels = [len(row) for row in ids], np.empty(len(ids), np.int64)
    order = np.argsort(lengths, kind="stable") if ordered else np.arange(len(ids))
    for at in range(0, len(ids), size):
        rows = order[at : at + size]
        labels[rows] = forward(padded([ids[row] for row in rows])).argmax(-1)
    return labels


def in_torch(model: Any) -> Forward:
    """A model of `transformers`, a compiled or an unpadded one."""

    @torch.inference_mode()
    def forward(feed: dict[str, np.ndarray]) -> np.ndarray:
        tensors = {name: torch.from_numpy(array) for name, array in feed.items()}
        return model(**tensors).logits.float().numpy()

    return forward


def one_by_one(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Predict:
    """The pipeline as everybody writes it first: a list is read text by text."""
    classify = pipeline("text-classification", model, tokenizer=tokenizer, device="cpu")
    numbers = model.config.label2id

    def predict(texts: Sequence[str]) -> np.ndarray:
        found = classify(list(texts), truncation=True)
        return np.array([numbers[row["label"]] for row in found])

    return predict


def int8_in_torch(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose linear layers hold int8 weights, one scale an output channel."""
    kinds = {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    with warnings.catch_warnings(action="ignore"):
        return torch.ao.quantization.quantize_dynamic(model, kinds)


def rungs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    shelf: Path,
    compiled: bool = True,
) -> Iterator[Rung]:
    """Every rung for a classifier in fp32, in the order of `NAMES`, one at a time.

    Exported files go to `shelf`. Without `compiled` the last one is left out: compiling
    takes longer than all the others together.
    """

    def rung(name: str, forward: Forward, form: Any, ordered: bool = True) -> Rung:
        def predict(texts: Sequence[str]) -> np.ndarray:
            return labelled(forward, tokenizer, texts, ordered=ordered)

        return Rung(name, predict, exporting.saved_bytes(form))

    weights, threads = exporting.saved_bytes(model), torch.get_num_threads()
    yield Rung("pipeline", one_by_one(model, tokenizer), weights)
    yield rung("batches", in_torch(model), model, ordered=False)
    yield rung("sorted by length", in_torch(model), model)
    yield rung("unpadded", _unpadded(model), model)
    half, small = copy.deepcopy(model).bfloat16(), int8_in_torch(model)
    yield rung("bf16", _unpadded(half), half)
    yield rung("int8", _unpadded(small), small)
    if line := exporting.lacks("onnx"):
        yield from (Rung(name, None, missing=line) for name in NAMES[6:8])
    else:
        plain = exporting.to_onnx(model, shelf / "model.onnx")
        turned = exporting.to_int8(plain, shelf / "int8.onnx")
        for name, file in zip(NAMES[6:8], (plain, turned), strict=True):
            yield rung(name, _logits(exporting.onnx_run(file, threads)), file)
    if line := exporting.lacks("openvino"):
        yield Rung("OpenVINO", None, missing=line)
    else:
        file = exporting.to_openvino(model, shelf / "model.xml")
        yield rung("OpenVINO", _logits(exporting.openvino_run(file, threads)), file)
    if compiled and (line := no_compiler()):
        yield Rung("torch.compile", None, missing=line)
    elif compiled:
        fast = torch.compile(copy.deepcopy(model), dynamic=True)
        yield rung("torch.compile", in_torch(fast), model)


def _unpadded(model: PreTrainedModel) -> Forward:
    def forward(feed: dict[str, np.ndarray]) -> np.ndarray:
        with unpadded(model) as fast:
            return in_torch(fast)(feed)

    return forward


def _logits(run: exporting.Run) -> Forward:
    return lambda feed: run(feed)["logits"]

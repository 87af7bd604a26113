"""The ladder: one piece of work, labelling texts, from the plainest way up to the
fastest.

Every rung gets the same texts and gives their labels; tokenization is a part of the
work. Rungs that want a package which is not there say what to install.
"""

from __future__ import annotations

import copy
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers import checkpoints
from helpers.core.errors import WorkbookError
from helpers.flash_attention.flash import COMPILERS
from helpers.speed_and_size import exporting
from helpers.speed_and_size.workload import Work
from helpers.training.benchmark import paired, ratio

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Labels = np.ndarray  # (N,), whole numbers
    Logits = np.ndarray  # (B, classes)
    Forward = Callable[[list[list[int]]], Logits]  # B lists of ids -> their logits

BATCH = 32
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


class Rung(NamedTuple):
    """One way to do the work. `missing` says what to install where `predict` is
    None.
    """

    name: str
    predict: Callable[[Sequence[str]], Labels] | None
    bytes: int | None = None  # of the weights, as they are stored
    missing: str = ""


# What the rungs have in common


def plan(
    lengths: Sequence[int], size: int = BATCH, ordered: bool = True
) -> list[list[int]]:
    """Which rows go together: `size` at a time, shortest first, or as they come.

    >>> plan([5, 1, 3], size=2)
    [[1, 2], [0]]
    """
    order = (
        sorted(range(len(lengths)), key=lengths.__getitem__)
        if ordered
        else range(len(lengths))
    )
    return [list(order[at : at + size]) for at in range(0, len(order), size)]


def padded(rows: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """`input_ids` and `attention_mask`, int64 (B, S), of lists of ids, 0 where there is
    none.
    """
    import numpy as np

    shape = (len(rows), max(map(len, rows)))
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


def labelled(
    forward: Forward,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    size: int = BATCH,
    ordered: bool = True,
) -> Labels:
    """Labels (N,) of the texts, in the texts' own order whatever the batches are."""
    import numpy as np

    ids = tokenizer(list(texts), truncation=True)["input_ids"]
    labels = np.empty(len(ids), np.int64)
    for rows in plan([len(row) for row in ids], size, ordered):
        labels[rows] = forward([ids[row] for row in rows]).argmax(-1)
    return labels


def in_torch(model: Any) -> Forward:
    """A model of `transformers`, or a compiled one, on padded batches."""
    import torch

    def forward(rows: list[list[int]]) -> Logits:
        feed = {name: torch.from_numpy(array) for name, array in padded(rows).items()}
        with torch.inference_mode():
            return model(**feed).logits.float().numpy()

    return forward


def elsewhere(run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Forward:
    """A model in one of the forms of `helpers.speed_and_size.exporting`, on padded
    batches.
    """
    return lambda rows: run(padded(rows))["logits"]


# The rungs


def rungs(folder: Path, shelf: Path, compiled: bool = True) -> Iterator[Rung]:
    """Every rung for the classifier in `folder`, in the order of `NAMES`, one built at
    a time.

    Exported files go to `shelf`. Without `compiled` the last one is left out: compiling
    takes longer than all the others together.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    yield Rung("pipeline", one_by_one(folder), exporting.saved_bytes(model))
    for name, ordered in (("batches", False), ("sorted by length", True)):
        yield _batched(
            name, in_torch(model), tokenizer, exporting.saved_bytes(model), ordered
        )
    variants = {
        "unpadded": lambda: model,
        "bf16": lambda: copy.deepcopy(model).bfloat16(),
        "int8": lambda: exporting.int8_in_torch(model),
    }
    for name, build in variants.items():
        kind = build()
        yield Rung(name, without_padding(kind, tokenizer), exporting.saved_bytes(kind))
    yield from _onnx(model, tokenizer, shelf)
    yield _openvino(model, tokenizer, shelf)
    if compiled:
        yield _compiled(model, tokenizer)


def _batched(
    name: str, forward: Forward, tokenizer: Any, size: int, ordered: bool = True
) -> Rung:
    return Rung(
        name, lambda texts: labelled(forward, tokenizer, texts, ordered=ordered), size
    )


def one_by_one(folder: Path) -> Callable[[Sequence[str]], Labels]:
    """The pipeline as everybody writes it first: a list goes in, and is read text by
    text.
    """
    import numpy as np
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), device="cpu")
    numbers = classify.model.config.label2id

    def predict(texts: Sequence[str]) -> Labels:
        found = classify(list(texts), truncation=True)
        return np.array([numbers[row["label"]] for row in found])

    return predict


def without_padding(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Callable[[Sequence[str]], Labels]:
    """Batches laid end to end; sorted, so that texts of one length share a call of
    attention.
    """
    import torch

    from helpers.flash_attention.unpadded import unpadded

    def predict(texts: Sequence[str]) -> Labels:
        with torch.inference_mode(), unpadded(model) as fast:
            return labelled(
                lambda ids: fast.packed(ids).logits.float().numpy(), tokenizer, texts
            )

    return predict


def _onnx(model: PreTrainedModel, tokenizer: Any, shelf: Path) -> Iterator[Rung]:
    import torch

    if line := exporting.lacks("onnx"):
        yield from (Rung(name, None, missing=line) for name in NAMES[6:8])
        return
    path = exporting.to_onnx(model, shelf / "model.onnx")
    small = exporting.to_int8(path, shelf / "int8.onnx")
    for name, file in zip(NAMES[6:8], (path, small), strict=True):
        run = exporting.onnx_run(file, torch.get_num_threads())
        yield _batched(name, elsewhere(run), tokenizer, exporting.saved_bytes(file))


def _openvino(model: PreTrainedModel, tokenizer: Any, shelf: Path) -> Rung:
    import torch

    if line := exporting.lacks("openvino"):
        return Rung("OpenVINO", None, missing=line)
    path = exporting.to_openvino(model, shelf / "model.xml")
    run = exporting.openvino_run(path, torch.get_num_threads())
    return _batched("OpenVINO", elsewhere(run), tokenizer, exporting.saved_bytes(path))


def _compiled(model: PreTrainedModel, tokenizer: Any) -> Rung:
    if line := no_compiler():
        return Rung("torch.compile", None, missing=line)
    import torch

    fast = torch.compile(
        copy.deepcopy(model), dynamic=True
    )  # others change their attention
    return _batched(
        "torch.compile", in_torch(fast), tokenizer, exporting.saved_bytes(model)
    )


def no_compiler() -> str:
    """What `torch.compile` lacks on this machine, in words; empty if it can be
    tried.
    """
    return (
        ""
        if any(map(shutil.which, COMPILERS))
        else "a C++ compiler, such as g++ or clang"
    )


# The measurement


def measure(
    found: Iterable[Rung],
    work: Work,
    repeats: int = 3,
    progress: Callable[[str], None] = lambda line: None,
    lots: int = 1,
) -> list[dict[str, Any]]:
    """Time all rungs on the same texts, in turns, after a warm-up each; the first is
    the measure.

    With `lots` the texts are cut into so many parts of one size, and a turn reads one
    part: every rung reads every text `repeats` times, and there are `repeats` x `lots`
    turns to compare.

    Returns a row for each: {rung, speedup, speedup_quartiles, seconds, changed_share,
    accuracy, bytes}, with `missing` and no figures for those that lack something.
    `seconds` for all texts, from the median turn; `changed_share`: labels that differ
    from the first rung's; `accuracy` over the held-out texts. `progress` is told a line
    after each turn. Raises `WorkbookError` when the first rung cannot run.
    """
    found = list(found)
    ready = [rung for rung in found if rung.predict]
    if not ready or found[0] is not ready[0]:
        raise WorkbookError(
            "the first rung, that all others are compared with, is missing"
        )
    cuts = [len(work.texts) * at // lots for at in range(lots + 1)]
    labels: dict[str, dict[int, Labels]] = {rung.name: {} for rung in ready}

    def turns(rung: Rung) -> Callable[[], None]:
        at = itertools.cycle(range(lots))

        def turn() -> None:
            lot = next(at)
            labels[rung.name][lot] = rung.predict(work.texts[cuts[lot] : cuts[lot + 1]])

        return turn

    for rung in ready:
        rung.predict(work.texts[: 2 * BATCH])  # kernels are chosen, memory is fetched
    said = (f"turn {at} of {repeats * lots}" for at in itertools.count(1))
    sides = {rung.name: turns(rung) for rung in ready}
    timed = paired(sides, repeats * lots, 0, lambda: progress(next(said)))
    whole = {
        name: [label for at in range(lots) for label in lot[at]]
        for name, lot in labels.items()
    }
    return [_row(rung, found[0].name, timed, whole, work, lots) for rung in found]


def _row(
    rung: Rung,
    first: str,
    timed: Any,
    labels: dict[str, list[int]],
    work: Work,
    lots: int,
) -> dict[str, Any]:
    if not rung.predict:
        return {"rung": rung.name, "missing": rung.missing}
    faster, mine = ratio(timed, first, rung.name), labels[rung.name]
    changed = [a != b for a, b in zip(mine, labels[first], strict=True)]
    return {
        "rung": rung.name,
        "speedup": faster["median"],
        "speedup_quartiles": [faster["low"], faster["high"]],
        "seconds": timed[rung.name]["median"] * lots,
        "changed_share": sum(map(bool, changed)) / len(changed),
        "accuracy": accuracy(mine, work.gold),
        "bytes": rung.bytes,
    }


def accuracy(labels: Sequence[int], gold: Sequence[int]) -> float | None:
    """Share of right labels among those whose right one is known; None if none is."""
    judged = [
        mine == right for mine, right in zip(labels, gold, strict=True) if right >= 0
    ]
    return sum(map(bool, judged)) / len(judged) if judged else None


def best(rows: Sequence[dict[str, Any]], at_most: float = 0.005) -> dict[str, Any]:
    """The fastest row that changes no larger share of the labels than `at_most`."""
    ran = [row for row in rows if "missing" not in row]
    return max(
        (r for r in ran if r["changed_share"] <= at_most), key=lambda r: r["speedup"]
    )


def conditions(folder: Path, work: Work) -> dict[str, Any]:
    """What the figures hold for: texts, tokens, threads, versions of the extras that
    are there.
    """
    import importlib.metadata
    import importlib.util

    import torch
    from transformers import AutoTokenizer

    lengths = [
        len(ids)
        for ids in AutoTokenizer.from_pretrained(folder)(work.texts)["input_ids"]
    ]
    extras = [name for names in exporting.EXTRAS.values() for name in names]
    return {
        "texts": len(lengths),
        "different_texts": len(set(work.texts)),
        "tokens": sum(lengths),
        "longest": max(lengths),
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "tokenizer_threads": os.environ.get("TOKENIZERS_PARALLELISM") != "false",
        "versions": {
            name: importlib.metadata.version(name)
            for name in extras
            if importlib.util.find_spec(name)
        },
    }


# Full-size shapes


def full_size(folder: Path, family: str = "DistilBert", labels: int = 6) -> Path:
    """A classifier of full size, "DistilBert" or "Bert", in `folder`, with random
    weights.

    Its labels mean nothing; its time does not know that.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(num_labels=labels)
    getattr(transformers, f"{family}ForSequenceClassification")(config).save_pretrained(
        folder
    )
    checkpoints.base_tokenizer("DistilBERT").save_pretrained(folder)
    return folder


def against_bert(shelf: Path, texts: Sequence[str], repeats: int = 3) -> dict[str, Any]:
    """How many times faster DistilBERT is than BERT, full-size shapes, text by text and
    in batches.

    Returns {"one by one", "batches"}: {speedup, speedup_quartiles, seconds: {Bert,
    DistilBert}}.
    """
    import transformers

    tokenizer = checkpoints.base_tokenizer("DistilBERT")
    sides: dict[str, dict[str, Callable[[], Any]]] = {"one by one": {}, "batches": {}}
    for family in ("Bert", "DistilBert"):
        kind = getattr(transformers, f"{family}ForSequenceClassification")
        forward = in_torch(
            kind.from_pretrained(full_size(shelf / family, family)).eval()
        )
        for name, size in (("one by one", 1), ("batches", BATCH)):
            sides[name][family] = _reading(forward, tokenizer, texts, size)
    return {name: _compared(paired(pair, repeats)) for name, pair in sides.items()}


def _reading(
    forward: Forward, tokenizer: Any, texts: Sequence[str], size: int
) -> Callable:
    return lambda: labelled(forward, tokenizer, texts, size)


def _compared(timed: dict[str, Any]) -> dict[str, Any]:
    faster = ratio(timed, "Bert", "DistilBert")
    return {
        "speedup": faster["median"],
        "speedup_quartiles": [faster["low"], faster["high"]],
        "seconds": {family: row["median"] for family, row in timed.items()},
    }

"""`workbook predict`: label a new file, batch by batch, however large it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.core.errors import WorkbookError
from helpers.data.columns import said
from helpers.data.source import find
from helpers.training import stream
from helpers.training.own_model import ABOUT

Rows = list[dict[str, Any]]


def opened(folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """(model, tokenizer, what `workbook.json` says) of a folder that `fine-tune` made.

    The model is on the GPU in half precision where there is one, else on the CPU.

    Raises `WorkbookError` when the folder is not one of those.
    """
    import torch
    import transformers

    if not (folder / ABOUT).exists():
        raise WorkbookError(
            f"{folder} has no {ABOUT}: `workbook fine-tune` makes such a folder"
        )
    about = json.loads((folder / ABOUT).read_text(encoding="utf8"))
    config = transformers.AutoConfig.from_pretrained(folder)
    family = getattr(transformers, config.architectures[0])
    gpu = torch.cuda.is_available()
    model = family.from_pretrained(
        folder, dtype=torch.float16 if gpu else torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return model.to("cuda" if gpu else "cpu").eval(), tokenizer, about


def answers(model: Any, tokenizer: Any, about: dict[str, Any], rows: Rows) -> Rows:
    """What the model says of each row: a few new columns, by the head's name.

    `rows` hold the columns of the head's schema, without labels.
    """
    return _HEADS[about["head"]](model, tokenizer, about["recipe"], rows)


def _logits(
    model: Any, tokenizer: Any, recipe: dict, *texts: list[str], **more: Any
) -> Any:
    """(logits (N, ...), the batch): one forward pass, padded to its longest row."""
    import torch

    batch = tokenizer(
        *texts, truncation=True, padding=True, max_length=recipe["max_length"],
        return_tensors="pt", **more,
    )  # fmt: skip
    inputs = {k: batch[k].to(model.device) for k in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        return model(**inputs), batch


def _texts(rows: Rows) -> list[list[str]]:
    return [
        [row[name] for row in rows] for name in ("text", "text_pair") if name in rows[0]
    ]


def _classes(model: Any, tokenizer: Any, recipe: dict, rows: Rows) -> Rows:
    shares = (
        _logits(model, tokenizer, recipe, *_texts(rows))[0].logits.float().softmax(-1)
    )
    top, names = shares.max(-1), model.config.id2label
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [{"label": names[i], "probability": round(p, 4)} for i, p in pairs]


def _label_sets(model: Any, tokenizer: Any, recipe: dict, rows: Rows) -> Rows:
    shares = (
        _logits(model, tokenizer, recipe, *_texts(rows))[0].logits.float().sigmoid()
    )
    names = model.config.id2label
    return [
        {
            "labels": [names[i] for i, p in enumerate(row) if p > 0.5],
            "probabilities": {names[i]: round(p, 4) for i, p in enumerate(row)},
        }
        for row in shares.tolist()
    ]


def _numbers(model: Any, tokenizer: Any, recipe: dict, rows: Rows) -> Rows:
    found = _logits(model, tokenizer, recipe, *_texts(rows))[0].logits.float()[:, 0]
    return [{"score": round(value, 4)} for value in found.tolist()]


def _tags(model: Any, tokenizer: Any, recipe: dict, rows: Rows) -> Rows:
    from helpers.training.spans import word_tags

    words = [row["tokens"] for row in rows]
    found, batch = _logits(model, tokenizer, recipe, words, is_split_into_words=True)
    names = model.config.id2label
    best = found.logits.argmax(-1).tolist()
    return [
        {"tags": word_tags([names[i] for i in row], batch.word_ids(n), len(words[n]))}
        for n, row in enumerate(best)
    ]


def _spans(model: Any, tokenizer: Any, recipe: dict, rows: Rows) -> Rows:
    import torch

    from helpers.training.spans import answers as decoded
    from helpers.training.windows import encode_questions

    questions, contexts = (
        [row[name] for row in rows] for name in ("question", "context")
    )
    windows = encode_questions(
        tokenizer, questions, contexts, recipe["max_length"], recipe["stride"]
    )
    batch = tokenizer.pad(windows.inputs, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        out = model(batch["input_ids"], batch["attention_mask"])
    given = decoded(
        windows, contexts, out.start_logits.float().cpu(), out.end_logits.float().cpu()
    )
    return [{"answer": found.text} for found in given]


def _choices(model: Any, tokenizer: Any, recipe: dict, rows: Rows) -> Rows:
    import torch

    found = []
    for row in rows:  # any number of choices a row
        batch = tokenizer(
            [row["context"]] * len(row["choices"]), row["choices"], truncation=True,
            padding=True, max_length=recipe["max_length"], return_tensors="pt",
        )  # fmt: skip
        inputs = {
            k: batch[k][None].to(model.device) for k in ("input_ids", "attention_mask")
        }
        with torch.inference_mode():
            shares = model(**inputs).logits[0].float().softmax(-1)
        best = int(shares.argmax())
        found.append({"choice": best, "probability": round(float(shares[best]), 4)})
    return found


_HEADS = {
    "classification": _classes,
    "multilabel": _label_sets,
    "regression": _numbers,
    "similarity": _numbers,
    "tokens": _tags,
    "questions": _spans,
    "choices": _choices,
}


def label(
    folder: Path, file: str, output: Path | None, columns: str, encoding: str, size: int
) -> Iterator[tuple[int, Path]]:
    """Label a file's rows, `size` at a time, with the model in `folder`.

    Gives, after each batch, how many rows have been labelled and the file that they are
    in; it is there, whole, when all are. Without `output` it lies beside `file`.
    """
    path = find(file)
    kind = ".jsonl" if path.suffix in (".jsonl", ".ndjson") else ".csv"
    output = output or path.with_name(f"{path.stem}.predicted{kind}")
    model, tokenizer, about = opened(folder)
    parts = stream.chunks(stream.rows(path, encoding), size)
    first = next(parts, [])
    if not first:
        raise WorkbookError(f"{path}: there are no rows in it")
    told = said("COLUMNS", columns) or about["columns"]
    where = stream.places(list(first[0]), about["head"], told)
    writer, count = stream.Writer(output), 0
    try:
        for part in itertools.chain([first], parts):
            asked = [stream.in_schema(row, where) for row in part]
            writer.write(part, answers(model, tokenizer, about, asked))
            yield (count := count + len(part)), output
    except BaseException:
        writer.close(whole=False)
        raise
    writer.close(whole=True)

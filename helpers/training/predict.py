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
    """
    import torch
    import transformers as hf

    if not (folder / ABOUT).exists():
        raise WorkbookError(
            f"{folder} has no {ABOUT}: `workbook fine-tune` makes such a folder"
        )
    about = json.loads((folder / ABOUT).read_text(encoding="utf8"))
    family = getattr(hf, hf.AutoConfig.from_pretrained(folder).architectures[0])
    where, dtype = "cpu", torch.float32
    if torch.cuda.is_available():
        where, dtype = "cuda", torch.float16
    model = family.from_pretrained(folder, dtype=dtype).to(where).eval()
    return model, hf.AutoTokenizer.from_pretrained(folder), about


def answers(model: Any, tokenizer: Any, about: dict[str, Any], rows: Rows) -> Rows:
    """What the model says of each row: a few new columns, by the head's name.

    `rows` hold the columns of the head's schema, without labels.
    """
    return _HEADS[about["head"]](_Reader(model, tokenizer, about["recipe"]), rows)


class _Reader:
    """The model with its tokenizer: texts in, outputs out."""

    def __init__(self, model: Any, tokenizer: Any, recipe: dict[str, Any]) -> None:
        self.model, self.tokenizer, self.recipe = model, tokenizer, recipe
        self.names = model.config.id2label

    def tokens(self, *texts: list, **more: Any) -> Any:
        """A batch of the tokenizer, padded to its longest row."""
        how = {"truncation": True, "max_length": self.recipe["max_length"]}
        return self.tokenizer(*texts, **how, **more, padding=True, return_tensors="pt")

    def read(self, batch: Any, nested: bool = False) -> Any:
        """The model's output; `nested`: the batch is one row of choices."""
        import torch

        inputs = {
            name: batch[name][None] if nested else batch[name]
            for name in ("input_ids", "attention_mask")
        }
        with torch.inference_mode():
            return self.model(**{k: v.to(self.model.device) for k, v in inputs.items()})

    def logits(self, rows: Rows) -> Any:
        """Logits (N, K) of the rows' texts, in float32."""
        names = [name for name in ("text", "text_pair") if name in rows[0]]
        texts = ([row[name] for row in rows] for name in names)
        return self.read(self.tokens(*texts)).logits.float()


def _classes(reader: _Reader, rows: Rows) -> Rows:
    top = reader.logits(rows).softmax(-1).max(-1)
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [{"label": reader.names[i], "probability": round(p, 4)} for i, p in pairs]


def _label_sets(reader: _Reader, rows: Rows) -> Rows:
    return [
        {
            "labels": [reader.names[i] for i, p in enumerate(row) if p > 0.5],
            "probabilities": {reader.names[i]: round(p, 4) for i, p in enumerate(row)},
        }
        for row in reader.logits(rows).sigmoid().tolist()
    ]


def _numbers(reader: _Reader, rows: Rows) -> Rows:
    return [{"score": round(value, 4)} for (value,) in reader.logits(rows).tolist()]


def _tags(reader: _Reader, rows: Rows) -> Rows:
    from helpers.training.spans import word_tags

    words = [row["tokens"] for row in rows]
    batch = reader.tokens(words, is_split_into_words=True)
    best = reader.read(batch).logits.argmax(-1).tolist()
    tags = [[reader.names[i] for i in row] for row in best]
    return [
        {"tags": word_tags(tags[n], batch.word_ids(n), len(words[n]))}
        for n in range(len(rows))
    ]


def _spans(reader: _Reader, rows: Rows) -> Rows:
    from helpers.training.spans import answers as decoded
    from helpers.training.windows import encode_questions

    questions, contexts = (
        [row[name] for row in rows] for name in ("question", "context")
    )
    sizes = reader.recipe["max_length"], reader.recipe["stride"]
    windows = encode_questions(reader.tokenizer, questions, contexts, *sizes)
    out = reader.read(reader.tokenizer.pad(windows.inputs, return_tensors="pt"))
    logits = out.start_logits.float().cpu(), out.end_logits.float().cpu()
    return [{"answer": found.text} for found in decoded(windows, contexts, *logits)]


def _choices(reader: _Reader, rows: Rows) -> Rows:
    found = []
    for row in rows:  # any number of choices a row
        contexts = [row["context"]] * len(row["choices"])
        out = reader.read(reader.tokens(contexts, row["choices"]), nested=True)
        shares = out.logits[0].float().softmax(-1)
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

"""What each head is fed: rows of a contract as input ids and labels, unpadded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers.data.tasks import Task
from helpers.training import scores

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from transformers.trainer_utils import PredictionOutput

    from helpers.training.finetuning import Recipe

POSITIONS = ["start_positions", "end_positions"]  # the labels of an answer


class Encoded(NamedTuple):
    """Rows as a model takes them, and how its answers on them are scored."""

    rows: Dataset
    compute_metrics: Callable[[Any], dict[str, float]]
    names: list[str]  # of labels or tags, where a row may have several
    f1_of_each: Callable[[Any], Any] | None = None  # of `Trainer.predict`'s answer


def names_of(rows: Dataset) -> list[str]:
    """The names of the labels or tags."""
    column = rows.features["tags" if "tags" in rows.features else "label"]
    return getattr(column, "feature", column).names


def collator(
    task: Task, tokenizer: PreTrainedTokenizerBase, towers: bool = False
) -> Any:
    """What pads a batch of this head's rows."""
    import transformers as hf

    if task.head == "tokens":
        return hf.DataCollatorForTokenClassification(tokenizer)
    if task.head == "choices" or towers:
        return hf.DataCollatorForMultipleChoice(tokenizer)
    return hf.DataCollatorWithPadding(tokenizer)


def encode(
    task: Task, rows: Dataset, tokenizer: PreTrainedTokenizerBase, recipe: Recipe
) -> Encoded:
    """Rows of a contract as the model's inputs and labels, unpadded."""
    from helpers.training.spans import align_labels

    if task.head == "questions":
        return _encode_questions(rows, tokenizer, recipe)
    names = names_of(rows) if task.head in ("tokens", "multilabel") else []
    read = partial(tokenizer, truncation=True, max_length=recipe.max_length)

    def feed(batch: dict[str, list]) -> dict[str, list]:
        labels = batch[next(n for n in ("score", "tags", "label") if n in batch)]
        if task.head == "tokens":
            fed = read(batch["tokens"], is_split_into_words=True)
            labels = [
                align_labels(fed.word_ids(i), row) for i, row in enumerate(labels)
            ]
        elif task.head == "choices" or recipe.towers:
            fed = _several(batch, read, recipe.towers)
        else:
            fed = read(*(batch[n] for n in ("text", "text_pair") if n in batch))
        if task.head == "multilabel":  # its loss wants floats, one for each label
            labels = [[float(n in row) for n in range(len(names))] for row in labels]
        return {**fed, "labels": labels}

    fed = rows.map(feed, batched=True, remove_columns=rows.column_names)
    metrics = getattr(scores, task.head)
    if task.head == "tokens":
        metrics = metrics(names)
    return Encoded(fed, metrics, names)


def _several(batch: dict[str, list], read: Callable, towers: bool) -> dict[str, list]:
    """Inputs of rows of several texts: read alone by towers, else behind the first."""
    firsts = batch["context" if "choices" in batch else "text"]
    others = batch.get("choices") or [[text] for text in batch["text_pair"]]
    each, flat = len(others[0]), list(chain(*others))
    if towers:
        rows = zip(firsts, others, strict=True)
        flat = [text for first, rest in rows for text in (first, *rest)]
        fed, each = read(flat, return_token_type_ids=False), each + 1
    else:
        fed = read([first for first in firsts for _ in range(each)], flat)
    return {
        name: [values[i : i + each] for i in range(0, len(values), each)]
        for name, values in fed.items()
    }


def _encode_questions(rows: Dataset, tokenizer: Any, recipe: Recipe) -> Encoded:
    from datasets import Dataset

    from helpers.training.spans import answers
    from helpers.training.squad import best_match
    from helpers.training.windows import encode_questions, label_windows

    contexts = rows["context"]
    golds = [answer["text"] for answer in rows["answers"]]
    windows = encode_questions(
        tokenizer, rows["question"], contexts, recipe.max_length, recipe.stride
    )
    targets = label_windows(windows, rows["answers"])
    columns = {name: getattr(targets, name) for name in POSITIONS}

    def f1_of_each(prediction: PredictionOutput) -> list[float]:
        given = answers(windows, contexts, *prediction.predictions[:2])
        pairs = zip(given, golds, strict=True)
        return [best_match(found.text, gold)[1] for found, gold in pairs]

    found = Dataset.from_dict({**windows.inputs, **columns})
    metrics = scores.questions(windows, contexts, golds)
    return Encoded(found, metrics, [], f1_of_each)

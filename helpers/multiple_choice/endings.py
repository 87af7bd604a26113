"""What `08_multiple_choice` needs around its models: asking, scoring, spoiling rows,
timing.

Rows are those of the contract of choices, as dicts: `context`, `choices` (a list) and
`label`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import DataCollatorForMultipleChoice, PreTrainedTokenizerBase

Row = Mapping[str, Any]


def nested(flat: Mapping[str, Sequence], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Flat encodings put back into rows, as many to each as it has, with the row's
    label.

    >>> nested({"input_ids": [[1], [2], [3], [4]]}, [{"label": 0}, {"label": 1}])[1]
    {'input_ids': [[3], [4]], 'labels': 1}
    """
    each = len(flat["input_ids"]) // len(rows)
    return [
        {name: values[i * each : (i + 1) * each] for name, values in flat.items()}
        | {"labels": row["label"]}
        for i, row in enumerate(rows)
    ]


def ask(
    model: torch.nn.Module, rows: Sequence[dict], collate: DataCollatorForMultipleChoice
) -> torch.Tensor:
    """Logits (N, choices), float32 on the CPU, of a model as it is, in batches of 32
    rows.
    """
    import torch

    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        found = []
        for start in range(0, len(rows), 32):
            batch = collate(rows[start : start + 32])
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            found.append(model(**batch)["logits"].float().cpu())
        return torch.cat(found)


def standard_error(share: float, count: int) -> float:
    """The standard error of a share in [0, 1] of `count` independent answers.

    Raises `ValueError` without answers.
    """
    if count < 1:
        raise ValueError(f"{count} answers have no share")
    return (share * (1 - share) / count) ** 0.5


class Judge:
    """Scores logits (N, choices) against labels (N,); keeps each score in `accuracy`,
    by name.
    """

    def __init__(self, labels: Sequence[int]) -> None:
        import torch

        self.labels = torch.as_tensor(labels)
        self.accuracy: dict[str, float] = {}

    def right(self, logits: torch.Tensor) -> torch.Tensor:
        """Which rows are right, booleans (N,)."""
        return logits.argmax(-1) == self.labels

    def __call__(self, name: str, logits: torch.Tensor) -> None:
        """Print and keep the share of right rows, with two standard errors."""
        found = self.right(logits).float().mean().item()
        self.accuracy[name] = found
        error = 200 * standard_error(found, len(self.labels))
        print(f"{name}: {found:.1%} ± {error:.1f} of {len(self.labels)} rows")

    def compare(
        self, first: str, logits: torch.Tensor, second: str, others: torch.Tensor
    ) -> tuple[int, int]:
        """Print and return how many rows only the first got right, and how many only
        the second.

        Were both equally good, a fair coin would decide each of these rows.
        """
        mine, theirs = self.right(logits), self.right(others)
        won, lost = (mine & ~theirs).sum().item(), (theirs & ~mine).sum().item()
        even, spread = (won + lost) / 2, (won + lost) ** 0.5
        told = "tells" if abs(won - even) > spread else "does not tell"
        print(
            f"only {first} right: {won} rows; only {second} right: {lost}; {told} them apart"
        )
        print(
            f"   (of two equals each would win {even:.0f} ± {spread:.0f}, two standard errors)"
        )
        return won, lost


def by_words(train: Sequence[Row], test: Sequence[Row]) -> torch.Tensor:
    """The cosines (N, choices) of each context's and its choices' words, weighted by
    tf-idf.
    """
    import torch
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    words.fit([text for row in train for text in (row["context"], *row["choices"])])
    found = [
        words.transform([row["context"]]) @ words.transform(row["choices"]).T
        for row in test
    ]
    return torch.tensor([row.toarray()[0].tolist() for row in found])


def covered(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same rows with an empty context."""
    return [{**row, "context": ""} for row in rows]


def shifted(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same rows, each choice one place further, the last one first; the label moves
    along.
    """
    return [
        {
            **row,
            "choices": [*row["choices"][-1:], *row["choices"][:-1]],
            "label": (row["label"] + 1) % len(row["choices"]),
        }
        for row in rows
    ]


def alike(
    rows: Sequence[Row],
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    *,
    glued: bool = False,
) -> float:
    """The share of rows whose choices all look the same once they are cut to `length`
    tokens.

    As pairs of context and choice with `truncation=True`, or `glued` into one text.
    """
    how, gone = {"truncation": True, "max_length": length}, 0
    for row in rows:
        contexts = [row["context"]] * len(row["choices"])
        joined = [f"{row['context']} {choice}" for choice in row["choices"]]
        flat = (
            tokenizer(joined, **how)
            if glued
            else tokenizer(contexts, row["choices"], **how)
        )
        gone += len(set(map(tuple, flat["input_ids"]))) == 1
    return gone / len(rows)


def costs(
    ways: Mapping[str, Callable[[list[str]], Callable[[], Any]]],
    endings: Sequence[str],
    sizes: Sequence[int],
    repeats: int,
) -> dict[int, dict[str, dict[str, Any]]]:
    """{size: {way: timing}} of ranking the first so many endings, ways in turns
    (seconds).

    `ways` maps a name to a function that is given the endings, prepares what may be
    kept, and returns the work to be timed. Timings are those of `benchmark.paired`.
    """
    from helpers.training.benchmark import paired

    return {
        size: paired(
            {way: make(list(endings[:size])) for way, make in ways.items()}, repeats
        )
        for size in sizes
    }


def times_faster(
    timed: Mapping[int, Mapping[str, Mapping[str, Any]]], slow: str, fast: str
) -> dict[int, float]:
    """Print and return how many times faster `fast` is than `slow`, for each size of
    `costs`.
    """
    from helpers.training.benchmark import ratio

    found = {size: ratio(ways, slow, fast)["median"] for size, ways in timed.items()}
    for size, times in found.items():
        print(f"{size:3} endings: {fast} {times:.1f} times faster than {slow}")
    return found

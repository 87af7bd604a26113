"""What `07_question_answering` counts: answers cut from long texts, faults, kinds of
mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers.training.squad import answer_f1, exact_match, squad_scores
from helpers.training.windows import Windows, encode_questions, label_windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from helpers.training.spans import Prediction

WORDS = r"\b(how many|how much|how long|how|who|whose|when|where|why|which|what)\b"


class Buried(NamedTuple):
    """Questions whose own context stands somewhere in a long text; lists of equal
    length.
    """

    questions: list[str]
    contexts: list[str]
    answers: list[dict[str, list]]


def bury(rows: Iterable[Mapping[str, Any]], shelf: Sequence[str]) -> Buried:
    """Each row's context among the texts of `shelf`: first of all, second, ..., last,
    and so on.
    """
    buried = Buried([], [], [])
    for number, row in enumerate(rows):
        place = number % (len(shelf) + 1)
        before = "".join(f"{text} " for text in shelf[:place])
        starts = [len(before) + start for start in row["answers"]["answer_start"]]
        buried.questions.append(row["question"])
        buried.contexts.append(before + " ".join([row["context"], *shelf[place:]]))
        buried.answers.append({"text": row["answers"]["text"], "answer_start": starts})
    return buried


def reach(windows: Windows, row: int) -> list[tuple[int, int]]:
    """(first character, past the last) of the context that each window of question
    `row` holds.
    """
    spans = []
    for of, offsets, parts in zip(
        windows.rows, windows.offsets, windows.sequence_ids, strict=True
    ):
        inside = [token for token, part in enumerate(parts) if part == 1]
        if of == row and inside:
            spans.append((int(offsets[inside[0]][0]), int(offsets[inside[-1]][1])))
    return spans


def first_windows(windows: Windows) -> tuple[Windows, list[int]]:
    """What truncation leaves, the first window of each question, and these windows'
    numbers.
    """
    numbers = [windows.rows.index(row) for row in dict.fromkeys(windows.rows)]
    inputs = {
        name: [values[w] for w in numbers] for name, values in windows.inputs.items()
    }
    tables = (
        [table[w] for w in numbers] for table in (windows.offsets, windows.sequence_ids)
    )
    return Windows(inputs, list(range(len(numbers))), *tables), numbers


def cut_shares(
    tokenizer: PreTrainedTokenizerBase,
    buried: Buried,
    lengths: Sequence[int],
    strides: Sequence[int],
) -> dict[str, dict[int, float]]:
    """{way of cutting: {max_length: share of the answers that stand whole in no
    window}}.

    The ways are truncation, and windows with each of `strides`.
    """
    answerable = max(1, sum(bool(row["text"]) for row in buried.answers))
    shares: dict[str, dict[int, float]] = {"truncation": {}}
    for length in lengths:
        for stride in strides:
            windows = encode_questions(
                tokenizer, buried.questions, buried.contexts, length, stride
            )
            lost = label_windows(windows, buried.answers).lost
            way = f"windows that share {stride} tokens"
            shares.setdefault(way, {})[length] = len(lost) / answerable
        # the stride does not move the first window
        lost = label_windows(first_windows(windows)[0], buried.answers).lost
        shares["truncation"][length] = len(lost) / answerable
    return shares


def faults(
    starts: torch.Tensor, ends: torch.Tensor, allowed: torch.Tensor
) -> dict[str, int]:
    """How often the best start and the best end, each alone, are no answer; all (N, S).

    Kinds overlap: a window may count more than once.
    """
    import torch

    first, last = starts.argmax(-1), ends.argmax(-1)
    row = torch.arange(len(first))
    stray = ((first > 0) & ~allowed[row, first]) | ((last > 0) & ~allowed[row, last])
    kinds = {
        "the end before the start": last < first,
        "one of them at [CLS], the other not": (first == 0) != (last == 0),
        "in the question, or at a [SEP]": stray,
        "longer than 30 tokens": last - first >= 30,
    }
    return {name: int(wrong.sum()) for name, wrong in kinds.items()}


def outside(
    starts: torch.Tensor, ends: torch.Tensor, real: torch.Tensor, allowed: torch.Tensor
) -> int:
    """In how many windows the best span is not in the context, if any `real` token may
    be in it.

    [CLS] alone, "no answer", does not count. All are (N, S).
    """
    import torch

    from helpers.training.spans import best_spans

    first, last, _ = (found[:, 0] for found in best_spans(starts, ends, real, n_best=1))
    row = torch.arange(len(first))
    return int((~(allowed[row, first] & allowed[row, last]) & (last > 0)).sum())


def at_threshold(
    predictions: Sequence[Prediction],
    golds: Mapping[int, Sequence[str]],
    threshold: float,
) -> dict[str, float]:
    """SQuAD's scores if "no answer" is said where the gap exceeds `threshold`, in
    logits.
    """
    texts = {
        number: given.spans[0].text if given.spans and given.gap <= threshold else ""
        for number, given in enumerate(predictions)
    }
    return squad_scores(texts, golds)


def judge(said: str, golds: Sequence[str]) -> str:
    """ "right", or which kind of mistake `said` is; "" says "no answer", as do no
    `golds`.
    """
    if bool(said) != bool(golds):
        return (
            "silent, but there is an answer" if golds else "answers, but there is none"
        )
    if not golds or max(exact_match(said, gold) for gold in golds):
        return "right"
    overlap = max(answer_f1(said, gold) for gold in golds)
    return "too much or too little" if overlap else "the wrong words"


def by_word(
    questions: Iterable[str],
    predictions: Iterable[Prediction],
    golds: Iterable[Sequence[str]],
) -> dict[str, list[float]]:
    """{question word: the F1 of each such question}, the commonest first."""
    groups: dict[str, list[float]] = {}
    for question, given, right in zip(questions, predictions, golds, strict=True):
        found = re.search(WORDS, question.lower())
        f1 = max(answer_f1(given.text, gold) for gold in (right or [""]))
        groups.setdefault(found[1] if found else "other", []).append(f1)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def stored_runs(
    report: Mapping[str, Any], score: str, kinds: Iterable[str]
) -> dict[str, list[float]]:
    """{kind: that score of its stored runs on questions, seed by seed}, of kinds that
    have any.
    """
    runs = {
        kind: [
            run["scores"][score]
            for key, run in sorted(report["runs"].items())
            if key.startswith(f"{kind}/questions/")
        ]
        for kind in kinds
    }
    return {kind: values for kind, values in runs.items() if values}


def squad_page(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the contract as SQuAD's JSON has it: a paragraph with one question."""
    found = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    right = [{"text": text, "answer_start": start} for text, start in found]
    return {
        "context": row["context"],
        "qas": [{"question": row["question"], "answers": right}],
    }

"""Questions with their contexts as windows of word pieces, and answers as token
positions.

A long context does not fit into the model at once: it is cut into windows that overlap,
and an answer, which people mark by its characters, gets its place among the tokens of
each window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedTokenizerBase

BATCH = 1000  # questions tokenized at a time


@dataclass(frozen=True)
class Windows:
    """Questions with their contexts as N windows; a long context gives several that
    overlap.

    `inputs`: {name: N lists of ints}, exactly what the model takes, unpadded. `rows`
    (N,): which question a window is of. `offsets`: N arrays (S, 2), the first and the
    past-the-last character of each token in its own text. `sequence_ids`: N lists, 0
    for a token of the question, 1 for one of the context, None for [CLS] and [SEP].
    """

    inputs: dict[str, list[list[int]]]
    rows: list[int]
    offsets: list[np.ndarray]
    sequence_ids: list[list[int | None]]

    def __len__(self) -> int:
        return len(self.rows)

    def allowed(self, width: int) -> torch.Tensor:
        """True where a token is of the context, (N, width); windows are padded on the
        right.
        """
        import torch

        mask = torch.zeros(len(self), width, dtype=torch.bool)
        for row, parts in enumerate(self.sequence_ids):
            mask[row, : len(parts)] = torch.tensor([part == 1 for part in parts])
        return mask


def encode_questions(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int = 384,
    stride: int = 128,
) -> Windows:
    """Tokenize pairs `[CLS] question [SEP] context [SEP]`; long contexts overflow into
    windows.

    A window is at most `max_length` tokens long; neighbours share `stride` tokens of
    the context, so that an answer of up to `stride` + 1 tokens stands whole in one of
    them. `inputs` holds the tokenizer's `model_input_names`: with `token_type_ids` for
    BERT, without for DistilBERT.

    Raises `ValueError` without questions, when contexts differ in number, or when no
    window can be of these sizes, and `WorkbookError` when a question leaves less than
    `stride` + 1 tokens for its context.
    """
    if not questions or len(questions) != len(contexts):
        raise ValueError(
            f"{len(questions)} questions and {len(contexts)} contexts; expected pairs"
        )
    special = tokenizer.num_special_tokens_to_add(pair=True)
    if (
        not 0 <= stride < max_length - special
        or max_length > tokenizer.model_max_length
    ):
        raise ValueError(
            f"max_length is {max_length} and stride {stride}; expected at most "
            f"{tokenizer.model_max_length}, and 0 to max_length - {special + 1}"
        )
    _check_room(tokenizer, questions, max_length, stride)
    windows = Windows({name: [] for name in tokenizer.model_input_names}, [], [], [])
    for start in range(0, len(questions), BATCH):
        chunk = slice(start, start + BATCH)
        encoded = tokenizer(
            list(questions[chunk]),
            list(contexts[chunk]),
            max_length=max_length,
            stride=stride,
            truncation="only_second",
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        _extend(windows, encoded, start)
    return windows


def _check_room(
    tokenizer, questions: Sequence[str], max_length: int, stride: int
) -> None:
    # the tokenizer itself ends in a panic here, which names no question
    most = (
        max_length - tokenizer.num_special_tokens_to_add(pair=True) - stride - 1
    )  # 0 or more
    rows = tokenizer(list(questions), add_special_tokens=False, verbose=False)[
        "input_ids"
    ]
    for number, ids in enumerate(rows):
        if len(ids) > most:
            raise WorkbookError(
                f"question {number} has {len(ids)} word pieces; expected {most} or fewer, "
                f"to leave room for its context (max_length {max_length}, stride {stride})"
            )


def _extend(windows: Windows, encoded, first: int) -> None:
    import numpy as np

    for name, values in windows.inputs.items():
        values.extend(encoded[name])
    windows.rows.extend(first + row for row in encoded["overflow_to_sample_mapping"])
    # arrays: as lists of pairs, offsets would take a hundred bytes a token
    windows.offsets.extend(
        np.array(o, dtype=np.int32) for o in encoded["offset_mapping"]
    )
    windows.sequence_ids.extend(
        encoded.sequence_ids(i) for i in range(len(encoded["input_ids"]))
    )


def answer_tokens(
    offsets: Sequence[Sequence[int]],
    sequence_ids: Sequence[int | None],
    start_char: int,
    end_char: int,
) -> tuple[int, int]:
    """First and last token, both inclusive, of the answer in one window.

    The answer is `context[start_char:end_char]`; all tokens that share a character with
    it count. (0, 0), that is [CLS], when the window does not hold the answer whole.
    `offsets` (S, 2) and `sequence_ids` (S,) as in `Windows`.

    Raises `ValueError` when the answer is empty or starts before the context.
    """
    import numpy as np

    if not 0 <= start_char < end_char:
        raise ValueError(f"an answer from character {start_char} to {end_char} is none")
    inside = [token for token, part in enumerate(sequence_ids) if part == 1]
    if not inside:
        return 0, 0
    first, last = np.asarray(offsets)[
        inside[0] : inside[-1] + 1
    ].T  # (tokens of the context,)
    if start_char < first[0] or end_char > last[-1]:
        return 0, 0
    shared = np.flatnonzero((first < end_char) & (last > start_char))
    return (inside[shared[0]], inside[shared[-1]]) if len(shared) else (0, 0)


class Targets(NamedTuple):
    """What a question-answering model learns from: two token positions for each of N
    windows.
    """

    start_positions: list[int]
    end_positions: list[int]
    lost: list[int]  # answerable questions whose answer stands whole in no window


def label_windows(
    windows: Windows, answers: Sequence[Mapping[str, Sequence]]
) -> Targets:
    """The answers as token positions; (0, 0) where a window holds no whole answer.

    `answers`, one a question: `{"text": [...], "answer_start": [...]}`, of which the
    first counts; empty lists for "no answer". Look at `lost`: such a question teaches
    "no answer" by mistake, and a larger `stride` brings it back.

    Raises `ValueError` when a window is of a question without an entry in `answers`.
    """
    if windows.rows and max(windows.rows) >= len(answers):
        raise ValueError(
            f"windows of {max(windows.rows) + 1} questions, {len(answers)} answers"
        )
    spans, answerable = [], set()
    for row, offsets, parts in zip(
        windows.rows, windows.offsets, windows.sequence_ids, strict=True
    ):
        span = (0, 0)
        if answers[row]["text"]:
            start = answers[row]["answer_start"][0]
            span = answer_tokens(
                offsets, parts, start, start + len(answers[row]["text"][0])
            )
            answerable.add(row)
        spans.append(span)
    held = {
        row for row, span in zip(windows.rows, spans, strict=True) if span != (0, 0)
    }
    return Targets(
        [s for s, _ in spans], [e for _, e in spans], sorted(answerable - held)
    )

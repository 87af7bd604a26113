"""Questions with their contexts as windows, and answers as token positions.

A long context is cut into windows that overlap, and an answer, which people mark by its
characters, gets its place among the tokens of each window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

BATCH = 1000  # questions tokenized at a time


@dataclass(frozen=True)
class Windows:
    """Questions with their contexts as N windows; a long context gives several.

    `inputs`: {name: N lists of ints}, exactly what the model takes, unpadded. `rows`
    (N,): which question a window is of. `offsets`: N arrays (S, 2), the first and the
    past-the-last character of the context that each token covers; -1 for tokens of the
    question, [CLS] and [SEP].
    """

    inputs: dict[str, list[list[int]]]
    rows: list[int] = field(default_factory=list)
    offsets: list[np.ndarray] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def allowed(self, width: int) -> torch.Tensor:
        """True at the context's tokens, (N, width); windows are padded on the right."""
        import torch

        mask = torch.zeros(len(self), width, dtype=torch.bool)
        for row, offsets in enumerate(self.offsets):
            mask[row, : len(offsets)] = torch.from_numpy(offsets[:, 1] > 0)
        return mask


def encode_questions(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int = 384,
    stride: int = 128,
) -> Windows:
    """Tokenize pairs `[CLS] question [SEP] context [SEP]`, long contexts in windows.

    A window is at most `max_length` tokens long; neighbours share `stride` tokens of
    the context, so that an answer of up to `stride` + 1 tokens stands whole in one of
    them. `inputs` holds the tokenizer's `model_input_names`: with `token_type_ids` for
    BERT, without for DistilBERT.
    """
    if not questions or len(questions) != len(contexts):
        raise ValueError(
            f"{len(questions)} questions and {len(contexts)} contexts; expected pairs"
        )
    special = tokenizer.num_special_tokens_to_add(pair=True)
    longest = tokenizer.model_max_length
    if not 0 <= stride < max_length - special or max_length > longest:
        raise ValueError(
            f"max_length is {max_length} and stride {stride}; expected at most "
            f"{longest}, and 0 to max_length - {special + 1}"
        )
    how = {"max_length": max_length, "stride": stride, "truncation": "only_second"}
    how |= {"return_overflowing_tokens": True, "return_offsets_mapping": True}
    windows = Windows({name: [] for name in tokenizer.model_input_names})
    for start in range(0, len(questions), BATCH):
        asked = list(questions[start : start + BATCH])
        # without room, the tokenizer would end in a panic that names no question
        alone = tokenizer(asked, add_special_tokens=False, verbose=False)["input_ids"]
        most = max_length - special - stride - 1
        if long := [(start + n, len(x)) for n, x in enumerate(alone) if len(x) > most]:
            raise WorkbookError(
                f"question {long[0][0]} has {long[0][1]} word pieces; expected {most} "
                f"or fewer, to leave room for its context (max_length {max_length}, "
                f"stride {stride})"
            )
        encoded = tokenizer(asked, list(contexts[start : start + BATCH]), **how)
        for name, values in windows.inputs.items():
            values += encoded[name]
        for window, row in enumerate(encoded["overflow_to_sample_mapping"]):
            windows.rows.append(start + row)
            # arrays: as lists of pairs, offsets would take a hundred bytes a token
            context = np.array(encoded.sequence_ids(window)) == 1
            pairs = np.array(encoded["offset_mapping"][window], dtype=np.int32)
            windows.offsets.append(np.where(context[:, None], pairs, np.int32(-1)))
    return windows


def answer_tokens(offsets: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """First and last token, both inclusive, of the answer `context[start:end]`.

    All tokens that share a character with the answer count. (0, 0), that is [CLS], when
    the window does not hold it whole. `offsets` (S, 2) as in `Windows`.
    """
    if not 0 <= start < end:
        raise ValueError(f"an answer from character {start} to {end} is none")
    first, last = offsets.T
    context = np.flatnonzero(last > 0)
    shared = np.flatnonzero((first < end) & (last > start))
    if not len(shared) or start < first[context[0]] or end > last[context[-1]]:
        return 0, 0
    return int(shared[0]), int(shared[-1])


class Targets(NamedTuple):
    """What a model of questions learns from: two positions for each of N windows."""

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
    """
    if (asked := max(windows.rows) + 1) > len(answers):
        raise ValueError(f"windows of {asked} questions, {len(answers)} answers")
    spans, lost = [], {row for row in windows.rows if answers[row]["text"]}
    for row, offsets in zip(windows.rows, windows.offsets, strict=True):
        spans.append((0, 0))
        if texts := answers[row]["text"]:
            start = answers[row]["answer_start"][0]
            spans[-1] = answer_tokens(offsets, start, start + len(texts[0]))
        if spans[-1] != (0, 0):
            lost.discard(row)
    starts, ends = map(list, zip(*spans, strict=True))
    return Targets(starts, ends, sorted(lost))

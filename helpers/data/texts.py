"""Texts to train a masked language model on: read, cut into sequences, masked.

What the DistilBERT authors did, on any `*.txt`: one paragraph a line, cut at the
maximum length, very short or mostly unknown sequences left out. Masks are drawn anew
for every epoch, and depend on nothing but the seed, the epoch and the sequence's
number: a run that was resumed, or split over several processes, sees the same masks.

Source: `binarized_data.py`, `lm_seqs_dataset.py` and `distiller.py` of the original.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from helpers.core.errors import WorkbookError

SHORTEST = 12  # ids, [CLS] and [SEP] included: 11 or fewer teach too little
SMOOTHING = 0.7  # rare tokens are hidden more often: chance ~ count ** -0.7
Batch = dict[str, torch.Tensor]


def read_texts(patterns: Sequence[str]) -> dict[str, list[str]]:
    """The paragraphs, a line each, of every file named: {file: [paragraph, ...]}.

    A pattern is a file, a folder (its `*.txt`) or a glob.
    """
    paths = [path for pattern in patterns for path in _files(pattern)]
    texts = {str(path): [t for t in _lines(path) if t.strip()] for path in paths}
    if not any(texts.values()):
        where = ", ".join(patterns)
        raise WorkbookError(f"{where}: no text in there, only blank lines")
    return texts


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    found = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not path.exists():  # a file called "new [v2].txt" is no pattern
        found = sorted(map(Path, glob.glob(str(path))))
    found = [file for file in found if file.is_file()]
    if not found:
        wanted = "expected *.txt, one paragraph a line"
        raise WorkbookError(f"{pattern}: no such text file; {wanted}")
    return found


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{path}, line {raw.count(10, 0, error.start) + 1}"
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise WorkbookError(f"{where}: {what}; save the file as UTF-8 text") from None
    if "\0" in text:
        raise WorkbookError(f"{path}: this is not a text file, it holds zero bytes")
    return text.splitlines()


def cut(paragraphs: Sequence[str], tokenizer: Any, max_length: int) -> list[list[int]]:
    """Paragraphs as sequences of at most `max_length` ids, [CLS] and [SEP] included.

    Sequences under 12 ids, or of which half or more is unknown, are left out.
    """
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    found = tokenizer(list(paragraphs), add_special_tokens=False, verbose=False)
    width, unknown = max_length - 2, tokenizer.unk_token_id
    rows = [
        [first, *ids[start : start + width], last]
        for ids in found["input_ids"]
        for start in range(0, len(ids), width)
    ]
    long = (row for row in rows if len(row) >= SHORTEST)
    return [row for row in long if row.count(unknown) < len(row) / 2]


def split(rows: Sequence[Any], held_out: float) -> tuple[Sequence[Any], Sequence[Any]]:
    """(all but the last share, the last share): running text is held out whole."""
    at = len(rows) - int(len(rows) * held_out)
    return rows[:at], rows[at:]


class Sequences(Dataset):
    """Token sequences in one flat tensor, `flat` (T,), that stop at `ends` (N,).

    Item `i` is `{"input_ids": [...], "draw": seed of its mask in this epoch}`.
    """

    def __init__(self, rows: Sequence[Sequence[int]], seed: int = 0):
        if not rows:
            lacks = f"no sequence of {SHORTEST} tokens or more in the texts"
            raise WorkbookError(lacks)
        tokens = [token for row in rows for token in row]
        self.flat = torch.tensor(tokens, dtype=torch.int32)
        self.lengths, self.seed, self.epoch = [len(row) for row in rows], seed, 0
        self.ends = torch.tensor(self.lengths).cumsum(0)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], seed: int = 0) -> Sequences:
        """The sequences `rows`, lists of ids."""
        return cls(rows, seed)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> dict[str, Any]:
        end, draw = int(self.ends[i]), hash((self.seed, self.epoch, int(i)))
        ids = self.flat[end - self.lengths[i] : end].tolist()
        return {"input_ids": ids, "draw": draw & 0x7FFFFFFF}


class LengthGrouped(Sampler[int]):
    """Transformers' length-grouped order, drawn from (seed, epoch) alone.

    The library's own draws from the global generator: a resumed run saw another order.
    """

    def __init__(self, sequences: Sequences, batch_size: int):
        self.sequences, self.batch_size = sequences, batch_size

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[int]:
        from transformers.trainer_pt_utils import get_length_grouped_indices

        every = self.sequences
        seed = hash((every.seed, every.epoch)) & 0x7FFFFFFF
        draw = torch.Generator().manual_seed(seed)
        order = get_length_grouped_indices(
            every.lengths, self.batch_size, generator=draw
        )
        return iter(order)


class Masking:
    """Collates sequences into a padded batch with 15% of the tokens hidden, 80/10/10.

    The library's collator draws the masks, a sequence at a time, each from its own
    seed. A share `clean` of the sequences is left as it is. Gives `input_ids`,
    `attention_mask` and `labels` (-100 where nothing was hidden), all (B, S).
    """

    def __init__(self, tokenizer: Any, mlm_probability: float = 0.15, clean: float = 0):
        from transformers import DataCollatorForLanguageModeling as Collator

        self.tokenizer, self.share, self.clean = tokenizer, mlm_probability, clean
        self.collator = Collator(tokenizer, mlm_probability=mlm_probability, seed=0)

    def __call__(self, items: Sequence[dict[str, Any]]) -> Batch:
        ids = [{"input_ids": item["input_ids"]} for item in items]
        batch = dict(self.tokenizer.pad(ids, return_tensors="pt"))
        batch["labels"] = torch.full_like(batch["input_ids"], -100)
        draws = {row: item["draw"] for row, item in enumerate(items)}
        hide = {row: d for row, d in draws.items() if d % 1000 >= 1000 * self.clean}
        if hide:
            self.hide(batch, hide)
        return batch

    def hide(self, batch: Batch, draws: dict[int, int]) -> None:
        """Hide tokens in place, what they were is the label; `draws`: {row: seed}."""
        ends = torch.tensor([self.tokenizer.cls_token_id, self.tokenizer.sep_token_id])
        for row, draw in draws.items():
            length = int(batch["attention_mask"][row].sum())
            ids = batch["input_ids"][row : row + 1, :length]
            self.collator.generator = torch.Generator().manual_seed(draw)
            hidden = self.collator.torch_mask_tokens(ids.clone(), torch.isin(ids, ends))
            batch["input_ids"][row, :length] = hidden[0][0]
            batch["labels"][row, :length] = hidden[1][0]


class SmoothedMasking(Masking):
    """The original's masking: rare tokens are hidden more often than frequent ones.

    A token's chance is proportional to max(count, 1) ** -0.7, 0 for special tokens;
    ceil(0.15 x all lengths) targets are drawn over the whole batch. `counts` (V,).
    """

    def __init__(self, tokenizer: Any, counts: torch.Tensor, *settings: float):
        super().__init__(tokenizer, *settings)
        self.chance = counts.clamp(min=1).double() ** -SMOOTHING
        self.chance[tokenizer.all_special_ids] = 0

    @classmethod
    def counted(cls, tokenizer: Any, sequences: Sequences, *settings: float) -> Masking:
        """With the counts of these sequences; `settings` as of `Masking`."""
        counts = torch.bincount(sequences.flat.long(), minlength=len(tokenizer))
        return cls(tokenizer, counts, *settings)

    def hide(self, batch: Batch, draws: dict[int, int]) -> None:
        generator = torch.Generator().manual_seed(sum(draws.values()))
        rows = torch.tensor(list(draws))
        ids, labels = batch["input_ids"][rows], batch["labels"][rows]  # copies
        chance = self.chance[ids].flatten()
        length = int(batch["attention_mask"][rows].sum())
        wanted = math.ceil(round(length * self.share, 6))
        wanted = min(wanted, int((chance > 0).sum()))
        chosen = torch.multinomial(chance, wanted, generator=generator)
        old = ids.flatten()[chosen]
        labels.view(-1)[chosen] = old
        kind = torch.rand(wanted, generator=generator)
        other = torch.randint(len(self.tokenizer), (wanted,), generator=generator)
        new = torch.where(kind < 0.9, old, other)
        new = torch.where(kind < 0.8, self.tokenizer.mask_token_id, new)
        ids.view(-1)[chosen] = new
        batch["input_ids"][rows], batch["labels"][rows] = ids, labels

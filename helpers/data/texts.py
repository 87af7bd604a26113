"""Texts to train a masked language model on: read from files, cut into sequences,
masked.

What the DistilBERT authors did, on any `*.txt`: one paragraph a line, cut at the
maximum length, very short or mostly unknown sequences left out. Masks are drawn anew
for every epoch, and depend on nothing but the seed, the epoch and the sequence's
number: a run that was killed and resumed, or one split over several processes, sees the
same masks.

Source: `binarized_data.py`, `lm_seqs_dataset.py` and `distiller.py` of the original
training code.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset, Sampler

from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHORTEST = 12  # ids, [CLS] and [SEP] included: 11 or fewer teach too little
SMOOTHING = 0.7  # rare tokens are hidden more often: chance ~ count ** -0.7


def read_texts(patterns: Sequence[str]) -> dict[str, list[str]]:
    """The paragraphs of every file that the patterns name: {file: [paragraph, ...]}.

    A pattern is a file, a folder (its `*.txt`) or a glob. One paragraph a line; blank
    lines go.

    Raises `WorkbookError` when a pattern matches nothing, a file is not UTF-8, or all
    are empty.
    """
    texts = {}
    for path in [path for pattern in patterns for path in _files(pattern)]:
        texts[str(path)] = [
            line for line in _decoded(path).splitlines() if line.strip()
        ]
    if not any(texts.values()):
        raise WorkbookError(
            f"{', '.join(patterns)}: no text in there, only blank lines"
        )
    return texts


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    found = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not path.exists():  # a file called "new [v2].txt" is no pattern
        found = sorted(map(Path, glob.glob(str(path))))
    found = [file for file in found if file.is_file()]
    if not found:
        raise WorkbookError(
            f"{pattern}: no such text file; expected *.txt, one paragraph a line"
        )
    return found


def _decoded(path: Path) -> str:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise WorkbookError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8 text"
        ) from None
    if "\0" in text:
        raise WorkbookError(f"{path}: this is not a text file, it holds zero bytes")
    return text


class Sequences(Dataset):
    """Token sequences in one flat tensor, drawn with a seed that changes with the
    epoch.

    Item `i` is `{"input_ids": [...], "draw": seed of its mask}`. `flat` (T,), `ends`
    (N,).
    """

    def __init__(self, flat: torch.Tensor, ends: torch.Tensor, seed: int = 0):
        self.flat, self.ends, self.seed, self.epoch = flat, ends, seed, 0
        self.lengths = torch.diff(ends, prepend=ends.new_zeros(1)).tolist()

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], seed: int = 0) -> Sequences:
        """The sequences `rows`, lists of ids.

        Raises `WorkbookError` when there are none.
        """
        if not rows:
            raise WorkbookError(
                f"no sequence of {SHORTEST} tokens or more in the texts"
            )
        flat = torch.tensor([token for row in rows for token in row], dtype=torch.int32)
        return cls(flat, torch.tensor([len(row) for row in rows]).cumsum(0), seed)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> dict[str, Any]:
        end = int(self.ends[i])
        ids = self.flat[end - self.lengths[i] : end].tolist()
        return {
            "input_ids": ids,
            "draw": hash((self.seed, self.epoch, int(i))) & 0x7FFFFFFF,
        }


def cut(
    paragraphs: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[list[int]]:
    """Paragraphs as sequences of at most `max_length` ids, [CLS] and [SEP] included.

    Sequences under 12 ids, or of which half or more is unknown, are left out.
    """
    first, last, unknown = (
        tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.unk_token_id,
    )  # fmt: skip
    rows = []
    for ids in tokenizer(list(paragraphs), add_special_tokens=False, verbose=False)[
        "input_ids"
    ]:
        for start in range(0, len(ids), max_length - 2):
            row = [first, *ids[start : start + max_length - 2], last]
            if len(row) >= SHORTEST and row.count(unknown) < len(row) / 2:
                rows.append(row)
    return rows


def split(rows: Sequence[Any], held_out: float) -> tuple[Sequence[Any], Sequence[Any]]:
    """(all but the last share, the last share): running text is held out whole, not in
    snippets.
    """
    at = len(rows) - int(len(rows) * held_out)
    return rows[:at], rows[at:]


class LengthGrouped(Sampler[int]):
    """Transformers' length-grouped order, drawn from (seed, epoch) alone.

    The library's own sampler draws from the global generator, so that a resumed run
    would see another order than one that was never stopped.
    """

    def __init__(self, sequences: Sequences, batch_size: int):
        self.sequences, self.batch_size = sequences, batch_size

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[int]:
        from transformers.trainer_pt_utils import get_length_grouped_indices

        seed = hash((self.sequences.seed, self.sequences.epoch)) & 0x7FFFFFFF
        generator = torch.Generator().manual_seed(seed)
        lengths = self.sequences.lengths
        return iter(
            get_length_grouped_indices(lengths, self.batch_size, generator=generator)
        )


class Masking:
    """Collates sequences into a padded batch with 15% of the tokens hidden, 80/10/10.

    The library's collator draws the masks, a sequence at a time, each from its own
    seed. A share `clean` of the sequences is left as it is: only the cosine loss learns
    from those. Gives `input_ids`, `attention_mask` and `labels` (-100 where nothing was
    hidden), all (B, S).
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        mlm_probability: float = 0.15,
        clean: float = 0.0,
    ):
        from transformers import DataCollatorForLanguageModeling

        self.tokenizer, self.clean = tokenizer, clean
        self.collator = DataCollatorForLanguageModeling(
            tokenizer, mlm_probability=mlm_probability, seed=0
        )

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self.tokenizer.pad(
            [{"input_ids": item["input_ids"]} for item in items], return_tensors="pt"
        )
        batch["labels"] = torch.full_like(batch["input_ids"], -100)
        draws = {row: item["draw"] for row, item in enumerate(items)}
        to_hide = {
            row: draw for row, draw in draws.items() if draw % 1000 >= 1000 * self.clean
        }
        if to_hide:
            self.hide(batch, to_hide)
        return dict(batch)

    def hide(self, batch: dict[str, torch.Tensor], draws: dict[int, int]) -> None:
        """Hide tokens of `input_ids` in place, and write what they were into `labels`.

        `draws` maps each row that is to be masked to its seed.
        """
        for row, draw in draws.items():
            length = int(batch["attention_mask"][row].sum())
            self.collator.generator = torch.Generator().manual_seed(draw)
            ids, labels = self.collator.torch_mask_tokens(
                batch["input_ids"][row : row + 1, :length].clone(),
                self.special(batch, row, length),
            )
            batch["input_ids"][row, :length] = ids[0]
            batch["labels"][row, :length] = labels[0]

    def special(
        self, batch: dict[str, torch.Tensor], row: int, length: int
    ) -> torch.Tensor:
        """Where [CLS] and [SEP] stand in a sequence, (1, length): they are never
        hidden.
        """
        ids = batch["input_ids"][row, :length]
        return (
            (ids == self.tokenizer.cls_token_id) | (ids == self.tokenizer.sep_token_id)
        )[None]


class SmoothedMasking(Masking):
    """The original's masking: rare tokens are hidden more often than frequent ones.

    A token's chance is proportional to max(count, 1) ** -0.7, 0 for special tokens;
    ceil(0.15 x all lengths) targets are drawn over the whole batch. `counts` (V,).
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        counts: torch.Tensor,
        mlm_probability: float = 0.15,
        clean: float = 0.0,
    ):
        super().__init__(tokenizer, mlm_probability, clean)
        self.share = mlm_probability
        self.chance = counts.clamp(min=1).double() ** -SMOOTHING
        self.chance[tokenizer.all_special_ids] = 0

    @classmethod
    def counted(
        cls, tokenizer: PreTrainedTokenizerBase, sequences: Sequences, *settings: float
    ) -> SmoothedMasking:
        """With the counts of these sequences; `settings` as for the class."""
        counts = torch.bincount(sequences.flat.long(), minlength=len(tokenizer))
        return cls(tokenizer, counts, *settings)

    def hide(self, batch: dict[str, torch.Tensor], draws: dict[int, int]) -> None:
        generator = torch.Generator().manual_seed(sum(draws.values()))
        rows = torch.tensor(list(draws))
        ids, labels = batch["input_ids"][rows], batch["labels"][rows]  # copies
        wanted = -(
            -int(batch["attention_mask"][rows].sum() * self.share * 1e6) // 1_000_000
        )
        chance = self.chance[ids].flatten()
        wanted = min(wanted, int((chance > 0).sum()))
        chosen = torch.multinomial(chance, wanted, generator=generator)
        old = ids.flatten()[chosen]
        labels.view(-1)[chosen] = old
        kind = torch.rand(wanted, generator=generator)
        other = torch.randint(len(self.tokenizer), (wanted,), generator=generator)
        new = torch.where(kind < 0.9, old, other)
        ids.view(-1)[chosen] = torch.where(
            kind < 0.8, self.tokenizer.mask_token_id, new
        )
        batch["input_ids"][rows], batch["labels"][rows] = ids, labels

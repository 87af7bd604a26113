"""Training that takes a budget of minutes, can be stopped, and goes on: adapter and
student.

`train_adapter.py` and `train_student.py` say what learns and from which loss; how texts
become batches, how the learning rate follows the clock and how a run is kept stand
here.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn

from helpers.core.errors import WorkbookError
from helpers.core.machine import bf16_pays
from helpers.data.texts import Masking, Sequences, cut, read_texts, split
from helpers.training.metrics import masked_accuracy_of_ids

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HELD_OUT = 0.04  # of each file, at its end
WARMUP, DECAY = 0.02, 0.8  # the parts of the time in which the rate rises and falls

# what learns from a batch: the loss, and the figures to log
Losses = Callable[
    [dict[str, torch.Tensor]], tuple[torch.Tensor, dict[str, torch.Tensor]]
]


def read_chunks(
    patterns: list[str],
    tokenizer: Any,
    length: int,
    repeat: dict[str, int] | None = None,
) -> tuple[list[list[int]], dict[str, list]]:
    """Cut every text into pieces of at most `length` ids; the last 4% of each file is
    held out.

    Returns (training pieces, {file name: held-out pieces}). `repeat` says how often a
    file's pieces come in an epoch.
    """
    train, held_out = [], {}
    for file, lines in read_texts(patterns).items():
        name = Path(file).stem
        pieces, held_out[name] = split(cut(lines, tokenizer, length), HELD_OUT)
        train += pieces * (repeat or {}).get(name, 1)
    return train, held_out


def opened(texts: Any, tokenizer: Any, length: int, repeat: dict[str, int]) -> tuple:
    """(training sequences, {file name: held-out pieces}), or one line on what is
    wrong.
    """
    try:
        pieces, held_out = read_chunks(list(texts), tokenizer, length, repeat)
        return Sequences.of(pieces), held_out
    except WorkbookError as error:
        raise click.ClickException(str(error)) from None


def held_out_scores(
    model: nn.Module, tokenizer: Any, held_out: dict, limit: int = 48
) -> dict:
    """Masked accuracy of each text's first `limit` held-out pieces, and over all of
    them.
    """
    by_text = {
        name: masked_accuracy_of_ids(model, tokenizer, pieces[:limit], seed=1)
        for name, pieces in held_out.items()
        if pieces
    }
    targets = sum(found["targets"] for found in by_text.values())
    right = sum(found["targets"] * found["accuracy"] for found in by_text.values())
    return {
        "held_out_masked_accuracy": right / max(targets, 1),
        "targets": targets,
        "by_text": {
            name: round(found["accuracy"], 4) for name, found in by_text.items()
        },
    }


def batches(
    sequences: Sequences, collate: Masking, tokens: int, seed: int
) -> Iterator[dict]:
    """For ever: batches of like length, about so many `tokens` each, in an order of
    their own.
    """
    for epoch in range(seed, 1_000_000):
        sequences.epoch, order = epoch, random.Random(epoch)
        rows = list(range(len(sequences)))
        order.shuffle(rows)
        rows.sort(key=lambda row: sequences.lengths[row] // 8)  # alike, yet mixed
        groups: list[list[int]] = [[]]
        for row in rows:
            if len(groups[-1]) * sequences.lengths[row] >= tokens:
                groups.append([])
            groups[-1].append(row)
        order.shuffle(groups)
        for group in groups:
            batch = collate([sequences[row] for row in group])
            if (batch["labels"] != -100).any():
                yield {name: tensor.to(DEVICE) for name, tensor in batch.items()}


def rate(progress: float) -> float:
    """The learning rate's factor after this part of the time: up, flat, down to 0."""
    return max(0.0, min(1.0, progress / WARMUP, (1 - progress) / DECAY))


class Run:
    """One training, in a folder: what learns, its clock, its log, its checkpoint."""

    def __init__(
        self, output: Path, learned: dict[str, nn.Parameter], start: dict[str, Any]
    ):
        self.output, self.learned = output, learned
        self.minutes, self.rate = start["minutes"], start["lr"]
        self.optimizer = torch.optim.AdamW(
            learned.values(), lr=self.rate, weight_decay=0.0
        )
        self.step, self.seconds = 0, 0.0
        self.log: dict[str, list] = {"starts": [], "history": []}
        output.mkdir(parents=True, exist_ok=True)
        if (output / "log.json").exists():
            self.log = json.loads((output / "log.json").read_text(encoding="utf8"))
        if (output / "checkpoint.pt").exists():
            self.restore(torch.load(output / "checkpoint.pt", map_location=DEVICE))
        self.log["starts"].append({"after_step": self.step, **start})

    @torch.no_grad()
    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint; the steps after it are taken again."""
        for name, parameter in self.learned.items():
            parameter.copy_(saved["learned"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.log["history"] = [h for h in self.log["history"] if h["step"] <= self.step]

    def take(self, losses: Losses, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """One step, on the clock."""
        began = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * rate(self.seconds / (60 * self.minutes))
        with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16_pays()):
            loss, parts = losses(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.learned.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        found = {name: part.item() for name, part in parts.items()}
        self.step += 1
        self.seconds += time.perf_counter() - began
        return found

    def note(self, **values: Any) -> None:
        """Add a line to the log."""
        self.log["history"].append(
            {"step": self.step, "seconds": round(self.seconds), **values}
        )
        temporary = self.output / "log.tmp"
        temporary.write_text(json.dumps(self.log, indent=1), encoding="utf8")
        temporary.replace(self.output / "log.json")

    def save(self) -> None:
        """The checkpoint, whole or not there."""
        saved = {
            "learned": {name: p.detach() for name, p in self.learned.items()},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(saved, self.output / "checkpoint.tmp")
        (self.output / "checkpoint.tmp").replace(self.output / "checkpoint.pt")

    def train(
        self, losses: Losses, stream: Iterator[dict], look: Callable, every: float
    ) -> None:
        """Steps until the minutes are used up; every so many minutes a checkpoint and a
        `look`.

        `look` writes what is shipped and returns figures for the log.
        """
        recent, saved = [], self.seconds
        while self.seconds < 60 * self.minutes:
            recent.append(self.take(losses, next(stream)))
            if self.step % 50 == 0:
                names = recent[0]
                self.note(
                    **{
                        n: round(sum(r[n] for r in recent) / len(recent), 5)
                        for n in names
                    }
                )
                recent.clear()
            if self.seconds - saved > 60 * every or self.seconds >= 60 * self.minutes:
                self.save()
                self.note(**look())
                saved = self.seconds

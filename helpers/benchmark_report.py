"""What `make bench` measures, and the table that it prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers import checkpoints
from helpers.doctor import machine


def measure(repeats: int, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Every benchmark of the workbook: `machine`, and `distill_step` by precision and positions.

    `progress` is told a line whenever a turn is done. Raises `WorkbookError` without weights.
    """
    from transformers import BertForMaskedLM

    from helpers.distill_step import compare
    from helpers.distillation import as_distilbert

    teacher = as_distilbert(BertForMaskedLM.from_pretrained(checkpoints.bert()))
    teacher.requires_grad_(False)
    steps = compare(teacher, checkpoints.base_tokenizer(), repeats, progress)
    return {"machine": machine(), "distill_step": steps}


def show(report: dict[str, Any]) -> None:
    """Print the figures as one table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = "A distillation step, 16 sequences of 30 to 127 tokens (original in fp32)"
    table = Table(title=title, box=box.SIMPLE, padding=(0, 0, 0, 1))
    table.caption = "alike: against the original in the same precision"
    for column in ("precision", "positions", "original", "workbook", "faster", "alike", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    for precision, cases in report["distill_step"].items():
        for positions, row in cases.items():
            table.add_row(precision, positions, *_cells(row))
    Console().print(table)


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row["speedup_quartiles"]
    seconds = row["seconds"]
    return [
        f"{seconds['original in fp32']:.2f} s",
        f"{seconds['workbook']:.2f} s",
        f"{row['speedup']:.1f}x ({low:.1f} to {high:.1f})",
        f"{row['speedup_same_precision']:.1f}x",
        f"1/{row['memory_ratio']:.1f}",
    ]

"""What `make bench` measures, and the tables that it prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from helpers import checkpoints
from helpers.core.machine import machine

Say = Callable[[str], None]


def measure(repeats: int, progress: Say = lambda line: None) -> dict[str, Any]:
    """Every benchmark of the workbook: `machine`, `distill_step`, and the ladder's.

    `distill_step` is by precision and positions; for the others see `ladders`.
    `progress` is told a line whenever a turn is done. Raises `WorkbookError` without
    weights.
    """
    from transformers import BertForMaskedLM

    from helpers.distillation.distill_step import compare
    from helpers.distillation.trainer import as_distilbert

    teacher = as_distilbert(BertForMaskedLM.from_pretrained(checkpoints.bert()))
    teacher.requires_grad_(False)
    steps = compare(teacher, checkpoints.base_tokenizer(), repeats, progress)
    return {"machine": machine(), "distill_step": steps, **ladders(repeats, progress)}


def ladders(
    repeats: int,
    progress: Say = lambda line: None,
    count: int = 2_000,
    profile: str = "classroom",
) -> dict[str, Any]:
    """The ladder on `count` texts: `ladder`, and `ladder_work`, what it holds for.

    `ladder_full_size`: the same rungs with the full-size shapes on a few of the texts,
    random weights, so without `changed_share`, `accuracy`; `bert_to_distilbert`: those
    shapes, BERT's too.
    """
    from helpers.data import tasks
    from helpers.speed_and_size import ladder, workload

    sets = tasks.load(tasks.task(workload.TASK), profile)
    work = workload.draw(sets, workload.sample_sentences(), count)
    folder = workload.classifier(sets, profile)
    few = workload.Work(work.texts[: count // 20], work.gold[: count // 20])
    say = _named("the ladder", progress)
    with TemporaryDirectory() as name:
        small, large = Path(name) / "pocket", Path(name) / "full"
        small.mkdir()
        rows = ladder.measure(ladder.rungs(folder, small), work, repeats, say)
        full = ladder.full_size(large)
        say = _named("the ladder, full size", progress)
        sizes = ladder.measure(ladder.rungs(full, large), few, repeats, say)
        bert = ladder.against_bert(Path(name), few.texts, repeats)
    return {
        "ladder": rows,
        "ladder_work": ladder.conditions(folder, work),
        "ladder_full_size": [_timing(row) for row in sizes],
        "bert_to_distilbert": bert,
    }


def _named(name: str, progress: Say) -> Say:
    return lambda line: progress(f"{name}: {line}")


def _timing(row: dict[str, Any]) -> dict[str, Any]:
    """Without what random weights have nothing to say about."""
    return {
        key: v for key, v in row.items() if key not in ("changed_share", "accuracy")
    }


def show(report: Mapping[str, Any]) -> None:
    """Print the figures as tables."""
    from rich.console import Console

    console = Console()
    console.print(_steps(report["distill_step"]))
    for name, title in _LADDERS.items():
        if name in report:
            console.print(_ladder(title, report[name]))
    for way, row in report.get("bert_to_distilbert", {}).items():
        console.print(f"BERT to DistilBERT, full-size shapes, {way}: {_times(row)}")


_LADDERS = {
    "ladder": "Labelling 2,000 texts, pocket DistilBERT",
    "ladder_full_size": "The same rungs at full size, 100 texts, random weights",
}


def _table(title: str, columns: Sequence[str]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE, padding=(0, 0, 0, 1))
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _steps(report: Mapping[str, Any]) -> Any:
    title = "A distillation step, 16 sequences of 30 to 127 tokens (original in fp32)"
    names = (
        "precision",
        "positions",
        "original",
        "workbook",
        "faster",
        "alike",
        "memory",
    )
    table = _table(title, names)
    table.caption = "alike: against the original in the same precision"
    for precision, cases in report.items():
        for positions, row in cases.items():
            table.add_row(precision, positions, *_cells(row))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    seconds = row["seconds"]
    return [
        f"{seconds['original in fp32']:.2f} s",
        f"{seconds['workbook']:.2f} s",
        _times(row),
        f"{row['speedup_same_precision']:.1f}x",
        f"1/{row['memory_ratio']:.1f}",
    ]


def _times(row: Mapping[str, Any]) -> str:
    low, high = row["speedup_quartiles"]
    return f"{row['speedup']:.1f}x ({low:.1f} to {high:.1f})"


def _ladder(title: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    table = _table(title, ("rung", "seconds", "faster", "changed", "accuracy", "MB"))
    for row in rows:
        if "missing" in row:
            table.add_row(row["rung"], "-", "needs:", row["missing"], "", "")
        else:
            table.add_row(
                row["rung"], f"{row['seconds']:.2f}", _times(row), *_ladder_cells(row)
            )
    return table


def _ladder_cells(row: Mapping[str, Any]) -> list[str]:
    shares = [row.get("changed_share"), row.get("accuracy")]
    said = ["-" if share is None else f"{share:.2%}" for share in shares]
    return [*said, f"{row['bytes'] / 1e6:.1f}"]

"""`make bench`: the workbook's own code against the plain way, both in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import distill_step
import torch
import transformers
import variants

from helpers import checkpoints
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.core.machine import machine
from helpers.core.session import quiet_and_offline
from helpers.data import tasks
from helpers.distillation.trainer import as_distilbert
from helpers.speed_and_size import ladder, workload
from helpers.training.benchmark import paired, ratio

Say = Callable[[str], None]
TITLES = {
    "ladder": "Labelling 2,000 texts, pocket DistilBERT",
    "ladder_full_size": "The same rungs at full size, 100 texts, random weights",
}
STEPS = "A distillation step, 16 sequences of 30 to 127 tokens (original in fp32)"
ALIKE = "alike: against the original in the same precision"


def measure(repeats: int, progress: Say = lambda line: None) -> dict[str, Any]:
    """Every benchmark of the workbook: `machine`, `distill_step`, and the ladders.

    `distill_step` is by precision and positions. `progress` is told a line whenever a
    turn is done.
    """
    bert = transformers.BertForMaskedLM.from_pretrained(checkpoints.bert())
    teacher = as_distilbert(bert).requires_grad_(False)
    tokenizer = checkpoints.base_tokenizer()
    steps = distill_step.compare(teacher, tokenizer, repeats, progress)
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
    sets = tasks.load(tasks.task(workload.TASK), profile)
    work = workload.draw(sets, workload.sample_sentences(), count)
    folder = workload.classifier(sets, profile)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    kind = transformers.AutoModelForSequenceClassification
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    few = workload.Work(work.texts[: count // 20], work.gold[: count // 20])

    def climb(model: Any, work: workload.Work, name: str) -> list[dict[str, Any]]:
        with TemporaryDirectory() as shelf:
            rungs = variants.rungs(model, tokenizer, Path(shelf))
            say = lambda line: progress(f"{name}: {line}")  # noqa: E731
            return ladder.measure(rungs, work, repeats, say)

    rows = climb(model, work, "the ladder")
    sizes = climb(full_size("DistilBert"), few, "the ladder, full size")
    for row in sizes:  # random weights have nothing to say about these
        row.pop("changed_share", None), row.pop("accuracy", None)
    return {
        "ladder": rows,
        "ladder_work": ladder.conditions(tokenizer, work),
        "ladder_full_size": sizes,
        "bert_to_distilbert": against_bert(tokenizer, few.texts, repeats),
    }


def full_size(family: str) -> Any:
    """A classifier of full size, "DistilBert" or "Bert", with random weights.

    Its labels mean nothing; its time does not know that.
    """
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(num_labels=6)
    return getattr(transformers, f"{family}ForSequenceClassification")(config).eval()


def against_bert(tokenizer: Any, texts: Sequence[str], repeats: int = 3) -> dict:
    """How many times faster DistilBERT is than BERT, text by text and in batches.

    Returns {way: {speedup, speedup_quartiles, seconds: {Bert, DistilBert}}}.
    """
    report = {}
    models = {family: full_size(family) for family in ("Bert", "DistilBert")}
    for way, size in (("one by one", 1), ("batches", ladder.BATCH)):
        given = (tokenizer, texts, size)
        sides = {
            family: partial(variants.labelled, variants.in_torch(model), *given)
            for family, model in models.items()
        }
        timed = paired(sides, repeats)
        faster = ratio(timed, "Bert", "DistilBert")
        report[way] = {
            "speedup": faster["median"],
            "speedup_quartiles": [faster["low"], faster["high"]],
            "seconds": {family: row["median"] for family, row in timed.items()},
        }
    return report


def show(report: Mapping[str, Any]) -> None:
    """Print the figures as tables."""
    from rich.console import Console

    console = Console()
    rows = [
        (precision, positions, *_cells(row))
        for precision, cases in report["distill_step"].items()
        for positions, row in cases.items()
    ]
    cells = ("original", "workbook", "faster", "alike", "memory")
    console.print(_table(STEPS, ("precision", "positions", *cells), rows, ALIKE))
    names = ("rung", "seconds", "faster", "changed", "accuracy", "MB")
    for name, title in TITLES.items():
        if name in report:
            console.print(_table(title, names, map(_rung_cells, report[name])))
    for way, row in report.get("bert_to_distilbert", {}).items():
        console.print(f"BERT to DistilBERT, full-size shapes, {way}: {_times(row)}")


def _table(title: str, names: Sequence[str], rows: Any, caption: str = "") -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE, padding=(0, 0, 0, 1))
    table.caption = caption or None
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
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


def _rung_cells(row: Mapping[str, Any]) -> list[str]:
    if "missing" in row:
        return [row["rung"], "-", "needs:", row["missing"], "", ""]
    shares = [row.get("changed_share"), row.get("accuracy")]
    said = ["-" if share is None else f"{share:.2%}" for share in shares]
    seconds, size = f"{row['seconds']:.2f}", f"{row['bytes'] / 1e6:.1f}"
    return [row["rung"], seconds, _times(row), *said, size]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--repeats", default=5, help="Turns for each side.")
@click.option(
    "--output", default="build", type=click.Path(file_okay=False, path_type=Path)
)
def main(repeats: int, output: Path) -> None:
    """Measure the workbook's own code against the plain way, both in one run."""
    quiet_and_offline("classroom")
    try:
        report = measure(repeats, lambda line: click.echo(line, err=True))
    except WorkbookError as error:
        raise click.ClickException(str(error)) from error
    write_json(output / "bench.json", report)
    show(report)
    click.echo(f"all figures: {output / 'bench.json'}")


if __name__ == "__main__":
    main()

"""The commands that measure speed: `workbook bench`, and on a GPU `workbook flash-bench`."""

from __future__ import annotations

import json
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--repeats", default=5, help="Turns for each side.")
@click.option("--output", default="build", type=FOLDER)
def bench(repeats: int, output: Path) -> None:
    """Measure the workbook's own code against the plain way, both in one run."""
    from helpers import benchmark_report
    from helpers.session import quiet_and_offline

    quiet_and_offline("classroom")
    report = benchmark_report.measure(repeats, lambda line: click.echo(line, err=True))
    output.mkdir(parents=True, exist_ok=True)
    path = output / "bench.json"
    path.write_text(json.dumps(report, indent=1), encoding="utf8")
    benchmark_report.show(report)
    click.echo(f"all figures: {path}")


@click.command()
@click.option("--output", type=FILE, help="Default: data/measurements/flash.json.")
@click.option("--minutes", default=9.0, help="Cases that no longer fit are left out, and listed.")
@click.option("--quick", is_flag=True, help="Tiny models, to try the script; any machine.")
def flash_bench(output: Path | None, minutes: float, quick: bool) -> None:
    """Hold every attention back end against float64, then time them on a GPU."""
    from helpers import flash_bench as room
    from helpers.session import quiet_and_offline

    quiet_and_offline("classroom")
    path = output or room.STORED
    room.check(path, quick)
    report = room.measure(quick, minutes, lambda line: click.echo(line, err=True))
    room.store(report, path)
    for line in (*room.errors_table(report), *room.table(report)):
        click.echo(line)
    for name, value in room.headlines(report).items():
        click.echo(f"{name:24} {'not measured' if value is None else f'{value:.2f}'}")
    click.echo(f"all figures: {path}")


COMMANDS = (bench, flash_bench)

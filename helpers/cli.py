"""The `workbook` command: a thin skin of options over the helpers."""

from __future__ import annotations

import ast
import sys
import time
from pathlib import Path
from typing import Any

import click

from helpers import cli_data, cli_speed, cli_training
from helpers.errors import WorkbookError


class OneLine(click.Group):
    """A group whose commands turn a `WorkbookError` into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WorkbookError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The DistilBERT workbook: run it, and see what this machine has."""


def _value(text: str) -> Any:
    """A command-line value as Python reads it: 3 is a number, [0, 2] a list, else a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _from_here(name: str, value: Any) -> Any:
    """A file is meant from the folder where the command is typed; notebooks run in another."""
    is_path = name.endswith("_FILE") and isinstance(value, str) and value
    return str(Path(value).expanduser().resolve()) if is_path else value


@main.command()
@click.argument("only", nargs=-1)
@click.option("--profile", default="classroom", help="smoke, classroom (default) or full.")
@click.option("-p", "--parameter", "pairs", nargs=2, multiple=True, metavar="NAME VALUE")
@click.option("--output", default="build", type=click.Path(file_okay=False, path_type=Path))
@click.option("--update", is_flag=True, help="Put the outputs into the committed notebooks.")
def run(
    only: tuple[str, ...],
    profile: str,
    pairs: tuple[tuple[str, str], ...],
    output: Path,
    update: bool,
) -> None:
    """Execute the notebooks in order (all, or those whose names begin with ONLY).

    Executed copies, pages, index.html and results.json go to OUTPUT.
    """
    from helpers import runner, screen

    parameters = {name: _from_here(name, _value(value)) for name, value in pairs}
    todo = runner.plan(profile, only, parameters)
    if update and (profile != "classroom" or parameters):
        raise WorkbookError("--update takes the classroom profile and no parameters")
    _prepare(profile)
    with screen.Progress([path for path, _ in todo]) as progress:
        results = runner.run(todo, profile, output.resolve(), progress.finished)
    screen.summary(results, output)
    if update:
        runner.update(todo, results, output)
    if not all(result.ok for result in results):
        sys.exit(1)


def _prepare(profile: str) -> None:
    """Build the pocket checkpoints first, so that no notebook's time includes it."""
    from helpers import checkpoints, profiles

    if profiles.profile(profile).bert != "pocket":
        return
    began = time.perf_counter()
    checkpoints.bert(profile)
    checkpoints.distilbert(profile)
    click.echo(f"pocket checkpoints verified ({time.perf_counter() - began:.1f} s)")


@main.command(name="data")
@click.option("--baselines", is_flag=True, help="Fit the plain baselines and controls, as JSON.")
def data_command(baselines: bool) -> None:
    """Print the size of each sample set and three examples of it."""
    from helpers import data

    if baselines:
        import json

        from helpers.baselines import baselines as plain_models
        from helpers.baselines import controls

        report = {"baselines": plain_models(), "controls": controls()}
        click.echo(json.dumps(report, indent=1))
        return
    for name in data.NAMES:
        train, test = (list(data.rows(name, split)) for split in data.SPLITS)
        click.echo(f"{name}: {len(train):,} + {len(test):,}")
        for row in train[:3]:
            shown = {key: value for key, value in row.items() if key != "id"}
            click.echo(f"  - {shown}")


@main.command()
def doctor() -> None:
    """Say what this machine has, and what to do about each red line."""
    from helpers import screen
    from helpers.doctor import RED, examine

    findings = list(examine())
    screen.findings(findings)
    if any(finding.status == RED for finding in findings):
        sys.exit(1)


for _command in (*cli_training.COMMANDS, *cli_data.COMMANDS, *cli_speed.COMMANDS):
    main.add_command(_command)


if __name__ == "__main__":
    main()

"""The `workbook` command: a thin skin of options over the helpers."""

from __future__ import annotations

import ast
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from helpers.core.errors import WorkbookError
from helpers.core.options import FILE, FOLDER, OUTPUT, PROFILE, STORED, bar
from helpers.core.session import quiet_and_offline
from helpers.distillation.command import ablation, distill

COLUMNS = click.option(
    "--columns", default="", help='Such as \'{"text": "v2", "label": "v1"}\'.'
)
ENCODING = click.option("--encoding", default="", help="Default: UTF-8.")


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


main.add_command(distill)
main.add_command(ablation)


def _given(name: str, text: str) -> Any:
    """A value as Python reads it, [0, 2] as a list; a path from where it is typed."""
    if name.endswith(("_FILE", "_DIR")) and text:
        return str(Path(text).expanduser().resolve())
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


@main.command()
@click.argument("only", nargs=-1)
@PROFILE
@click.option("-p", "--parameter", "pairs", nargs=2, multiple=True, metavar="KEY VALUE")
@OUTPUT
@click.option("--resume", is_flag=True, help="Only what the last run into OUTPUT left.")
@click.option("--update", is_flag=True, help="Put the outputs into notebooks/.")
def run(
    only: tuple[str, ...], profile: str, pairs: tuple[tuple[str, str], ...],
    output: Path, resume: bool, update: bool,
) -> None:  # fmt: skip
    """Execute the notebooks in order (all, or those whose names begin with ONLY).

    Executed copies, pages, index.html and results.json go to OUTPUT; what other
    notebooks left there stays.
    """
    from helpers import checkpoints
    from helpers.core import runner, screen

    parameters = {name: _given(name, text) for name, text in pairs}
    asked = runner.plan(profile, only, parameters)
    if update and (profile != "classroom" or parameters):
        raise WorkbookError("--update takes the classroom profile and no parameters")
    folder, results = output.resolve(), []
    todo = runner.left(asked, folder) if resume else asked
    if todo.jobs:
        for build in (checkpoints.bert, checkpoints.distilbert):
            build(profile)  # first, so that no notebook's time includes it
        expected = runner.expected_seconds(todo, folder)
        with _stoppable(), screen.Progress(expected) as bar:
            results = runner.run(todo, folder, bar.finished)
        screen.summary(results, output)
    else:
        click.echo(f"nothing is left to run: read on in {output / 'index.html'}")
    if update:
        runner.update(asked, folder)
    if not all(result.ok for result in results):
        sys.exit(1)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C, or a polite `kill`, ends a run in order: the kernel too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # it would tell of the dead kernel
        raise WorkbookError("stopped: the same command with --resume goes on") from None
    finally:
        signal.signal(signal.SIGTERM, before)


@main.command(name="data")
def data_command() -> None:
    """Print the size of each sample set and three examples of it."""
    from helpers import data

    for name in data.NAMES:
        train, test = (list(data.rows(name, split)) for split in data.SPLITS)
        click.echo(f"{name}: {len(train):,} + {len(test):,}")
        for row in train[:3]:
            shown = {key: value for key, value in row.items() if key != "id"}
            click.echo(f"  - {shown}")


@main.command()
def doctor() -> None:
    """Say what this machine has, and what to do about each red line."""
    from helpers.doctor import report

    if not report():
        sys.exit(1)


@main.command()
@click.option("--seeds", default=3, help="How often, each with another head and order.")
@PROFILE
@click.option("--task", "tasks", multiple=True, help="One of them. Default: all.")
@click.option("--steps", type=int, help="Steps of each run. Default: the recipe's.")
@STORED
def heads(
    seeds: int, profile: str, tasks: tuple[str, ...], steps: int | None,
    output: Path | None,
) -> None:  # fmt: skip
    """Fine-tune every head, teacher and student; a second call goes on."""
    from helpers.data.tasks import TASKS
    from helpers.training import head_results as room

    quiet_and_offline(profile)
    names = tasks or tuple(TASKS)
    with bar(room.keys(names, seeds), "heads") as done:
        report = room.run(output or room.STORED, names, seeds, profile, done, steps)
    rows = room.summary(report)
    for name, row in rows.items():
        bert, student = (row[kind]["mean"] for kind in ("bert", "distilbert"))
        words = f"bag of words {row['baseline']:.3f}"
        click.echo(f"{name:10} bert {bert:.3f}  distilbert {student:.3f}  {words}")
    kept = room.retention(rows)
    click.echo(f"the student keeps {kept:.1%} of the teacher's macro-average")


@main.command()
@click.option("--seeds", default=3, help="Taggers to fine-tune of each model.")
@PROFILE
@STORED
def head_ablation(seeds: int, profile: str, output: Path | None) -> None:
    """Remove every attention head in turn, then many; a second call goes on."""
    from helpers.attention import head_ablation as room

    quiet_and_offline(profile)
    with bar(room.keys(seeds, profile), "removals") as done:
        report = room.run(output or room.STORED, seeds, profile, done)
    for examination in ("masked", room.TASK):
        for kind in room.KINDS:
            found = room.grid(report, examination, kind)
            click.echo(
                f"{examination:10} {kind:10} {found.whole:.3f} with all heads;"
                f" the worst to lose costs {-found.change.min():.3f},"
                f" {found.clear.mean():.0%} more than the noise"
            )


@main.command()
@click.argument("head")
@click.argument("file", type=str)
@click.option("--output", type=FOLDER, required=True, help="A new folder.")
@COLUMNS
@click.option("--label-names", default="", help='Such as \'["bad", "good"]\'.')
@ENCODING
@click.option("--epochs", type=float, default=0, help="Default: the recipe's.")
@click.option("--learning-rate", type=float, default=0, help="Default: the recipe's.")
@click.option("--seed", default=0)
@PROFILE
def fine_tune(
    head: str, file: str, output: Path, columns: str, label_names: str, encoding: str,
    epochs: float, learning_rate: float, seed: int, profile: str,
) -> None:  # fmt: skip
    """Train HEAD on the rows of FILE, keep the best epoch in OUTPUT.

    HEAD: classification, multilabel, regression, similarity, tokens, questions,
    choices.
    """
    from helpers import checkpoints
    from helpers.data import own, splits
    from helpers.data.columns import said
    from helpers.training import own_model

    quiet_and_offline(profile)
    if head not in own_model.SCORES:
        known = ", ".join(own_model.SCORES)
        raise WorkbookError(f"no head is {head!r}; there are {known}")
    named = {"columns": columns, "label_names": label_names, "encoding": encoding}
    sets = splits.held_out(own.load(file, head, **named), file)
    how = own_model.recipe_for(head, profile, epochs, learning_rate)
    train, test = (len(sets[split]) for split in ("train", "test"))
    sizes = f"{train:,} rows to learn from, {test:,} held out"
    click.echo(f"{sizes}, {how.epochs:g} epochs")
    model = checkpoints.distilbert(profile)
    about = {"columns": said("COLUMNS", columns) or {}}
    found = own_model.train(head, sets, model, how, output, seed, click.echo, about)
    for name, value in found.items():
        click.echo(f"{name:24} {value:.3f}")
    click.echo(f"the model lies in {output}: workbook predict {output} FILE")


@main.command()
@click.argument("folder", type=FOLDER)
@click.argument("file", type=str)
@click.option("--output", type=FILE, help="A .csv or .jsonl. Default: beside FILE.")
@click.option("--columns", default="", help="Default: those it was trained with.")
@ENCODING
@click.option("--batch-size", default=32)
def predict(
    folder: Path, file: str, output: Path | None, columns: str, encoding: str,
    batch_size: int,
) -> None:  # fmt: skip
    """Label the rows of FILE with the model in FOLDER, however many they are."""
    from helpers.training.predict import label

    quiet_and_offline("classroom")
    done = label(folder, file, output, columns, encoding, batch_size)
    for count, place in done:  # noqa: B007
        click.echo(f"\r{count:,} rows", nl=False, err=True)
    click.echo(f"\r{count:,} rows labelled: {place}")


@main.command()
@click.option("--models", is_flag=True, help="The models that full opens.")
@click.option("--sets", "first", multiple=True, metavar="NAME ...", help="Hub sets.")
@click.option("--all", "everything", is_flag=True, help="The models and every set.")
@click.option("--revisions", "pinned", type=FILE, help="Those in a revisions.json.")
@click.argument("more", nargs=-1, metavar="")
def prefetch(
    models: bool, first: tuple[str, ...], everything: bool, pinned: Path | None,
    more: tuple[str, ...],
) -> None:  # fmt: skip
    """Fetch what PROFILE=full needs, so that it runs offline; the same command goes on.

    Sizes and free room are shown first. What was fetched is written to revisions.json.
    """
    from helpers.core.cache import recorded_revisions, revisions_file
    from helpers.data import prefetch as hub
    from helpers.data.hub import SETS

    names = list(hub.models()) if models or everything else []
    names += list(SETS) if everything else dict.fromkeys((*first, *more))
    if not names:
        known = f"--sets with names of {', '.join(SETS)}"
        raise click.UsageError(f"say what: --models, --all, or {known}")
    parts = hub.plan(names, recorded_revisions(pinned) if pinned else None)
    for part in parts:
        name = part.name if part.name == part.repo else f"{part.name} ({part.repo})"
        size, here = hub.size(part.size), "" if part.missing else ", here already"
        click.echo(f"{name:60} {size:>7}  {part.commit[:12]}{here}")
    need, free = map(hub.size, hub.check_room(parts))
    missing = hub.size(sum(part.missing for part in parts))
    total = hub.size(sum(part.size for part in parts))
    left = f"takes up to {need} on a disk with {free} free"
    click.echo(f"to fetch: {missing} of {total}; {left}")
    hub.fetch(parts, click.echo)
    click.echo(f"all of it is here; its revisions are in {revisions_file()}")


if __name__ == "__main__":
    main()

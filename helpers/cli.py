"""The `workbook` command: a thin skin of options over the helpers."""

from __future__ import annotations

import ast
import itertools
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from helpers.core import profiles
from helpers.core.errors import WorkbookError
from helpers.core.session import quiet_and_offline
from helpers.distillation import pretraining

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
OUTPUT = click.option("--output", default="build", type=FOLDER)
STORED = click.option("--output", type=FILE, help="Default: in data/measurements.")
KINDS = "smoke, classroom or full."
PROFILE = click.option("--profile", default="classroom", help=KINDS)


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
    only: tuple[str, ...],
    profile: str,
    pairs: tuple[tuple[str, str], ...],
    output: Path,
    resume: bool,
    update: bool,
) -> None:
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # it would tell of the dead kernel
        raise WorkbookError("stopped: the same command with --resume goes on") from None


@main.command(name="data")
@click.option("--baselines", is_flag=True, help="Fit baselines and controls, as JSON.")
def data_command(baselines: bool) -> None:
    """Print the size of each sample set and three examples of it."""
    from helpers import data

    if baselines:
        from helpers.training import baselines as plain

        report = {"baselines": plain.baselines(), "controls": plain.controls()}
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
    from helpers.core import screen
    from helpers.doctor import RED, examine

    findings = list(examine())
    screen.findings(findings)
    if any(finding.status == RED for finding in findings):
        sys.exit(1)


def _layers(_: Any, __: Any, text: str | None) -> tuple[int, ...] | None:
    """`0,2,4` as numbers."""
    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        line = f"{text!r} is no list of layers such as 0,2,4"
        raise click.BadParameter(line) from None


def _settings(command: Callable) -> Callable:
    """An option for every field of `Settings` but the profile; None where not given."""
    shapes = {
        bool: {"default": None},
        str | None: {"type": str},
        tuple[str, ...]: {"multiple": True},
        tuple[int, ...]: {"callback": _layers},
        tuple[tuple[str, int], ...]: {"multiple": True, "type": (str, int)},
    }
    kinds = get_type_hints(pretraining.Settings)
    for one in reversed(fields(pretraining.Settings)):
        kind, more = kinds[one.name], dict(one.metadata)
        if get_origin(kind) is Literal:
            more["type"] = click.Choice(get_args(kind))
        if one.name != "profile":
            flags = f"--{one.name.replace('_', '-')}{more.pop('off', '')}"
            more = shapes.get(kind, {"type": kind}) | more
            command = click.option(flags, **more)(command)
    return command


@main.command()
@click.option("--output", type=FOLDER, required=True, help="The run's folder.")
@PROFILE
@_settings
@click.option("--tensorboard", is_flag=True, help="Also log for TensorBoard.")
def distill(output: Path, profile: str, tensorboard: bool, **given: Any) -> None:
    """Distil a student from a teacher; the same command goes on where it was stopped.

    What is not given is as PROFILE has it.

    For several processes: torchrun --nproc-per-node 2 -m helpers.cli distill ...
    """
    online = profiles.profile(profile).online
    changes = {k: v for k, v in given.items() if v is not None and v != ()}
    settings = replace(pretraining.RECIPES[profile], **changes)
    if settings.teacher:
        online = not Path(settings.teacher).is_dir()
    if not (online or settings.hub):
        os.environ["HF_HUB_OFFLINE"] = "1"
    reporters = _reporters(output) if tensorboard else ()
    for name, value in pretraining.run(settings, output, reporters).items():
        click.echo(f"{name.removeprefix('eval_')} {value:.4f}")
    click.echo(f"the student lies in {output}")


def _reporters(output: Path) -> list[str]:
    """TensorBoard's name for the Trainer; `WorkbookError` where it is not installed."""
    import importlib.util

    if not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
        raise WorkbookError("TensorBoard is not installed: pip install tensorboardX")
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(output / "tensorboard"))
    return ["tensorboard"]


@contextmanager
def _bar(keys: Sequence[str], label: str) -> Iterator[Callable[[str], None]]:
    """A progress bar over keys; gives the function that is told each finished one."""
    with click.progressbar(keys, label=label, show_pos=True, show_eta=True) as bar:
        yield lambda key: bar.update(keys.index(key) - bar.pos + 1, current_item=key)


@main.command()
@click.option("--seeds", default=3, help="How many times, each with other draws.")
@PROFILE
@click.option("--steps", type=int, help="Of each student. Default: the profile's.")
@STORED
def ablation(seeds: int, profile: str, steps: int | None, output: Path | None) -> None:
    """Train without each loss in turn, store what it costs; a second call goes on."""
    from helpers.distillation import ablation as room

    quiet_and_offline(profile)
    with _bar(room.keys(seeds), "students") as done:
        report = room.run(output or room.STORED, seeds, profile, steps, done)
    for arm, row in room.summary(report).items():
        click.echo(
            f"{arm:22} loss {row['loss']:.3f}"
            f"  masked accuracy {row['masked_accuracy']:.3f}"
            f"  transfer {row['transfer']:.3f}"
        )


@main.command()
@click.option("--seeds", default=3, help="How often, each with another head and order.")
@PROFILE
@click.option("--task", "tasks", multiple=True, help="One of them. Default: all.")
@click.option("--steps", type=int, help="Steps of each run. Default: the recipe's.")
@STORED
def heads(
    seeds: int,
    profile: str,
    tasks: tuple[str, ...],
    steps: int | None,
    output: Path | None,
) -> None:
    """Fine-tune every head, teacher and student; a second call goes on."""
    from helpers.data.tasks import TASKS
    from helpers.training import head_results as room

    quiet_and_offline(profile)
    names = tasks or tuple(TASKS)
    with _bar(room.keys(names, seeds), "heads") as done:
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
    with _bar(room.keys(seeds, profile), "removals") as done:
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
@click.option(
    "--columns", default="", help='Such as \'{"text": "v2", "label": "v1"}\'.'
)
@click.option("--label-names", default="", help='Such as \'["bad", "good"]\'.')
@click.option("--encoding", default="", help="Default: UTF-8.")
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
        raise WorkbookError(
            f"no head is {head!r}; there are {', '.join(own_model.SCORES)}"
        )
    rows = own.load(
        file, head, columns=columns, label_names=label_names, encoding=encoding
    )
    sets = splits.held_out(rows, file)
    how = own_model.recipe_for(head, profile, epochs, learning_rate)
    train, test = (len(sets[split]) for split in ("train", "test"))
    click.echo(
        f"{train:,} rows to learn from, {test:,} held out, {how.epochs:g} epochs"
    )
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
@click.option("--encoding", default="", help="Default: UTF-8.")
@click.option("--batch-size", default=32)
def predict(
    folder: Path,
    file: str,
    output: Path | None,
    columns: str,
    encoding: str,
    batch_size: int,
) -> None:
    """Label the rows of FILE with the model in FOLDER, however many they are."""
    from helpers.data.columns import said
    from helpers.data.source import find
    from helpers.training import predict as room
    from helpers.training import stream

    quiet_and_offline("classroom")
    path = find(file)
    kind = ".jsonl" if path.suffix in (".jsonl", ".ndjson") else ".csv"
    output = output or path.with_name(f"{path.stem}.predicted{kind}")
    model, tokenizer, about = room.opened(folder)
    every = stream.rows(path, encoding)
    parts = stream.chunks(every, batch_size)
    first = next(parts, [])
    if not first:
        raise WorkbookError(f"{path}: there are no rows in it")
    told = said("COLUMNS", columns) or about["columns"]
    where = stream.places(list(first[0]), about["head"], told)
    writer, count = stream.Writer(output), 0
    try:
        for part in itertools.chain([first], parts):
            asked = [stream.in_schema(row, where) for row in part]
            writer.write(part, room.answers(model, tokenizer, about, asked))
            count += len(part)
            click.echo(f"\r{count:,} rows", nl=False, err=True)
    except BaseException:
        writer.close(whole=False)
        raise
    writer.close(whole=True)
    click.echo(f"\r{count:,} rows labelled: {output}")


@main.command()
@click.option("--models", is_flag=True, help="The models that full opens.")
@click.option("--sets", "first", multiple=True, metavar="NAME ...", help="Hub sets.")
@click.option("--all", "everything", is_flag=True, help="The models and every set.")
@click.option("--revisions", "pinned", type=FILE, help="Those in a revisions.json.")
@click.argument("more", nargs=-1, metavar="")
def prefetch(
    models: bool,
    first: tuple[str, ...],
    everything: bool,
    pinned: Path | None,
    more: tuple[str, ...],
) -> None:
    """Fetch what PROFILE=full needs, so that it runs offline; the same command goes on.

    Sizes and free room are shown first. What was fetched is written to revisions.json.
    """
    from helpers.core.cache import recorded_revisions, revisions_file
    from helpers.data import prefetch as hub
    from helpers.data.hub import SETS

    names = list(hub.models()) if models or everything else []
    names += list(SETS) if everything else dict.fromkeys((*first, *more))
    if not names:
        what = f"--models, --all, or --sets with names of {', '.join(SETS)}"
        raise click.UsageError(f"say what: {what}")
    parts = hub.plan(names, recorded_revisions(pinned) if pinned else None)
    for part in parts:
        name = part.name if part.name == part.repo else f"{part.name} ({part.repo})"
        here = "" if part.missing else ", here already"
        size = hub.size(part.size)
        click.echo(f"{name:60} {size:>7}  {part.commit[:12]}{here}")
    need, free = (hub.size(count) for count in hub.check_room(parts))
    missing = hub.size(sum(part.missing for part in parts))
    total = hub.size(sum(part.size for part in parts))
    room = f"takes up to {need} on a disk with {free} free"
    click.echo(f"to fetch: {missing} of {total}; {room}")
    hub.fetch(parts, click.echo)
    click.echo(f"all of it is here; its revisions are in {revisions_file()}")


if __name__ == "__main__":
    main()

"""The commands that train and measure: `workbook distill`, `ablation`, `heads`, ..."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from helpers.errors import WorkbookError

FOLDER = click.Path(file_okay=False, path_type=Path)


def _layers(_: Any, __: Any, text: str | None) -> tuple[int, ...] | None:
    """`0,2,4` as numbers."""
    if text is None:
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of layers such as 0,2,4") from None


@click.command()
@click.option("--output", type=FOLDER, required=True, help="The run's folder; also to go on.")
@click.option("--texts", multiple=True, help="File, folder or 'glob'; a paragraph a line.")
@click.option("--hub", multiple=True, metavar="NAME[:CONFIG]", help="A Hub set with texts.")
@click.option("--profile", default="classroom", help="Whose recipe: smoke, classroom or full.")
@click.option("--teacher", help="Folder or Hub id. Default: the profile's BERT.")
@click.option("--revision", help="The teacher's revision on the Hub.")
@click.option("--student-layers", callback=_layers, help="Teacher layers to start from: 0,2,4.")
@click.option("--n-layers", type=int, help="Start from so many random layers instead.")
@click.option("--distillation", type=float, help="Weight of the distillation loss.")
@click.option("--masked-lm", type=float, help="Weight of the masked-LM loss.")
@click.option("--cosine", type=float, help="Weight of the cosine loss.")
@click.option("--mse", type=float, help="Weight of the squared distance of the logits.")
@click.option("--temperature", type=float)
@click.option("--positions", type=click.Choice(["all", "masked"]), help="Of the distillation loss.")
@click.option("--masking", type=click.Choice(["uniform", "smoothed"]))
@click.option("--mlm-probability", type=float)
@click.option("--clean", type=float, help="Share of sequences left unmasked, for the cosine.")
@click.option("--max-length", type=int)
@click.option("--steps", type=int, help="Optimizer steps; replaces --epochs.")
@click.option("--epochs", type=float)
@click.option("--batch-size", type=int, help="Sequences for each process and pass.")
@click.option("--accumulation", type=int, help="Passes for each optimizer step.")
@click.option("--learning-rate", type=float)
@click.option("--warmup", type=float, help="Steps, or a share of them below 1.")
@click.option("--decay-steps", type=int, help="Flat rate that falls to 0 over the last steps.")
@click.option("--dropout", type=float)
@click.option("--freeze-embeddings/--train-embeddings", default=None)
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "auto"]))
@click.option("--held-out", type=float, help="Share of each text that is kept back.")
@click.option("--repeat", nargs=2, multiple=True, type=(str, int), metavar="TEXT TIMES")
@click.option("--log-every", type=int)
@click.option("--save-every", type=int)
@click.option("--seed", type=int)
@click.option("--tensorboard", is_flag=True, help="Also log for TensorBoard.")
def distill(output: Path, profile: str, tensorboard: bool, **given: Any) -> None:
    """Distil a student from a teacher; the same command goes on where it was stopped.

    For several processes: torchrun --nproc-per-node 2 -m helpers.cli distill ...
    """
    from helpers import profiles
    from helpers.pretraining import RECIPES, Settings, run

    profiles.profile(profile)
    changes = {k: v for k, v in given.items() if v is not None and v != ()}
    settings: Settings = replace(RECIPES[profile], **changes)
    if not _needs_a_network(settings):
        os.environ["HF_HUB_OFFLINE"] = "1"
    figures = run(settings, output, report_to=_reporters(output) if tensorboard else ())
    for name, value in figures.items():
        click.echo(f"{name.removeprefix('eval_')} {value:.4f}")
    click.echo(f"the student lies in {output}")


def _needs_a_network(settings: Any) -> bool:
    from helpers import profiles

    if settings.hub:
        return True
    if settings.teacher:
        return not Path(settings.teacher).is_dir()
    return profiles.profile(settings.profile).online


def _reporters(output: Path) -> list[str]:
    """TensorBoard's name for the Trainer, if it is installed.

    Raises `WorkbookError` otherwise.
    """
    import importlib.util

    if not any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX")):
        raise WorkbookError("TensorBoard is not installed: pip install tensorboardX")
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(output / "tensorboard"))
    return ["tensorboard"]


@click.command()
@click.option("--seeds", default=3, help="How many times, each with other draws.")
@click.option("--profile", default="classroom")
@click.option("--steps", type=int, help="Steps of each student. Default: the profile's.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: data/.")
def ablation(seeds: int, profile: str, steps: int | None, output: Path | None) -> None:
    """Train without each loss in turn, and store what it costs; goes on where it was stopped."""
    from helpers import ablation as room
    from helpers.session import quiet_and_offline

    quiet_and_offline(profile)
    keys = room.keys(seeds)
    with click.progressbar(keys, label="students", show_pos=True, show_eta=True) as bar:

        def done(key: str) -> None:
            bar.update(keys.index(key) - bar.pos + 1, current_item=key)

        report = room.run(output or room.STORED, seeds, profile, steps, done)
    for arm, row in room.summary(report).items():
        click.echo(
            f"{arm:22} loss {row['loss']:.3f}  masked accuracy {row['masked_accuracy']:.3f}"
            f"  transfer {row['transfer']:.3f}"
        )


@click.command()
@click.option("--seeds", default=3, help="How many times, each with another head and order.")
@click.option("--profile", default="classroom")
@click.option("--task", "tasks", multiple=True, help="One of the nine tasks. Default: all.")
@click.option(
    "--steps", type=int, help="Steps of each run, to try a machine. Default: the recipe's."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: data/.")
def heads(
    seeds: int, profile: str, tasks: tuple[str, ...], steps: int | None, output: Path | None
) -> None:
    """Fine-tune every head, teacher and student; goes on where it was stopped."""
    from helpers import heads as room
    from helpers.session import quiet_and_offline
    from helpers.tasks import TASKS

    quiet_and_offline(profile)
    names = tasks or tuple(TASKS)
    todo = room.keys(names, seeds)
    with click.progressbar(todo, label="heads", show_pos=True, show_eta=True) as bar:

        def done(key: str) -> None:
            bar.update(1, current_item=key)

        report = room.run(output or room.STORED, names, seeds, profile, done, steps)
    rows = room.summary(report)
    for name, row in rows.items():
        click.echo(
            f"{name:10} bert {row['bert']['mean']:.3f}  distilbert {row['distilbert']['mean']:.3f}"
            f"  bag of words {row['baseline']:.3f}"
        )
    click.echo(f"the student keeps {room.retention(rows):.1%} of the teacher's macro-average")


@click.command()
@click.option("--seeds", default=3, help="How many taggers are fine-tuned of each model.")
@click.option("--profile", default="classroom")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: data/.")
def head_ablation(seeds: int, profile: str, output: Path | None) -> None:
    """Remove every attention head in turn and many together; goes on where it was stopped."""
    from helpers import head_ablation as room
    from helpers.session import quiet_and_offline

    quiet_and_offline(profile)
    keys = room.keys(seeds, profile)
    with click.progressbar(keys, label="removals", show_pos=True, show_eta=True) as bar:

        def done(key: str) -> None:
            bar.update(1, current_item=key)

        report = room.run(output or room.STORED, seeds, profile, done)
    for examination in ("masked", room.TASK):
        for kind in room.KINDS:
            found = room.grid(report, examination, kind)
            click.echo(
                f"{examination:10} {kind:10} {found.whole:.3f} with all heads; the worst to lose"
                f" costs {-found.change.min():.3f}, {found.clear.mean():.0%} more than the noise"
            )


COMMANDS = (distill, ablation, heads, head_ablation)

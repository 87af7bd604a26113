"""`workbook distill`, whose options are the fields of `Settings`, and `ablation`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from helpers.core import profiles
from helpers.core.errors import WorkbookError
from helpers.core.options import FOLDER, PROFILE, STORED, bar
from helpers.core.session import quiet_and_offline
from helpers.distillation.settings import RECIPES, Settings


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
    kinds = get_type_hints(Settings)
    for one in reversed(fields(Settings)):
        kind, more = kinds[one.name], dict(one.metadata)
        if get_origin(kind) is Literal:
            more["type"] = click.Choice(get_args(kind))
        if one.name != "profile":
            flags = f"--{one.name.replace('_', '-')}{more.pop('off', '')}"
            more = shapes.get(kind, {"type": kind}) | more
            command = click.option(flags, **more)(command)
    return command


@click.command()
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
    settings = replace(RECIPES[profile], **changes)
    if settings.teacher:
        online = not Path(settings.teacher).is_dir()
    if not (online or settings.hub):
        os.environ["HF_HUB_OFFLINE"] = "1"
    if tensorboard:
        if not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
            raise WorkbookError(
                "TensorBoard is not installed: pip install tensorboardX"
            )
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(output / "tensorboard"))
    from helpers.distillation import pretraining  # reads HF_HUB_OFFLINE

    reporters = ["tensorboard"] if tensorboard else ()
    for name, value in pretraining.run(settings, output, reporters).items():
        click.echo(f"{name.removeprefix('eval_')} {value:.4f}")
    click.echo(f"the student lies in {output}")


@click.command()
@click.option("--seeds", default=3, help="How many times, each with other draws.")
@PROFILE
@click.option("--steps", type=int, help="Of each student. Default: the profile's.")
@STORED
def ablation(seeds: int, profile: str, steps: int | None, output: Path | None) -> None:
    """Train without each loss in turn, store what it costs; a second call goes on."""
    from helpers.distillation import ablation as room

    quiet_and_offline(profile)
    with bar(room.keys(seeds), "students") as done:
        report = room.run(output or room.STORED, seeds, profile, steps, done)
    for arm, row in room.summary(report).items():
        click.echo(
            f"{arm:22} loss {row['loss']:.3f}"
            f"  masked accuracy {row['masked_accuracy']:.3f}"
            f"  transfer {row['transfer']:.3f}"
        )

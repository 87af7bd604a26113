"""The commands about data: `workbook prefetch`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--models", is_flag=True, help="The models that full opens.")
@click.option("--sets", "first", multiple=True, metavar="NAME ...", help="Hub sets.")
@click.option("--all", "everything", is_flag=True, help="The models and every set.")
@click.option(
    "--revisions", "pinned", metavar="FILE", type=click.Path(path_type=Path),
    help="Fetch the revisions in this file: somebody's revisions.json.",
)  # fmt: skip
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
    from helpers.cache import recorded_revisions, revisions_file
    from helpers.data import prefetch as hub
    from helpers.data.hub import SETS

    names = list(hub.models()) if models or everything else []
    names += list(SETS) if everything else dict.fromkeys((*first, *more))
    if not names:
        known = ", ".join(SETS)
        what = "say what: --models, --all, or --sets with names of"
        raise click.UsageError(f"{what} {known}")
    parts = hub.plan(names, recorded_revisions(pinned) if pinned else None)
    for part in parts:
        name = part.name if part.name == part.repo else f"{part.name} ({part.repo})"
        here = "" if part.missing else ", here already"
        click.echo(f"{name:60} {hub.size(part.size):>7}  {part.commit[:12]}{here}")
    need, free = (hub.size(count) for count in hub.check_room(parts))
    missing = hub.size(sum(part.missing for part in parts))
    total = hub.size(sum(part.size for part in parts))
    room = f"takes up to {need} on a disk with {free} free"
    click.echo(f"to fetch: {missing} of {total}; {room}")
    hub.fetch(parts, click.echo)
    click.echo(f"all of it is here; its revisions are in {revisions_file()}")


COMMANDS = (prefetch,)

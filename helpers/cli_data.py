"""The commands about data: `workbook prefetch`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--models", is_flag=True, help="The two models of the full profile.")
@click.option("--sets", "first", multiple=True, metavar="NAME ...", help="Hub sets, by name.")
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
    from helpers import hub_sets
    from helpers.prefetch import check_room, fetch, plan
    from helpers.revisions import read, recorded

    sets = list(hub_sets.SETS) if everything else list(dict.fromkeys((*first, *more)))
    if not (models or sets):
        names = ", ".join(hub_sets.SETS)
        raise click.UsageError(f"say what: --models, --all, or --sets with names of {names}")
    parts = plan(models or everything, sets, read(pinned) if pinned else None)
    _show(parts, *check_room(parts))
    fetch(parts, click.echo)
    click.echo(f"all of it is here; its revisions are in {recorded()}")


def _show(parts, need: int, free: int) -> None:
    from helpers.prefetch import size

    for part in parts:
        name = part.name if part.name == part.repo else f"{part.name} ({part.repo})"
        listing = part.listing
        here = ", here already" if not listing.missing else ""
        click.echo(f"{name:50} {size(listing.size):>9}  {listing.commit[:12]}{here}")
    missing = sum(part.listing.missing for part in parts)
    total = sum(part.listing.size for part in parts)
    click.echo(
        f"to fetch: {size(missing)} of {size(total)}; "
        f"takes up to {size(need)} on a disk with {size(free)} free"
    )


COMMANDS = (prefetch,)

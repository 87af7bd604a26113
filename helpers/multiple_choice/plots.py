"""Pictures of `08_multiple_choice`: flattening, scores with their errors, endings."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from helpers.show.plots import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    RED,
    drawable,
    figure,
    name_rows,
)

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure

_TINTS = ("#cfe5f3", "#fbe6bf", "#c9ebe0", "#f3dce8")
_CHANCE = {"color": RED, "linestyle": "--", "linewidth": 1.3}


def _reach(share: float, count: int) -> float:
    """Two standard errors, in points, of a share in [0, 1] of so many answers."""
    return 200 * (share * (1 - share) / count) ** 0.5


def flattening(
    rows: Sequence[Mapping[str, Any]], contexts: Sequence[str], choices: Sequence[str]
) -> HTML:
    """Flat lists of contexts and choices as columns of cells, a colour for each row.

    The last column holds the contexts in the wrong order, repeated as a whole list.
    """
    from IPython.display import HTML

    each, count = len(rows[0]["choices"]), len(rows)
    names = ("context", "its choice", f"context, by contexts * {each}")
    table = [[f"<th style='text-align:left'>{name}</th>" for name in names]]
    look = "padding:.15em .6em;text-align:left;border:2px solid #fff;color:#111"
    for i, pair in enumerate(zip(contexts, choices, strict=True)):
        tints = [_TINTS[row % 4] for row in (i // each, i // each, i % count)]
        texts = map(html.escape, (*pair, rows[i % count]["context"]))
        table.append(
            [
                f"<td style='{look};background:{tint}'>{text}</td>"
                for tint, text in zip(tints, texts, strict=True)
            ]
        )
    lines = (f"<tr>{''.join(cells)}</tr>" for cells in table)
    return HTML(f"<table>{''.join(lines)}</table>")


def scores(shares: Mapping[str, float], count: int, chance: float) -> Figure:
    """Accuracies as bars with two standard errors of `count` answers; the first on top.

    `shares` maps a name to an accuracy in [0, 1]; `chance`, one too, is a dashed line.
    Names that begin with "reader" or "towers" have a colour of their own.
    """
    fig, ax = figure(8, 1.3 + 0.42 * len(shares))
    colours = {"reader": BLUE, "towers": ORANGE}
    for row, (name, share) in enumerate(shares.items()):
        reach, colour = _reach(share, count), colours.get(name[:6], "#b0b0b0")
        ax.barh(row, 100 * share, height=0.6, color=colour)
        ends = [100 * share - reach, 100 * share + reach]
        ax.plot(ends, [row, row], "#333333", lw=1.3)
        ax.text(ends[1] + 1, row, f"{share:.1%}", va="center")
    ax.axvline(100 * chance, **_CHANCE)
    name_rows(ax, list(shares), "right endings (%)")
    ax.set_title(
        f"{count} test rows; thin lines: ± two standard errors; dashed: chance"
    )
    return fig


def seeds(
    runs: Mapping[str, Sequence[float]],
    live: float | None,
    count: int,
    lines: Mapping[str, float],
) -> Figure:
    """Each run as a dot, a model's mean as a bar, two standard errors as a band.

    `runs` maps a model to the accuracies in [0, 1] of its seeds, the student last;
    `live` is this page's own run of it; `lines` are named accuracies to compare with.
    """
    fig, ax = figure(8, 1.7 + 0.7 * len(runs))
    for row, (values, colour) in enumerate(zip(runs.values(), PALETTE, strict=False)):
        mean, reach = 100 * fmean(values), _reach(fmean(values), count)
        how = {"height": 0.7, "color": colour, "alpha": 0.15}
        ax.barh(row, 2 * reach, left=mean - reach, **how)
        ax.plot([mean, mean], [row - 0.35, row + 0.35], color=colour, lw=3)
        dots = [100 * value for value in values]
        ax.plot(dots, [row] * len(values), "o", color=colour, ms=8)
        ax.text(mean, row - 0.4, f"{mean:.1f}%", ha="center", va="bottom")
    if live is not None:
        place = 100 * live, len(runs) - 1
        ax.plot(*place, "D", color="#111111", ms=8, label="this page's run")
    looks = (_CHANCE, {"color": GREY, "lw": 5, "alpha": 0.4})
    for (name, value), look in zip(lines.items(), looks, strict=False):
        ax.axvline(100 * value, label=name, **look)
    name_rows(ax, list(runs), "right endings (%)")
    ax.set(ylim=(len(runs) - 0.4, -0.8))
    ax.set_title(
        "Dots: seeds; bar: their mean; band: ± two standard errors of the test rows"
    )
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def learning_curve(
    points: Mapping[int, Sequence[float]], count: int, chance: float
) -> Figure:
    """Accuracy against the rows learned from: seeds as dots, their means as a line.

    `points` maps a number of rows to the accuracies in [0, 1] of several seeds.
    """
    fig, ax = figure(8, 3.4)
    means = [fmean(values) for values in points.values()]
    heights = [100 * mean for mean in means]
    errors = [_reach(mean, count) for mean in means]
    how = {"color": BLUE, "marker": "s", "capsize": 4, "label": "mean"}
    ax.errorbar(list(points), heights, errors, **how)
    for size, values in points.items():
        dots = [100 * value for value in values]
        ax.plot([size] * len(dots), dots, "o", color=ORANGE, ms=5, zorder=5)
    ax.axhline(100 * chance, label="chance", **_CHANCE)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(points), list(map(str, points)))
    ax.set(xlabel="rows learned from", ylabel="right endings (%)", ylim=(0, 100))
    what = "orange: seeds; lines: ± two standard errors"
    ax.set_title(f"The teacher on more and more rows ({what})")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def _groups(count: int, rows: int, width: float) -> tuple[list[list[float]], float]:
    """Where the bars of `count` models stand in each of `rows` groups; their width."""
    each = width / count
    shifts = [(number - (count - 1) / 2) * each for number in range(count)]
    return [[row + shift for row in range(rows)] for shift in shifts], each * 0.92


def endings(
    context: str,
    choices: Sequence[str],
    shares: Mapping[str, Sequence[float]],
    right: int | None = None,
) -> Figure:
    """Each model's probability of each ending as bars; a star marks the `right` one.

    `shares` maps a model to one probability in [0, 1] for each of `choices`.
    """
    fig, ax = figure(8, 1.6 + 0.75 * len(choices))
    places, width = _groups(len(shares), len(choices), 0.7)
    looks = zip(shares.items(), places, PALETTE, strict=False)
    for (name, values), at, colour in looks:
        lengths = [100 * value for value in values]
        bars = ax.barh(at, lengths, width, color=colour, label=name)
        ax.bar_label(bars, fmt=" {:.0f}", fontsize=10)
    named = [_wrapped(choice, 42) for choice in choices]
    if right is not None:
        named[right] = f"★ {named[right]}"
    name_rows(ax, named, "probability (%)")
    ax.set(xlim=(0, 112))
    fig.suptitle(_wrapped(context, 90), fontsize=11, style="italic", parse_math=False)
    fig.legend(loc="outside lower center", ncols=len(shares))
    return fig


def _wrapped(text: str, width: int) -> str:
    lines = textwrap.wrap(drawable(text), width, max_lines=3, placeholder=" ...")
    return "\n".join(lines)


def readings(rows: Sequence[Mapping[str, Any]]) -> HTML:
    """Rows to read: the context, then each ending on a bar of its probability.

    A row has `context`, `choices`, `label` and `shares`, one probability in [0, 1] a
    choice. The right ending is in bold with a tick, a wrong one that was chosen has a
    cross.
    """
    from IPython.display import HTML

    page = ""
    for row in rows:
        chosen = max(range(len(row["shares"])), key=row["shares"].__getitem__)
        lines = f"<i>{html.escape(row['context'])}</i>"
        for number, choice in enumerate(row["choices"]):
            percent, text = f"{100 * row['shares'][number]:.0f}%", html.escape(choice)
            mark, tint = ("✗", _TINTS[1]) if number == chosen else ("&nbsp;", "#e8e8e8")
            if number == row["label"]:
                mark, tint, text = "✓", _TINTS[0], f"<b>{text}</b>"
            fill = f"linear-gradient(90deg,{tint} {percent},#fff {percent})"
            look = f"background:{fill};color:#111;padding:.1em .5em;margin:1px 0"
            lines += f"<div style='{look}'>{mark} {percent} &nbsp;{text}</div>"
        page += f"<div style='max-width:52em;margin:.8em 0'>{lines}</div>"
    return HTML(page)


def costs(timed: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Milliseconds to rank the endings of one context, against how many there are.

    `timed` maps a number of endings to {way: {"median", "low", "high"}}, in seconds.
    """
    from matplotlib.ticker import LogLocator

    fig, ax = figure(8, 3.6)
    sizes = list(timed)
    for name, colour, mark in zip(timed[sizes[0]], PALETTE, "os^D", strict=False):
        low, middle, high = (
            [1000 * timed[size][name][key] for size in sizes]
            for key in ("low", "median", "high")
        )
        ax.plot(sizes, middle, marker=mark, color=colour, label=name)
        ax.fill_between(sizes, low, high, color=colour, alpha=0.15, lw=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, list(map(str, sizes)))
    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))  # nine would not find room
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.set(xlabel="endings to rank", ylabel="milliseconds")
    ax.set_title("One context and more and more endings (bands: quartiles)")
    fig.legend(loc="outside lower center", ncols=len(timed[sizes[0]]))
    return fig


def picks(shares: Mapping[str, Sequence[float]], chance: float) -> Figure:
    """How often each position is chosen, in groups of bars, one colour a model.

    `shares` maps a model to one share in [0, 1] for each position.
    """
    fig, ax = figure(8, 3.2)
    positions = len(next(iter(shares.values())))
    places, width = _groups(len(shares), positions, 0.8)
    looks = zip(shares.items(), places, (GREY, *PALETTE), strict=False)
    for (name, values), at, colour in looks:
        ax.bar(at, [100 * v for v in values], width, color=colour, label=name)
    ax.axhline(100 * chance, **_CHANCE)
    ax.set(xlabel="position of the ending", ylabel="rows (%)", ylim=(0, None))
    ax.set_xticks(range(positions))
    ax.set_title("Which position is chosen (dashed: evenly)")
    ax.grid(visible=False, axis="x")
    fig.legend(loc="outside lower center", ncols=len(shares))
    return fig

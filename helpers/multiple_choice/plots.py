"""Pictures of `08_multiple_choice`: flattening, scores with their errors, endings,
costs.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from helpers.multiple_choice.endings import standard_error
from helpers.show.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    drawable,
    figure,
)

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
_TINTS = ("#cfe5f3", "#fbe6bf", "#c9ebe0", "#f3dce8")


def flattening(
    rows: Sequence[Mapping[str, Any]], contexts: Sequence[str], choices: Sequence[str]
) -> HTML:
    """Flat lists of contexts and choices as columns of cells, a colour for each row of
    theirs.

    The last column holds the contexts in the wrong order, repeated as a whole list.
    """
    from IPython.display import HTML

    each, count = len(rows[0]["choices"]), len(rows)
    columns = {
        "context": [(i // each, text) for i, text in enumerate(contexts)],
        "its choice": [(i // each, text) for i, text in enumerate(choices)],
        f"context, by contexts * {each}": [
            (i % count, rows[i % count]["context"]) for i in range(each * count)
        ],
    }
    head = "".join(
        f"<th style='text-align:left'>{html.escape(name)}</th>" for name in columns
    )
    lines = zip(*columns.values(), strict=True)
    body = "".join(
        f"<tr>{''.join(_cell(*cell) for cell in line)}</tr>" for line in lines
    )
    return HTML(f"<table><tr>{head}</tr>{body}</table>")


def _cell(row: int, text: str) -> str:
    look = "padding:.15em .6em;text-align:left;border:2px solid #fff;color:#111"
    tint = _TINTS[row % len(_TINTS)]
    return f"<td style='{look};background:{tint}'>{html.escape(text)}</td>"


def scores(shares: Mapping[str, float], count: int, chance: float) -> Figure:
    """Accuracies as bars with two standard errors of `count` answers; the first on top.

    `shares` maps a name to an accuracy in [0, 1]; `chance`, one too, is a dashed line.
    Names that begin with "reader" or "towers" have a colour of their own.
    """
    fig, ax = figure(8, 1.3 + 0.42 * len(shares))
    for row, (name, share) in enumerate(shares.items()):
        reach = 200 * standard_error(share, count)
        colour = BLUE if name.startswith("reader") else ORANGE
        colour = colour if name.startswith(("reader", "towers")) else "#b0b0b0"
        ax.barh(row, 100 * share, height=0.6, color=colour)
        ax.plot(
            [100 * share - reach, 100 * share + reach], [row, row], "#333333", lw=1.3
        )
        ax.text(100 * share + reach + 1, row, f"{share:.1%}", va="center")
    ax.axvline(100 * chance, color=RED, linestyle="--", linewidth=1.3)
    ax.set_yticks(range(len(shares)), list(shares))
    ax.set(xlim=(0, 100), ylim=(len(shares) - 0.4, -0.6), xlabel="right endings (%)")
    ax.set_title(
        f"{count} test rows; thin lines: ± two standard errors; dashed: chance"
    )
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    return fig


def seeds(
    runs: Mapping[str, Sequence[float]],
    live: float | None,
    count: int,
    lines: Mapping[str, float],
) -> Figure:
    """Each run of teacher and student as a dot, its mean a bar, two standard errors as
    a band.

    `runs` maps a model to the accuracies in [0, 1] of its seeds, the student last;
    `live` is this page's own run of it; `lines` are named accuracies to compare with.
    """
    fig, ax = figure(8, 1.7 + 0.7 * len(runs))
    for row, (values, colour) in enumerate(
        zip(runs.values(), _COLOURS * 9, strict=False)
    ):
        mean = sum(values) / len(values)
        reach = 2 * standard_error(mean, count)
        ax.barh(
            row,
            200 * reach,
            left=100 * (mean - reach),
            height=0.7,
            color=colour,
            alpha=0.15,
        )
        ax.plot([100 * mean] * 2, [row - 0.35, row + 0.35], color=colour, lw=3)
        ax.plot(
            [100 * value for value in values],
            [row] * len(values),
            "o",
            color=colour,
            ms=8,
        )
        ax.text(100 * mean, row - 0.4, f"{mean:.1%}", ha="center", va="bottom")
    if live is not None:
        ax.plot(
            100 * live,
            len(runs) - 1,
            "D",
            color="#111111",
            ms=8,
            label="this page's run",
        )
    looks = (
        {"color": RED, "ls": "--", "lw": 1.4},
        {"color": GREY, "lw": 5, "alpha": 0.4},
    )
    for (name, value), look in zip(lines.items(), looks, strict=False):
        ax.axvline(100 * value, label=name, **look)
    ax.set_yticks(range(len(runs)), list(runs))
    ax.set(xlim=(0, 100), ylim=(len(runs) - 0.4, -0.8), xlabel="right endings (%)")
    ax.set_title(
        "Dots: seeds; bar: their mean; band: ± two standard errors of the test rows"
    )
    ax.grid(visible=False, axis="y")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def learning_curve(
    points: Mapping[int, Sequence[float]], count: int, chance: float
) -> Figure:
    """Accuracy against the number of rows learned from: seeds as dots, their means as a
    line.

    `points` maps a number of rows to the accuracies in [0, 1] of several seeds.
    """
    fig, ax = figure(8, 3.4)
    means = {size: sum(values) / len(values) for size, values in points.items()}
    errors = [200 * standard_error(mean, count) for mean in means.values()]
    heights = [100 * mean for mean in means.values()]
    ax.errorbar(
        list(means), heights, errors, color=BLUE, marker="s", capsize=4, label="mean"
    )
    for size, values in points.items():
        ax.plot(
            [size] * len(values),
            [100 * value for value in values],
            "o",
            color=ORANGE,
            ms=5,
            zorder=5,
        )
    ax.axhline(100 * chance, color=RED, linestyle="--", linewidth=1.3, label="chance")
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(points), list(map(str, points)))
    ax.set(xlabel="rows learned from", ylabel="right endings (%)", ylim=(0, 100))
    ax.set_title(
        "The teacher on more and more rows (orange: seeds; lines: ± two standard errors)"
    )
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def endings(
    context: str,
    choices: Sequence[str],
    shares: Mapping[str, Sequence[float]],
    right: int | None = None,
) -> Figure:
    """Each model's probability of each ending as bars; `right`, if known, is marked by
    a star.

    `shares` maps a model to one probability in [0, 1] for each of `choices`.
    """
    fig, ax = figure(8, 1.6 + 0.75 * len(choices))
    width = 0.7 / len(shares)
    for number, (name, values) in enumerate(shares.items()):
        at = [
            row + (number - (len(shares) - 1) / 2) * width
            for row in range(len(choices))
        ]
        ax.barh(
            at,
            [100 * v for v in values],
            width * 0.92,
            color=_COLOURS[number],
            label=name,
        )
        for height, value in zip(at, values, strict=True):
            ax.text(
                100 * value, height, f" {100 * value:.0f}", va="center", fontsize=10
            )
    named = [
        f"{'★ ' if row == right else ''}{_wrapped(c, 42)}"
        for row, c in enumerate(choices)
    ]
    ax.set_yticks(range(len(choices)), named, parse_math=False)
    ax.set(xlim=(0, 112), ylim=(len(choices) - 0.4, -0.6), xlabel="probability (%)")
    ax.grid(visible=False, axis="y")
    fig.suptitle(_wrapped(context, 90), fontsize=11, style="italic", parse_math=False)
    fig.legend(loc="outside lower center", ncols=len(shares))
    return fig


def _wrapped(text: str, width: int, lines: int = 3) -> str:
    return "\n".join(
        textwrap.wrap(drawable(text), width, max_lines=lines, placeholder=" ...")
    )


def readings(rows: Sequence[Mapping[str, Any]]) -> HTML:
    """Rows to read: the context, then each ending with its probability as a bar behind
    it.

    A row has `context`, `choices`, `label` and `shares`, one probability in [0, 1] a
    choice. The right ending is in bold with a tick, a wrong one that was chosen has a
    cross.
    """
    from IPython.display import HTML

    return HTML("".join(map(_reading, rows)))


def _reading(row: Mapping[str, Any]) -> str:
    chosen = max(range(len(row["shares"])), key=lambda i: row["shares"][i])
    lines = []
    for number, (choice, share) in enumerate(
        zip(row["choices"], row["shares"], strict=True)
    ):
        mark = "✓" if number == row["label"] else "✗" if number == chosen else "&nbsp;"
        tint = (
            _TINTS[0]
            if number == row["label"]
            else _TINTS[1]
            if number == chosen
            else "#e8e8e8"
        )
        fill = (
            f"linear-gradient(90deg,{tint} {100 * share:.0f}%,#fff {100 * share:.0f}%)"
        )
        text = html.escape(choice)
        text = f"<b>{text}</b>" if number == row["label"] else text
        look = f"background:{fill};color:#111;padding:.1em .5em;margin:1px 0"
        lines.append(
            f"<div style='{look}'>{mark} {100 * share:.0f}% &nbsp;{text}</div>"
        )
    context = f"<i>{html.escape(row['context'])}</i>"
    return f"<div style='max-width:52em;margin:.8em 0'>{context}{''.join(lines)}</div>"


def costs(timed: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Milliseconds to rank the endings of one context, against how many endings there
    are.

    `timed` maps a number of endings to {way: {"median", "low", "high"}}, in seconds.
    """
    from matplotlib.ticker import LogLocator

    fig, ax = figure(8, 3.6)
    sizes = list(timed)
    ways = timed[sizes[0]]
    for name, colour, mark in zip(ways, _COLOURS, "os^D", strict=False):
        low, middle, high = (
            [1000 * timed[size][name][key] for size in sizes]
            for key in ("low", "median", "high")
        )
        ax.plot(sizes, middle, marker=mark, color=colour, label=name)
        ax.fill_between(sizes, low, high, color=colour, alpha=0.15, lw=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes, list(map(str, sizes)))
    ax.yaxis.set_minor_locator(
        LogLocator(subs=(2, 5))
    )  # all nine would run into each other
    for formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        formatter("{x:g}")
    ax.set(xlabel="endings to rank", ylabel="milliseconds")
    ax.set_title("One context and more and more endings (bands: quartiles)")
    fig.legend(loc="outside lower center", ncols=len(ways))
    return fig


def picks(shares: Mapping[str, Sequence[float]], chance: float) -> Figure:
    """How often each position is chosen, in groups of bars, one colour a model.

    `shares` maps a model to one share in [0, 1] for each position.
    """
    fig, ax = figure(8, 3.2)
    width = 0.8 / len(shares)
    for number, (name, values) in enumerate(shares.items()):
        at = [p + (number - (len(shares) - 1) / 2) * width for p in range(len(values))]
        colour = (GREY, *_COLOURS)[number]
        ax.bar(at, [100 * v for v in values], width * 0.92, color=colour, label=name)
    ax.axhline(100 * chance, color=RED, linestyle="--", linewidth=1.3)
    ax.set(xlabel="position of the ending", ylabel="rows (%)", ylim=(0, None))
    ax.set_xticks(range(len(values)))
    ax.set_title("Which position is chosen (dashed: evenly)")
    ax.grid(visible=False, axis="x")
    fig.legend(loc="outside lower center", ncols=len(shares))
    return fig

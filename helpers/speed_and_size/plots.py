"""Pictures for `11_speed_and_size`: the ladder, sweeps, where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from helpers.show.plots import BLUE, GREEN, GREY, ORANGE, PALETTE, RED, SKY, figure

if TYPE_CHECKING:
    import torch
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MB = 1_000_000


def climb(
    rows: Sequence[Mapping[str, Any]], title: str = "The ladder so far"
) -> Figure:
    """Accuracy over latency with the size as an area, and how much faster each rung is.

    `rows` as `ladder.measure` gives them, the plainest first; the last one stands out.
    A rung that is missing keeps its line, and no bar.
    """
    fig, (left, right) = figure(
        10, 0.9 + 0.36 * max(len(rows), 6), ncols=2, width_ratios=(5, 6)
    )
    fig.set_dpi(80)  # it is drawn after every rung: the file must stay light
    ran = [(at, row) for at, row in enumerate(rows) if "missing" not in row]
    place = sorted(ran, key=lambda pair: pair[1]["seconds"])
    for nth, (at, row) in enumerate(place):
        _bubble(left, at, row, nth % 3, last=at == ran[-1][0])
    left.set_xscale("log")
    _plain_ticks(left, [row["seconds"] for _, row in ran])
    shares = [100 * (row["accuracy"] or 0) for _, row in ran]
    left.set(
        ylim=(min(shares) - 4, max(shares) + 4), ylabel="accuracy on held-out texts, %"
    )
    left.set(xlabel="seconds for all texts")
    left.set_title("area: size of the weights", fontsize=10)
    _speeds(right, rows)
    right.set_title(title, fontsize=11)
    return fig


def _bubble(ax: Axes, at: int, row: Mapping[str, Any], step: int, last: bool) -> None:
    place = (row["seconds"], 100 * (row["accuracy"] or 0))
    size, colour = 12 * row["bytes"] / MB, ORANGE if last else BLUE
    ax.scatter(*place, s=size, color=colour, alpha=0.45, edgecolors="black", lw=0.6)
    # numbers of neighbours at three heights: equal accuracy puts many on one line
    height = (0, 13 * (step - 1))
    how = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9}
    ax.annotate(str(at), place, height, **how)


def _plain_ticks(ax: Axes, values: Sequence[float]) -> None:
    """Few, readable numbers on a logarithmic axis, with room on both sides."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xlim(min(values) / 1.6, max(values) * 1.6)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _speeds(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """A bar a rung with its quartiles; beside it what it changed and what it weighs."""
    most = max(row["speedup"] for row in rows if "missing" not in row)
    for at, row in enumerate(rows):
        if "missing" in row:
            ax.text(0.02 * most, at, "not here", va="center", color=GREY, fontsize=9)
            continue
        low, high = row["speedup_quartiles"]
        reach = [[max(row["speedup"] - low, 0)], [max(high - row["speedup"], 0)]]
        last = at == len(rows) - 1
        ax.barh(at, row["speedup"], 0.68, color=ORANGE if last else BLUE, alpha=0.8)
        ax.errorbar(row["speedup"], at, xerr=reach, color="black", capsize=2, lw=1)
        said = f" {row['speedup']:.1f}x, {row['bytes'] / MB:.0f} MB"
        said += f", {row['changed_share']:.2%} changed" if at else ""
        ax.text(max(high, row["speedup"]) * 1.02, at, said, va="center", fontsize=9)
    ax.set_yticks(
        range(len(rows)), [f"{at} {row['rung']}" for at, row in enumerate(rows)]
    )
    ax.set(xlim=(0, 1.75 * most), ylim=(len(rows) - 0.4, -0.6), xlabel="times faster")
    ax.grid(visible=False, axis="y")


def lengths(sizes: Sequence[int], known: Sequence[bool]) -> Figure:
    """How many texts have how many tokens; `known` are those whose label is known."""
    fig, ax = figure(8, 3)
    groups = {"label known, held out": True, "others": False}
    parted = [
        [n for n, k in zip(sizes, known, strict=True) if k == w]
        for w in groups.values()
    ]
    bins, colours = range(0, max(sizes) + 3, 2), (ORANGE, SKY)
    ax.hist(parted, bins=bins, stacked=True, label=list(groups), color=colours)
    ax.axvline(max(sizes), color=RED, lw=1.5, label=f"the longest, {max(sizes)}")
    ax.set(xlabel="tokens", ylabel="texts", title="What there is to read")
    ax.set_xlim(0, 1.45 * max(sizes))  # room for the legend
    ax.legend(loc="right")
    return fig


def sweep(found: Mapping[int, Mapping[int, float]], threads: int) -> Figure:
    """Tokens a second over the batch size, a line a length. `found`: {length: {batch:
    seconds}}.
    """
    fig, ax = figure(8, 3.6)
    for (length, times), colour in zip(found.items(), PALETTE, strict=False):
        speeds = [batch * length / seconds for batch, seconds in times.items()]
        ax.plot(list(times), speeds, "o-", color=colour, label=f"{length} tokens")
    sizes = list(next(iter(found.values())))
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, list(map(str, sizes)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set(xlabel="texts in a batch", ylabel="tokens a second", ylim=(0, None))
    ax.set_title(f"What a batch brings, fp32, threads: {threads}")
    ax.legend(title="each text has")
    return fig


def parts(found: Mapping[str, Mapping[str, float]]) -> Figure:
    """Where the time goes: a stacked bar for each of `found`, {what: {part:
    seconds}}.
    """
    fig, ax = figure(9, 0.9 + 0.6 * len(found))
    colours = dict(
        zip(next(iter(found.values())), (GREY, BLUE, ORANGE, GREEN, RED), strict=False)
    )
    for at, times in enumerate(found.values()):
        begin, total = 0.0, sum(times.values())
        for part, seconds in times.items():
            share = 100 * seconds / total
            ax.barh(
                at,
                share,
                0.7,
                left=begin,
                color=colours[part],
                label=part if not at else None,
            )
            if share > 5:
                ax.text(
                    begin + share / 2, at, f"{share:.0f}%", ha="center", va="center"
                )
            begin += share
    ax.set_yticks(range(len(found)), list(found))
    ax.set(xlabel="share of the time, %", xlim=(0, 100), ylim=(len(found) - 0.4, -0.6))
    ax.grid(visible=False, axis="y")
    fig.legend(loc="outside upper left", ncols=len(colours))
    return fig


def families(rows: Mapping[str, Mapping[str, float]], said: float) -> Figure:
    """BERT's time over DistilBERT's, {way: {"median", "low", "high"}}, and what the
    paper says.
    """
    fig, ax = figure(8, 0.9 + 0.55 * len(rows))
    for at, row in enumerate(rows.values()):
        reach = [[row["median"] - row["low"]], [row["high"] - row["median"]]]
        ax.barh(at, row["median"], 0.62, color=BLUE, alpha=0.8)
        ax.errorbar(row["median"], at, xerr=reach, color="black", capsize=3)
        ax.text(row["high"] + 0.03, at, f"{row['median']:.2f}x", va="center")
    ax.axvline(said, color=RED, ls="--", label=f"the paper's table: {said:.2f}x")
    ax.axvline(2, color=GREY, ls=":", label="half of the layers: 2x")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(
        xlabel="BERT's time over DistilBERT's",
        xlim=(0, 2.6),
        ylim=(len(rows) - 0.4, -0.6),
    )
    ax.grid(visible=False, axis="y")
    fig.legend(loc="outside upper left", ncols=2)
    return fig


def rounding(weights: torch.Tensor) -> Figure:
    """The weights of a matrix, and some of the 255 steps that int8 has for them."""
    fig, ax = figure(8, 2.8)
    step = weights.abs().max().item() / 127
    moved = ((weights / step).round() * step - weights).abs().max().item()
    ax.hist(weights.flatten().tolist(), bins=100, color=GREY)
    for at in range(-112, 128, 16):
        ax.axvline(at * step, color=SKY, lw=0.8)
    ax.set(xlabel="weight; a line at every 16th step", ylabel="how many", yscale="log")
    ax.set_title(f"255 steps of {step:.2g}: no weight moves by more than {moved:.2g}")
    return fig


def slips(found: Mapping[str, tuple[str, str]]) -> HTML:
    """A table of mistakes: {mistake: (what it shows, what is so)}."""
    return _html(
        ("mistake", "what it shows", "what is so"), [(k, *v) for k, v in found.items()]
    )


def table(rows: Sequence[Mapping[str, Any]]) -> HTML:
    """The ladder in figures, as `ladder.measure` gives them."""
    head = (
        "rung",
        "seconds",
        "times faster (quartiles)",
        "labels changed",
        "accuracy",
        "MB",
    )
    return _html(head, [_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "missing" in row:
        return (row["rung"], "", f"needs: {row['missing']}", "", "", "")
    low, high = row["speedup_quartiles"]
    right = "" if row["accuracy"] is None else f"{row['accuracy']:.1%}"
    return (
        row["rung"],
        f"{row['seconds']:.2f}",
        f"{row['speedup']:.1f} ({low:.1f} to {high:.1f})",
        f"{row['changed_share']:.2%}",
        right,
        f"{row['bytes'] / MB:.1f}",
    )


def _html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> HTML:
    import html

    from IPython.display import HTML

    def line(cells: Sequence[str], kind: str) -> str:
        style = "style='text-align:left'"
        inner = (f"<{kind} {style}>{html.escape(cell)}</{kind}>" for cell in cells)
        return f"<tr>{''.join(inner)}</tr>"

    return HTML(
        f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
    )


def forecast(
    measured: Mapping[int, float], told: Mapping[int, float], batch: int, title: str
) -> Figure:
    """Milliseconds over the batch size: the forecast as a line, what was measured as
    dots.

    Both {batch: seconds}; `batch` is the one that stands out.
    """
    fig, ax = figure(8, 3.2)
    ax.plot(list(told), [1000 * s for s in told.values()], color=GREY, label="forecast")
    ax.plot(list(measured), [1000 * s for s in measured.values()], "o", color=BLUE,
            label="measured")  # fmt: skip
    ax.plot(
        [batch],
        [1000 * told[batch]],
        "D",
        color=ORANGE,
        ms=10,
        label="your choice, forecast",
    )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(list(told), list(map(str, told)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set(xlabel="texts in a batch", ylabel="milliseconds for the batch", title=title)
    ax.legend()
    return fig

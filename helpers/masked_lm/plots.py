"""Pictures of notebook 04: gaps and guesses, masks, surprise, adaptation."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.show import plots as kit
from helpers.show.plots import BLUE, GREEN, GREY, ORANGE, RED, SKY, drawable, figure

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, RED, SKY)
_BELOW = {"loc": "outside lower center"}
ByKind = Mapping[str, Mapping[str, tuple[float, float, int]]]


def gaps(text: str, guesses: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """The likeliest pieces for each gap as bars, one panel a gap, the likeliest on top.

    `guesses` maps a panel's title to (piece, probability in [0, 1]), best first.
    """
    rows = max(map(len, guesses.values()))
    fig, axes = figure(8, 1.5 + 0.3 * rows, ncols=len(guesses), squeeze=False)
    for number, (title, ranked) in enumerate(guesses.items()):
        kit.guess_bars(axes[0][number], ranked, _COLOURS[number % 5])
        axes[0][number].set_title(title, weight="normal", fontsize=11)
    shown = text if len(text) <= 80 else text[:77] + "..."
    fig.suptitle(drawable(shown), fontsize=11, style="italic", parse_math=False)
    return fig


def hidden_pieces(rows: Mapping[str, Sequence[tuple[str, bool]]]) -> HTML:
    """Named rows of (piece, hidden) pairs, the hidden ones dark."""
    from IPython.display import HTML

    cell = "display:inline-block;margin:2px;padding:.1em .45em;border-radius:4px"
    looks = ("background:#eee;color:#111", "background:#0072B2;color:#fff")
    lines = []
    for name, pieces in rows.items():
        boxes = "".join(
            f"<code style='{cell};{looks[hidden]}'>{html.escape(piece)}</code>"
            for piece, hidden in pieces
        )
        head = f"<b>{html.escape(name)}</b><br>"
        lines.append(f"<p style='margin:.5em 0'>{head}{boxes}</p>")
    return HTML("".join(lines))


def kinds(shares: ByKind, nats: ByKind, blind: float) -> Figure:
    """Two panels of grouped bars, by kind of piece: put first (%), and surprise (nats).

    Both map a masking to {kind: (mean, standard error, gaps)}; thin lines are two
    standard errors. `blind`: the surprise of a blind guess, drawn as a line.
    """
    fig, (above, below) = figure(8, 6, nrows=2, sharex=True)
    names = list(dict.fromkeys(kind for row in shares.values() for kind in row))
    _grouped(above, names, shares, 100)
    _grouped(below, names, nats, 1)
    above.set_ylabel("put first (%)")
    below.set_ylabel("surprise (nats)")
    below.axhline(blind, color=RED, ls="--", lw=1.3, label="a blind guess")
    below.set_xticks(range(len(names)), names)
    above.set_title("Hidden pieces, by what they are and what hid them")
    fig.legend(*below.get_legend_handles_labels(), **_BELOW, ncols=len(shares) + 1)
    return fig


def _grouped(ax: Axes, names: Sequence[str], rows: ByKind, scale: float) -> None:
    width = 0.8 / len(rows)
    back = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
    look = {"ha": "center", "va": "bottom", "fontsize": 9, "bbox": back}
    for number, (masking, by_kind) in enumerate(rows.items()):
        for kind, (mean, error, count) in by_kind.items():
            at = names.index(kind) + (number - (len(rows) - 1) / 2) * width
            label = masking if kind == names[0] else None
            ax.bar(at, scale * mean, width * 0.92, color=_COLOURS[number], label=label)
            low, top = scale * max(mean - 2 * error, 0), scale * (mean + 2 * error)
            ax.plot([at, at], [low, top], "#333333", lw=1)
            ax.text(at, top, f"{scale * mean:.1f}\n({count:,})", **look)
    ax.margins(y=0.3)
    ax.set_ylim(bottom=0)


def draws(
    shares: Mapping[str, Sequence[float]], error: float, floor: tuple[str, float]
) -> Figure:
    """Masked accuracy under other draws of masks, one line a model.

    `shares` maps a model to one share in [0, 1] per draw; `error`, a standard error, is
    drawn as a band of two around each mean; `floor` is a named share to beat.
    """
    fig, ax = figure(8, 3.4)
    for name, values, look in _lines(shares):
        mean = 100 * sum(values) / len(values)
        ax.plot([100 * value for value in values], label=name, **look)
        band = (mean - 200 * error, mean + 200 * error)
        ax.axhspan(*band, color=look["color"], alpha=0.12, lw=0)
    ax.axhline(100 * floor[1], color=RED, ls="--", lw=1.3, label=floor[0])
    ax.set(xlabel="draw of masks (seed)", ylabel="masked accuracy (%)", ylim=(0, None))
    ax.set_xticks(range(len(values)))
    ax.set_title(
        "The same texts, other gaps (bands: mean ± two standard errors of one draw)"
    )
    fig.legend(**_BELOW, ncols=len(shares) + 1)
    return fig


def _lines(rows: Mapping[str, Sequence]) -> list[tuple[str, Sequence, dict]]:
    """Each name and its values, with a colour and a mark of its own."""
    marks = zip(_COLOURS, "os^Dv", strict=True)
    looks = [{"color": colour, "marker": mark} for colour, mark in marks]
    return [(*row, look) for row, look in zip(rows.items(), looks, strict=False)]


def surprises(rows: Mapping[str, tuple[Sequence[str], Sequence[float]]]) -> Figure:
    """How surprised a model is by each piece, one panel a text.

    `rows` maps a panel's title to (pieces, nats).
    """
    shape = {"nrows": len(rows), "squeeze": False, "sharey": True}
    fig, axes = figure(9, 0.4 + 2.2 * len(rows), **shape)
    for number, (title, (pieces, nats)) in enumerate(rows.items()):
        ax, turned = axes[number][0], {"rotation": 35, "rotation_mode": "anchor"}
        places, names = range(len(pieces)), list(map(drawable, pieces))
        ax.bar(places, nats, color=_COLOURS[number % 5], width=0.75)
        ax.set_xticks(places, names, ha="right", parse_math=False, **turned)
        ax.axhline(sum(nats) / len(nats), color="#333333", linestyle=":", linewidth=1.3)
        ax.set_title(drawable(title), weight="normal", fontsize=11, parse_math=False)
        ax.set_ylabel("surprise (nats)")
    return fig


def learning_curves(
    curves: Mapping[str, Sequence[tuple[int, float, float]]], error: float
) -> Figure:
    """Held-out loss and masked accuracy during fine-tuning, one line an amount of text.

    `curves` maps a name to (step, loss in nats, accuracy in [0, 1]); `error`: the
    standard error of one accuracy, drawn beside the first point.
    """
    fig, axes = figure(8, 3.8, ncols=2)
    for name, points, look in _lines(curves):
        steps, losses, shares = zip(*points, strict=True)
        axes[0].plot(steps, losses, label=name, **look)
        axes[1].plot(steps, [100 * share for share in shares], **look)
    look = {"color": GREY, "capsize": 4, "lw": 1.2, "zorder": 0}
    axes[1].errorbar(steps[0], 100 * shares[0], 200 * error, **look)
    for ax, label in zip(
        axes, ("held-out loss (nats)", "masked accuracy (%)"), strict=True
    ):
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="step", ylabel=label)
    axes[1].set_title("grey: ± two standard errors", weight="normal", fontsize=10)
    title = "Fine-tuning on more and less text: held-out texts"
    fig.suptitle(title, weight="bold", fontsize=12)
    fig.legend(**_BELOW, ncols=len(curves))
    return fig


def word_changes(changes: Mapping[str, float]) -> Figure:
    """Bars of how many nats of surprise were lost (right) or gained, by name."""
    fig, ax = figure(8, 1.2 + 0.28 * max(len(changes), 2))
    places, values = range(len(changes)), list(changes.values())
    colours = [BLUE if value >= 0 else ORANGE for value in values]
    ax.barh(places, values, color=colours)
    ax.set_yticks(places, list(map(drawable, changes)), parse_math=False)
    _around_zero(ax, len(values), "surprise before minus after (nats)")
    ax.set_title(
        "Blue: easier after fine-tuning; orange: harder (in brackets: times asked)"
    )
    return fig


def _around_zero(ax: Axes, rows: int, label: str) -> None:
    ax.axvline(0, color="#333333", linewidth=1)
    ax.set(ylim=(rows - 0.4, -0.6), xlabel=label)
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")


def before_and_after(losses: Mapping[str, tuple[float, float, float]]) -> Figure:
    """The change of the loss on several sets of texts as bars: to the left is better.

    `losses` maps a set to (before, after, standard error of the change), in nats; the
    thin lines are two standard errors.
    """
    fig, ax = figure(8, 1.3 + 0.7 * len(losses))
    reach = max(abs(b - a) + 2 * error for a, b, error in losses.values())
    for row, (before, after, error) in enumerate(losses.values()):
        change = after - before
        ax.barh(row, change, height=0.5, color=BLUE if change <= 0 else ORANGE)
        ax.plot([change - 2 * error, change + 2 * error], [row, row], "#333333", lw=1.2)
        ax.text(1.05 * reach, row, f"{before:.2f} → {after:.2f}", va="center")
    ax.set_xlim(-1.1 * reach, 1.6 * reach)
    ax.set_yticks(range(len(losses)), list(losses))
    label = "change of the loss (nats); blue is better, orange is worse"
    _around_zero(ax, len(losses), label)
    ax.set_title("What was learned, and what it cost elsewhere")
    return fig


def asked(shares: Mapping[str, Sequence[float]]) -> Figure:
    """The share of tokens hidden at least once after each epoch, one line a masking."""
    fig, ax = figure(8, 3.2)
    for name, values, look in _lines(shares):
        epochs = range(1, len(values) + 1)
        ax.plot(epochs, [100 * value for value in values], label=name, **look)
    ax.set(xlabel="epochs", ylabel="tokens asked for so far (%)", ylim=(0, 100))
    ax.set_xticks(epochs)
    ax.set_title("How much of the text becomes a question")
    fig.legend(**_BELOW, ncols=len(shares))
    return fig

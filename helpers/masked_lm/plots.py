"""Pictures of `04_masked_language_modeling`: gaps and guesses, masks, surprise,
adaptation.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.show.plots import BLUE, GREEN, GREY, ORANGE, RED, SKY, drawable, figure

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, RED, SKY)
_MARKS = ("o", "s", "^", "D", "v")


def gaps(text: str, answers: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """The likeliest pieces for each gap as bars, one panel a gap, the likeliest on top.

    `answers` maps a panel's title to (piece, probability in [0, 1]), best first.
    """
    rows = max(map(len, answers.values()))
    fig, axes = figure(8, 1.5 + 0.3 * rows, ncols=len(answers), squeeze=False)
    for ax, (title, ranked), colour in zip(
        axes[0], answers.items(), _COLOURS * 9, strict=False
    ):
        _bars(
            ax,
            [piece for piece, _ in ranked],
            [100 * share for _, share in ranked],
            colour,
        )
        ax.set(xlabel="probability (%)", ylim=(rows - 0.4, -0.6))
        ax.set_title(title, weight="normal", fontsize=11)
    shown = text if len(text) <= 80 else text[:77] + "..."
    fig.suptitle(drawable(shown), fontsize=11, style="italic", parse_math=False)
    return fig


def _bars(ax: Axes, names: Sequence[str], values: Sequence[float], colour: str) -> None:
    ax.barh(range(len(names)), values, height=0.65, color=colour)
    for row, value in enumerate(values):
        ax.text(value, row, f" {value:.1f}", va="center", fontsize=10)
    ax.set_yticks(range(len(names)), list(map(drawable, names)), parse_math=False)
    ax.set_xlim(0, max(0.1, *values) * 1.3)
    ax.grid(visible=False)


def hidden_pieces(rows: Mapping[str, Sequence[tuple[str, bool]]]) -> HTML:
    """Rows of pieces with the hidden ones dark; `rows` maps a name to (piece, hidden)
    pairs.
    """
    from IPython.display import HTML

    cell = "display:inline-block;margin:2px;padding:.1em .45em;border-radius:4px;font-family:monospace"
    looks = {True: "background:#0072B2;color:#fff", False: "background:#eee;color:#111"}
    lines = []
    for name, pieces in rows.items():
        boxes = "".join(
            f"<span style='{cell};{looks[bool(hidden)]}'>{html.escape(piece)}</span>"
            for piece, hidden in pieces
        )
        lines.append(
            f"<p style='margin:.5em 0'><b>{html.escape(name)}</b><br>{boxes}</p>"
        )
    return HTML("".join(lines))


def kinds(
    shares: Mapping[str, Mapping[str, tuple[float, float, int]]],
    nats: Mapping[str, Mapping[str, tuple[float, float, int]]],
    blind: float,
) -> Figure:
    """Two panels of grouped bars, by kind of piece: put first (%), and surprise (nats).

    Both map a masking to {kind: (mean, standard error, gaps)}; thin lines are two
    standard errors. `blind`: the surprise of a blind guess, drawn as a line.
    """
    fig, (above, below) = figure(8, 6, nrows=2, sharex=True)
    names = list(dict.fromkeys(kind for row in shares.values() for kind in row))
    _grouped(above, names, shares, 100)
    _grouped(below, names, nats, 1)
    above.set(ylabel="put first (%)")
    below.set(ylabel="surprise (nats)")
    below.axhline(
        blind, color=RED, linestyle="--", linewidth=1.3, label="a blind guess"
    )
    below.set_xticks(range(len(names)), names)
    above.set_title("Hidden pieces, by what they are and what hid them")
    handles, labels = below.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return fig


def _grouped(
    ax: Axes,
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, tuple[float, float, int]]],
    scale: float,
) -> None:
    width = 0.8 / len(rows)
    for number, (masking, by_kind) in enumerate(rows.items()):
        for kind, (mean, error, count) in by_kind.items():
            at = names.index(kind) + (number - (len(rows) - 1) / 2) * width
            label = masking if kind == names[0] else None
            ax.bar(at, scale * mean, width * 0.92, color=_COLOURS[number], label=label)
            low, top = scale * max(mean - 2 * error, 0), scale * (mean + 2 * error)
            ax.plot([at, at], [low, top], "#333333", lw=1)
            text = f"{scale * mean:.1f}\n({count:,})"
            back = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
            ax.text(at, top, text, ha="center", va="bottom", fontsize=9, bbox=back)
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
    for (name, values), colour, mark in zip(
        shares.items(), _COLOURS, _MARKS, strict=False
    ):
        percent = [100 * value for value in values]
        mean = sum(percent) / len(percent)
        ax.plot(range(len(percent)), percent, marker=mark, color=colour, label=name)
        ax.axhspan(
            mean - 200 * error, mean + 200 * error, color=colour, alpha=0.12, lw=0
        )
    ax.axhline(100 * floor[1], color=RED, linestyle="--", linewidth=1.3, label=floor[0])
    ax.set(xlabel="draw of masks (seed)", ylabel="masked accuracy (%)", ylim=(0, None))
    ax.set_xticks(range(len(percent)))
    ax.set_title(
        "The same texts, other gaps (bands: mean ± two standard errors of one draw)"
    )
    fig.legend(loc="outside lower center", ncols=len(shares) + 1)
    return fig


def surprises(rows: Mapping[str, tuple[Sequence[str], Sequence[float]]]) -> Figure:
    """How surprised a model is by each piece, one panel a text.

    `rows` maps a panel's title to (pieces, nats).
    """
    fig, axes = figure(
        9, 0.4 + 2.2 * len(rows), nrows=len(rows), squeeze=False, sharey=True
    )
    for ax, (title, (pieces, nats)), colour in zip(
        axes[:, 0], rows.items(), _COLOURS * 9, strict=False
    ):
        ax.bar(range(len(pieces)), nats, color=colour, width=0.75)
        ax.set_xticks(
            range(len(pieces)), list(map(drawable, pieces)), rotation=35, ha="right",
            rotation_mode="anchor", parse_math=False,
        )  # fmt: skip
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
    for (name, points), colour, mark in zip(
        curves.items(), _COLOURS, _MARKS, strict=False
    ):
        steps, losses, shares = zip(*points, strict=True)
        axes[0].plot(steps, losses, marker=mark, color=colour, label=name)
        axes[1].plot(
            steps, [100 * share for share in shares], marker=mark, color=colour
        )
    axes[1].errorbar(
        steps[0], 100 * shares[0], 200 * error, color=GREY, capsize=4, lw=1.2, zorder=0
    )
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set(xlabel="step", ylabel="held-out loss (nats)")
    axes[1].set(xlabel="step", ylabel="masked accuracy (%)")
    axes[1].set_title("grey: ± two standard errors", weight="normal", fontsize=10)
    fig.suptitle(
        "Fine-tuning on more and less text: held-out texts", weight="bold", fontsize=12
    )
    fig.legend(loc="outside lower center", ncols=len(curves))
    return fig


def word_changes(changes: Sequence[tuple[str, float, int]]) -> Figure:
    """Bars of how many nats of surprise a piece lost (to the right) or gained (to the
    left).

    `changes`: (piece, mean nats before minus after, how often it was asked), best
    first.
    """
    fig, ax = figure(8, 1.2 + 0.28 * max(len(changes), 2))
    names = [f"{piece} ({times})" for piece, _, times in changes]
    values = [change for _, change, _ in changes]
    ax.barh(
        range(len(values)), values, color=[BLUE if v >= 0 else ORANGE for v in values]
    )
    ax.set_yticks(range(len(values)), list(map(drawable, names)), parse_math=False)
    ax.axvline(0, color="#333333", linewidth=1)
    ax.set(ylim=(len(values) - 0.4, -0.6), xlabel="surprise before minus after (nats)")
    ax.set_title(
        "Blue: easier after fine-tuning; orange: harder (in brackets: times asked)"
    )
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    return fig


def before_and_after(losses: Mapping[str, tuple[float, float, float]]) -> Figure:
    """The change of the loss on several sets of texts as bars: to the left is better.

    `losses` maps a set to (before, after, standard error of the change), in nats; the
    thin lines are two standard errors.
    """
    fig, ax = figure(8, 1.3 + 0.7 * len(losses))
    reach = max(
        abs(after - before) + 2 * error for before, after, error in losses.values()
    )
    for row, (before, after, error) in enumerate(losses.values()):
        change = after - before
        ax.barh(row, change, height=0.5, color=BLUE if change <= 0 else ORANGE)
        ax.plot([change - 2 * error, change + 2 * error], [row, row], "#333333", lw=1.2)
        ax.text(1.05 * reach, row, f"{before:.2f} → {after:.2f}", va="center")
    ax.axvline(0, color="#333333", linewidth=1)
    ax.set(xlim=(-1.1 * reach, 1.6 * reach), ylim=(len(losses) - 0.4, -0.6))
    ax.set_yticks(range(len(losses)), list(losses))
    ax.set_xlabel("change of the loss (nats); blue is better, orange is worse")
    ax.set_title("What was learned, and what it cost elsewhere")
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    return fig


def asked(shares: Mapping[str, Sequence[float]]) -> Figure:
    """The share of tokens that was hidden at least once, after each epoch, one line a
    masking.

    `shares` maps a masking to one share in [0, 1] per epoch.
    """
    fig, ax = figure(8, 3.2)
    for (name, values), colour, mark in zip(
        shares.items(), _COLOURS, _MARKS, strict=False
    ):
        ax.plot(range(1, len(values) + 1), [100 * v for v in values], marker=mark, color=colour,
                label=name)  # fmt: skip
    ax.set(xlabel="epochs", ylabel="tokens asked for so far (%)", ylim=(0, 100))
    ax.set_xticks(range(1, len(values) + 1))
    ax.set_title("How much of the text becomes a question")
    fig.legend(loc="outside lower center", ncols=len(shares))
    return fig

"""Pictures of training runs for `03_distillation_objective`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from helpers.distillation.plots import BOLD, INK, panels
from helpers.show.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    figure,
    legend_below,
    percent_axis,
)

DASHED = {"color": GREY, "linestyle": "--", "linewidth": 1.5}
# a loss, its name in a log line, and its colour
LOSSES = {
    "distillation": ("distillation_loss", BLUE),
    "masked LM": ("masked_lm_loss", ORANGE),
    "cosine": ("cosine_loss", GREEN),
}
HELD_OUT = {
    "held-out perplexity": "perplexity",
    "held-out masked accuracy": "masked_accuracy",
}


def switched_off(
    histories: Mapping[str, Mapping[str, Sequence[float]]], teacher: float
) -> Figure:
    """One panel a loss: how it runs, step by step, when all or not all are trained.

    `histories` maps a variant to {loss: its unweighted value at each step}; `teacher`
    is the teacher's own masked LM loss, drawn as a dotted line.
    """
    names = list(next(iter(histories.values())))
    fig, axes = panels([f"{loss} loss" for loss in names], 3.5)
    marks = ("-", "--", "-.", ":", (0, (5, 1)))
    for ax, loss in zip(axes, names, strict=True):
        looks = zip(histories.items(), PALETTE, marks, strict=False)
        for (variant, history), colour, mark in looks:
            if loss == "cosine" or "weight" not in variant:  # else it hides another
                ax.plot(history[loss], color=colour, linestyle=mark, label=variant)
        ax.set(xlabel="step", ylim=(0, None))
        if loss == "masked LM":
            ax.axhline(teacher, color=GREY, linestyle=":", linewidth=1.5)
            ax.text(0, 0.97 * teacher, "the teacher's own", fontsize=9, va="top")
    axes[0].set_ylabel("unweighted loss")
    legend_below(fig, axes[-1])
    fig.suptitle("Each loss switched off in turn, on one batch", **BOLD)
    return fig


def live_curves(
    held_out: Mapping[str, Sequence[Mapping[str, float]]],
    training: Sequence[Mapping[str, float]],
    teacher: Mapping[str, float] | None,
    title: str,
    turns: Sequence[int] = (),
) -> Figure:
    """A run as it goes: its losses, held-out perplexity, held-out masked accuracy.

    `held_out`: {run: points with `step`, `perplexity`, `masked_accuracy`}; `training`:
    log lines of the last. After `turns`, steps, the settings changed: drawn dotted.
    """
    fig, (left, *others) = panels(("training losses", *HELD_OUT), 3.4)
    for name, (key, colour) in LOSSES.items():
        rows = [(row["step"], row[key]) for row in training if row.get(key, 0) > 0]
        if rows:
            left.plot(*zip(*rows, strict=True), ".-", color=colour, label=name)
    for ax, key in zip(others, HELD_OUT.values(), strict=True):
        for run, rows in held_out.items():
            points = [row["step"] for row in rows], [row[key] for row in rows]
            colour = ORANGE if run == "masked LM alone" else BLUE
            ax.plot(*points, ".-", color=colour, label=run)
        if teacher:
            ax.axhline(teacher[key], label="teacher", **DASHED)
    for ax in fig.axes:
        ax.set_xlabel("step")
        for step in turns:
            label = "settings changed" if step == turns[0] else None
            ax.axvline(step, color=INK, linestyle=":", lw=1.2, zorder=0, label=label)
    _log_scale(left)
    _log_scale(others[0])
    percent_axis(others[1].yaxis, 1)
    low, high = left.get_ylim()
    left.set_ylim(top=high**1.5 / low**0.5)  # room for the legend
    left.legend(
        handles=left.lines[: -len(turns) or None], loc="upper right", fontsize=9
    )
    legend_below(fig, others[0], ncols=4)
    fig.suptitle(title, **BOLD)
    return fig


def _log_scale(ax: Axes) -> None:
    """Numbers such as 60 and 200 on a log axis, rather than powers of ten."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())


def ablation_changes(
    summary: Mapping[str, Mapping[str, Any]], paper: Mapping[str, float]
) -> Figure:
    """What each omission costs: two panels measured here, one the paper's.

    `summary` maps an arm to its mean `loss` (nats) and `transfer` (in [0, 1]) and their
    `..._runs`, one a seed; `paper` maps an arm to its change of the GLUE mean, in
    points. All against "triple loss".
    """
    whole, arms = (
        summary["triple loss"],
        [arm for arm in summary if arm != "triple loss"],
    )

    def changes(name: str, unit: float) -> list[list[float]]:
        """Of each arm: the change of the mean, then that of each seed."""
        rows = ([summary[arm][name], *summary[arm][f"{name}_runs"]] for arm in arms)
        return [[unit * (value - whole[name]) for value in row] for row in rows]

    told = [[paper[arm]] if arm in paper else [] for arm in arms]
    panels = {
        "here: held-out loss\n(nats saved)": (changes("loss", -1), BLUE),
        "here: few-shot transfer\n(points)": (changes("transfer", 100), GREEN),
        "the paper: GLUE\n(points)": (told, GREY),
    }
    fig, axes = figure(8.6, 1.6 + 0.42 * len(arms), ncols=3, sharey=True)
    for ax, (title, (rows, colour)) in zip(axes, panels.items(), strict=True):
        _changes(ax, rows, colour)
        ax.set_xlabel(title, fontsize=10)
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].set_ylim(len(arms) - 0.4, -0.6)
    fig.suptitle("Change against the triple loss: left of 0 is worse", **BOLD)
    return fig


def _changes(ax: Axes, rows: Sequence[Sequence[float]], colour: str) -> None:
    """A bar for the first number of a row, a dot for each other.

    The panel reaches as far left as any dot. A bar four times as long as the next would
    dwarf the rest: it is cut and says its length.
    """
    first, second, *_ = sorted((abs(row[0]) for row in rows if row), reverse=True)
    shown = [r for r in rows if r and (abs(r[0]) < first or first <= 4 * second)]
    limit = 1.15 * max(abs(run) for row in shown for run in row[1:] or row)
    for at, row in enumerate(rows):
        mean, *runs = row or [0.0]
        ax.barh(at, max(mean, -limit), height=0.6, color=colour, alpha=0.75)
        if not row:
            ax.text(0, at, "not in the paper ", ha="right", va="center", fontsize=9)
        elif mean < -limit:
            said = f"\u25c0 {mean:.3g}".replace("-", "\u2212")
            ax.text(-0.96 * limit, at, said, va="center")
        elif len(runs) > 1:
            ax.plot(runs, [at] * len(runs), "o", color=INK, ms=3.5)
    ax.set_xlim(left=-limit)
    ax.axvline(0, color=INK, linewidth=1)
    ax.grid(visible=True, axis="x")


def equal_budget(
    curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]],
    teacher: float,
    steps: int,
) -> Figure:
    """Held-out loss over steps (left) and over seconds (right); a thin line a seed.

    `curves` maps a name to one curve a seed, points with `step`, `seconds`, `loss`
    (nats); `teacher` is its loss; a vertical line stands at the common `steps`.
    """
    titles = ("the same number of steps", "the same number of seconds")
    fig, axes = panels(titles, 3.4, sharey=True)
    for ax, unit in zip(axes, ("step", "seconds"), strict=True):
        for (name, runs), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
            for label, run in zip([name] + [None] * len(runs), runs, strict=False):
                points = (
                    [point[unit] for point in run],
                    [point["loss"] for point in run],
                )
                ax.plot(*points, color=colour, alpha=0.8, lw=1.4, label=label)
        ax.axhline(teacher, label="teacher", **DASHED)
        ax.set_xlabel("seconds of training" if unit == "seconds" else unit)
    axes[0].axvline(steps, color=INK, linewidth=1, linestyle=":")
    axes[0].set_ylabel("held-out loss (nats per hidden token)")
    legend_below(fig, axes[0])
    return fig

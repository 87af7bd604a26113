"""Pictures for `03_distillation_objective`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from helpers.show.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SKY,
    drawable,
    figure,
    legend_below,
    named_bars,
    percent_axis,
)

LIGHT = 95  # dots per inch of many panels: a notebook must stay under 1 MB
INK, BOLD = "#333333", {"weight": "bold", "fontsize": 12}
# how a chosen token is treated, and its colour; "visible" was not chosen
KINDS = {"[MASK]": BLUE, "random word": RED, "kept": GREEN, "visible": "#EEEEEE"}


def panels(names: Sequence[str], height: float, **subplots: Any) -> tuple[Figure, Any]:
    """A light figure with one axes for each of these titles."""
    fig, axes = figure(8, height, ncols=len(names), squeeze=False, **subplots)
    fig.set_dpi(LIGHT)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name, weight="normal", fontsize=11)
    return fig, axes[0]


def dark_knowledge(words: Sequence[str], taught: Sequence[float], label: str) -> Figure:
    """The one-hot label beside the teacher's distribution, both over the same `words`.

    `taught`: the teacher's probabilities; what is missing to 1 is drawn as a last row.
    """
    fig, axes = figure(8, 1.3 + 0.28 * len(words), ncols=2, sharey=True)
    onehot = {word: float(word == label) for word in words}
    onehot["all others"] = 1 - sum(onehot.values())
    teacher = dict(zip(words, taught, strict=True)) | {"all others": 1 - sum(taught)}
    colours = [ORANGE if word == label else SKY for word in words] + [GREY]
    sides = {"what the text says (one-hot)": onehot, "what the teacher says": teacher}
    for ax, (title, rows) in zip(axes, sides.items(), strict=True):
        named_bars(ax, rows, colours)
        ax.set(title=title, xlabel="probability")
    return fig


def softened(
    words: Sequence[str],
    shares: Mapping[str, Sequence[float]],
    sweep: Mapping[float, float],
    temperature: float,
    title: str,
) -> Figure:
    """Teacher and student at one temperature, and the gradient's size at many.

    `shares`: the probabilities of `words` that "teacher" and "student" give. `sweep`
    maps a temperature to the gradient's norm, without T squared.
    """
    fig, (bars, lines) = panels(("", ""), 3.6)
    for at, (name, values) in enumerate(shares.items()):
        rows = [row - 0.2 + 0.4 * at for row in range(len(words))]
        bars.barh(rows, values, height=0.38, color=(BLUE, ORANGE)[at], label=name)
    bars.set_yticks(range(len(words)), list(map(drawable, words)), parse_math=False)
    whole = f"these: {sum(shares['teacher']):.0%} of the teacher's"
    bars.set_xlabel(f"probability at T = {temperature:g} ({whole})")
    bars.set_ylim(len(words) - 0.4, -0.6)
    bars.locator_params(axis="x", nbins=5)
    bars.grid(visible=False)
    bars.legend(loc="lower right")
    scaled = [T**2 * size for T, size in sweep.items()]
    lines.plot(list(sweep), scaled, "-", color=GREEN, label="with T²")
    lines.plot(list(sweep), list(sweep.values()), "--", color=RED, label="without T²")
    lines.axvline(temperature, color=GREY, linewidth=1.2)
    lines.set(yscale="log", xlabel="temperature T")
    lines.set_ylabel("size of the gradient (norm)")
    lines.legend(loc="lower left")
    fig.suptitle(title, **BOLD)
    return fig


def masked_rows(rows: Sequence[Sequence[tuple[str, str]]], width: int = 12) -> Figure:
    """One sentence masked anew in each row: (token, a key of `KINDS`) per token."""
    title = "One text, masked anew in every epoch"
    fig, ax = figure(8, 1.1 + 0.36 * len(rows))
    for y, row in enumerate(rows):
        for x, (token, kind) in enumerate(row[:width]):
            ax.barh(y, 0.96, left=x, height=0.8, color=KINDS[kind])
            text = drawable(token if len(token) < 10 else token[:8] + "…")
            look = {"color": "black" if kind == "visible" else "white", "fontsize": 8.5}
            at = {"ha": "center", "va": "center", "parse_math": False}
            ax.text(x + 0.48, y, text, **look, **at)
    for kind, colour in KINDS.items():
        ax.bar(0, 0, color=colour, label=kind)
    ax.set(xlim=(0, min(width, max(map(len, rows)))), ylim=(len(rows) - 0.4, -0.6))
    ax.set(xticks=[], title=title)
    ax.set_yticks(range(len(rows)), [f"epoch {n}" for n in range(len(rows))])
    ax.grid(visible=False)
    legend_below(fig, ncols=len(KINDS))
    return fig


def divergence_bars(
    tokens: Sequence[str], divergences: Sequence[float], masked: Sequence[bool]
) -> Figure:
    """The distillation loss token by token, in nats; hidden tokens are darker."""
    fig, ax = figure(8, 3.4)
    for hidden, colour, label in ((True, BLUE, "hidden"), (False, SKY, "visible")):
        there = [at for at, flag in enumerate(masked) if bool(flag) == hidden]
        ax.bar(there, [divergences[at] for at in there], color=colour, label=label)
    slanted = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    names = list(map(drawable, tokens))
    ax.set_xticks(range(len(names)), names, parse_math=False, **slanted)
    ax.set_ylabel("T² · KL(teacher ‖ student), nats")
    ax.set_title("Where student and teacher disagree")
    legend_below(fig)
    return fig


def starts(found: Mapping[str, Mapping[str, float]]) -> Figure:
    """Masked accuracy of the teacher (first) and of untrained students.

    `found` maps a name to its `masked_accuracy` in [0, 1] over so many `targets`. Thin
    lines are two standard errors.
    """
    fig, ax = figure(8, 1.2 + 0.45 * len(found))
    accuracy = {name: one["masked_accuracy"] for name, one in found.items()}
    pairs = [(one["masked_accuracy"], one["targets"]) for one in found.values()]
    errors = [2 * (p * (1 - p) / n) ** 0.5 for p, n in pairs]
    named_bars(ax, accuracy, [BLUE] + [SKY] * (len(found) - 1), errors=errors)
    percent_axis(ax.xaxis)
    ax.set(title="Before the first step", xlabel="hidden tokens put first")
    return fig


def transfer_bars(scores: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Few-shot scores of teacher and student, task by task; a dot is one run.

    `scores` maps a task to {"teacher": {"mean", "runs"}, "student": {...}}, in [0, 1].
    """
    pairs = [(who, task) for task in scores for who in ("teacher", "student")]
    rows = {f"{who}, {task}": scores[task][who] for who, task in pairs}
    fig, ax = figure(8, 1.2 + 0.45 * len(rows))
    means, runs = ({n: row[k] for n, row in rows.items()} for k in ("mean", "runs"))
    named_bars(ax, means, [SKY, BLUE] * len(scores), runs=runs)
    percent_axis(ax.xaxis)
    ax.set(title="Fine-tuned on a few examples", xlabel="score")
    return fig


def kept_by_task(rows: Mapping[str, tuple[float, float]]) -> Figure:
    """Student's score as a share of the teacher's: {task: (teacher, student)}."""
    fig, ax = figure(8, 1.2 + 0.31 * len(rows))
    kept = {task: student / teacher for task, (teacher, student) in rows.items()}
    tasks = sorted(kept, key=kept.get)
    for row, (task, share) in enumerate((task, kept[task]) for task in tasks):
        ax.plot([1, share], [row, row], "-o", markevery=[1], color=BLUE, lw=3, ms=7)
        side, pad = ("right", -0.006) if share < 1 else ("left", 0.006)
        said = f"{share:.1%} ({rows[task][1]:g} of {rows[task][0]:g})"
        look = {"ha": side, "va": "center", "backgroundcolor": "white"}
        ax.text(share + pad, row, said, fontsize=9.5, **look)
    ax.axvline(1, color=INK, linewidth=1)
    ax.axvline(0.97, color=RED, linestyle="--", linewidth=1.3, zorder=0)
    ax.set_xlim(min(kept.values()) - 0.09, max(*kept.values(), 1.0) + 0.09)
    ax.set_yticks(range(len(rows)), tasks)
    ax.set_xlabel("DistilBERT's score as a share of BERT's (dashed: 97%)")
    ax.set_title("GLUE, from the paper's own table")
    percent_axis(ax.xaxis)
    ax.grid(visible=False)
    return fig


def timing_strips(times: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Milliseconds of single forward passes, a panel a pair: {pair: {model: [ms]}}."""
    fig, axes = panels(list(times), 2.6)
    for ax, runs in zip(axes, times.values(), strict=True):
        middles = {model: median(values) for model, values in runs.items()}
        named_bars(ax, middles, [SKY, BLUE], "{:.0f} ms", runs)
        ax.set_xlabel("milliseconds")
    fig.suptitle("One forward pass, timed in turn (bar: median)", **BOLD)
    return fig

"""Pictures for `03_distillation_objective`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from helpers.show.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
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
DASHED = {"color": GREY, "linestyle": "--", "linewidth": 1.5}
# how a chosen token is treated, and its colour; "visible" was not chosen
KINDS = {"[MASK]": BLUE, "random word": RED, "kept": GREEN, "visible": "#EEEEEE"}
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


def _panels(names: Sequence[str], height: float, **subplots: Any) -> tuple[Figure, Any]:
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
    fig, (bars, lines) = _panels(("", ""), 3.6)
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


def starts(accuracy: Mapping[str, float], targets: int) -> Figure:
    """Masked accuracy in [0, 1] of the teacher (first) and of untrained students.

    Thin lines are two standard errors for `targets` hidden tokens.
    """
    fig, ax = figure(8, 1.2 + 0.45 * len(accuracy))
    errors = [2 * (p * (1 - p) / targets) ** 0.5 for p in accuracy.values()]
    colours = [BLUE] + [SKY] * (len(errors) - 1)
    named_bars(ax, accuracy, colours, errors=errors)
    percent_axis(ax.xaxis)
    ax.set(title="Before the first step", xlabel="hidden tokens put first")
    return fig


def switched_off(
    histories: Mapping[str, Mapping[str, Sequence[float]]], teacher: float
) -> Figure:
    """One panel a loss: how it runs, step by step, when all or not all are trained.

    `histories` maps a variant to {loss: its unweighted value at each step}; `teacher`
    is the teacher's own masked LM loss, drawn as a dotted line.
    """
    names = list(next(iter(histories.values())))
    fig, axes = _panels([f"{loss} loss" for loss in names], 3.5)
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

    `held_out` maps a run's name to points with `step`, `perplexity` and
    `masked_accuracy`; `training`: log lines of the last one; `teacher`: its perplexity
    and masked accuracy. `turns`: steps after which the settings changed, drawn dotted.
    """
    fig, (left, *others) = _panels(("training losses", *HELD_OUT), 3.4)
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
    left.set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
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
    fig, axes = _panels(titles, 3.4, sharey=True)
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
    fig, axes = _panels(list(times), 2.6)
    for ax, runs in zip(axes, times.values(), strict=True):
        middles = {model: median(values) for model, values in runs.items()}
        named_bars(ax, middles, [SKY, BLUE], "{:.0f} ms", runs)
        ax.set_xlabel("milliseconds")
    fig.suptitle("One forward pass, timed in turn (bar: median)", **BOLD)
    return fig

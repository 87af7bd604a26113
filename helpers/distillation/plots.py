"""Pictures for `03_distillation_objective`: soft labels, losses, curves and what each
is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

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
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter

LIGHT = (
    95  # dots per inch of pictures with many panels: a notebook must stay under 1 MB
)

# how a chosen token is treated, and its colour; "visible" was not chosen
KINDS = {"[MASK]": BLUE, "random word": RED, "kept": GREEN, "visible": "#EEEEEE"}
# a loss, its name in a log line, and its colour
LOSSES = {
    "distillation": ("distillation_loss", BLUE),
    "masked LM": ("masked_lm_loss", ORANGE),
    "cosine": ("cosine_loss", GREEN),
}


def _percent(decimals: int = 0) -> Formatter:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(xmax=1, decimals=decimals)


def _bars(
    ax: Axes, words: Sequence[str], shares: Sequence[float], colours: Sequence[str]
) -> None:
    ax.barh(range(len(words)), shares, height=0.65, color=colours)
    ax.set_yticks(range(len(words)), list(map(drawable, words)), parse_math=False)
    for row, share in enumerate(shares):
        ax.text(
            share, row, f" {share:.1%}" if share else " 0", va="center", fontsize=10
        )
    ax.set(
        xlim=(0, max(*shares, 0.01) * 1.3),
        ylim=(len(words) - 0.4, -0.6),
        xlabel="probability",
    )
    ax.grid(visible=False)


def dark_knowledge(
    words: Sequence[str], taught: Sequence[float], answer: str
) -> Figure:
    """The one-hot label beside the teacher's distribution, both over the same `words`.

    `taught`: the teacher's probabilities of `words`; what is missing to 1 is drawn as a
    last row.
    """
    fig, (left, right) = figure(8, 1.3 + 0.28 * len(words), ncols=2, sharey=True)
    rows = [*words, "all others"]
    label = [float(word == answer) for word in words] + [float(answer not in words)]
    colours = [ORANGE if word == answer else SKY for word in words] + [GREY]
    _bars(left, rows, label, colours)
    _bars(right, rows, [*taught, 1 - sum(taught)], colours)
    left.set_title("what the text says (one-hot)")
    right.set_title("what the teacher says")
    return fig


def softened(
    words: Sequence[str],
    taught: Sequence[float],
    learned: Sequence[float],
    sweep: Mapping[str, Sequence[float]],
    temperature: float,
    title: str,
) -> Figure:
    """Teacher and student at one temperature (bars), and the gradient's size at many
    (lines).

    `sweep` holds "T" and, for each name besides, the gradient's norm at these
    temperatures.
    """
    fig, (bars, lines) = figure(8, 3.6, ncols=2)
    fig.set_dpi(LIGHT)
    places = range(len(words))
    pair = ((-0.2, taught, BLUE, "teacher"), (0.2, learned, ORANGE, "student"))
    for shift, shares, colour, name in pair:
        bars.barh(
            [row + shift for row in places],
            shares,
            height=0.38,
            color=colour,
            label=name,
        )
    bars.set_yticks(places, list(map(drawable, words)), parse_math=False)
    whole = f"these: {sum(taught):.0%} of the teacher's"
    bars.set(ylim=(len(words) - 0.4, -0.6))
    bars.set_xlabel(f"probability at T = {temperature:g} ({whole})")
    bars.locator_params(axis="x", nbins=5)
    bars.grid(visible=False)
    bars.legend(loc="lower right")
    for (name, sizes), style in zip(
        ((n, s) for n, s in sweep.items() if n != "T"), ("-", "--"), strict=False
    ):
        lines.plot(
            sweep["T"], sizes, style, color=GREEN if style == "-" else RED, label=name
        )
    lines.axvline(temperature, color=GREY, linewidth=1.2)
    lines.set(
        yscale="log", xlabel="temperature T", ylabel="size of the gradient (norm)"
    )
    lines.legend(loc="lower left")
    fig.suptitle(title, weight="bold", fontsize=12)
    return fig


def mask_kinds(tokenizer: Any, batch: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a model sees of a masked batch's first row: (token, a key of `KINDS`) each.

    `batch` holds `input_ids` and `labels`, (B, S) each, -100 where nothing was chosen.
    """
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    kinds = [
        "visible" if label == -100
        else "[MASK]" if given == tokenizer.mask_token_id
        else "kept" if given == label
        else "random word"
        for given, label in zip(ids, labels, strict=True)
    ]  # fmt: skip
    return list(zip(tokenizer.convert_ids_to_tokens(ids), kinds, strict=True))


def masked_rows(
    rows: Sequence[Sequence[tuple[str, str]]], per_line: int = 12
) -> Figure:
    """One sentence masked anew in each row: (what the model sees, a key of `KINDS`) per
    token.

    Only the first `per_line` tokens of a row are drawn.
    """
    from matplotlib.patches import Patch

    fig, ax = figure(8, 1.1 + 0.36 * len(rows))
    fig.set_dpi(LIGHT)
    for y, row in enumerate(rows):
        for x, (token, kind) in enumerate(row[:per_line]):
            ax.barh(y, 0.96, left=x, height=0.8, color=KINDS[kind])
            paint = "black" if kind == "visible" else "white"
            text = drawable(token if len(token) < 10 else token[:8] + "…")
            ax.text(x + 0.48, y, text, ha="center", va="center", fontsize=8.5, color=paint,
                    parse_math=False)  # fmt: skip
    width = min(per_line, max(map(len, rows)))
    ax.set(xlim=(0, width), ylim=(len(rows) - 0.4, -0.6))
    ax.set_yticks(range(len(rows)), [f"epoch {n}" for n in range(len(rows))])
    ax.set_xticks([])
    ax.grid(visible=False)
    ax.set_title("One text, masked anew in every epoch")
    handles = [Patch(color=colour, label=kind) for kind, colour in KINDS.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(KINDS))
    return fig


def divergence_bars(
    tokens: Sequence[str], divergences: Sequence[float], masked: Sequence[bool]
) -> Figure:
    """The distillation loss token by token, in nats; hidden tokens in another
    colour.
    """
    from matplotlib.patches import Patch

    fig, ax = figure(8, 3.4)
    colours = [BLUE if hidden else SKY for hidden in masked]
    ax.bar(range(len(tokens)), divergences, color=colours)
    ax.set_xticks(range(len(tokens)), list(map(drawable, tokens)), rotation=60, ha="right",
                  rotation_mode="anchor", parse_math=False)  # fmt: skip
    ax.set(ylabel="T² · KL(teacher ‖ student), nats")
    ax.set_title("Where student and teacher disagree")
    fig.legend(
        handles=[Patch(color=BLUE, label="hidden"), Patch(color=SKY, label="visible")],
        loc="outside lower center",
        ncols=2,
    )
    return fig


def starts(accuracy: Mapping[str, float], targets: int) -> Figure:
    """Masked accuracy, in [0, 1], of the teacher (first) and of students before any
    training.

    Thin lines are two standard errors for `targets` hidden tokens.
    """
    fig, ax = figure(8, 1.2 + 0.45 * len(accuracy))
    reach = 0.01
    for row, share in enumerate(accuracy.values()):
        error = 2 * (share * (1 - share) / targets) ** 0.5
        ax.barh(row, share, height=0.62, color=BLUE if row == 0 else SKY)
        ax.plot(
            [max(share - error, 0), share + error], [row, row], color="#333333", lw=1
        )
        ax.text(share + error, row, f"  {share:.1%}", va="center", fontsize=10)
        reach = max(reach, share + error)
    ax.set_yticks(range(len(accuracy)), list(accuracy))
    ax.set(ylim=(len(accuracy) - 0.4, -0.6), xlim=(0, reach * 1.15))
    ax.set_xlabel("hidden tokens put first")
    ax.xaxis.set_major_formatter(_percent())
    ax.grid(visible=False)
    ax.set_title("Before the first step")
    return fig


def switched_off(
    histories: Mapping[str, Mapping[str, Sequence[float]]], teacher: float | None = None
) -> Figure:
    """One panel a loss: how it runs, step by step, when all or not all losses are
    trained.

    `histories` maps a variant to {loss: its unweighted value at each step}; `teacher`
    is the teacher's own masked LM loss, drawn as a dotted line.
    """
    names = list(next(iter(histories.values())))
    fig, axes = figure(8, 3.5, ncols=len(names))
    fig.set_dpi(LIGHT)
    marks = ("-", "--", "-.", ":", (0, (5, 1)))
    for ax, loss in zip(axes, names, strict=True):
        for (variant, history), colour, mark in zip(
            histories.items(), PALETTE, marks, strict=False
        ):
            if (
                loss == "cosine" or "weight" not in variant
            ):  # elsewhere it hides another line
                ax.plot(history[loss], color=colour, linestyle=mark, label=variant)
        ax.set(xlabel="step", ylim=(0, None))
        ax.set_title(f"{loss} loss", weight="normal", fontsize=11)
        if teacher is not None and loss == "masked LM":
            ax.axhline(teacher, color=GREY, linestyle=":", linewidth=1.5)
            ax.text(
                0,
                teacher * 0.97,
                "the teacher's own",
                color="#555555",
                fontsize=9,
                va="top",
            )
    axes[0].set_ylabel("unweighted loss")
    handles, labels = axes[-1].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    fig.suptitle(
        "Each loss switched off in turn, on one batch", weight="bold", fontsize=12
    )
    return fig


_RUNS = {"triple loss": BLUE, "masked LM alone": ORANGE}


def live_curves(
    held_out: Mapping[str, Sequence[Mapping[str, float]]],
    training: Sequence[Mapping[str, float]],
    teacher: Mapping[str, float] | None,
    title: str,
    turns: Sequence[int] = (),
) -> Figure:
    """A run as it goes: its losses, held-out perplexity, held-out masked accuracy.

    `held_out` maps a run's name to points with `step`, `perplexity` and
    `masked_accuracy`; `training`: log lines of the last one, with `step` and
    `..._loss`; `teacher`: its perplexity and masked accuracy, drawn dashed, if known.
    `turns`: steps after which the settings changed, drawn dotted.
    """
    fig, axes = figure(8, 3.4, ncols=3)
    fig.set_dpi(LIGHT)
    for name, (key, colour) in LOSSES.items():
        points = [(row["step"], row.get(key, 0)) for row in training]
        if points := [(step, value) for step, value in points if value > 0]:
            axes[0].plot(*zip(*points, strict=True), ".-", color=colour, label=name)
    axes[0].set_title("training losses", weight="normal", fontsize=11)
    for ax, figure_of in zip(axes[1:], ("perplexity", "masked_accuracy"), strict=True):
        for run, rows in held_out.items():
            steps, values = (
                [row["step"] for row in rows],
                [row[figure_of] for row in rows],
            )
            ax.plot(steps, values, ".-", color=_RUNS.get(run, BLUE), label=run)
        if teacher:
            height = teacher[figure_of]
            ax.axhline(
                height, color=GREY, linestyle="--", linewidth=1.5, label="teacher"
            )
        ax.set_title(
            f"held-out {figure_of.replace('_', ' ')}", weight="normal", fontsize=11
        )
    axes[2].yaxis.set_major_formatter(_percent(1))
    for ax, step in ((ax, step) for ax in axes for step in turns):
        label = "settings changed" if ax is axes[1] and step == turns[0] else None
        ax.axvline(
            step, color="#333333", linestyle=":", linewidth=1.2, zorder=0, label=label
        )
    _finish(fig, axes, title)
    return fig


def _plain_ticks(ax: Axes) -> None:
    """Numbers such as 60 and 200 on a log axis, rather than powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())


def _finish(fig: Figure, axes: Sequence[Axes], title: str) -> None:
    for ax in axes:
        ax.set_xlabel("step")
    for ax in axes[:2]:
        ax.set_yscale("log")
        _plain_ticks(ax)
    if axes[0].get_legend_handles_labels()[0]:
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
        axes[0].legend(loc="upper right", fontsize=9)
    handles, labels = axes[1].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))
    fig.suptitle(title, weight="bold", fontsize=12)


def ablation_changes(
    summary: Mapping[str, Mapping[str, Any]], paper: Mapping[str, float]
) -> Figure:
    """What each omission costs, against "triple loss": two panels measured here, one
    the paper's.

    `summary` maps an arm to its mean `loss` (nats) and `transfer` (in [0, 1]) and their
    `..._runs`, one a seed; `paper` maps an arm to its change of the GLUE mean, in
    points.
    """
    whole = summary["triple loss"]
    arms = [arm for arm in summary if arm != "triple loss"]

    def change(arm: str, name: str, unit: float) -> tuple[float, list[float]]:
        found = summary[arm]
        values = [found[name], *found[f"{name}_runs"]]
        mean, *runs = (unit * (value - whole[name]) for value in values)
        return mean, runs

    changes = {
        "here: held-out loss\n(nats saved)": {a: change(a, "loss", -1) for a in arms},
        "here: few-shot transfer\n(points)": {
            a: change(a, "transfer", 100) for a in arms
        },
    }
    return _change_panels(changes, paper)


def _change_panels(
    changes: Mapping[str, Mapping[str, tuple[float, Sequence[float]]]],
    paper: Mapping[str, float],
) -> Figure:
    panels = {
        **changes,
        "the paper: GLUE\n(points)": {a: (v, [v]) for a, v in paper.items()},
    }
    arms = list(next(iter(changes.values())))
    fig, axes = figure(8.6, 1.6 + 0.42 * len(arms), ncols=len(panels), sharey=True)
    for ax, (title, values), colour in zip(
        axes, panels.items(), (BLUE, GREEN, GREY), strict=True
    ):
        _change_panel(ax, {arm: values.get(arm) for arm in arms}, colour)
        ax.set_xlabel(title, fontsize=10)
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].set_ylim(len(arms) - 0.4, -0.6)
    fig.suptitle(
        "Change against the triple loss: left of 0 is worse", weight="bold", fontsize=12
    )
    return fig


def _change_panel(
    ax: Axes, values: Mapping[str, tuple[float, Sequence[float]] | None], colour: str
) -> None:
    """A bar an arm, a dot a seed. A bar that would dwarf the rest is cut and says its
    length.
    """
    limit = _limit(list(filter(None, values.values())))
    for row, found in enumerate(values.values()):
        if found is None:
            ax.text(0, row, "not in the paper ", ha="right", va="center", fontsize=9)
            continue
        mean, runs = found
        ax.barh(row, max(mean, -limit), height=0.6, color=colour, alpha=0.75)
        if mean < -limit:
            ax.text(
                -0.96 * limit,
                row,
                f"\u25c0 {mean:.3g}".replace("-", "\u2212"),
                va="center",
            )
        elif len(runs) > 1:
            ax.plot(runs, [row] * len(runs), "o", color="#333333", ms=3.5)
    ax.set_xlim(left=-limit)
    ax.axvline(0, color="#333333", linewidth=1)
    ax.grid(visible=True, axis="x")


def _limit(changes: Sequence[tuple[float, Sequence[float]]]) -> float:
    """How far left a panel reaches: as far as any seed, save of an arm four times the
    next.
    """
    first, second, *_ = sorted((abs(mean) for mean, _ in changes), reverse=True)
    shown = [runs for mean, runs in changes if abs(mean) < first or first <= 4 * second]
    return 1.15 * max(abs(run) for runs in shown for run in runs)


def equal_budget(
    curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]],
    teacher: float,
    steps: int,
) -> Figure:
    """Held-out loss over steps (left) and over seconds (right); a thin line a seed.

    `curves` maps a name to one curve a seed, points with `step`, `seconds`, `loss`
    (nats); `teacher` is its loss; the vertical line stands at the common number of
    `steps`.
    """
    fig, axes = figure(8, 3.4, ncols=2, sharey=True)
    fig.set_dpi(LIGHT)
    for ax, unit in zip(axes, ("step", "seconds"), strict=True):
        for (name, runs), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
            for number, run in enumerate(runs):
                points = (
                    [point[unit] for point in run],
                    [point["loss"] for point in run],
                )
                ax.plot(
                    *points,
                    color=colour,
                    alpha=0.8,
                    lw=1.4,
                    label="" if number else name,
                )
        ax.axhline(teacher, color=GREY, linestyle="--", linewidth=1.5, label="teacher")
        ax.set(xlabel="seconds of training" if unit == "seconds" else "step")
    axes[0].axvline(steps, color="#333333", linewidth=1, linestyle=":")
    axes[0].set_ylabel("held-out loss (nats per hidden token)")
    axes[0].set_title("the same number of steps", weight="normal", fontsize=11)
    axes[1].set_title("the same number of seconds", weight="normal", fontsize=11)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig


def transfer_bars(scores: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Few-shot scores of teacher and student, a group a task; a dot is one run.

    `scores` maps a task to {"teacher": {"mean", "runs"}, "student": {...}}, in [0, 1].
    """
    fig, ax = figure(8, 3.2)
    for at, task in enumerate(scores):
        for shift, who, colour in ((-0.2, "teacher", SKY), (0.2, "student", BLUE)):
            found = scores[task][who]
            label = who if at == 0 else ""
            ax.bar(at + shift, found["mean"], width=0.38, color=colour, label=label)
            ax.plot(
                [at + shift] * len(found["runs"]),
                found["runs"],
                "o",
                color="#333333",
                ms=4,
            )
            top = max(found["mean"], *found["runs"])
            ax.text(
                at + shift, top + 0.02, f"{found['mean']:.1%}", ha="center", fontsize=10
            )
    ax.set_xticks(range(len(scores)), list(scores))
    ax.set(ylabel="score", ylim=(0, 1.08))
    ax.yaxis.set_major_formatter(_percent())
    ax.set_title("Fine-tuned on a few examples")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def kept_by_task(rows: Mapping[str, tuple[float, float]]) -> Figure:
    """Student's score as a share of the teacher's, task by task: {task: (teacher,
    student)}.
    """
    fig, ax = figure(8, 1.2 + 0.31 * len(rows))
    kept = {task: student / teacher for task, (teacher, student) in rows.items()}
    for row, (task, share) in enumerate(sorted(kept.items(), key=lambda item: item[1])):
        ax.plot([1, share], [row, row], color=SKY, lw=3)
        ax.plot(share, row, "o", color=BLUE, ms=7)
        side, pad = ("right", -0.006) if share < 1 else ("left", 0.006)
        said = f"{share:.1%} ({rows[task][1]:g} of {rows[task][0]:g})"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(share + pad, row, said, ha=side, va="center", fontsize=9.5, bbox=box)
    ax.set_yticks(range(len(rows)), sorted(kept, key=lambda task: kept[task]))
    low, high = min(kept.values()), max(kept.values())
    ax.axvline(1, color="#333333", linewidth=1)
    ax.axvline(0.97, color=RED, linestyle="--", linewidth=1.3, zorder=0)
    ax.set(xlim=(low - 0.09, max(high, 1.0) + 0.09), ylim=(-0.6, len(rows) - 0.4))
    ax.set_xlabel("DistilBERT's score as a share of BERT's (dashed: 97%)")
    ax.xaxis.set_major_formatter(_percent())
    ax.grid(visible=False)
    ax.set_title("GLUE, from the paper's own table")
    return fig


def timing_strips(times: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Milliseconds of single forward passes, a panel a pair: {pair: {model: [ms,
    ...]}}.
    """
    fig, axes = figure(8, 2.6, ncols=len(times), squeeze=False)
    for ax, (pair, measured) in zip(axes[0], times.items(), strict=True):
        for row, (values, colour) in enumerate(
            zip(measured.values(), (SKY, BLUE), strict=True)
        ):
            ax.plot(values, [row] * len(values), "o", color=colour, alpha=0.6)
            middle = median(values)
            ax.plot([middle, middle], [row - 0.3, row + 0.3], color="#333333", lw=2)
            ax.text(
                middle,
                row - 0.36,
                f"{middle:.0f} ms",
                ha="center",
                va="bottom",
                fontsize=10,
            )
        ax.set_yticks(range(len(measured)), list(measured))
        ax.set(xlim=(0, None), ylim=(len(measured) - 0.5, -0.8), xlabel="milliseconds")
        ax.grid(visible=True, axis="x")
        ax.set_title(pair, weight="normal", fontsize=11)
    fig.suptitle(
        "One forward pass, timed in turn (line: median)", weight="bold", fontsize=12
    )
    return fig

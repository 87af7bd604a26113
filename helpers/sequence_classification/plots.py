"""Pictures of `05_sequence_classification`: scores, errors, confidence, all heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.show.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    PURPLE,
    RED,
    drawable,
    figure,
)

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from helpers.training.scores import Calibration

Row = Mapping[str, Any]  # of `head_results.summary`: bert, distilbert, baseline, ...
Answers = Mapping[str, Mapping[str, float]]  # {head: {label: probability}}
MOST = 8  # labels that fit into a panel
_DARK = "#222222"
_KINDS = {"distilbert": ("student", ORANGE, "o"), "bert": ("teacher", BLUE, "s")}
_LOOKS = ((GREY, "^"), (ORANGE, "o"), (BLUE, "s"), (GREEN, "D"))


def compared(results: Mapping[str, float], stored: Row, label: str) -> Figure:
    """Bars of shares in [0, 1], then the stored means with a dot a seed."""
    rows = [(name, value, []) for name, value in results.items()]
    for kind, (name, _, _) in _KINDS.items():
        rows.append((f"the {name}, stored", stored[kind]["mean"], stored[kind]["runs"]))
    fig, ax = figure(8, 0.6 + 0.42 * len(rows))
    for at, (name, value, runs) in enumerate(rows):
        colour = BLUE if "teacher" in name else ORANGE if "student" in name else GREY
        ax.barh(at, 100 * value, height=0.62, color=colour, alpha=0.55 if runs else 0.9)
        ax.plot([100 * run for run in runs], [at] * len(runs), "o", color=_DARK, ms=4)
        top = 100 * max([value, *runs])
        ax.text(top + 1, at, f"{100 * value:.1f}", va="center", fontsize=10)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.set(xlabel=label, xlim=(0, 108), ylim=(len(rows) - 0.5, -0.5))
    ax.grid(visible=False, axis="y")
    return fig


def learning_curves(
    curves: Mapping[str, Mapping[int, Sequence[float]]], label: str, error: float
) -> Figure:
    """Score against rows learned from, a line a model through its means, a dot a seed.

    `curves` maps a name to {rows: [share in [0, 1], one a seed]}; `error`, the standard
    error of one share, is drawn as a band around the last line.
    """
    fig, ax = figure(8, 3.8)
    for (name, points), (colour, mark) in zip(curves.items(), _LOOKS, strict=False):
        sizes = sorted(points)
        means = np.array([100 * mean(points[size]) for size in sizes])
        ax.plot(sizes, means, marker=mark, color=colour, label=name)
        dots = [(size, 100 * value) for size in sizes for value in points[size]]
        ax.plot(*zip(*dots, strict=True), ".", color=colour)
    band = means - 100 * error, means + 100 * error
    ax.fill_between(
        sizes, *band, color=GREY, alpha=0.18, lw=0, label="± one standard error"
    )
    ax.set_xscale("log", base=2)
    shown = sorted(max(curves.values(), key=len))
    ax.set_xticks(shown, list(map(str, shown)))
    ax.minorticks_off()
    ax.set(xlabel="rows to learn from (each step doubles them)", ylabel=label)
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Counts (K, K): rows are the right labels, columns what the model said."""
    counts = np.asarray(matrix)
    fig, ax = figure(2.6 + 0.55 * len(names), 2.2 + 0.42 * len(names))
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.argwhere(counts):
        look = {"color": "white" if shares[i, j] > 0.55 else _DARK, "fontsize": 10}
        ax.text(j, i, counts[i, j], ha="center", va="center", **look)
    shown = [drawable(name) for name in names]
    ax.set_xticks(range(len(names)), shown, rotation=30, ha="right", parse_math=False)
    ax.set_yticks(range(len(names)), shown, parse_math=False)
    ax.set(xlabel="what the model said", ylabel="the right label")
    ax.set_title("Held-out rows, by label")
    ax.grid(visible=False)
    return fig


def reliability(measured: Mapping[str, Calibration]) -> Figure:
    """How often right against how sure, a dot a bin, its area the share of the rows."""
    fig, ax = figure(5.6, 4.6)
    ax.plot([0, 100], [0, 100], color="#444444", lw=1, ls="--", label="calibrated")
    for (name, found), (colour, mark) in zip(
        measured.items(), _LOOKS[1:], strict=False
    ):
        total = sum(part.count for part in found.bins)
        x = [100 * part.confidence for part in found.bins]
        y = [100 * part.accuracy for part in found.bins]
        area = [20 + 500 * part.count / total for part in found.bins]
        ax.plot(x, y, color=colour, lw=1, alpha=0.6)
        text = f"{name}: error {100 * found.error:.1f} points"
        ax.scatter(x, y, area, color=colour, marker=mark, alpha=0.75, label=text)
    least = min(part.low for found in measured.values() for part in found.bins)
    ax.set(xlabel="how sure the model was (%)", ylabel="how often it was right (%)")
    ax.set(xlim=(100 * least - 2, 102), ylim=(-3, 103))
    legend = ax.legend(loc="upper left", fontsize=9)
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([40])
    return fig


def thresholds(values: Sequence[float], scores: Sequence[float]) -> Figure:
    """Micro-F1 against the probability above which a label is given, both in [0, 1]."""
    fig, ax = figure(8, 3)
    ax.plot(values, scores, marker="o", color=PURPLE)
    ax.axvline(0.5, color="#444444", ls="--", lw=1, label="one half")
    ax.set(xlabel="a label is given above this probability", ylabel="micro-F1")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    ax.legend(loc="lower left")
    return fig


def stars(guesses: Sequence[float], labels: Sequence[float]) -> Figure:
    """Each row's guess over its right number; a short line is the median."""
    given, right = np.asarray(guesses), np.asarray(labels)
    fig, ax = figure(6.4, 3.6)
    ends = [right.min(), right.max()]
    ax.plot(ends, ends, color="#444444", ls="--", lw=1)
    aside = np.random.default_rng(0).uniform(-0.16, 0.16, len(right))  # dots would hide
    ax.plot(right + aside, given, "o", color=ORANGE, alpha=0.5, ms=5)
    for value in np.unique(right):
        middle = np.median(given[right == value])
        ax.plot([value - 0.28, value + 0.28], [middle, middle], color=_DARK, lw=2.5)
    ax.set(xlabel="stars that the reviewer gave", ylabel="stars that the model says")
    return fig


def pairs(cosines: Sequence[float], scores: Sequence[float]) -> Figure:
    """The cosine of two sentences' vectors against the score that people gave."""
    fig, ax = figure(6.4, 3.6)
    ax.plot(scores, cosines, "o", color=BLUE, alpha=0.55, ms=5)
    ax.set(xlabel="how alike, as people say", ylabel="cosine, untrained towers")
    return fig


def all_heads(rows: Mapping[str, Row]) -> Figure:
    """Every task: teacher and student, a dot a seed; the bag of words, a cross."""
    fig, ax = figure(8, 1.2 + 0.5 * len(rows))
    for (kind, (name, colour, mark)), aside in zip(
        _KINDS.items(), (0.14, -0.14), strict=True
    ):
        dots = [
            (run, at + aside)
            for at, row in enumerate(rows.values())
            for run in row[kind]["runs"]
        ]
        look = {"color": colour, "ms": 7, "alpha": 0.8}
        ax.plot(
            *zip(*dots, strict=True), mark, **look, label=f"the {name}, a dot a seed"
        )
    plain = [row["baseline"] for row in rows.values()]
    ax.plot(plain, range(len(rows)), "x", color=RED, ms=8, mew=2, label="bag of words")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel="the score that counts (accuracy, F1, Spearman)", xlim=(0, 1))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def table(rows: Mapping[str, Row]) -> HTML:
    """For each task the three stored scores, what is kept, and seconds, as HTML."""
    import pandas as pd
    from IPython.display import HTML

    lines = {}
    for name, row in rows.items():
        student, teacher = row["distilbert"], row["bert"]
        lines[name] = {
            "bag of words": f"{row['baseline']:.3f}",
            "student": _mean(student),
            "teacher": _mean(teacher),
            "kept": f"{row['retention']:.0%}",
            "seconds, student": f"{student['seconds']:.0f}",
            "seconds, teacher": f"{teacher['seconds']:.0f}",
        }
    return HTML(pd.DataFrame.from_dict(lines, orient="index").to_html(border=0))


def _mean(found: Mapping[str, Any]) -> str:
    """Mean and half of the range of the seeds."""
    half = (max(found["runs"]) - min(found["runs"])) / 2
    return f"{found['mean']:.3f} ± {half:.3f}"


def verdicts(text: str, said: Answers) -> Figure:
    """What each head says of one text, a panel a head; of many labels the likeliest.

    A regression's answer is {"": number}.
    """
    rows = min(MOST, max(map(len, said.values())))
    fig, axes = figure(
        2.6 * len(said) + 0.6, 1.3 + 0.3 * rows, ncols=len(said), squeeze=False
    )
    heads = zip(axes[0], said.items(), PALETTE * 2, strict=False)
    for ax, (name, values), colour in heads:
        _panel(ax, values, colour)
        ax.set_title(name, weight="normal", fontsize=11)
    shown = text if len(text) <= 90 else text[:87] + "..."
    fig.suptitle(drawable(shown), fontsize=11, style="italic", parse_math=False)
    return fig


def _panel(ax: Axes, values: Mapping[str, float], colour: str) -> None:
    ax.grid(visible=False)
    if list(values) == [""]:  # one number, on the scale of the stars
        (number,) = values.values()
        ax.plot([1, 5], [0, 0], color=GREY, lw=2)
        ax.plot(range(1, 6), [0] * 5, "|", color=GREY, ms=12)
        ax.plot(number, 0, "*", color=colour, ms=18)
        ax.set(xlabel=f"a number: {number:.1f}", ylim=(-1, 1), yticks=[])
        return
    likeliest = sorted(values, key=values.get)[-MOST:]
    kept = [name for name in values if name in likeliest]
    widths = [100 * values[name] for name in kept]
    ax.barh(range(len(kept)), widths, height=0.65, color=colour)
    ax.set_yticks(range(len(kept)), list(map(drawable, kept)), parse_math=False)
    ax.set(xlabel="probability (%)", xlim=(0, 100), ylim=(len(kept) - 0.5, -0.5))

"""Pictures of `07_question_answering`: positions, windows, scores, marked texts."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.show.plots import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    RED,
    SKY,
    drawable,
    figure,
    name_rows,
)

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure


def _percent(values: Sequence[float]) -> list[float]:
    return [100 * value for value in values]


def positions(
    pieces: Sequence[str], start: Sequence[float], end: Sequence[float]
) -> Figure:
    """Two bars a token: how probable it is as the answer's first, and as its last.

    `start`, `end`: probabilities in [0, 1], one for each of `pieces`.
    """
    fig, ax = figure(9, 3.2)
    sides = ((-0.2, "start", start, BLUE), (0.2, "end", end, ORANGE))
    for shift, name, values, colour in sides:
        places = [place + shift for place in range(len(pieces))]
        ax.bar(places, _percent(values), 0.38, color=colour, label=name)
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    names = list(map(drawable, pieces))
    ax.set_xticks(range(len(names)), names, parse_math=False, **turned)
    ax.set_title("Where does the answer start, and where does it end?")
    ax.set_ylabel("probability (%)")
    ax.grid(visible=False, axis="x")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def windows(
    spans: Sequence[tuple[int, int]], answer: tuple[int, int], length: int
) -> Figure:
    """Windows over a long text as bars, from above to below, the answer as a band.

    `spans`, `answer`: (first character, past the last); windows that hold the answer
    whole are blue, the others grey. `length`: characters of the text.
    """
    fig, ax = figure(9, 1.4 + 0.34 * len(spans))
    for row, (first, last) in enumerate(spans):
        colour = BLUE if first <= answer[0] and answer[1] <= last else GREY
        ax.barh(row, last - first, left=first, height=0.6, color=colour)
        ax.text(first, row, f" window {row}", va="center", color="white", fontsize=10)
    ax.axvspan(*answer, color=ORANGE, lw=0, alpha=0.85)
    ax.set(xlim=(0, length), ylim=(len(spans) - 0.4, -0.6), yticks=[])
    ax.set_xlabel("character of the text")
    ax.set_title(
        "Windows that overlap; orange: the answer; blue: a window that holds it whole"
    )
    ax.grid(visible=False)
    return fig


def cut_answers(shares: Mapping[str, Mapping[int, float]]) -> Figure:
    """The share of answers that no window holds, by length; one line a way of cutting.

    `shares` maps a way to {max_length: share in [0, 1]}.
    """
    fig, ax = figure(8, 3.4)
    looks = zip(shares.items(), PALETTE, "os^Dv", strict=False)
    for (name, row), colour, mark in looks:
        heights = _percent(row.values())
        ax.plot(list(row), heights, marker=mark, color=colour, label=name)
    ax.set(xlabel="max_length (tokens)", ylabel="answers cut (%)", ylim=(-3, 103))
    ax.set_xticks(list(row))
    ax.set_title("Answers that teach “no answer” by mistake")
    fig.legend(loc="outside lower center", ncols=len(shares))
    return fig


def thresholds(
    values: Sequence[float], curves: Mapping[str, Sequence[float]]
) -> Figure:
    """Scores against the threshold above which "no answer" is said.

    `values`: the thresholds, in logits; `curves` maps a kind of question to one score
    in [0, 1] for each.
    """
    fig, ax = figure(8, 3.6)
    for (name, row), colour in zip(curves.items(), PALETTE, strict=False):
        style = "--" if "exact" in name else "-"
        ax.plot(values, _percent(row), style, color=colour, label=name)
    ax.axvline(0, color="#333333", linewidth=1)
    ax.set(xlabel="threshold (null score - best span's, logits)", ylabel="score (%)")
    ax.set(ylim=(-3, 103), title="“No answer” sooner to the left, later to the right")
    fig.legend(loc="outside lower center", ncols=len(curves))
    return fig


def runs(
    scores: Mapping[str, Sequence[float]],
    baseline: float | None = None,
    live: tuple[str, float] | None = None,
    title: str = "",
) -> Figure:
    """One row a model: a dot for each stored seed, a bar to their mean.

    `scores` maps a model to its runs, in [0, 1]; `baseline` is a dashed line; `live`
    names a row of `scores` and the value of the run that was made just now, a diamond.
    """
    fig, ax = figure(8, 1.6 + 0.55 * len(scores))
    for row, values in enumerate(scores.values()):
        mean = 100 * sum(values) / len(values)
        ax.barh(row, mean, height=0.5, color=SKY)
        ax.plot(_percent(values), [row] * len(values), "o", color=BLUE, ms=6)
        ax.text(1, row, f"{mean:.1f}", va="center")
    if baseline is not None:
        ax.axvline(100 * baseline, color=RED, ls="--", label="always “no answer”")
    if live is not None:
        at = list(scores).index(live[0])
        ax.plot(100 * live[1], at, "D", color=ORANGE, ms=9, label="this run")
    if ax.get_legend_handles_labels()[0]:
        fig.legend(loc="outside lower center", ncols=2)
    name_rows(ax, list(scores), "score (%)")
    ax.set_title(title)
    return fig


def by_word(rows: Mapping[str, Sequence[float]]) -> Figure:
    """The mean score of each kind of question, its standard error twice, their number.

    `rows` maps a question word to the scores of its questions, in [0, 1].
    """
    import numpy as np

    fig, ax = figure(8, 1.2 + 0.34 * len(rows))
    for row, values in enumerate(rows.values()):
        error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0
        how = {"height": 0.62, "color": BLUE, "ecolor": "#333333"}
        ax.barh(row, 100 * np.mean(values), xerr=200 * error, **how)
    names = [f"{word} ({len(values)})" for word, values in rows.items()]
    name_rows(ax, names, "F1 (%)")
    ax.set_xlim(0, 105)
    ax.set_title("By question word (in brackets: how many; lines: two standard errors)")
    return fig


def marked(
    context: str,
    given: Sequence[tuple[int, int, float]],
    right: Sequence[tuple[int, int]] = (),
) -> str:
    """`context` as HTML: answers `given` on blue, the `right` ones underlined in green.

    `given`: (first character, past the last, strength in [0, 1]), the stronger the
    darker.
    """
    edges = [edge for span in (*given, *right) for edge in span[:2]]
    parts = []
    for first, last in itertools.pairwise(sorted({0, len(context), *edges})):
        style = ""
        if strengths := [s for a, b, s in given if a <= first and last <= b and s > 0]:
            shade = 0.15 + 0.45 * max(strengths)
            style = f"background:rgba(0,114,178,{shade:.2f});"
        if any(a <= first and last <= b for a, b in right):
            style += "border-bottom:3px solid #009E73;"
        piece = html.escape(context[first:last])
        parts.append(f"<span style='{style}'>{piece}</span>" if style else piece)
    return "".join(parts)


def readings(rows: Sequence[tuple[str, str, str]]) -> HTML:
    """Questions under each other: (question, a line of text, the marked context)."""
    from IPython.display import HTML

    return HTML(
        "".join(
            "<div style='margin:.8em 0;max-width:52em'>"
            f"<b>{html.escape(question)}</b><br>{html.escape(line)}<br>"
            f"<span style='line-height:1.7'>{context}</span></div>"
            for question, line, context in rows
        )
    )

"""Pictures of `06_token_classification`: labels, entities in texts, errors, scores."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import mean
from typing import TYPE_CHECKING

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
    legend_below,
    name_rows,
)

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure

# Okabe and Ito's colours, lightened until black text on them has a contrast above 7
TINTS = ("#9fd3f2", "#f7cf86", "#9fdfc5", "#ecc3da", "#f4b28f", "#f3ec9a", "#d5d5d5")
VERDICTS = ("right", "wrong boundary", "wrong kind", "missed", "invented")
_SIGNS = dict(zip(VERDICTS, "✓↔≠✗+", strict=True))
_TINT = dict(zip(VERDICTS, (TINTS[i] for i in (2, 1, 0, 4, 3)), strict=True))
_COLOURS = {"student": ORANGE, "teacher": BLUE}

Entity = tuple[str, int, int]  # kind, first word, last word (inclusive)
Case = tuple[str, Entity | None, Entity | None]  # verdict, true entity, guessed one


# -- HTML ------------------------------------------------------------------------------


def aligned(
    words: Sequence[str],
    pieces: Sequence[str],
    word_ids: Sequence[int | None],
    labels: Mapping[str, Sequence[str]],
) -> HTML:
    """A table of a sentence: words above their pieces, a row for each way to label.

    `pieces` and `word_ids` (S,); `labels` maps a row's name to (S,) texts.
    """
    from IPython.display import HTML

    top: list[tuple[str, int]] = []  # a word, and how many columns it takes
    for word, group in groupby(word_ids):
        width = len(list(group))
        top += [("", 1)] * width if word is None else [(words[word], width)]
    numbers = ["None" if word is None else str(word) for word in word_ids]
    rows = {"piece": pieces, "word_ids": numbers, **labels}
    lines = _table_row("word", top) + "".join(
        _table_row(name, [(text, 1) for text in row]) for name, row in rows.items()
    )
    return HTML(f"<div style='overflow-x:auto'><table>{lines}</table></div>")


def _table_row(name: str, cells: Iterable[tuple[str, int]]) -> str:
    look = "text-align:center;border:1px solid #ccc;padding:.15em .4em"
    boxes = "".join(
        f"<td colspan='{width}' style='{look}{_ink(text)}'>{html.escape(text)}</td>"
        for text, width in cells
    )
    return f"<tr><th style='text-align:left'>{html.escape(name)}</th>{boxes}</tr>"


def _ink(text: str) -> str:
    if text == "-100":
        return ";color:#767676"
    return f";background:{TINTS[0]};color:#111" if text[:2] in ("B-", "I-") else ""


def highlighted(
    text: str, entities: Sequence[tuple[str, int, int, str]], kinds: Sequence[str]
) -> str:
    """`text` as HTML with its entities tinted by kind and captioned.

    `entities`: (kind, first character, past the last, a note such as "98%"), in order,
    apart from each other. `kinds` fixes which kind has which tint.
    """
    tints = {kind: TINTS[n % len(TINTS)] for n, kind in enumerate(kinds)}
    inner, at = "", 0
    for kind, start, end, note in entities:
        box = _box(html.escape(text[start:end]), f"{kind} {note}", tints.get(kind))
        inner, at = inner + html.escape(text[at:start]) + box, end
    return _line(inner + html.escape(text[at:]))


def _line(inner: str) -> str:
    return f"<p style='line-height:2.1'>{inner}</p>"


def _box(inner: str, caption: str, tint: str | None) -> str:
    look = f"background:{tint or TINTS[-1]};color:#111;padding:.15em .3em"
    small = f"<small><b>{html.escape(caption.strip())}</b></small>"
    return f"<span style='{look};border-radius:4px'>{inner} {small}</span>"


def judged(rows: Sequence[tuple[str, Sequence[str], Sequence[Case]]]) -> HTML:
    """Sentences with what became of their entities, and a legend.

    `rows`: (a note such as a loss, words (W,), cases). True entities are underlined;
    sign and caption say what the tint says.
    """
    from IPython.display import HTML

    legend = " ".join(_box(_SIGNS[name], name, _TINT[name]) for name in VERDICTS)
    lines = "".join(
        _line(f"<small>{html.escape(note)}</small> {_judged(words, cases)}")
        for note, words, cases in rows
    )
    return HTML(f"<p>{legend} &nbsp; <u>underlined</u>: the true entity</p>{lines}")


def _judged(words: Sequence[str], cases: Sequence[Case]) -> str:
    shown = [html.escape(word) for word in words]
    for _, truth, _ in cases:
        for at in range(truth[1], truth[2] + 1) if truth else ():
            shown[at] = f"<u>{shown[at]}</u>"
    parts, at = [], 0
    for first, last, here in _regions(cases):
        worst = next((case[0] for case in here if case[0] != "right"), "right")
        captions = "; ".join(_caption(case, words) for case in here)
        box = _box(" ".join(shown[first : last + 1]), captions, _TINT[worst])
        parts += [*shown[at:first], box]
        at = last + 1
    return " ".join([*parts, *shown[at:]])


def _regions(cases: Sequence[Case]) -> list[tuple[int, int, list[Case]]]:
    """(first word, last word, cases) of stretches that share no word, in order."""
    regions: list[tuple[int, int, list[Case]]] = []
    ends = [
        (min(e[1] for e in case[1:] if e), max(e[2] for e in case[1:] if e), case)
        for case in cases
    ]
    for first, last, case in sorted(ends, key=lambda row: row[:2]):
        if regions and first <= regions[-1][1]:
            start, end, here = regions.pop()
            regions.append((start, max(last, end), [*here, case]))
        else:
            regions.append((first, last, [case]))
    return regions


def _caption(case: Case, words: Sequence[str]) -> str:
    verdict, truth, guess = case
    sign = _SIGNS[verdict]
    if verdict == "wrong kind":
        return f"{sign} {truth[0]}, not {guess[0]}"
    if verdict == "wrong boundary":
        said = " ".join(words[guess[1] : guess[2] + 1])
        return f"{sign} {truth[0]}; guessed “{said}” {guess[0]}"
    return f"{sign} {(truth or guess)[0]}"


# -- figures ---------------------------------------------------------------------------


def error_kinds(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """How often each kind of error occurs, of {model: {verdict: entities}}."""
    fig, ax = figure(8, 3.4)
    errors, width = VERDICTS[1:], 0.8 / len(counts)
    for number, (model, row) in enumerate(counts.items()):
        shift = (number - (len(counts) - 1) / 2) * width
        look = {"color": _COLOURS.get(model, GREY), "hatch": ("", "//")[number % 2]}
        bars = ax.bar([i + shift for i in range(len(errors))], [row[e] for e in errors],
                      width * 0.92, label=model, edgecolor="white", **look)  # fmt: skip
        ax.bar_label(bars, padding=2)
    ax.set_xticks(range(len(errors)), [f"{_SIGNS[e]} {e}" for e in errors])
    ax.set(ylabel="entities of the test split", title="What goes wrong")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.margins(y=0.15)
    legend_below(fig, ncols=len(counts))
    return fig


def by_kind(rows: Mapping[str, Mapping[str, tuple[float, float, int]]]) -> Figure:
    """Precision and recall of each kind of entity, one panel a model.

    `rows` maps a model to {kind: (precision, recall, true entities)}, shares in [0, 1].
    """
    sizes = {kind: row[2] for found in rows.values() for kind, row in found.items()}
    height = 1.6 + 0.45 * len(sizes)
    fig, axes = figure(8.5, height, ncols=len(rows), squeeze=False, sharey=True)
    for ax, (model, row) in zip(axes[0], rows.items(), strict=True):
        values = [[100 * row[kind][part] for kind in sizes] for part in (0, 1)]
        at = range(len(sizes))
        ax.hlines(at, *values, color="#999999", lw=2, zorder=1)
        marks = [ax.plot(values[0], at, "D", color=PURPLE, ms=8)[0],
                 ax.plot(values[1], at, "o", color=GREEN, ms=8)[0]]  # fmt: skip
        ax.set(xlim=(-3, 103), ylim=(len(sizes) - 0.5, -0.5), xlabel="share (%)")
        ax.set_title(model, weight="normal", fontsize=11)
    shown = [drawable(f"{kind} ({count})") for kind, count in sizes.items()]
    axes[0, 0].set_yticks(range(len(sizes)), shown, parse_math=False)
    said = ["precision: what it says is true", "recall: what is true, it says"]
    fig.legend(marks, said, loc="outside lower center", ncols=2)
    title = "By kind of entity (in brackets: how many there are)"
    fig.suptitle(title, weight="bold", fontsize=12)
    return fig


def two_scores(rows: Mapping[str, tuple[float, float]]) -> Figure:
    """Accuracy of the words beside entity F1, in [0, 1]: two bars for each model."""
    fig, ax = figure(8, 1.3 + 0.55 * len(rows))
    looks = (("accuracy of words", SKY, -0.19), ("F1 of entities", BLUE, 0.19))
    for part, (name, colour, shift) in enumerate(looks):
        values = [100 * row[part] for row in rows.values()]
        at = [i + shift for i in range(len(rows))]
        bars = ax.barh(at, values, 0.36, color=colour, label=name)
        ax.bar_label(bars, fmt=" %.1f")
    name_rows(ax, list(rows), "%")
    ax.set(xlim=(0, 112), title="The same answers, counted twice")
    legend_below(fig, ncols=2)
    return fig


def seeds(
    stored: Mapping[str, Sequence[float]],
    live: Mapping[str, float],
    floor: tuple[str, float],
) -> Figure:
    """F1 of stored runs as dots, their mean as a bar, this run as a star, by model.

    All in [0, 1]; `floor` is a named share to beat, a dashed line.
    """
    fig, ax = figure(8, 1.7 + 0.5 * len(stored))
    for row, (model, values) in enumerate(stored.items()):
        percent, colour = [100 * v for v in values], _COLOURS.get(model, GREY)
        ax.barh(row, mean(percent), 0.5, color=colour, alpha=0.35)
        ax.plot(percent, [row] * len(percent), "o", color=colour, ms=7, mec="white")
        ax.text(103, row, f"mean {mean(percent):.1f}", va="center")
        if model in live:
            ax.plot(100 * live[model], row, "*", color="#111111", ms=13)
    ax.axvline(100 * floor[1], color=RED, linestyle="--", linewidth=1.3)
    name_rows(ax, list(stored), "entity F1 (%)")
    ax.set_xlim(0, 120)
    ax.set_title("Student, teacher, and a window of three words")
    looks = (("o", GREY), ("*", "#111111"), ("--", RED))
    marks = [ax.plot([], [], sign, color=colour)[0] for sign, colour in looks]
    said = ["stored runs, a dot a seed", "this run", floor[0]]
    fig.legend(marks, said, loc="outside lower center", ncols=3)
    return fig


def costs(rows: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Entity F1 in [0, 1], seconds of fine-tuning, millions of parameters."""
    fig, axes = figure(9, 2.6, ncols=3)
    colours = [_COLOURS.get(model, GREY) for model in rows]
    titles = ("entity F1 (%)", "fine-tuning (seconds)", "parameters (millions)")
    for part, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        values = [row[part] * (1 if part else 100) for row in rows.values()]
        bars = ax.bar(list(rows), values, 0.6, color=colours)
        ax.bar_label(bars, fmt="%.1f", padding=2)
        ax.set_title(title, weight="normal", fontsize=11)
        ax.margins(y=0.15)
    return fig


def strategies(rows: Mapping[str, tuple[float, int]]) -> Figure:
    """{way of decoding: (F1 in [0, 1], entities that begin or end inside a word)}."""
    fig, (left, right) = figure(9, 1.4 + 0.42 * len(rows), ncols=2, sharey=True)
    shares, torn = ([row[part] for row in rows.values()] for part in (0, 1))
    percent = [100 * share for share in shares]
    bars = left.barh(range(len(rows)), percent, 0.6, color=BLUE)
    left.bar_label(bars, fmt=" %.1f")
    right.bar_label(right.barh(range(len(rows)), torn, 0.6, color=RED), fmt=" %d")
    name_rows(left, list(rows), "F1, by characters (%)")
    right.set(xlim=(0, 1.2 * max(1, *torn)), xlabel="entities that tear a word")
    right.grid(visible=False, axis="y")
    title = "One model, several ways of putting pieces together"
    fig.suptitle(title, weight="bold", fontsize=12)
    return fig


def cut_off(points: Mapping[int, tuple[float, float]]) -> Figure:
    """F1 by the longest length, {tokens: (of the words left, of all)}, in [0, 1]."""
    fig, ax = figure(8, 3.2)
    looks = (("of the words that are left", SKY, "s"), ("of all words", BLUE, "o"))
    for part, (name, colour, mark) in enumerate(looks):
        values = [100 * pair[part] for pair in points.values()]
        ax.plot(range(len(points)), values, marker=mark, color=colour, label=name)
    ax.set_xticks(range(len(points)), list(map(str, points)))
    ax.set(xlabel="max_length (tokens)", ylabel="entity F1 (%)", ylim=(0, 100))
    ax.set_title("The same model, its sentences cut")
    legend_below(fig, ncols=2)
    return fig

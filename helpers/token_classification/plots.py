"""Pictures of `06_token_classification`: labels of pieces, entities in the text,
errors, scores.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

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
)

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, lightened until black text on them has a contrast above 7
TINTS = ("#9fd3f2", "#f7cf86", "#9fdfc5", "#ecc3da", "#f4b28f", "#f3ec9a", "#d5d5d5")
VERDICTS = ("right", "wrong boundary", "wrong kind", "missed", "invented")
_SIGNS = dict(zip(VERDICTS, ("✓", "↔", "≠", "✗", "+"), strict=True))
_TINT = dict(
    zip(VERDICTS, (TINTS[2], TINTS[1], TINTS[0], TINTS[4], TINTS[3]), strict=True)
)
_BAR = dict(zip(VERDICTS, (GREEN, ORANGE, SKY, RED, PURPLE), strict=True))
_COLOURS = {"student": ORANGE, "teacher": BLUE}

Entity = tuple[str, int, int]  # kind, first word, last word (inclusive)


class Case(NamedTuple):
    """One entity judged: the true one, the guessed one (either may be None), and the
    verdict.
    """

    verdict: str
    truth: Entity | None
    guess: Entity | None


def compare(right: Sequence[str], guessed: Sequence[str]) -> list[Case]:
    """What became of each true entity of a sentence, and which guesses are invented.

    Both are BIO tags (W,). A true entity whose first and last word were found is
    "right" or of a "wrong kind"; one that a guess only overlaps has a "wrong boundary",
    whatever the kind; the others are "missed". A guess that overlaps no true entity is
    "invented".

    >>> [case.verdict for case in compare(["B-a", "I-a", "O"], ["B-a", "O", "B-b"])]
    ['wrong boundary', 'invented']
    """
    from seqeval.metrics.sequence_labeling import get_entities

    truths, guesses = get_entities(list(right)), get_entities(list(guessed))
    cases = [
        _case(truth, [g for g in guesses if _overlap(truth, g)]) for truth in truths
    ]
    strays = [g for g in guesses if not any(_overlap(truth, g) for truth in truths)]
    return cases + [Case("invented", None, guess) for guess in strays]


def _overlap(one: Entity, other: Entity) -> bool:
    return one[1] <= other[2] and other[1] <= one[2]


def _case(truth: Entity, touching: Sequence[Entity]) -> Case:
    if not touching:
        return Case("missed", truth, None)
    exact = [guess for guess in touching if guess[1:] == truth[1:]]
    if not exact:
        return Case("wrong boundary", truth, touching[0])
    return Case("right" if exact[0][0] == truth[0] else "wrong kind", truth, exact[0])


def counted(
    right: Sequence[Sequence[str]], guessed: Sequence[Sequence[str]]
) -> dict[str, int]:
    """How often each verdict occurs over sentences of tags; all of `VERDICTS`, in that
    order.
    """
    rows = zip(right, guessed, strict=True)
    found = Counter(case.verdict for pair in rows for case in compare(*pair))
    return {verdict: found[verdict] for verdict in VERDICTS}


def aligned(
    words: Sequence[str],
    pieces: Sequence[str],
    word_ids: Sequence[int | None],
    labels: Mapping[str, Sequence[str]],
) -> HTML:
    """A table of a sentence: words above their pieces, and a row of labels for each
    convention.

    `pieces` and `word_ids` (S,); `labels` maps a row's name to (S,) texts. Wide ones
    scroll.
    """
    from IPython.display import HTML

    spans: list[list] = []
    for word in word_ids:
        if spans and word is not None and spans[-1][0] == word:
            spans[-1][1] += 1
        else:
            spans.append([word, 1])
    head = [(words[w] if w is not None else "", n) for w, n in spans]
    numbers = ["None" if word is None else str(word) for word in word_ids]
    rows = {"word": head, "piece": pieces, "word_ids": numbers, **labels}
    lines = "".join(_table_row(name, cells) for name, cells in rows.items())
    return HTML(f"<div style='overflow-x:auto'><table>{lines}</table></div>")


def _table_row(name: str, cells: Sequence) -> str:
    pairs = [cell if isinstance(cell, tuple) else (cell, 1) for cell in cells]
    look = "text-align:center;border:1px solid #ccc;padding:.15em .4em"
    boxes = "".join(
        f"<td colspan='{n}' style='{look}{_ink(text)}'>{html.escape(text)}</td>"
        for text, n in pairs
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

    `entities`: (kind, first character, behind the last, a note such as "98%"), in
    order, apart from each other. `kinds` fixes which kind has which tint.
    """
    parts, at = [], 0
    for kind, start, end, note in entities:
        tint = (
            TINTS[list(kinds).index(kind) % len(TINTS)] if kind in kinds else TINTS[-1]
        )
        parts += [
            html.escape(text[at:start]),
            _box(html.escape(text[start:end]), kind, note, tint),
        ]
        at = end
    return f"<p style='line-height:2.1'>{''.join(parts)}{html.escape(text[at:])}</p>"


def _box(inner: str, kind: str, note: str, tint: str) -> str:
    caption = html.escape(f"{kind} {note}".strip())
    look = f"background:{tint};color:#111;padding:.15em .3em;border-radius:4px"
    return f"<span style='{look}'>{inner} <small><b>{caption}</b></small></span>"


def judged(
    rows: Sequence[tuple[str, Sequence[str], Sequence[str], Sequence[str]]],
) -> HTML:
    """Sentences with what became of their entities, and a legend.

    `rows`: (a note such as a loss, words (W,), right tags (W,), guessed tags (W,)).
    True entities are underlined; sign and caption say what the tint says.
    """
    from IPython.display import HTML

    legend = " ".join(
        _box(_SIGNS[verdict], verdict, "", _TINT[verdict]) for verdict in VERDICTS
    )
    lines = "".join(
        f"<p style='line-height:2.1'><small>{html.escape(note)}</small> "
        f"{_judged(words, compare(right, guessed))}</p>"
        for note, words, right, guessed in rows
    )
    return HTML(f"<p>{legend} &nbsp; <u>underlined</u>: the true entity</p>{lines}")


def _judged(words: Sequence[str], cases: Sequence[Case]) -> str:
    parts, at = [], 0
    for first, last, here in _regions(cases):
        true = {
            w
            for case in here
            if case.truth
            for w in range(case.truth[1], case.truth[2] + 1)
        }
        inner = " ".join(
            f"<u>{html.escape(words[w])}</u>" if w in true else html.escape(words[w])
            for w in range(first, last + 1)
        )
        worst = next(
            (case.verdict for case in here if case.verdict != "right"), "right"
        )
        captions = "; ".join(_caption(case, words) for case in here)
        parts += [
            html.escape(" ".join(words[at:first])),
            _box(inner, captions, "", _TINT[worst]),
        ]
        at = last + 1
    return " ".join([*parts, html.escape(" ".join(words[at:]))])


def _regions(cases: Sequence[Case]) -> list[tuple[int, int, list[Case]]]:
    """(first word, last word, cases) of stretches that share no word, in order."""
    regions: list[tuple[int, int, list[Case]]] = []
    ends = [
        (min(e[1] for e in case[1:] if e), max(e[2] for e in case[1:] if e), case)
        for case in cases
    ]
    for first, last, case in sorted(ends, key=lambda row: row[:2]):
        if regions and first <= regions[-1][1]:
            before = regions.pop()
            regions.append((before[0], max(last, before[1]), [*before[2], case]))
        else:
            regions.append((first, last, [case]))
    return regions


def _caption(case: Case, words: Sequence[str]) -> str:
    sign, truth, guess = _SIGNS[case.verdict], case.truth, case.guess
    if case.verdict == "wrong kind":
        return f"{sign} {truth[0]}, not {guess[0]}"
    if case.verdict == "wrong boundary":
        return f"{sign} {truth[0]}; guessed “{' '.join(words[guess[1] : guess[2] + 1])}” {guess[0]}"
    return f"{sign} {(truth or guess)[0]}"


def error_kinds(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """How often each kind of error occurs, a bar for each model; what is right is left
    out.

    `counts` maps a model to {verdict: entities}, as `counted` gives it.
    """
    fig, ax = figure(8, 3.4)
    errors, width = VERDICTS[1:], 0.8 / len(counts)
    for number, (model, row) in enumerate(counts.items()):
        at = [i + (number - (len(counts) - 1) / 2) * width for i in range(len(errors))]
        bars = ax.bar(at, [row[e] for e in errors], width * 0.92, label=model,
                      color=_COLOURS.get(model, GREY), hatch=("", "//")[number % 2],
                      edgecolor="white")  # fmt: skip
        ax.bar_label(bars, padding=2)
    ax.set_xticks(range(len(errors)), [f"{_SIGNS[e]} {e}" for e in errors])
    ax.set(ylabel="entities of the test split")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.margins(y=0.15)
    ax.set_title("What goes wrong")
    fig.legend(loc="outside lower center", ncols=len(counts))
    return fig


def by_kind(rows: Mapping[str, Mapping[str, tuple[float, float, int]]]) -> Figure:
    """Precision and recall of each kind of entity, one panel a model.

    `rows` maps a model to {kind: (precision, recall, true entities)}, shares in [0, 1].
    """
    kinds = list(dict.fromkeys(kind for row in rows.values() for kind in row))
    fig, axes = figure(
        8.5, 1.6 + 0.45 * len(kinds), ncols=len(rows), squeeze=False, sharey=True
    )
    for ax, (model, row) in zip(axes[0], rows.items(), strict=True):
        for at, kind in enumerate(kinds):
            precision, recall, _ = row[kind]
            ax.plot(
                [100 * precision, 100 * recall],
                [at, at],
                color="#999999",
                lw=2,
                zorder=1,
            )
            ax.plot(100 * precision, at, "D", color=PURPLE, ms=8)
            ax.plot(100 * recall, at, "o", color=GREEN, ms=8)
        ax.set(xlim=(-3, 103), ylim=(len(kinds) - 0.5, -0.5), xlabel="share (%)")
        ax.set_title(model, weight="normal", fontsize=11)
    sizes = next(iter(rows.values()))
    axes[0, 0].set_yticks(
        range(len(kinds)), [drawable(f"{kind} ({sizes[kind][2]})") for kind in kinds],
        parse_math=False,
    )  # fmt: skip
    marks = [axes[0, 0].plot([], [], sign, color=colour)[0]
             for sign, colour in (("D", PURPLE), ("o", GREEN))]  # fmt: skip
    fig.legend(marks, ["precision: what it says is true", "recall: what is true, it says"],
               loc="outside lower center", ncols=2)  # fmt: skip
    fig.suptitle(
        "By kind of entity (in brackets: how many there are)",
        weight="bold",
        fontsize=12,
    )
    return fig


def two_scores(rows: Mapping[str, tuple[float, float]]) -> Figure:
    """Accuracy of the words beside entity F1, both in [0, 1], a pair of bars for each
    model.
    """
    fig, ax = figure(8, 1.3 + 0.55 * len(rows))
    looks = (("accuracy of words", SKY, -0.19), ("F1 of entities", BLUE, 0.19))
    for part, (name, colour, shift) in enumerate(looks):
        values = [100 * row[part] for row in rows.values()]
        at = [i + shift for i in range(len(rows))]
        bars = ax.barh(at, values, 0.36, color=colour, label=name)
        ax.bar_label(bars, fmt=" %.1f")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlim=(0, 112), ylim=(len(rows) - 0.5, -0.5), xlabel="%")
    ax.set_title("The same answers, counted twice")
    ax.grid(visible=False, axis="y")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def seeds(
    stored: Mapping[str, Sequence[float]],
    live: Mapping[str, float],
    floor: tuple[str, float],
) -> Figure:
    """F1 of the stored runs as dots, their mean as a bar, this run as a star; a row for
    each model.

    All in [0, 1]; `floor` is a named share to beat, a dashed line.
    """
    fig, ax = figure(8, 1.7 + 0.5 * len(stored))
    for row, (model, values) in enumerate(stored.items()):
        percent = [100 * value for value in values]
        mean = sum(percent) / len(percent)
        colour = _COLOURS.get(model, GREY)
        ax.barh(row, mean, 0.5, color=colour, alpha=0.35)
        ax.plot(percent, [row] * len(percent), "o", color=colour, ms=7, mec="white")
        ax.text(103, row, f"mean {mean:.1f}", va="center")
        if model in live:
            ax.plot(100 * live[model], row, "*", color="#111111", ms=13)
    ax.axvline(100 * floor[1], color=RED, linestyle="--", linewidth=1.3)
    ax.set_yticks(range(len(stored)), list(stored))
    ax.set(xlim=(0, 120), ylim=(len(stored) - 0.5, -0.5), xlabel="entity F1 (%)")
    marks = [
        ax.plot([], [], "o", color=GREY)[0],
        ax.plot([], [], "*", color="#111111", ms=12)[0],
        ax.plot([], [], "--", color=RED)[0],
    ]
    fig.legend(marks, ["stored runs, a dot a seed", "this run", floor[0]],
               loc="outside lower center", ncols=3)  # fmt: skip
    ax.set_title("Student, teacher, and a window of three words")
    ax.grid(visible=False, axis="y")
    return fig


def costs(rows: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Three panels: entity F1 in [0, 1], seconds of fine-tuning, millions of
    parameters.
    """
    fig, axes = figure(9, 2.6, ncols=3)
    titles = ("entity F1 (%)", "fine-tuning (seconds)", "parameters (millions)")
    for part, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        values = [row[part] * (100 if part == 0 else 1) for row in rows.values()]
        bars = ax.bar(
            list(rows), values, 0.6, color=[_COLOURS.get(m, GREY) for m in rows]
        )
        ax.bar_label(bars, fmt="%.1f", padding=2)
        ax.set_title(title, weight="normal", fontsize=11)
        ax.margins(y=0.15)
    return fig


def strategies(rows: Mapping[str, tuple[float, int]]) -> Figure:
    """Two panels: F1 in [0, 1] of the entities that each way of decoding gives, and
    torn words.

    `rows` maps a way to (F1, entities that begin or end inside a word).
    """
    fig, (left, right) = figure(9, 1.4 + 0.42 * len(rows), ncols=2, sharey=True)
    names, at = list(rows), range(len(rows))
    for ax, part, colour in ((left, 0, BLUE), (right, 1, RED)):
        values = [row[part] * (100 if part == 0 else 1) for row in rows.values()]
        bars = ax.barh(at, values, 0.6, color=colour)
        ax.bar_label(bars, fmt=" %.1f" if part == 0 else " %d")
        ax.margins(x=0.2)
        ax.grid(visible=False, axis="y")
    left.set_yticks(at, names)
    left.set(ylim=(len(rows) - 0.5, -0.5), xlabel="F1, by characters (%)")
    right.set(xlabel="entities that tear a word")
    right.set_xlim(0, max(1, right.get_xlim()[1]))
    fig.suptitle(
        "One model, several ways of putting pieces together", weight="bold", fontsize=12
    )
    return fig


def cut_off(points: Mapping[int, tuple[float, float]]) -> Figure:
    """F1 against the longest length: as the Trainer counts it, and with the lost words
    counted.

    `points` maps a number of tokens to the two scores, in [0, 1].
    """
    fig, ax = figure(8, 3.2)
    lengths = list(points)
    looks = (("of the words that are left", SKY, "s"), ("of all words", BLUE, "o"))
    for part, (name, colour, mark) in enumerate(looks):
        values = [100 * points[length][part] for length in lengths]
        ax.plot(range(len(lengths)), values, marker=mark, color=colour, label=name)
    ax.set_xticks(range(len(lengths)), list(map(str, lengths)))
    ax.set(xlabel="max_length (tokens)", ylabel="entity F1 (%)", ylim=(0, 100))
    ax.set_title("The same model, its sentences cut")
    _legend(fig, ax)
    return fig


def _legend(fig: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))

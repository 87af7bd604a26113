"""Pictures of notebook 00."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.show import plots as kit
from helpers.show.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_MASK = "There is no [MASK] in this text: put one where a word is missing."


def family(
    dim: int, layers: int, outputs: Sequence[tuple[str, str, str, str]]
) -> Figure:
    """One encoder, `dim` wide and `layers` deep, and what can sit on it.

    `outputs`: (class, its own layers, output shape, meaning), from top to bottom.
    """
    rows = len(outputs)
    drawing, axes = figure(9.6, 0.86 * rows + 0.6)
    axes.set(xlim=(0, 100), ylim=(-0.6, rows + 0.15))
    axes.axis("off")
    depth, states = f"{layers} layers", f"hidden states\n(B, S, {dim})"
    inside = "\n\n↓\n\n".join(("input_ids\n(B, S)", "embeddings", depth, states))
    _box(axes, 0, -0.38, 17, rows - 0.24, BLUE, inside)
    colours, arrow = (GREY, PURPLE, RED, ORANGE, GREEN, SKY), {"arrowstyle": "->"}
    for row, (name, own, shape, meaning) in enumerate(outputs):
        y = rows - 1 - row
        for start, end in ((17.4, 23.5), (57.4, 62.5)):
            axes.annotate("", (end, y), (start, y), arrowprops=arrow | {"color": GREY})
        _box(axes, 24, y - 0.38, 33, 0.76, colours[row % 6], f"{name}\n{own}")
        axes.text(63.5, y + 0.17, shape, va="center", fontsize=10.5, family="monospace")
        axes.text(63.5, y - 0.19, meaning, va="center", fontsize=9, color="#444444")
    titles = ("the encoder, shared", "class and its own layers", "what comes out")
    for x, title in zip((0, 24, 63.5), titles, strict=True):
        axes.text(x, rows - 0.22, title, fontsize=9.5, color="#444444", style="italic")
    return drawing


def _box(axes: Axes, x, y, width, height, colour: str, words: str) -> None:
    look = {"facecolor": (colour, 0.18), "edgecolor": colour, "linewidth": 1.4}
    kit.box(axes, (x, y), width, height, words, **look)


def top_words(answers: Sequence[tuple[str, float]]) -> Figure:
    """(word, probability in [0, 1]) as bars, best first; without any, a line."""
    drawing, axes = figure(8.0, 0.9 + 0.34 * max(len(answers), 2))
    if answers:
        kit.guess_bars(axes, answers)
        axes.set_title(f"The {len(answers)} likeliest words for [MASK]")
    else:
        axes.axis("off")
        axes.text(0.5, 0.5, NO_MASK, ha="center", va="center", fontsize=12)
    return drawing


def hidden_states(tokens: Sequence[str], states) -> Figure:
    """`states` (S, dim), each number a coloured cell, each row one of `tokens`."""
    drawing, axes = figure(8.4, 0.9 + 0.3 * len(tokens))
    look = {"cmap": "RdBu_r", "vmin": -1.5, "vmax": 1.5, "interpolation": "nearest"}
    image = axes.imshow(states, aspect="auto", **look)
    axes.set_yticks(range(len(tokens)), tokens, parse_math=False)
    axes.set(xlabel="dimension")
    axes.set_title("last_hidden_state: one row of numbers for each token")
    axes.grid(visible=False)
    drawing.colorbar(image, ax=axes, label="value", extend="both")
    return drawing


def loss_by_token(
    tokens: Sequence[str], losses: Sequence[float], masked: int
) -> Figure:
    """The loss, in nats, at each of `tokens`; the `masked` one in another colour."""
    colours = [RED if place == masked else SKY for place in range(len(tokens))]
    drawing, axes = _bars(tokens, losses, colours, [f"{loss:.2f}" for loss in losses])
    axes.set_title("Loss at each position: blue words were visible, red was masked")
    axes.set(xlabel="the word wanted there", ylabel="loss (nats)")
    axes.set_ylim(0, 1.15 * max(losses))
    return drawing


def drawn_heads(shares: Sequence[float], first_seed: int = 0) -> Figure:
    """What untrained heads say: the probability of class 1, one `shares` a seed."""
    seeds = [str(first_seed + step) for step in range(len(shares))]
    above = [100 * share - 50 for share in shares]
    colours = [BLUE if height > 0 else ORANGE for height in above]
    labels = [f"{100 * share:.1f}" for share in shares]
    drawing, axes = _bars(seeds, above, colours, labels, bottom=50)
    reach = max(6.0, 1.4 * max(map(abs, above)))
    axes.set_title("One sentence, one encoder: blue heads say class 1, orange class 0")
    axes.set(ylim=(50 - reach, 50 + reach), ylabel="probability of class 1 (%)")
    axes.set(xlabel="seed of the freshly drawn head")
    return drawing


def span_scores(tokens: Sequence[str], start, end) -> Figure:
    """Two logits of each token, as where an answer begins and as where it ends."""
    drawing, axes = figure(9.0, 3.3)
    places = np.arange(len(tokens))
    axes.bar(places - 0.2, start, 0.4, color=BLUE, label="start_logits")
    axes.bar(places + 0.2, end, 0.4, color=ORANGE, label="end_logits")
    axes.set_xticks(places, tokens, rotation=30, ha="right", parse_math=False)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_title("Two scores for each token: does the answer start or end here?")
    axes.set(ylabel="logit")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(visible=False, axis="x")
    return drawing


def _bars(names, values, colours, labels, bottom: int = 0) -> tuple[Figure, Axes]:
    """Upright bars with a label on each."""
    drawing, axes = figure(8.0, 3.3)
    bars = axes.bar(range(len(names)), values, bottom=bottom, color=colours)
    axes.bar_label(bars, labels=labels, padding=3)
    axes.set_xticks(range(len(names)), names, parse_math=False)
    axes.axhline(bottom, color=GREY, linewidth=1.2)
    axes.grid(visible=False, axis="x")
    return drawing, axes

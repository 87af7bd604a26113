"""Pictures of notebook 00: the family of heads, words and their probabilities, scores
by token.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
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
)

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure

NO_MASK = "There is no [MASK] in this text: put one where a word is missing."


def table(rows: Sequence[Mapping[str, object]]) -> HTML:
    """One HTML table, a row per mapping, a column per key of the first; everything
    escaped.
    """
    from IPython.display import HTML

    def line(tag: str, cells: Sequence[object]) -> str:
        style = "style='text-align:left'"
        filled = "".join(
            f"<{tag} {style}>{html.escape(str(cell))}</{tag}>" for cell in cells
        )
        return f"<tr>{filled}</tr>"

    body = "".join(line("td", list(row.values())) for row in rows)
    return HTML(f"<table>{line('th', list(rows[0]))}{body}</table>")


def family(
    dim: int, layers: int, outputs: Sequence[tuple[str, str, str, str]]
) -> Figure:
    """One encoder and what can sit on it, as boxes and arrows.

    `dim`, `layers`: the encoder's width and depth. `outputs`: (class, its own layers,
    output shape, meaning), drawn from top to bottom.
    """
    drawing, axes = figure(9.6, 0.86 * len(outputs) + 0.6)
    rows = len(outputs)
    axes.set(xlim=(0, 100), ylim=(-0.6, rows + 0.15))
    axes.axis("off")
    middle = (rows - 1) / 2
    inside = (
        "input_ids\n(B, S)",
        "embeddings",
        f"{layers} layers",
        f"hidden states\n(B, S, {dim})",
    )
    _box(axes, 0, middle, 17, rows - 0.24, BLUE, "\n\n↓\n\n".join(inside))
    colours = (GREY, PURPLE, RED, ORANGE, GREEN, SKY)
    for row, (name, own, shape, meaning) in enumerate(outputs):
        y, colour = rows - 1 - row, colours[row % len(colours)]
        axes.annotate(
            "", (23.5, y), (17.4, y), arrowprops={"arrowstyle": "->", "color": GREY}
        )
        _box(axes, 24, y, 33, 0.76, colour, f"{name}\n{own}")
        axes.annotate(
            "", (62.5, y), (57.4, y), arrowprops={"arrowstyle": "->", "color": GREY}
        )
        axes.text(63.5, y + 0.17, shape, va="center", fontsize=10.5, family="monospace")
        axes.text(63.5, y - 0.19, meaning, va="center", fontsize=9, color="#444444")
    for x, title in (
        (0, "the encoder, shared"),
        (24, "class and its own layers"),
        (63.5, "what comes out"),
    ):
        axes.text(x, rows - 0.22, title, fontsize=9.5, color="#444444", style="italic")
    return drawing


def _box(
    axes, x: float, y: float, width: float, height: float, colour: str, words: str
) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x, y - height / 2)
    look = {"facecolor": (colour, 0.18), "edgecolor": colour, "linewidth": 1.4}
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, mutation_aspect=1, **look)
    )
    axes.text(x + width / 2, y, words, ha="center", va="center", fontsize=9.5)


def top_words(answers: Sequence[tuple[str, float]]) -> Figure:
    """Bars of the likeliest words for a [MASK], the likeliest on top.

    `answers`: (word, probability from 0 to 1); without any, a line says that there is
    no [MASK].
    """
    drawing, axes = figure(8.0, 0.9 + 0.34 * max(len(answers), 2))
    if not answers:
        axes.axis("off")
        axes.text(0.5, 0.5, NO_MASK, ha="center", va="center", fontsize=12)
        return drawing
    words = [drawable(word) for word, _ in answers]
    shares = [100 * share for _, share in answers]
    bars = axes.barh(range(len(words)), shares, color=BLUE)
    axes.bar_label(bars, labels=[f"{share:.1f}%" for share in shares], padding=4)
    axes.set_yticks(range(len(words)), words, parse_math=False)
    axes.set(xlim=(0, 1.12 * max(shares)), xlabel="probability (%)")
    axes.set_title(f"The {len(words)} likeliest words for [MASK]")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return drawing


def hidden_states(tokens: Sequence[str], states) -> Figure:
    """Every number of the last layer as one coloured cell.

    `tokens`: S words. `states`: (S, dim), a tensor or an array.
    """
    drawing, axes = figure(8.4, 0.9 + 0.3 * len(tokens))
    image = axes.imshow(
        states,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-1.5,
        vmax=1.5,
        interpolation="nearest",
    )
    axes.set_yticks(range(len(tokens)), tokens, parse_math=False)
    axes.set(
        xlabel="dimension", title="last_hidden_state: one row of numbers for each token"
    )
    axes.grid(visible=False)
    drawing.colorbar(image, ax=axes, label="value", extend="both")
    return drawing


def loss_by_token(
    tokens: Sequence[str], losses: Sequence[float], masked: int
) -> Figure:
    """The masked-LM loss of every position; the one that was masked in another colour.

    `tokens`: S words. `losses`: S cross-entropies in nats. `masked`: its index.
    """
    drawing, axes = figure(8.0, 3.3)
    colours = [RED if place == masked else SKY for place in range(len(tokens))]
    bars = axes.bar(range(len(tokens)), losses, color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.set_xticks(range(len(tokens)), tokens, parse_math=False)
    axes.set(
        ylim=(0, 1.15 * max(losses)),
        ylabel="loss (nats)",
        xlabel="the word wanted there",
    )
    axes.set_title(
        "Loss at each position: blue words were visible, the red one was masked"
    )
    axes.grid(visible=False, axis="x")
    return drawing


def drawn_heads(shares: Sequence[float], first_seed: int = 0) -> Figure:
    """What heads that were drawn and never trained say of one sentence: bars away from
    one half.

    `shares`: probability of class 1, from 0 to 1, for seeds `first_seed`, `first_seed`
    + 1, ...
    """
    drawing, axes = figure(8.0, 3.2)
    seeds = [str(first_seed + step) for step in range(len(shares))]
    above = [100 * share - 50 for share in shares]
    colours = [BLUE if height > 0 else ORANGE for height in above]
    bars = axes.bar(seeds, above, bottom=50, color=colours)
    axes.bar_label(bars, labels=[f"{100 * share:.1f}" for share in shares], padding=3)
    axes.axhline(50, color=GREY, linewidth=1.2)
    reach = max(6.0, 1.4 * max(abs(height) for height in above))
    axes.set(ylim=(50 - reach, 50 + reach), xlabel="seed of the freshly drawn head")
    axes.set(ylabel="probability of class 1 (%)")
    axes.set_title(
        "One sentence, one encoder: blue heads say class 1, orange heads class 0"
    )
    axes.grid(visible=False, axis="x")
    return drawing


def span_scores(tokens: Sequence[str], start, end) -> Figure:
    """The two scores of each token as where an answer begins and where it ends.

    `tokens`: S words. `start`, `end`: S logits each.
    """
    drawing, axes = figure(9.0, 3.3)
    places = range(len(tokens))
    axes.bar(
        [place - 0.2 for place in places], start, 0.4, color=BLUE, label="start_logits"
    )
    axes.bar(
        [place + 0.2 for place in places], end, 0.4, color=ORANGE, label="end_logits"
    )
    axes.set_xticks(places, tokens, rotation=30, ha="right", parse_math=False)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set(
        ylabel="logit",
        title="Two scores for each token: does the answer start or end here?",
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(visible=False, axis="x")
    return drawing

"""Pictures for `02_architecture`: where the parameters sit, one block, and layers taken
out.
"""

from __future__ import annotations

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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter

# colours of the kinds of part, in the order of the legend
_KINDS = {
    "word embeddings": BLUE,
    "other embeddings": SKY,
    "attention": ORANGE,
    "feed-forward": GREEN,
    "LayerNorm": GREY,
    "pooler": PURPLE,
}
_FAINT = "#F2F2F2"


def _kind(part: str) -> str:
    for kind in _KINDS:
        if part.endswith(kind):
            return kind
    return "other embeddings"


def parameter_bars(counts: Mapping[str, Mapping[str, int]], title: str) -> Figure:
    """One stacked bar per model, a segment per part, in millions of parameters.

    `counts` maps a model's name to {part: parameters}; a part of a layer is named like
    "layer 3 attention", the others "word embeddings", "pooler" and so on.
    """
    fig, ax = figure(8, 1.5 + 0.8 * len(counts))
    for row, parts in enumerate(counts.values()):
        _stack(ax, row, parts)
    longest = max(sum(parts.values()) for parts in counts.values()) / 1e6
    ax.set(
        xlim=(0, longest * 1.12),
        ylim=(len(counts) - 0.35, -0.6),
        yticks=range(len(counts)),
        yticklabels=list(counts),
        xlabel="parameters (millions)",
    )
    ax.set_title(title)
    ax.grid(visible=False)
    used = [
        kind
        for kind in _KINDS
        if any(_kind(p) == kind for c in counts.values() for p in c)
    ]
    handles = [ax.barh(0, 0, color=_KINDS[kind], label=kind) for kind in used]
    fig.legend(
        handles=handles, loc="outside lower center", ncols=len(used), columnspacing=1.0
    )
    return fig


def _stack(ax: Axes, row: int, parts: Mapping[str, int]) -> None:
    left, words = 0.0, 0.0
    for part, count in parts.items():
        width, kind = count / 1e6, _kind(part)
        ax.barh(
            row, width, left=left, color=_KINDS[kind], edgecolor="white", linewidth=0.4
        )
        words = words + width if kind == "word embeddings" else words
        left += width
    ax.text(
        words / 2, row, f"{words:.1f} M\nwords", ha="center", va="center", color="white"
    )
    ax.text(left * 1.005, row, f" {left:.1f} M", ha="left", va="center", weight="bold")


def stacks(bert_layers: int, kept: Sequence[int]) -> Figure:
    """BERT and DistilBERT side by side; what is taken away is drawn as a dashed
    outline.

    `kept` names the BERT layers that DistilBERT starts from.
    """
    fig, ax = figure(8, 1.8 + 0.36 * bert_layers)
    for left, keep, name in (
        (0.0, range(bert_layers), "BERT"),
        (5.4, kept, "DistilBERT"),
    ):
        full = name == "BERT"
        for slot, part in enumerate(("word", "position", "token type")):
            here = full or part != "token type"
            _box(
                ax, left + slot * 1.35, 0, 1.25, part, BLUE if slot == 0 else SKY, here
            )
        for layer in range(bert_layers):
            label = (
                f"layer {layer}"
                if full
                else f"layer {_index(keep, layer)} (from {layer})"
            )
            _box(ax, left, layer + 1.3, 3.95, label, ORANGE, layer in keep)
        _box(ax, left, bert_layers + 1.6, 3.95, "pooler", PURPLE, full)
        ax.text(
            left + 1.97,
            bert_layers + 3.0,
            name,
            ha="center",
            weight="bold",
            fontsize=13,
        )
    for layer in kept:
        _arrow(ax, (4.0, layer + 1.7), (5.35, layer + 1.7))
    ax.text(-0.1, -0.55, "embeddings (added up)", color="#444444", fontsize=10)
    ax.set(xlim=(-0.2, 9.55), ylim=(-0.8, bert_layers + 3.7))
    ax.set_title("What DistilBERT takes away: dashed boxes are gone")
    ax.set_axis_off()
    return fig


def _index(kept: Sequence[int], layer: int) -> int | str:
    return list(kept).index(layer) if layer in kept else "gone"


def _box(
    ax: Axes, x: float, y: float, width: float, text: str, colour: str, here: bool
) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = {"facecolor": colour, "edgecolor": colour} if here else {}
    gone = {"facecolor": "none", "edgecolor": GREY, "linestyle": "--"}
    shape = "round,pad=0,rounding_size=0.12"
    ax.add_patch(FancyBboxPatch((x, y), width, 0.8, boxstyle=shape, **(style or gone)))
    words = (
        text.replace("layer gone ", "")
        if here
        else text.split(" (")[0].replace("layer ", "")
    )
    dark = colour in (BLUE,)
    paint = ("white" if dark else "black") if here else GREY
    ax.text(
        x + width / 2,
        y + 0.38,
        words,
        ha="center",
        va="center",
        color=paint,
        fontsize=10,
    )


def _arrow(
    ax: Axes, start: tuple, end: tuple, bend: float = 0.0, colour: str = "#444444"
) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.3}
    style["connectionstyle"] = f"arc3,rad={bend}" if bend else None
    style = {name: value for name, value in style.items() if value}
    ax.annotate("", xy=end, xytext=start, arrowprops=style)


def block_diagram(length: int, heads: int, dim: int, hidden_dim: int) -> Figure:
    """One DistilBERT block from top to bottom, every step with the shape that it gives.

    Left the attention half, right the feed-forward half; the bent arrows are the
    residual connections. B is 1.
    """
    each, rows = dim // heads, f"(1, {length}, {dim})"
    cut = f"(1, {heads}, {length}, {each})"
    square = f"(1, {heads}, {length}, {length})"
    attention = [
        ("hidden states x", rows, _FAINT),
        ("q_lin, k_lin, v_lin", f"3 x {rows}", ORANGE),
        (f"split into {heads} heads", f"3 x {cut}", _FAINT),
        (f"scores = q · k / √{each}", square, ORANGE),
        ("mask, softmax over keys", square, ORANGE),
        ("context = weights · v", cut, ORANGE),
        ("join heads, out_lin", rows, ORANGE),
        ("add x", rows, _FAINT),
        ("sa_layer_norm gives a", rows, "#BBBBBB"),
    ]
    feed_forward = [
        ("a, from the left", rows, _FAINT),
        ("ffn.lin1", f"(1, {length}, {hidden_dim})", GREEN),
        ("GELU", f"(1, {length}, {hidden_dim})", GREEN),
        ("ffn.lin2", rows, GREEN),
        ("add a", rows, _FAINT),
        ("output_layer_norm", rows, "#BBBBBB"),
    ]
    fig, ax = figure(8, 5.2)
    _column(ax, 0.7, attention, "attention: tokens look at each other")
    _column(ax, 6.3, feed_forward, "feed-forward: each token alone")
    ax.set(xlim=(-0.3, 11.6), ylim=(-10.3, 1.1))
    ax.set_axis_off()
    return fig


def _column(
    ax: Axes, left: float, steps: Sequence[tuple[str, str, str]], title: str
) -> None:
    """Boxes from top to bottom; the residual runs from the first to the one called
    "add".
    """
    from matplotlib.patches import FancyBboxPatch

    ax.text(left, 0.75, title, weight="bold", fontsize=11)
    shape = "round,pad=0,rounding_size=0.15"
    for row, (name, shapes, colour) in enumerate(steps):
        top = -row * 1.15
        patch = FancyBboxPatch(
            (left, top - 0.4), 3.0, 0.8, boxstyle=shape, fc=colour, ec="#666666"
        )
        ax.add_patch(patch)
        ax.text(left + 1.5, top, name, ha="center", va="center", fontsize=9.5)
        ax.text(left + 3.1, top, shapes, va="center", fontsize=8, family="monospace")
        if row:
            _arrow(ax, (left + 1.5, top + 0.75), (left + 1.5, top + 0.4))
        if name.startswith("add"):
            _arrow(ax, (left, 0), (left, top), bend=0.25, colour=RED)


def attention_maps(
    maps: Mapping[str, Sequence[Sequence[float]]], tokens: Sequence[str]
) -> Figure:
    """Attention weights (S, S) side by side on one colour scale; rows look at
    columns.
    """
    fig, axes = figure(8, 4.3, ncols=len(maps), squeeze=False, sharey=True)
    highest = max(max(map(max, weights)) for weights in maps.values())
    for ax, (title, weights) in zip(axes[0], maps.items(), strict=True):
        image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=highest)
        ax.set_xticks(range(len(tokens)), tokens, rotation=90)
        ax.set_yticks(range(len(tokens)), tokens)
        ax.set_title(title)
        ax.set_xlabel("is looked at")
        ax.grid(visible=False)
    axes[0][0].set_ylabel("looks")
    fig.colorbar(image, ax=axes[0].tolist(), label="attention weight", shrink=0.8)
    return fig


def layer_differences(
    differences: Mapping[str, Sequence[float]], step: float
) -> Figure:
    """Largest absolute difference of hidden states after the embeddings and after each
    layer.

    `differences` maps a way of moving the weights to one number per hidden state;
    `step`, what one rounding amounts to, is drawn as a line.
    """
    fig, ax = figure(8, 3.4)
    looks = ((GREEN, "o"), (RED, "s"), (BLUE, "^"))
    for (name, values), (colour, mark) in zip(differences.items(), looks, strict=False):
        ax.plot(values, marker=mark, color=colour, label=name)
    ax.axhline(step, color=GREY, linestyle="--", linewidth=1.2)
    ax.text(
        0.1,
        step / 1.5,
        f"one rounding: {step:.0e}",
        color="#555555",
        fontsize=10,
        va="top",
    )
    steps = len(next(iter(differences.values())))
    ax.set_xticks(
        range(steps), ["embed-\ndings", *(f"layer\n{i}" for i in range(steps - 1))]
    )
    highest = max(max(values) for values in differences.values())
    ax.set(yscale="log", ylabel="largest |difference|", ylim=(step / 30, highest * 5))
    ax.set_title("Hidden states of BERT against DistilBERT")
    fig.legend(loc="outside lower center", ncols=len(differences))
    return fig


def layer_choices(
    rows: Mapping[str, tuple[Sequence[int] | None, float]],
    n_layers: int,
    targets: int,
    floor: tuple[str, float] | None = None,
    title: str = "Masked accuracy without any training",
) -> Figure:
    """Which layers were kept (squares) and what was left of the masked accuracy (bars).

    `rows` maps a name to its layers (None: random weights) and its accuracy in [0, 1];
    thin lines are two standard errors for `targets` hidden tokens; `floor` is a named
    accuracy to beat.
    """
    fig, (grid, bars) = figure(
        8, 1.4 + 0.42 * len(rows), ncols=2, sharey=True, width_ratios=(1.1, 2)
    )
    reach = 0.01
    for row, (layers, accuracy) in enumerate(rows.values()):
        _squares(grid, row, layers, n_layers)
        error = 2 * (accuracy * (1 - accuracy) / targets) ** 0.5
        bars.barh(row, accuracy, height=0.62, color=BLUE if row == 0 else SKY)
        bars.plot(
            [max(accuracy - error, 0), accuracy + error],
            [row, row],
            color="#333333",
            lw=1,
        )
        bars.text(accuracy + error, row, f"  {accuracy:.1%}", va="center", fontsize=10)
        reach = max(reach, accuracy + error)
    grid.set(ylim=(len(rows) - 0.4, -0.6), xlim=(-0.6, n_layers - 0.4), aspect="auto")
    grid.set_yticks(range(len(rows)), list(rows))
    grid.set_xticks(range(n_layers))
    grid.set_xlabel("layer kept")
    grid.grid(visible=False)
    if floor:
        bars.axvline(floor[1], color=RED, linestyle="--", linewidth=1.3)
        fig.supxlabel(f"dashed: {floor[0]}, {floor[1]:.1%}", fontsize=10, color=RED)
    bars.set(xlim=(0, reach * 1.2), xlabel="hidden tokens put first")
    bars.xaxis.set_major_formatter(_percent(0))
    bars.grid(visible=True, axis="x")
    fig.suptitle(title, weight="bold", fontsize=12)
    return fig


def _percent(decimals: int | None = None) -> Formatter:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(xmax=1, decimals=decimals)


def _squares(ax: Axes, row: int, layers: Sequence[int] | None, n_layers: int) -> None:
    if layers is None:
        ax.text(
            (n_layers - 1) / 2, row, "half of them, untrained", ha="center", va="center"
        )
        return
    for layer in range(n_layers):
        kept = layer in layers
        edge = BLUE if kept else "#BBBBBB"
        ax.plot(layer, row, "s", ms=9, mfc=BLUE if kept else "white", mec=edge, mew=1)


def chosen_layers(
    layers: Sequence[int],
    n_layers: int,
    accuracy: Mapping[str, float],
    answers: Mapping[str, Sequence[tuple[str, float]]],
    text: str,
) -> Figure:
    """One choice of layers: what it keeps of the masked accuracy, and its top answers
    to `text`.

    `accuracy` maps two names, the whole model's first, to shares in [0, 1]; `answers`
    maps the same names to (piece, probability), best first.
    """
    fig, (left, *rest) = figure(8, 3.4, ncols=3)
    left.barh(list(accuracy), list(accuracy.values()), height=0.55, color=(SKY, BLUE))
    for row, value in enumerate(accuracy.values()):
        left.text(value, row, f" {value:.1%}", va="center")
    left.set(xlim=(0, max(0.01, *accuracy.values()) * 1.5), ylim=(1.6, -0.6))
    left.set_title("masked accuracy", weight="normal", fontsize=11)
    for ax, (name, ranked), colour in zip(
        rest, answers.items(), (SKY, BLUE), strict=True
    ):
        pieces, chances = zip(*ranked, strict=True)
        ax.barh(range(len(pieces)), chances, height=0.6, color=colour)
        ax.set_yticks(range(len(pieces)), list(map(drawable, pieces)), parse_math=False)
        for row, chance in enumerate(chances):
            ax.text(chance, row, f" {chance:.1%}", va="center", fontsize=10)
        ax.set(xlim=(0, max(chances) * 1.5), ylim=(len(pieces) - 0.4, -0.6))
        ax.set_title(f"[MASK], {name}", weight="normal", fontsize=11)
    for ax in (left, *rest):
        ax.xaxis.set_major_formatter(_percent())
        ax.locator_params(axis="x", nbins=3)
        ax.grid(visible=False)
    shown = text if len(text) <= 70 else text[:67] + "..."
    kept = f"Layers kept: {', '.join(map(str, layers))} ({len(layers)} of {n_layers})"
    fig.suptitle(kept, weight="bold", fontsize=12)
    fig.supxlabel(drawable(shown), fontsize=11, style="italic", parse_math=False)
    return fig

"""Pictures of notebook 02: where the parameters sit, one block, layers taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.show import plots as kit
from helpers.show.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# colours of the kinds of part, in the order of the legend
_KINDS = {
    "word embeddings": BLUE,
    "other embeddings": SKY,
    "attention": ORANGE,
    "feed-forward": GREEN,
    "LayerNorm": GREY,
    "pooler": PURPLE,
}
# "all layers" and "this choice": masked accuracy in [0, 1], (piece, probability) pairs
Answers = Mapping[str, tuple[float, Sequence[tuple[str, float]]]]
_FAINT, _NORM = "#F2F2F2", "#BBBBBB"


def parameter_bars(counts: Mapping[str, Mapping[str, int]], title: str) -> Figure:
    """One stacked bar per model, a segment per part, in millions of parameters.

    `counts` maps a model's name to {part: parameters}; a part is named like "layer 3
    attention", "word embeddings" or "pooler".
    """
    fig, ax = figure(8, 1.5 + 0.8 * len(counts))
    handles, longest = {}, 0.0
    for row, parts in enumerate(counts.values()):
        left = 0.0
        for part, count in parts.items():
            kind = next(filter(part.endswith, _KINDS), "other embeddings")
            look = {"color": _KINDS[kind], "edgecolor": "white", "linewidth": 0.4}
            handles[kind] = ax.barh(row, count / 1e6, left=left, label=kind, **look)
            left += count / 1e6
        words = parts["word embeddings"] / 1e6
        text = f"{words:.1f} M\nwords"
        ax.text(words / 2, row, text, ha="center", va="center", color="white")
        ax.text(left * 1.005, row, f" {left:.1f} M", va="center", weight="bold")
        longest = max(longest, left)
    ax.set(xlim=(0, longest * 1.12), ylim=(len(counts) - 0.35, -0.6))
    ax.set_yticks(range(len(counts)), list(counts))
    ax.set_xlabel("parameters (millions)")
    ax.set_title(title)
    ax.grid(visible=False)
    used = [handles[kind] for kind in _KINDS if kind in handles]
    place = {"loc": "outside lower center", "ncols": len(used), "columnspacing": 1.0}
    fig.legend(handles=used, **place)
    return fig


def stacks(bert_layers: int, kept: Sequence[int]) -> Figure:
    """BERT and DistilBERT side by side; what is taken away is a dashed outline.

    `kept` names the BERT layers that DistilBERT starts from.
    """
    fig, ax = figure(8, 1.8 + 0.36 * bert_layers)
    numbers = {layer: new for new, layer in enumerate(kept)}
    for left, name in ((0.0, "BERT"), (5.4, "DistilBERT")):
        full = name == "BERT"
        for slot, part in enumerate(("word", "position", "token type")):
            colour, here = (BLUE, SKY, SKY)[slot], full or slot < 2
            _part(ax, left + slot * 1.35, 0, 1.25, part, colour, here)
        for layer in range(bert_layers):
            here = full or layer in numbers
            label = f"layer {layer}" if full or not here else f"layer {numbers[layer]}"
            label += f" (from {layer})" if here and not full else ""
            _part(ax, left, layer + 1.3, 3.95, label, ORANGE, here)
            if here and not full:
                _arrow(ax, (4.0, layer + 1.7), (5.35, layer + 1.7))
        _part(ax, left, bert_layers + 1.6, 3.95, "pooler", PURPLE, full)
        look = {"ha": "center", "weight": "bold", "fontsize": 13}
        ax.text(left + 1.97, bert_layers + 3.0, name, **look)
    ax.text(-0.1, -0.55, "embeddings (added up)", color="#444444", fontsize=10)
    ax.set(xlim=(-0.2, 9.55), ylim=(-0.8, bert_layers + 3.7))
    ax.set_title("What DistilBERT takes away: dashed boxes are gone")
    ax.set_axis_off()
    return fig


def _part(ax: Axes, x, y, width, words: str, colour: str, here: bool) -> None:
    if here:
        look = {"facecolor": colour, "edgecolor": colour}
        paint = "white" if colour == BLUE else "black"
    else:
        look = {"facecolor": "none", "edgecolor": GREY, "linestyle": "--"}
        words, paint = ("gone" if words.startswith("layer") else words), GREY
    kit.box(ax, (x, y), width, 0.8, words, size=10, paint=paint, **look)


def _arrow(ax: Axes, start, end, bend: float = 0.0, colour: str = "#444444") -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.3}
    style["connectionstyle"] = f"arc3,rad={bend}"
    ax.annotate("", xy=end, xytext=start, arrowprops=style)


def block_diagram(length: int, heads: int, dim: int, hidden_dim: int) -> Figure:
    """One DistilBERT block from top to bottom, every step with the shape that it gives.

    Left the attention half, right the feed-forward half; the bent arrows are the
    residual connections. B is 1.
    """
    each, rows = dim // heads, f"(1, {length}, {dim})"
    wide = f"(1, {length}, {hidden_dim})"
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
        ("sa_layer_norm gives a", rows, _NORM),
    ]
    feed_forward = [
        ("a, from the left", rows, _FAINT),
        ("ffn.lin1", wide, GREEN),
        ("GELU", wide, GREEN),
        ("ffn.lin2", rows, GREEN),
        ("add a", rows, _FAINT),
        ("output_layer_norm", rows, _NORM),
    ]
    fig, ax = figure(8, 5.2)
    _column(ax, 0.7, attention, "attention: tokens look at each other")
    _column(ax, 6.3, feed_forward, "feed-forward: each token alone")
    ax.set(xlim=(-0.3, 11.6), ylim=(-10.3, 1.1))
    ax.set_axis_off()
    return fig


def _column(ax: Axes, left: float, steps: Sequence[tuple], title: str) -> None:
    """Boxes from top to bottom; the residual runs from the first to the "add"."""
    ax.text(left, 0.75, title, weight="bold", fontsize=11)
    for row, (name, shapes, colour) in enumerate(steps):
        y = -row * 1.15
        look = {"facecolor": colour, "edgecolor": "#666666"}
        kit.box(ax, (left, y - 0.4), 3.0, 0.8, name, **look)
        ax.text(left + 3.1, y, shapes, va="center", fontsize=8, family="monospace")
        if row:
            _arrow(ax, (left + 1.5, y + 0.75), (left + 1.5, y + 0.4))
        if name.startswith("add"):
            _arrow(ax, (left, 0), (left, y), bend=0.25, colour=RED)


def attention_maps(
    maps: Mapping[str, Sequence[Sequence[float]]], tokens: Sequence[str]
) -> Figure:
    """Attention weights (S, S) side by side, on one scale; rows look at columns."""
    fig, axes = figure(8, 4.3, ncols=len(maps), squeeze=False, sharey=True)
    highest = max(max(map(max, weights)) for weights in maps.values())
    for ax, (title, weights) in zip(axes[0], maps.items(), strict=True):
        image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=highest)
        ax.set_xticks(range(len(tokens)), tokens, rotation=90)
        ax.set_yticks(range(len(tokens)), tokens)
        ax.set(title=title, xlabel="is looked at")
        ax.grid(visible=False)
    axes[0][0].set_ylabel("looks")
    fig.colorbar(image, ax=axes[0].tolist(), label="attention weight", shrink=0.8)
    return fig


def layer_differences(
    differences: Mapping[str, Sequence[float]], step: float
) -> Figure:
    """Largest difference of hidden states after the embeddings and after each layer.

    `differences` maps a way of moving the weights to one number per hidden state;
    `step`, what one rounding amounts to, is drawn as a line.
    """
    fig, ax = figure(8, 3.4)
    looks = ((GREEN, "o"), (RED, "s"), (BLUE, "^"))
    for (name, values), (colour, mark) in zip(differences.items(), looks, strict=False):
        ax.plot(values, marker=mark, color=colour, label=name)
    ax.axhline(step, color=GREY, linestyle="--", linewidth=1.2)
    look = {"color": "#555555", "fontsize": 10, "va": "top"}
    ax.text(0.1, step / 1.5, f"one rounding: {step:.0e}", **look)
    layers = [f"layer\n{number}" for number in range(len(values) - 1)]
    ax.set_xticks(range(len(values)), ["embed-\ndings", *layers])
    highest = max(map(max, differences.values()))
    ax.set(yscale="log", ylabel="largest |difference|", ylim=(step / 30, highest * 5))
    ax.set_title("Hidden states of BERT against DistilBERT")
    fig.legend(loc="outside lower center", ncols=len(differences))
    return fig


def layer_choices(
    rows: Mapping[str, tuple[Sequence[int] | None, float]],
    n_layers: int,
    targets: int,
    floor: tuple[str, float],
    title: str = "Masked accuracy without any training",
) -> Figure:
    """Which layers were kept (squares) and what was left of the masked accuracy (bars).

    `rows` maps a name to its layers (None: random weights) and its accuracy in [0, 1];
    thin lines are two standard errors for `targets` hidden tokens; `floor` is a named
    accuracy to beat.
    """
    size, widths = (8, 1.4 + 0.42 * len(rows)), (1.1, 2)
    fig, (grid, bars) = figure(*size, ncols=2, sharey=True, width_ratios=widths)
    for row, (layers, accuracy) in enumerate(rows.values()):
        _squares(grid, row, layers, n_layers)
        error = 200 * (accuracy * (1 - accuracy) / targets) ** 0.5
        colour, share = BLUE if row == 0 else SKY, 100 * accuracy
        bars.barh(row, share, height=0.62, color=colour)
        low, high = max(share - error, 0), share + error
        bars.plot([low, high], [row, row], color="#333333", lw=1)
        bars.text(high, row, f"  {share:.1f}%", va="center", fontsize=10)
    grid.set(ylim=(len(rows) - 0.4, -0.6), xlim=(-0.6, n_layers - 0.4), aspect="auto")
    grid.set_yticks(range(len(rows)), list(rows))
    grid.set_xticks(range(n_layers))
    grid.set_xlabel("layer kept")
    grid.grid(visible=False)
    bars.axvline(100 * floor[1], color=RED, linestyle="--", linewidth=1.3)
    fig.supxlabel(f"dashed: {floor[0]}, {floor[1]:.1%}", fontsize=10, color=RED)
    bars.set(xlim=(0, bars.get_xlim()[1] * 1.15), xlabel="hidden tokens put first (%)")
    bars.grid(visible=True, axis="x")
    fig.suptitle(title, weight="bold", fontsize=12)
    return fig


def _squares(ax: Axes, row: int, layers: Sequence[int] | None, n_layers: int) -> None:
    if layers is None:
        words, middle = "half of them, untrained", (n_layers - 1) / 2
        ax.text(middle, row, words, ha="center", va="center")
        return
    for layer in range(n_layers):
        face, edge = (BLUE, BLUE) if layer in layers else ("white", "#BBBBBB")
        ax.plot(layer, row, "s", ms=9, mfc=face, mec=edge, mew=1)


def chosen_layers(
    layers: Sequence[int], n_layers: int, answers: Answers, text: str
) -> Figure:
    """What a choice of layers keeps of the masked accuracy, and its guesses."""
    fig, (left, *rest) = figure(8, 3.4, ncols=3)
    shares = [100 * share for share, _ in answers.values()]
    bars = left.barh(list(answers), shares, height=0.55, color=(SKY, BLUE))
    left.bar_label(bars, labels=[f"{share:.1f}%" for share in shares], padding=4)
    left.set(xlim=(0, 1.5 * max(1, *shares)), ylim=(1.6, -0.6))
    left.grid(visible=False)
    left.set_title("masked accuracy (%)", weight="normal", fontsize=11)
    panels = zip(rest, answers.items(), (SKY, BLUE), strict=True)
    for ax, (name, (_, guesses)), colour in panels:
        kit.guess_bars(ax, guesses, colour)
        ax.set_title(f"[MASK], {name}", weight="normal", fontsize=11)
    for ax in (left, *rest):
        ax.locator_params(axis="x", nbins=3)
    shown = text if len(text) <= 70 else text[:67] + "..."
    kept = f"Layers kept: {', '.join(map(str, layers))} ({len(layers)} of {n_layers})"
    fig.suptitle(kept, weight="bold", fontsize=12)
    fig.supxlabel(kit.drawable(shown), fontsize=11, style="italic", parse_math=False)
    return fig

"""Pictures for `09_attention_visualization`: maps, patterns, what heads are worth,
likenesses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.show import plots
from helpers.show.plots import BLUE, GREY, ORANGE, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 256  # of a picture's file: a third of the bytes, and no difference to see
WEIGHTS, CHANGES = "Blues", "PuOr"  # from nothing up; around nothing


def figure(width: float, height: float, **subplots: Any) -> tuple[Figure, Any]:
    """As `helpers.show.plots.figure`; its PNG has a palette of `COLOURS`.

    Three interactive views stand in this notebook too, and the file must stay under 1
    MB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    class Palette(FigureCanvasAgg):
        def print_png(self, target: Any, **_how: Any) -> None:
            FigureCanvasAgg.draw(self)
            picture = Image.fromarray(np.asarray(self.buffer_rgba())).convert("RGB")
            few = picture.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE)
            few.save(target, format="png", optimize=True)

    drawing, axes = plots.figure(width, height, **subplots)
    Palette(drawing)  # becomes the figure's canvas
    return drawing, axes


def maps(
    panels: Mapping[str, Any],
    tokens: Sequence[str],
    highest: float | None = None,
    unit: str = "weight",
) -> Figure:
    """Square maps (S, S) of the same tokens side by side on one scale; rows look at
    columns.

    `panels` maps a title to a map; `highest` is the weight that is drawn darkest
    (default: the highest there is); `unit` names the colours.
    """
    each = 7.6 / len(panels)
    fig, axes = figure(
        8, min(each, 4.6) + 0.9, ncols=len(panels), squeeze=False, sharey=True
    )
    top = highest or max(
        float(np.asarray(weights).max()) for weights in panels.values()
    )
    for ax, (title, weights) in zip(axes[0], panels.items(), strict=True):
        image = _map(ax, weights, tokens, top, size=9 if len(panels) < 3 else 7.5)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("is looked at")
    axes[0][0].set_ylabel("looks")
    fig.colorbar(image, ax=axes[0].tolist(), label=unit, shrink=0.7)
    return fig


def _map(
    ax: Axes, weights: Any, tokens: Sequence[str], highest: float, size: float = 9
) -> Any:
    """One map with its tokens; returns the image, for a colour bar."""
    image = ax.imshow(weights, cmap=WEIGHTS, vmin=0, vmax=highest)
    size = size if len(tokens) <= 20 else 7
    words = [drawable(token) for token in tokens]
    ax.set_xticks(
        range(len(words)), words, rotation=90, fontsize=size, parse_math=False
    )
    ax.set_yticks(range(len(words)), words, fontsize=size, parse_math=False)
    ax.grid(visible=False)
    return image


def one_head(
    weights: Any,
    tokens: Sequence[str],
    threshold: float,
    title: str,
    second: int | None = None,
) -> Figure:
    """One head's map (S, S); weights below `threshold` are left white, and counted.

    `second`: where the second text of a pair begins; a thin line parts the two.
    """
    weights = np.asarray(weights)
    shown = np.where(weights >= threshold, weights, np.nan)
    fig, ax = figure(7, 2.2 + 0.2 * min(len(tokens), 20))
    image = _map(ax, shown, tokens, 1.0)
    _part(ax, second)
    kept = float(weights[weights >= threshold].sum() / max(weights.sum(), 1e-9))
    ax.set_title(f"{title}: {kept:.0%} of the weight is shown", fontsize=11)
    ax.set(xlabel="is looked at", ylabel="looks")
    fig.colorbar(image, ax=ax, label="weight", shrink=0.8)
    return fig


def thumbnails(weights: Any, kind: str) -> Figure:
    """Every layer (rows) and head (columns) as a small map: weights (layers, heads, S,
    S).

    The still of bertviz's model view. Each picture's darkest spot is its own highest
    weight.
    """
    weights = np.asarray(weights)
    layers, heads = weights.shape[:2]
    fig, axes = figure(8, 0.8 + 0.72 * layers, nrows=layers, ncols=heads, squeeze=False)
    for layer, head in np.ndindex(layers, heads):
        ax = axes[layer][head]
        ax.imshow(
            weights[layer, head], cmap=WEIGHTS, vmin=0, vmax=weights[layer, head].max()
        )
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        if layer == 0:
            ax.set_title(
                f"head {head}" if head == 0 else str(head), fontsize=9, weight="normal"
            )
        if head == 0:
            ax.set_ylabel(f"layer {layer}", fontsize=9)
    fig.suptitle(f"{kind}: rows look at columns", weight="bold", fontsize=11)
    return fig


def overlaid(
    weights: Any, tokens: Sequence[str], second: int | None, title: str
) -> Figure:
    """One layer's heads over each other: weights (heads, S, S).

    The still of bertviz's head view: a cell is as dark as the highest weight that any
    head gives it, and from 0.2 on says which head. `second`: where the second text of a
    pair begins.
    """
    weights = np.asarray(weights)
    most, which = weights.max(0), weights.argmax(0)  # (S, S) each
    fig, ax = figure(7.4, 1.6 + 0.19 * len(tokens))
    image = _map(ax, most, tokens, 1.0)
    _part(ax, second)
    for i, j in zip(*np.nonzero(most >= 0.2), strict=True):
        paint = "white" if most[i, j] > 0.6 else "black"
        ax.text(j, i, which[i, j], ha="center", va="center", fontsize=6.5, color=paint)
    ax.set(xlabel="is looked at", ylabel="looks")
    ax.set_title(title, fontsize=11)
    fig.colorbar(image, ax=ax, label="highest weight of any head", shrink=0.8)
    return fig


def _part(ax: Axes, second: int | None) -> None:
    """Lines between the two texts of a pair."""
    if second is not None:
        ax.axhline(second - 0.5, color=GREY, lw=1)
        ax.axvline(second - 0.5, color=GREY, lw=1)


def neurons(
    query: Any, keys: Any, weights: Any, tokens: Sequence[str], at: int
) -> Figure:
    """How one query makes its weights: query (d), keys (S, d), weights (S); `at` is its
    token.

    The still of bertviz's neuron view: the products of query and key, number by number,
    their sum over the square root of d, and the softmax of those.
    """
    query, keys, weights = (np.asarray(numbers) for numbers in (query, keys, weights))
    products = query * keys  # (S, d)
    how = {"ncols": 3, "sharey": True, "width_ratios": [4, 1.3, 1.3]}
    fig, (left, middle, right) = figure(8, 1.3 + 0.2 * len(tokens), **how)
    reach = float(np.abs(products).max())
    image = left.imshow(products, cmap=CHANGES, vmin=-reach, vmax=reach, aspect="auto")
    left.set_title(
        f'query of "{drawable(tokens[at])}" × each key', fontsize=10, parse_math=False
    )
    left.set_xlabel(f"{len(query)} numbers, one a column")
    words = [drawable(token) for token in tokens]
    left.set_yticks(range(len(words)), words, fontsize=9, parse_math=False)
    rows = range(len(tokens))
    middle.barh(rows, products.sum(1) / len(query) ** 0.5, color=GREY)
    middle.set_title("sum / √d", fontsize=10)
    right.barh(rows, weights, color=BLUE)
    right.set_title("softmax", fontsize=10)
    right.set_xlabel("weight")
    for ax in (left, middle, right):
        ax.grid(visible=False)
    fig.colorbar(image, ax=left, shrink=0.8, location="left", pad=0.02)
    return fig


def patterns(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Times chance, layers x heads, for each model (rows) and pattern (columns).

    `found` maps a model's name to {pattern: `Pattern`}. The colours double at each
    step: white is as much as even attention would give. A ring marks the model's
    highest head of a pattern.
    """
    names = list(next(iter(found.values())))
    most = max(
        pattern.times_chance.shape[0] for f in found.values() for pattern in f.values()
    )
    size = {"nrows": len(names), "ncols": len(found), "squeeze": False}
    fig, axes = figure(8, 0.8 + len(names) * (0.45 + 0.17 * most), **size)
    for column, (model, measured) in enumerate(found.items()):
        for row, name in enumerate(names):
            image = _pattern(axes[row][column], measured[name].times_chance)
            axes[row][column].set_title(f"{model}: {name}", fontsize=9)
            if row + 1 < len(names):
                axes[row][column].set_xticklabels([])
    steps = [-6, -4, -2, 0, 2, 4, 6]
    bar = fig.colorbar(image, ax=axes.ravel().tolist(), ticks=steps, shrink=0.5)
    bar.set_ticklabels(
        [f"{2.0**step:g}" if step >= 0 else f"1/{2**-step}" for step in steps]
    )
    bar.set_label("times chance")
    for ax in axes[-1]:
        ax.set_xlabel("head")
    return fig


def _pattern(ax: Axes, times: np.ndarray) -> Any:
    exponents = np.log2(np.maximum(times, 2.0**-6))
    image = ax.imshow(exponents, cmap="PuOr_r", vmin=-6, vmax=6, aspect="auto")
    layer, head = np.unravel_index(times.argmax(), times.shape)
    edge = "white" if exponents[layer, head] > 4 else "black"
    ax.plot(head, layer, "o", ms=7, mfc="none", mec=edge, mew=1.4)
    _grid_axes(ax, times.shape)
    return image


def _grid_axes(ax: Axes, shape: tuple[int, int]) -> None:
    ax.set_xticks(range(shape[1]), [str(n) for n in range(shape[1])], fontsize=7)
    ax.set_yticks(range(shape[0]), [str(n) for n in range(shape[0])], fontsize=7)
    ax.set_ylabel("layer", fontsize=8)
    ax.grid(visible=False)


def removed(grids: Mapping[str, Any], unit: str) -> Figure:
    """What each head's removal changes, layers x heads, a panel for each `Grid`, one
    scale.

    `grids` maps a title to a `Grid` of `helpers.attention.head_ablation`; changes are
    drawn in hundredths. A dot marks a change larger than two standard errors.
    """
    rows = [grid.change.shape[0] for grid in grids.values()]
    how = {
        "nrows": len(grids),
        "squeeze": False,
        "height_ratios": [n + 1.2 for n in rows],
    }
    fig, axes = figure(8, 0.9 + sum(0.55 + 0.27 * n for n in rows), **how)
    reach = 100 * max(float(np.abs(grid.change).max()) for grid in grids.values())
    for ax, (title, grid) in zip(axes[:, 0], grids.items(), strict=True):
        scale = {"cmap": CHANGES, "vmin": -reach, "vmax": reach, "aspect": "auto"}
        image = ax.imshow(100 * grid.change, **scale)
        layers, heads = np.nonzero(grid.clear)
        ax.plot(heads, layers, "o", ms=4, color="black")
        _grid_axes(ax, grid.change.shape)
        ax.set_title(title, fontsize=10)
    axes[-1, 0].set_xlabel("head removed")
    fig.colorbar(image, ax=axes[:, 0].tolist(), label=unit, shrink=0.7)
    return fig


def together(
    curves: Mapping[str, Mapping[str, Mapping[int, float]]], floor: float
) -> Figure:
    """Masked accuracy (%) as ever more heads go at once: {model: {order: {heads gone:
    share}}}.

    `floor`: the share of who always says the most frequent piece.
    """
    fig, axes = figure(8, 3.2, ncols=len(curves), sharey=True, squeeze=False)
    for ax, (model, orders) in zip(axes[0], curves.items(), strict=True):
        for (order, points), colour in zip(
            orders.items(), (BLUE, ORANGE), strict=False
        ):
            total = max(max(p) for p in orders.values())
            shares = [100 * gone / total for gone in points]
            ax.plot(shares, [100 * p for p in points.values()], "o-", ms=4, color=colour,
                    label=order)  # fmt: skip
        ax.axhline(100 * floor, color=GREY, ls="--", lw=1.2)
        ax.set_title(f"{model}, {total} heads", fontsize=11)
        ax.set_xlabel("heads removed together (%)")
        ax.set_ylim(0, None)
    axes[0][0].set_ylabel("masked accuracy (%)")
    axes[0][0].text(
        0, 100 * floor, " always the same piece", va="bottom", fontsize=9, color=GREY
    )
    handles = axes[0][0].get_lines()[:2]
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig


def likeness(panels: Mapping[str, Mapping[str, Any]]) -> Figure:
    """How alike teacher layers (rows) and student layers (columns) are, in [0, 1].

    {measure: {"before": (teacher, student), "after": ...}}: each measure has a scale of
    its own, and each student layer's most alike teacher layer has a frame. With one
    more row and column than layers, the first are the embeddings.
    """
    count = sum(map(len, panels.values()))
    fig, axes = figure(8, 3.4, ncols=count, squeeze=False)
    spots = iter(axes[0])
    for measure, sides in panels.items():
        low = min(float(np.min(grid)) for grid in sides.values())
        for when, grid in sides.items():
            _likeness(next(spots), np.asarray(grid), low, f"{measure}\n{when}")
    axes[0][0].set_ylabel("teacher")
    fig.supxlabel("student", fontsize=11)
    return fig


def _likeness(ax: Axes, grid: np.ndarray, low: float, title: str) -> None:
    from matplotlib.patches import Rectangle

    ax.imshow(grid, cmap=WEIGHTS, vmin=low - 0.2 * (1 - low), vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(grid):
        dark = value > low + 0.6 * (1 - low)
        paint = "white" if dark else "black"
        ax.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color=paint,
        )
    for column, row in enumerate(grid.argmax(0)):
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=ORANGE, lw=2)
        ax.add_patch(box)
    whole = "hidden" in title
    for axis, number in zip((ax.yaxis, ax.xaxis), grid.shape, strict=True):
        names = (
            ["emb", *map(str, range(number - 1))]
            if whole
            else list(map(str, range(number)))
        )
        axis.set_ticks(range(number), names, fontsize=8)
    ax.set_title(title, fontsize=9)
    ax.grid(visible=False)

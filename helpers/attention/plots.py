"""Pictures of `09_attention_visualization`: maps, patterns, heads removed, likeness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.show import plots
from helpers.show.plots import BLUE, GREY, ORANGE, PALETTE, drawable

WEIGHTS, CHANGES = "Blues", "PuOr"  # from nothing up; around nothing


class FewColours(FigureCanvasAgg):
    """A canvas whose PNG has 256 colours: a third of the bytes, no difference to see.

    Three interactive views stand in this notebook too: the file must stay under 1 MB.
    """

    def print_png(self, target: Any, **_how: Any) -> None:
        self.draw()
        picture = Image.fromarray(np.asarray(self.buffer_rgba())).convert("RGB")
        few = picture.quantize(256, kmeans=1, dither=Image.Dither.NONE)
        few.save(target, format="png", optimize=True)


def figure(width: float, height: float, **subplots: Any) -> tuple[Figure, Any]:
    """As `helpers.show.plots.figure`, with a palette."""
    drawing, axes = plots.figure(width, height, **subplots)
    FewColours(drawing)  # becomes the figure's canvas
    return drawing, axes


def maps(
    panels: Mapping[str, Any],
    tokens: Sequence[str],
    highest: float | None = None,
    unit: str = "weight",
    second: int | None = None,
) -> Figure:
    """Maps (S, S) of the same tokens side by side, on one scale: {title: map}.

    Rows look at columns. `highest` is drawn darkest (default: the highest there is).
    `second`: where the second text of a pair begins.
    """
    grids = {title: np.asarray(grid) for title, grid in panels.items()}
    words, top = [drawable(t) for t in tokens], max(g.max() for g in grids.values())
    each = min(7.6 / len(grids), np.clip(0.2 * len(words), 4.6, 5.6))
    fig, axes = figure(8, each + 0.9, ncols=len(grids), squeeze=False, sharey=True)
    size = 7 if len(words) > 20 else 9 if len(grids) < 3 else 7.5
    how = {"fontsize": size, "parse_math": False}
    for ax, (title, grid) in zip(axes[0], grids.items(), strict=True):
        image = ax.imshow(grid, cmap=WEIGHTS, vmin=0, vmax=highest or top)
        ax.set_xticks(range(len(words)), words, rotation=90, **how)
        ax.set_yticks(range(len(words)), words, **how)
        ax.set(xlabel="is looked at", ylabel="looks")
        ax.set_title(title, fontsize=10)
        ax.grid(visible=False)
        ax.label_outer()
        for line in (ax.axhline, ax.axvline) if second else ():
            line(second - 0.5, color=GREY, lw=1)
    fig.colorbar(image, ax=axes[0].tolist(), label=unit, shrink=0.7)
    return fig


def one_head(
    weights: np.ndarray,
    tokens: Sequence[str],
    threshold: float,
    title: str,
    second: int | None = None,
) -> Figure:
    """One head's map (S, S); weights below `threshold` are left white, and counted."""
    shown = np.where(weights >= threshold, weights, np.nan)
    kept = np.nansum(shown) / max(weights.sum(), 1e-9)
    title = f"{title}: {kept:.0%} of the weight is shown"
    return maps({title: shown}, tokens, 1.0, second=second)


def overlaid(
    weights: np.ndarray, tokens: Sequence[str], second: int | None, title: str
) -> Figure:
    """One layer's heads over each other, (heads, S, S): the still of the head view.

    A cell is as dark as the highest weight that any head gives it, and from 0.2 on says
    which head.
    """
    most, which = weights.max(0), weights.argmax(0)  # (S, S) each
    fig = maps({title: most}, tokens, 1.0, "highest weight of any head", second)
    for i, j in np.argwhere(most >= 0.2):
        how = {"color": "white" if most[i, j] > 0.6 else "black", "fontsize": 6.5}
        fig.axes[0].text(j, i, which[i, j], ha="center", va="center", **how)
    return fig


def thumbnails(weights: np.ndarray, kind: str) -> Figure:
    """Layers (rows) and heads (columns), (layers, heads, S, S): the model view's still.

    Each picture's darkest spot is its own highest weight.
    """
    layers, heads = weights.shape[:2]
    fig, axes = figure(8, 0.8 + 0.72 * layers, nrows=layers, ncols=heads, squeeze=False)
    for (layer, head), ax in np.ndenumerate(axes):
        ax.imshow(weights[layer, head], cmap=WEIGHTS, vmin=0)
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
    for head, ax in enumerate(axes[0]):
        name = f"head {head}" if head == 0 else str(head)
        ax.set_title(name, fontsize=9, weight="normal")
    for layer, ax in enumerate(axes[:, 0]):
        ax.set_ylabel(f"layer {layer}", fontsize=9)
    fig.suptitle(f"{kind}: rows look at columns", weight="bold", fontsize=11)
    return fig


def neurons(
    query: Any, keys: Any, weights: Any, tokens: Sequence[str], at: int
) -> Figure:
    """How the query (d) of token `at` makes its weights (S): the neuron view's still.

    Its products with the keys (S, d), number by number, their sum over the square root
    of d, and the softmax of those.
    """
    products, rows = np.asarray(query) * np.asarray(keys), range(len(tokens))
    how = {"ncols": 3, "sharey": True, "width_ratios": [4, 1.3, 1.3]}
    fig, (left, middle, right) = figure(8, 1.3 + 0.2 * len(tokens), **how)
    reach = np.abs(products).max()
    image = left.imshow(products, cmap=CHANGES, vmin=-reach, vmax=reach, aspect="auto")
    words = [drawable(token) for token in tokens]
    left.set_yticks(rows, words, fontsize=9, parse_math=False)
    left.set_xlabel(f"{len(query)} numbers, one a column")
    middle.barh(rows, products.sum(1) / len(query) ** 0.5, color=GREY)
    right.barh(rows, np.asarray(weights), color=BLUE)
    right.set_xlabel("weight")
    titles = (f'query of "{words[at]}" × each key', "sum / √d", "softmax")
    for ax, title in zip((left, middle, right), titles, strict=True):
        ax.set_title(title, fontsize=10, parse_math=False)
        ax.grid(visible=False)
    fig.colorbar(image, ax=left, shrink=0.8, location="left", pad=0.02)
    return fig


def _heads(ax: Axes, grid: np.ndarray, **scale: Any) -> Any:
    """One number for each head: layers are rows, heads columns."""
    image = ax.imshow(grid, aspect="auto", **scale)
    for axis, size in zip((ax.yaxis, ax.xaxis), grid.shape, strict=True):
        axis.set_ticks(range(size), range(size), fontsize=7)
    ax.set_ylabel("layer", fontsize=8)
    ax.grid(visible=False)
    return image


def patterns(times: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Times chance (layers, heads) by model (columns) and pattern (rows).

    The colours double at each step: white is as much as even attention would give. A
    ring marks the model's highest head of a pattern.
    """
    names = list(next(iter(times.values())))
    layers = max(len(found[names[0]]) for found in times.values())
    height = 0.8 + len(names) * (0.45 + 0.17 * layers)
    fig, axes = figure(8, height, nrows=len(names), ncols=len(times), squeeze=False)
    for column, (model, found) in zip(axes.T, times.items(), strict=True):
        for ax, name in zip(column, names, strict=True):
            steps = np.log2(np.maximum(found[name], 2.0**-6))
            image = _heads(ax, steps, cmap="PuOr_r", vmin=-6, vmax=6)
            layer, head = np.unravel_index(steps.argmax(), steps.shape)
            edge = "white" if steps.max() > 4 else "black"
            ax.plot(head, layer, "o", ms=7, mfc="none", mec=edge, mew=1.4)
            ax.set_title(f"{model}: {name}", fontsize=9)
            ax.label_outer()
        column[-1].set_xlabel("head")
    bar = fig.colorbar(image, ax=axes.ravel().tolist(), shrink=0.5)
    names = [f"1/{2**-n}" if n < 0 else f"{2**n}" for n in range(-6, 7, 2)]
    bar.set_ticks(range(-6, 7, 2), labels=names)
    bar.set_label("times chance")
    return fig


def removed(grids: Mapping[str, Any], unit: str) -> Figure:
    """What each head's removal changes, in hundredths: {title: `head_ablation.Grid`}.

    All on one scale. A dot marks a change larger than two standard errors.
    """
    layers = [len(grid.change) for grid in grids.values()]
    how = {"nrows": len(grids), "height_ratios": [n + 1.2 for n in layers]}
    height = 0.9 + sum(0.55 + 0.27 * n for n in layers)
    fig, axes = figure(8, height, squeeze=False, **how)
    reach = 100 * max(np.abs(grid.change).max() for grid in grids.values())
    scale = {"cmap": CHANGES, "vmin": -reach, "vmax": reach}
    for ax, (title, grid) in zip(axes[:, 0], grids.items(), strict=True):
        image = _heads(ax, 100 * grid.change, **scale)
        clear_layers, clear_heads = np.nonzero(grid.clear)
        ax.plot(clear_heads, clear_layers, "o", ms=4, color="black")
        ax.set_title(title, fontsize=10)
    axes[-1, 0].set_xlabel("head removed")
    fig.colorbar(image, ax=axes[:, 0].tolist(), label=unit, shrink=0.7)
    return fig


def together(
    curves: Mapping[str, Mapping[str, Mapping[int, float]]], floor: float
) -> Figure:
    """Masked accuracy (%) as ever more heads go: {model: {order: {heads: share}}}.

    `floor`: the share of who always says the most frequent piece.
    """
    fig, axes = figure(8, 3.2, ncols=len(curves), sharey=True, squeeze=False)
    for ax, (model, orders) in zip(axes[0], curves.items(), strict=True):
        total = max(max(points) for points in orders.values())
        for (order, points), colour in zip(orders.items(), PALETTE, strict=False):
            gone, shares = np.array([*points.items()]).T
            ax.plot(100 * gone / total, 100 * shares, "o-", ms=4, c=colour, label=order)
        ax.axhline(100 * floor, color=GREY, ls="--", lw=1.2)
        ax.set_title(f"{model}, {total} heads", fontsize=11)
        ax.set(xlabel="heads removed together (%)", ylabel="masked accuracy (%)")
        ax.set_ylim(0)
        ax.label_outer()
    note = {"va": "bottom", "fontsize": 9, "color": GREY}
    axes[0][0].text(0, 100 * floor, " always the same piece", **note)
    handles = axes[0][0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower center", ncols=2)
    return fig


def likeness(panels: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """How alike teacher layers (rows) and student layers (columns) are, up to 1.

    {measure: {"before": (teacher, student), "after": ...}}: each measure has a scale of
    its own, and each student layer's most alike teacher layer has a frame. The hidden
    states begin with the embeddings.
    """
    flat = [
        (m, when, grid) for m, sides in panels.items() for when, grid in sides.items()
    ]
    fig, axes = figure(8, 3.4, ncols=len(flat), squeeze=False)
    for ax, (measure, when, grid) in zip(axes[0], flat, strict=True):
        low = min(side.min() for side in panels[measure].values())
        ax.imshow(grid, cmap=WEIGHTS, vmin=1.2 * low - 0.2, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            paint = "white" if value > 0.4 * low + 0.6 else "black"
            how = {"ha": "center", "va": "center", "fontsize": 7, "color": paint}
            ax.text(column, row, f"{value:.2f}", **how)
        for column, row in enumerate(grid.argmax(0)):
            frame = {"fill": False, "ec": ORANGE, "lw": 2}
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
        for axis, size in zip((ax.yaxis, ax.xaxis), grid.shape, strict=True):
            names = ["emb", *range(size - 1)] if "hidden" in measure else range(size)
            axis.set_ticks(range(size), names, fontsize=8)
        ax.set_title(f"{measure}\n{when}", fontsize=9)
        ax.grid(visible=False)
    axes[0][0].set_ylabel("teacher")
    fig.supxlabel("student", fontsize=11)
    return fig

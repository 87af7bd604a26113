"""The explorer of `10_flash_attention`: what a score matrix weighs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
BATCHES = (1, 8, 16, 32, 64, 128)


def page(length: int, batch: int, heads: int, dtype: str) -> str:
    """The bars and a sentence below them, as HTML."""
    from helpers.flash_attention.cost import score_bytes, tile_bytes
    from helpers.flash_attention.plots import cost

    whole, tiles = (
        score_bytes(length, batch, heads, dtype),
        tile_bytes(length, batch, heads),
    )
    said = (
        f"The whole matrix: {whole / 2**20:,.1f} MiB; tiles: {tiles / 2**20:,.1f} MiB"
    )
    times = (
        f", {whole / tiles:,.1f} times less."
        if whole > tiles
        else ": nothing to save yet."
    )
    return f"{picture(cost(length, batch, heads, dtype), said)}<p>{said}{times}</p>"


def weigher(length: int, batch: int, heads: int, dtype: str) -> VBox:
    """Sliders for length, batch and heads, a choice of dtype, and the bars.

    Children: the four controls in this order, and the picture as HTML.
    """
    from ipywidgets import Dropdown, IntSlider, SelectionSlider, VBox

    from helpers.flash_attention.cost import BYTES

    wide = {"width": "60%"}
    controls = (
        SelectionSlider(
            options=LENGTHS, value=length, description="length", layout=wide
        ),
        SelectionSlider(options=BATCHES, value=batch, description="batch", layout=wide),
        IntSlider(heads, min=1, max=16, description="heads", layout=wide),
        Dropdown(options=list(BYTES), value=dtype, description="numbers"),
    )
    shown = follow(controls, lambda: page(*(control.value for control in controls)))
    return VBox([*controls, shown])

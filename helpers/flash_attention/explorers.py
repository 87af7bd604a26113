"""The explorer of `10_flash_attention`: what a score matrix weighs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from helpers.flash_attention.plots import MIB, cost
from helpers.show.widgets import follow, picture

Weigh = Callable[[int, int, int, str], Mapping[str, int]]


def weigher(weigh: Weigh, length: int, batch: int, heads: int, dtype: str) -> Any:
    """Length, batch, heads and dtype to choose; `weigh` of them as bars and in words.

    Children: the four controls in this order, and the picture as HTML.
    """
    from ipywidgets import Dropdown, IntSlider, SelectionSlider, VBox

    wide = {"layout": {"width": "60%"}}
    lengths, batches = [2**n for n in range(6, 13)], (1, 8, 16, 32, 64, 128)
    controls = (
        SelectionSlider(options=lengths, value=length, description="length", **wide),
        SelectionSlider(options=batches, value=batch, description="batch", **wide),
        IntSlider(heads, min=1, max=16, description="heads", **wide),
        Dropdown(options=["float32", "float16", "bfloat16"], value=dtype,
                 description="numbers"),
    )  # fmt: skip

    def page() -> str:
        chosen = [control.value for control in controls]
        _, scores, tiles = (n / MIB for n in weigh(*chosen).values())
        said = f"The whole matrix: {scores:,.1f} MiB; tiles: {tiles:,.1f} MiB"
        less = f", {scores / tiles:,.1f} times less." if scores > tiles else ""
        drawn = picture(cost(weigh, *chosen), said)
        return f"{drawn}<p>{said}{less or ': nothing to save yet.'}</p>"

    return VBox([*controls, follow(controls, page)])

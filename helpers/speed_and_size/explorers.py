"""The explorer of `11_speed_and_size`: a batch's time, forecast and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from helpers.show.plots import BLUE, GREY, ORANGE, figure
from helpers.show.widgets import follow, picture
from helpers.speed_and_size.plots import doubling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Shape(NamedTuple):
    """What was timed: so many texts of so many tokens, on so many threads."""

    threads: int
    batch: int
    length: int


class Forecast:
    """seconds = start + a x tokens + b x pairs of tokens, fitted to {Shape: seconds}.

    For each number of threads by itself, by least squares of the relative errors; none
    of the three is negative. `parts`: {threads: [start, a, b]}.
    """

    def __init__(self, measured: Mapping[Shape, float]) -> None:
        from scipy.optimize import nnls

        self.measured, self.parts = dict(measured), {}
        for threads in sorted({shape.threads for shape in measured}):
            found = {s: t for s, t in measured.items() if s.threads == threads}
            rows = [np.array(_terms(s)) / seconds for s, seconds in found.items()]
            self.parts[threads] = nnls(np.array(rows), np.ones(len(rows)))[0].tolist()

    def seconds(self, shape: Shape) -> float:
        """What the fit says of a shape, measured or not."""
        return float(np.dot(self.parts[shape.threads], _terms(shape)))


def _terms(shape: Shape) -> tuple[int, int, int]:
    tokens = shape.batch * shape.length
    return 1, tokens, tokens * shape.length


def still(forecast: Forecast, shape: Shape) -> Figure:
    """Milliseconds over the batch size: the forecast, and what was measured as dots."""
    (threads, batch, length), known = shape, {}
    told = {b: forecast.seconds(shape._replace(batch=b)) for b in BATCHES}
    for size in forecast.measured:
        if (size.threads, size.length) == (threads, length):
            known[size.batch] = forecast.measured[size]
    fig, ax = figure(8, 3.2)
    for found, style, label in (
        (told, {"color": GREY}, "forecast"),
        (known, {"color": BLUE, "marker": "o", "ls": ""}, "measured"),
        ({batch: told[batch]}, {"color": ORANGE, "marker": "D", "ls": "", "ms": 10},
         "your choice, forecast"),
    ):  # fmt: skip
        ax.plot(list(found), [1000 * t for t in found.values()], label=label, **style)
    ax.set_yscale("log")
    doubling(ax, told)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="texts in a batch", ylabel="milliseconds for the batch")
    ax.set_title(f"{length} tokens each, {threads} thread{'s' * (threads > 1)}")
    ax.legend()
    return fig


def sentence(forecast: Forecast, shape: Shape) -> str:
    """The forecast, what was measured if it was, and how much of it is the start."""
    seconds, tokens = forecast.seconds(shape), shape.batch * shape.length
    start = forecast.parts[shape.threads][0] / seconds
    known = forecast.measured.get(shape)
    found = f"measured {1000 * known:.1f} ms" if known else "not measured"
    return (
        f"{shape.batch} x {shape.length} tokens: forecast {1000 * seconds:.1f} ms, "
        f"{found}; {tokens / seconds:,.0f} tokens a second; "
        f"{start:.0%} of it is the same for any batch"
    )


def forecaster(forecast: Forecast, shape: Shape) -> Any:
    """Batch, length, threads: a slider for each that has a choice; last the picture."""
    from ipywidgets import SelectionSlider, VBox

    columns = zip(*forecast.measured, strict=True)
    threads, _, lengths = (sorted(set(column)) for column in columns)
    options = {"batch": BATCHES, "length": lengths, "threads": threads}
    sliders = [
        SelectionSlider(options=values, value=getattr(shape, name), description=name,
                        layout={"width": "60%"})
        for name, values in options.items()
        if len(values) > 1  # one core, one number of threads
    ]  # fmt: skip

    def page() -> str:
        chosen = shape._replace(**{one.description: one.value for one in sliders})
        said = sentence(forecast, chosen)
        return f"{picture(still(forecast, chosen), said)}<p>{said}</p>"

    return VBox([*sliders, follow(sliders, page)])

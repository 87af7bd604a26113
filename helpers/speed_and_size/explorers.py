"""The explorer of `11_speed_and_size`: how long a batch takes, forecast and
measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Shape(NamedTuple):
    """What was timed: so many texts of so many tokens, on so many threads."""

    threads: int
    batch: int
    length: int


class Forecast:
    """seconds = start + a x tokens + b x pairs of tokens, fitted to `measured` {Shape:
    seconds}.

    For each number of threads by itself, by least squares of the relative errors.
    Coefficients below zero are set to 0 and the others fitted again.
    """

    def __init__(self, measured: Mapping[Shape, float]) -> None:
        self.measured = dict(measured)
        self.threads = sorted({shape.threads for shape in measured})
        self.lengths = sorted({shape.length for shape in measured})
        self.parts = {threads: self._fitted(threads) for threads in self.threads}

    def _fitted(self, threads: int) -> list[float]:
        import numpy as np

        found = {
            shape: t for shape, t in self.measured.items() if shape.threads == threads
        }
        rows = (
            np.array([_terms(shape) for shape in found])
            / np.array([*found.values()])[:, None]
        )
        kept = [0, 1, 2]
        while True:
            solved = np.linalg.lstsq(rows[:, kept], np.ones(len(rows)), rcond=None)[0]
            if (solved >= 0).all():
                break
            kept = [at for at, value in zip(kept, solved, strict=True) if value > 0]
        values = dict(zip(kept, solved.tolist(), strict=True))
        return [values.get(at, 0.0) for at in range(3)]

    def seconds(self, shape: Shape) -> float:
        """What the fit says of a shape, measured or not."""
        return sum(
            a * b for a, b in zip(self.parts[shape.threads], _terms(shape), strict=True)
        )

    def error(self) -> float:
        """The median distance from what was measured, as a share of it."""
        import statistics

        return statistics.median(
            abs(self.seconds(s) / t - 1) for s, t in self.measured.items()
        )


def _terms(shape: Shape) -> tuple[int, int, int]:
    tokens = shape.batch * shape.length
    return 1, tokens, tokens * shape.length


def still(forecast: Forecast, shape: Shape) -> Figure:
    """The picture for one choice."""
    from helpers.speed_and_size.plots import forecast as drawn

    told = {b: forecast.seconds(shape._replace(batch=b)) for b in BATCHES}
    same = {
        s.batch: seconds
        for s, seconds in forecast.measured.items()
        if (s.threads, s.length) == (shape.threads, shape.length)
    }
    title = (
        f"{shape.length} tokens each, {shape.threads} thread{'s' * (shape.threads > 1)}"
    )
    return drawn(same, told, shape.batch, title)


def sentence(forecast: Forecast, shape: Shape) -> str:
    """The forecast, what was measured if it was, and how much of it is the start."""
    seconds = forecast.seconds(shape)
    start = forecast.parts[shape.threads][0] / seconds
    known = forecast.measured.get(shape)
    measured = f", measured {1000 * known:.1f} ms" if known else ", not measured"
    speed = shape.batch * shape.length / seconds
    return (
        f"{shape.batch} x {shape.length} tokens: forecast {1000 * seconds:.1f} ms{measured}; "
        f"{speed:,.0f} tokens a second; {start:.0%} of it is the same for any batch"
    )


def forecaster(forecast: Forecast, shape: Shape) -> VBox:
    """Choose batch, length, threads: a slider for each that has a choice; last the
    picture.
    """
    from ipywidgets import SelectionSlider, VBox

    options = {
        "batch": BATCHES,
        "length": forecast.lengths,
        "threads": forecast.threads,
    }
    controls = {
        name: SelectionSlider(
            options=list(values),
            value=getattr(shape, name),
            description=name,
            layout={"width": "60%"},
        )
        for name, values in options.items()
        if len(values) > 1  # one core, one number of threads
    }

    def page() -> str:
        chosen = shape._replace(
            **{name: control.value for name, control in controls.items()}
        )
        said = sentence(forecast, chosen)
        return f"{picture(still(forecast, chosen), said)}<p>{said}</p>"

    sliders = list(controls.values())
    return VBox([*sliders, follow(sliders, page)])

"""What moves in `03_distillation_objective`: a temperature, and a run as it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ipywidgets import FloatSlider, VBox
from matplotlib.figure import Figure

from helpers.distillation import curves, plots
from helpers.show.progress import Progress
from helpers.show.widgets import follow, picture

SWEEP = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 10)


class TemperatureTrial:
    """Teacher and student at one masked word, softened as far as wanted.

    `logits`: (V,) of "teacher" and "student". `measure` gives KL(teacher || student)
    at a temperature and the size of its gradient, both without T squared. `tokens`
    gives pieces for ids; the teacher's `k` likeliest are shown.
    """

    def __init__(
        self,
        logits: Mapping[str, torch.Tensor],
        measure: Callable[[float], tuple[float, float]],
        tokens: Callable[[list[int]], list[str]],
        k: int = 8,
    ) -> None:
        self.logits, self.measure = logits, measure
        self.top = logits["teacher"].topk(k).indices  # (k,)
        self.words = tokens(self.top.tolist())
        self.sweep = {temperature: measure(temperature)[1] for temperature in SWEEP}

    def said(self, temperature: float) -> str:
        """The numbers at one temperature, in a line."""
        kl, gradient = self.measure(temperature)
        scaled = [temperature**2 * value for value in (kl, gradient)]
        return (
            f"T = {temperature:g}: KL {kl:.3f}, gradient {gradient:.3f}; "
            f"times T²: {scaled[0]:.3f} and {scaled[1]:.3f}"
        )

    def figure(self, temperature: float) -> Figure:
        """The picture at one temperature."""
        shares = {
            name: (logits / temperature).softmax(-1)[self.top].tolist()
            for name, logits in self.logits.items()
        }
        title = self.said(temperature)
        return plots.softened(self.words, shares, self.sweep, temperature, title)


def temperature_slider(trial: TemperatureTrial, temperature: float) -> VBox:
    """A slider for the temperature above the picture."""
    look = {"continuous_update": False, "layout": {"width": "30em"}}
    limits = {"min": 0.25, "max": 10, "step": 0.25}
    slider = FloatSlider(temperature, description="T", **limits, **look)

    def draw() -> str:
        return picture(trial.figure(slider.value), trial.said(slider.value))

    return VBox([slider, follow([slider], draw)])


class LiveCurves(Progress):
    """A line with the time left, and a picture of the run, renewed at each evaluation.

    `teacher`: its held-out `perplexity` and `masked_accuracy`. `beside`: earlier runs'
    `held_out`, by name. Afterwards `held_out` holds what was drawn, and `seconds` how
    long the run took, its evaluations included.
    """

    def __init__(
        self,
        name: str,
        steps: int,
        teacher: Mapping[str, float],
        beside: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    ) -> None:
        super().__init__(steps)
        self.name, self.teacher, self.beside = name, teacher, dict(beside or {})
        self.training: list[dict[str, float]] = []
        self.held_out: list[dict[str, float]] = []
        self.seconds, self.drawing = 0.0, None

    def on_log(self, args, state, control, logs: Any = None, **keywords: Any) -> None:
        line = {"step": state.global_step, **(logs or {})}
        if "eval_perplexity" in line:
            names = ("perplexity", "masked_accuracy")
            figures = {name: line[f"eval_{name}"] for name in names}
            self.held_out.append({"step": line["step"], **figures})
            self.seconds = self.clock() - self.began
            self._show(f"{self.name}: step {line['step']} of {state.max_steps}")
        elif "loss" in line:
            self.training.append(line)

    def _show(self, title: str) -> None:
        from IPython.display import display

        runs = {**self.beside, self.name: self.held_out}
        drawing = curves.live_curves(runs, self.training, self.teacher, title)
        if self.drawing is None:  # stays None where nothing can be shown
            self.drawing = display(drawing, display_id=True)
        else:
            self.drawing.update(drawing)

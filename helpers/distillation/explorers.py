"""What moves in `03_distillation_objective`: a temperature to slide, and a run drawn as
it goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from helpers.distillation import plots
from helpers.show.widgets import follow, picture

if TYPE_CHECKING:
    import torch
    from ipywidgets import VBox
    from matplotlib.figure import Figure

SWEEP = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 10)


class TemperatureTrial:
    """Teacher and student at one masked word, softened as far as wanted.

    `teacher`, `student`: logits (V,). `tokens` gives pieces for ids; `k` words are
    shown, the teacher's likeliest at temperature 1.
    """

    def __init__(
        self,
        teacher: torch.Tensor,
        student: torch.Tensor,
        tokens: Callable[[list[int]], list[str]],
        k: int = 8,
    ) -> None:
        self.teacher, self.student = teacher.float(), student.float()
        self.top = self.teacher.topk(k).indices  # (k,)
        self.words = tokens(self.top.tolist())
        sizes = [self.gradient(temperature) for temperature in SWEEP]
        self.sweep = {
            "T": list(SWEEP),
            "with T²": [T**2 * size for T, size in zip(SWEEP, sizes, strict=True)],
            "without T²": sizes,
        }

    def divergence(self, temperature: float) -> float:
        """KL(teacher || student) of the softened distributions, in nats, without T
        squared.
        """
        log_p = (self.teacher / temperature).log_softmax(-1)
        log_q = (self.student / temperature).log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum().item()

    def gradient(self, temperature: float) -> float:
        """The norm of that divergence's gradient by the student's logits: |q - p| /
        T.
        """
        p = (self.teacher / temperature).softmax(-1)
        q = (self.student / temperature).softmax(-1)
        return (q - p).norm().item() / temperature

    def said(self, temperature: float) -> str:
        """The numbers at one temperature, in a line."""
        kl, gradient = self.divergence(temperature), self.gradient(temperature)
        T = temperature  # noqa: N806
        return (
            f"T = {T:g}: KL {kl:.3f}, gradient {gradient:.3f}; "
            f"times T²: {T**2 * kl:.3f} and {T**2 * gradient:.3f}"
        )

    def figure(self, temperature: float) -> Figure:
        """The picture at one temperature."""
        shares = [
            (logits / temperature).softmax(-1)[self.top].tolist()
            for logits in (self.teacher, self.student)
        ]
        return plots.softened(
            self.words, *shares, self.sweep, temperature, self.said(temperature)
        )


def temperature_slider(trial: TemperatureTrial, temperature: float) -> VBox:
    """A slider for the temperature above the picture. Children: the slider, the picture
    as HTML.
    """
    from ipywidgets import FloatSlider, VBox

    slider = FloatSlider(
        temperature, min=0.25, max=10, step=0.25, description="T", continuous_update=False,
        layout={"width": "30em"},
    )  # fmt: skip

    def draw() -> str:
        return picture(trial.figure(slider.value), trial.said(slider.value))

    return VBox([slider, follow([slider], draw)])


class LiveCurves(TrainerCallback):
    """Draws a training run while it runs: one picture, renewed at each evaluation.

    `teacher`: its held-out `perplexity` and `masked_accuracy`. `beside`: earlier runs'
    `held_out`, by name. Afterwards `training` and `held_out` hold what was drawn, and
    `seconds` how long the run took, its evaluations included.
    """

    def __init__(
        self,
        name: str,
        teacher: Mapping[str, float],
        beside: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    ) -> None:
        self.name, self.teacher, self.beside = name, teacher, dict(beside or {})
        self.training: list[dict[str, float]] = []
        self.held_out: list[dict[str, float]] = []
        self.seconds = self.began = 0.0
        self.handle: Any = None

    def figure(self, step: int = 0, steps: int = 0) -> Figure:
        """The picture as it stands; its title says step, seconds and time left."""
        title = f"{self.name}: {progress(step, steps, self._elapsed())}"
        runs = {**self.beside, self.name: self.held_out}
        return plots.live_curves(runs, self.training, self.teacher, title)

    def on_train_begin(self, args, state, control, **keywords):
        self.began = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **keywords):
        line = {"step": state.global_step, **(logs or {})}
        if "eval_perplexity" in line:
            names = ("perplexity", "masked_accuracy")
            figures = {name: line[f"eval_{name}"] for name in names}
            self.held_out.append(
                {"step": line["step"], "seconds": self._elapsed(), **figures}
            )
            self._show(state)
        elif "loss" in line:
            self.training.append(line)

    def on_train_end(self, args, state, control, **keywords):
        self.seconds = self._elapsed()
        self._show(state)

    def _elapsed(self) -> float:
        return self.seconds or (time.perf_counter() - self.began if self.began else 0.0)

    def _show(self, state: Any) -> None:
        from IPython.display import display

        drawing = self.figure(state.global_step, state.max_steps)
        if self.handle is None:
            self.handle = display(
                drawing, display_id=True
            )  # None where nothing can be shown
        else:
            self.handle.update(drawing)


class ManyRuns(TrainerCallback):
    """One line for several training runs in turn: which is on, its step, and the time
    left.

    `names`: the runs in their order; each `on_train_begin` starts the next.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.number, self.began = list(names), 0, time.perf_counter()
        self.handle: Any = None

    def line(self, step: int, steps: int) -> str:
        """The line; the time left counts what comes between the runs as well."""
        done = self.number - 1 + step / steps
        spent = time.perf_counter() - self.began
        left = spent / done * (len(self.names) - done) if done else 0.0
        name = self.names[self.number - 1]
        said = f"run {self.number} of {len(self.names)}: {name}, step {step} of {steps}"
        return f"{said}, about {_clock(left)} left" if left else said

    def on_train_begin(self, args, state, control, **keywords):
        self.number += 1

    def on_step_end(self, args, state, control, **keywords):
        from IPython.display import Markdown, display

        shown = Markdown(self.line(state.global_step, state.max_steps))
        if self.handle is None:
            self.handle = display(shown, display_id=True)
        else:
            self.handle.update(shown)


def progress(step: int, steps: int, seconds: float) -> str:
    """How far a run is, in words.

    >>> progress(20, 100, 15.0)
    'step 20 of 100, 0:15, about 1:00 left'
    >>> progress(100, 100, 75.0)
    '100 steps in 1:15'
    """
    if step and step == steps:
        return f"{steps} steps in {_clock(seconds)}"
    if not step:
        return f"step 0 of {steps}"
    left = seconds / step * (steps - step)
    return f"step {step} of {steps}, {_clock(seconds)}, about {_clock(left)} left"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

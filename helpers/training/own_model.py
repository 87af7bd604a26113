"""`workbook fine-tune`: a head trained on your own rows, the best epoch kept, ready to
be used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    from datasets import DatasetDict

    from helpers.checkpoints import Checkpoint
    from helpers.data.tasks import Task
    from helpers.training.finetuning import Recipe

ABOUT = "workbook.json"  # what `predict` has to know, beside the model
SCORES = {
    "classification": "macro_f1",
    "multilabel": "micro_f1",
    "regression": "spearman",
    "similarity": "spearman",
    "tokens": "f1",
    "questions": "f1",
    "choices": "accuracy",
}
LONG = 20 * 60  # seconds: a training beyond this is foretold with what would fit


def task_of(head: str) -> Task:
    """A task of your own: a head, and the score by which the best epoch is chosen."""
    from helpers.data.tasks import Task

    return Task("own", head, "", "", SCORES[head], "")


def recipe_for(head: str, profile: str, epochs: float = 0, rate: float = 0) -> Recipe:
    """The usual recipe of the head; `epochs` and `rate` (learning rate) replace its
    own.
    """
    from helpers.core import profiles
    from helpers.training import finetuning

    like = {
        "classification": "topic", "multilabel": "aspects", "regression": "stars",
        "similarity": "stars", "tokens": "entities", "questions": "questions",
        "choices": "next",
    }  # fmt: skip
    found = finetuning.recipe(replace(task_of(head), name=like[head]), profile)
    if profiles.profile(profile).name == "classroom" and not found.steps > 0:
        found = replace(found, max_length=max(found.max_length, 128))
    return replace(
        found, epochs=epochs or found.epochs, learning_rate=rate or found.learning_rate
    )


def train(
    head: str,
    sets: DatasetDict,
    checkpoint: Checkpoint,
    recipe: Recipe,
    output: Path,
    seed: int = 0,
    say: Callable[[str], None] = print,
    about: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Fine-tune on `sets["train"]`, keep the epoch that is best on `sets["test"]`.

    `output` gets model, tokenizer, and `workbook.json` with what `predict` needs and
    whatever `about` holds. `say` is told the score after each epoch and, once the first
    steps are measured, how long it will take. Returns the scores of the kept epoch.

    Raises `WorkbookError` when `output` is there already and not empty.
    """
    from helpers.training import finetuning

    if output.exists() and any(output.iterdir()):
        raise WorkbookError(f"{output} is not empty: name another --output, or move it")
    task = task_of(head)
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=".training-") as folder:
        trainer = finetuning.prepare(
            task, sets, checkpoint, recipe, seed, Path(folder) / "epochs",
            [_watcher(task, recipe, say)],
            eval_strategy="epoch", save_strategy="epoch", save_total_limit=1,
            save_only_model=True, load_best_model_at_end=True,
            metric_for_best_model=task.score,
        )  # fmt: skip
        trainer.train()
        found = finetuning.scored(trainer, 0).scores
        whole = Path(folder) / "model"
        trainer.save_model(str(whole))
        trainer.data_collator.tokenizer.save_pretrained(whole)
        note = {"head": head, "recipe": asdict(recipe), "scores": found, "columns": {}}
        note |= about or {}
        note |= {"rows": {split: len(rows) for split, rows in sets.items()}}
        (whole / ABOUT).write_text(json.dumps(note, indent=1), encoding="utf8")
        if output.exists():
            output.rmdir()
        whole.rename(output)
    return found


def _watcher(task: Task, recipe: Recipe, say: Callable[[str], None]) -> Any:
    """A callback that says the score of each epoch, and how long the whole will
    take.
    """
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        began = 0.0

        def on_step_begin(self, args, state, control, **keywords):
            if state.global_step == 2:  # the first steps are slower than the rest
                self.began = time.perf_counter()

        def on_step_end(self, args, state, control, **keywords):
            if state.global_step == 12:
                each = (time.perf_counter() - self.began) / 10
                say(forecast(each, state.max_steps, recipe.epochs))

        def on_evaluate(self, args, state, control, metrics=None, **keywords):
            score, loss = metrics[f"eval_{task.score}"], metrics.get("eval_loss")
            shown = "" if loss is None else f", validation loss {loss:.3f}"
            say(
                f"epoch {state.epoch:.0f} of {recipe.epochs:g}: {task.score} {score:.3f}{shown}"
            )

    return Watcher()


def forecast(seconds: float, steps: int, epochs: float) -> str:
    """What a training of so many `steps` takes, and, where that is long, what would
    fit.

    >>> forecast(1.0, 2400, 8)
    'about 40 minutes; 4 epochs would take 20: --epochs 4'
    """
    whole = seconds * steps
    line = (
        f"about {whole / 60:.0f} minutes"
        if whole > 90
        else f"about {whole:.0f} seconds"
    )
    if whole <= LONG:
        return line
    fit = epochs * LONG / whole
    if fit < 1:
        return f"{line}; --epochs 1 with {fit:.0%} of the rows would take 20"
    minutes = int(fit) / epochs * whole / 60
    return f"{line}; {int(fit)} epochs would take {minutes:.0f}: --epochs {int(fit)}"

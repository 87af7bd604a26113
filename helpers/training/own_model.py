"""`workbook fine-tune`: a head trained on your own rows, the best epoch kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from helpers.core.errors import WorkbookError
from helpers.data.tasks import Task
from helpers.training import finetuning

if TYPE_CHECKING:
    from datasets import DatasetDict

    from helpers.checkpoints import Checkpoint
    from helpers.training.finetuning import Recipe

ABOUT = "workbook.json"  # what `predict` has to know, beside the model
HEADS = {  # head: the score by which the best epoch is chosen, the task with its recipe
    "classification": ("macro_f1", "topic"),
    "multilabel": ("micro_f1", "aspects"),
    "regression": ("spearman", "stars"),
    "similarity": ("spearman", "stars"),
    "tokens": ("f1", "entities"),
    "questions": ("f1", "questions"),
    "choices": ("accuracy", "next"),
}
SCORES = {head: score for head, (score, _) in HEADS.items()}
LONG = 20 * 60  # seconds: a training beyond this is foretold with what would fit


def recipe_for(head: str, profile: str, epochs: float = 0, rate: float = 0) -> Recipe:
    """The usual recipe of the head; `epochs` and `rate` replace its own."""
    score, like = HEADS[head]
    found = finetuning.recipe(Task(like, head, "", "", score, ""), profile)
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
    """
    if output.exists() and any(output.iterdir()):
        raise WorkbookError(f"{output} is not empty: name another --output, or move it")
    task = Task("own", head, "", "", SCORES[head], "")
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=".training-") as folder:
        trainer = finetuning.prepare(
            task, sets, checkpoint, recipe, seed, Path(folder) / "epochs",
            [_watcher(task.score, recipe.epochs, say)],
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


def _watcher(score: str, epochs: float, say: Callable[[str], None]) -> Any:
    """A callback that says each epoch's score, and how long the whole will take."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        began = 0.0

        def on_step_begin(self, args, state, control, **keywords):
            if state.global_step == 2:  # the first steps are slower than the rest
                self.began = time.perf_counter()

        def on_step_end(self, args, state, control, **keywords):
            if state.global_step == 12:
                each = (time.perf_counter() - self.began) / 10
                say(forecast(each, state.max_steps, epochs))

        def on_evaluate(self, args, state, control, metrics=None, **keywords):
            line = f"epoch {state.epoch:.0f} of {epochs:g}: {score} "
            line += f"{metrics[f'eval_{score}']:.3f}"
            if "eval_loss" in metrics:
                line += f", validation loss {metrics['eval_loss']:.3f}"
            say(line)

    return Watcher()


def forecast(seconds: float, steps: int, epochs: float) -> str:
    """What a training of so many `steps` takes, and what would fit where that is long.

    >>> forecast(1.0, 2400, 8)
    'about 40 minutes; 4 epochs would take 20: --epochs 4'
    """
    whole = seconds * steps
    line = f"about {whole:.0f} seconds"
    if whole > 90:
        line = f"about {whole / 60:.0f} minutes"
    if whole <= LONG:
        return line
    fit = epochs * LONG / whole
    if fit < 1:
        return f"{line}; --epochs 1 with {fit:.0%} of the rows would take 20"
    minutes = int(fit) / epochs * whole / 60
    return f"{line}; {int(fit)} epochs would take {minutes:.0f}: --epochs {int(fit)}"

"""The paper's ablation in miniature: what each loss, and the teacher's start, is worth.

Six students of one size learn from one teacher for the same number of steps: with all
three losses, without each of them, from random weights, and with no teacher at all.
Each is then asked for held-out words and fine-tuned on two small tasks. `workbook
ablation` runs it for several seeds and keeps the result.

Source: Sanh et al. 2019, table 4.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from helpers import checkpoints, data
from helpers.checkpoints.convert import spread
from helpers.core import profiles
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.core.machine import bf16_pays, machine
from helpers.data import tasks
from helpers.data.texts import Masking, Sequences, cut
from helpers.distillation.objective import Objective
from helpers.distillation.pretraining import load_teacher
from helpers.distillation.settings import RECIPES
from helpers.distillation.trainer import (
    DistillationTrainer,
    Student,
    random_student,
    student_of,
    training_arguments,
)
from helpers.training.finetuning import Recipe, fine_tune
from helpers.training.metrics import masked_accuracy_of_ids

STORED = data.DATA / "measurements" / "ablation.json"
MAX_LENGTH, POINTS, MLM_PROBABILITY = 96, 6, 0.2
HOW = {
    "learning_rate": 5e-4,
    "lr_scheduler_type": "constant_with_warmup",  # flat: curves can be compared
    "warmup_steps": 20,
    "per_device_train_batch_size": 24,
    "gradient_accumulation_steps": 1,
    "max_grad_norm": 1.0,
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}
FEW_SHOT = {"sentiment": Recipe(3, 1e-4), "entities": Recipe(5, 2e-4)}
LONGER = 1.8  # how much further the arm without a teacher goes: its steps are cheaper

TRIPLE = Objective(cosine=20.0, positions="masked")
ARMS = {
    "triple loss": TRIPLE,
    "no distillation loss": replace(TRIPLE, distillation=0.0),
    "no cosine loss": replace(TRIPLE, cosine=0.0),
    "no masked LM loss": replace(TRIPLE, masked_lm=0.0),
    "random start": TRIPLE,
    "masked LM alone": replace(TRIPLE, distillation=0.0, cosine=0.0),
}


def steps_of(arm: str, common: int) -> int:
    """How many steps an arm takes, where the others take so many."""
    return common if ARMS[arm].needs_teacher else round(LONGER * common)


def described() -> dict[str, dict[str, Any]]:
    """Each arm's weights and start, as a report holds them."""
    weights = ("distillation", "masked_lm", "cosine")
    return {
        arm: {name: getattr(objective, name) for name in weights}
        | {"random_start": arm == "random start"}
        for arm, objective in ARMS.items()
    }


def sample_texts(profile: str = "classroom") -> list[str]:
    """The training texts of the sample sets, 61,000 tokens; in `full`, WikiText-2's."""
    if profiles.profile(profile).online:
        return data.passages(profile, "train")
    rows = {name: list(data.rows(name, "train")) for name in data.NAMES}
    rows["reviews"] = list(data.rows("reviews", "train", "wry"))
    plain = [row for name in ("corpus", "reviews", "pairs") for row in rows[name]]
    texts = [row["text"] for row in plain]
    texts += [" ".join(row["tokens"]) for row in rows["entities"]]
    texts += [f"{r['context']} {r['choices'][r['label']]}" for r in rows["endings"]]
    contexts = dict.fromkeys(row["context"] for row in rows["questions"])
    return texts + [text for text in contexts if text not in texts]


class Experiment:
    """What all arms share, loaded once: teacher, tokenizer, texts, held-out texts."""

    def __init__(self, profile: str = "classroom", steps: int | None = None):
        self.profile = profiles.profile(profile)
        self.steps = steps or self.profile.distil_steps
        self.teacher, self.tokenizer = load_teacher(RECIPES[profile])
        self.rows = cut(sample_texts(profile), self.tokenizer, MAX_LENGTH)
        self.held_out = cut(data.passages(profile, "test"), self.tokenizer, MAX_LENGTH)
        self.layers = spread(self.teacher.config.n_layers)

    def settings(self) -> dict[str, Any]:
        """What a stored run must have been made with, to be gone on with."""
        return {
            "profile": self.profile.name, "steps": self.steps, "layers": self.layers,
            "batch": HOW["per_device_train_batch_size"], "max_length": MAX_LENGTH,
            "learning_rate": HOW["learning_rate"], "mlm_probability": MLM_PROBABILITY,
            "sequences": len(self.rows), "arms": described(),
        }  # fmt: skip

    def scores(self, model: Any) -> dict[str, float]:
        """Held-out `masked_accuracy` in [0, 1] and `loss`, cross-entropy in nats."""
        how = {"maskings": self.profile.maskings, "seed": 1}
        found = masked_accuracy_of_ids(model, self.tokenizer, self.held_out, **how)
        return {"masked_accuracy": found["accuracy"], "loss": found["loss"]}

    def transfer(self, model: Any, seed: int) -> dict[str, float]:
        """Few-shot scores of a trained encoder on the sample tasks."""
        return {name: few_shot(model, name, seed) for name in FEW_SHOT}

    def run(
        self, arm: str, seed: int, watch: TrainerCallback | None = None
    ) -> dict[str, Any]:
        """Train and score the student of one arm; `watch` sees the run as it goes.

        Returns `curve`, a list of {step, seconds, loss, masked_accuracy} from step 0
        (seconds of training alone), and `transfer`, a score in [0, 1] for each task.
        """
        student = start(self.teacher, arm, self.layers, seed)
        curve = _Curve(self, student)
        DistillationTrainer(
            model=student,
            args=training_arguments(
                Path(tempfile.gettempdir()) / "workbook-ablation",  # nothing is saved
                self.profile.name,
                max_steps=steps_of(arm, self.steps),
                bf16=bf16_pays(),
                seed=seed,
                **HOW,
            ),
            train_dataset=Sequences.of(self.rows, seed),
            data_collator=Masking(self.tokenizer, MLM_PROBABILITY),
            teacher=copy.deepcopy(self.teacher),  # the trainer turns its own to bf16
            objective=ARMS[arm],
            callbacks=[curve, watch] if watch else [curve],
        ).train()
        return {"curve": curve.points, "transfer": self.transfer(curve.kept, seed)}


def start(teacher: Any, arm: str, layers: Sequence[int], seed: int) -> Student:
    """An arm's student before its first step; the teacher's embeddings are frozen."""
    torch.manual_seed(seed)
    if arm == "random start":
        return random_student(teacher, len(layers), dropout=0.0)
    student = student_of(teacher, layers, dropout=0.0)
    student.distilbert.embeddings.requires_grad_(False)
    return student


class _Curve(TrainerCallback):
    """Held-out figures as a run goes on, the clock stopped meanwhile.

    `kept`: the student as it was after the common number of steps.
    """

    def __init__(self, experiment: Experiment, student: Student):
        self.experiment, self.student, self.seconds = experiment, student, 0.0
        self.points = [{"step": 0, "seconds": 0.0, **experiment.scores(student)}]

    def on_step_begin(self, args, state, control, **keywords):
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **keywords):
        self.seconds += time.perf_counter() - self.began
        step, common = state.global_step, self.experiment.steps
        if step % max(1, common // POINTS) and step not in (common, state.max_steps):
            return
        scores = self.experiment.scores(self.student)
        self.student.train()
        self.points.append({"step": step, "seconds": round(self.seconds, 1), **scores})
        if step == common:
            self.kept = copy.deepcopy(self.student)


def few_shot(
    model: Any, name: str, seed: int, task: tasks.Task | None = None, sets: Any = None
) -> float:
    """The score of an encoder fine-tuned on a little data: what it is worth to a task.

    `name` is one of `FEW_SHOT`, which holds the recipe; `task` and `sets` replace the
    sample task of that name. `model`, a BERT or DistilBERT with any head, stays as it
    is.
    """
    kind = {"bert": "BERT", "distilbert": "DistilBERT"}[model.config.model_type]
    whole, task = copy.deepcopy(model), task or tasks.task(name)
    for field in ("dropout", "attention_dropout"):
        if hasattr(whole.config, field):
            setattr(whole.config, field, 0.1)  # whatever it was distilled with
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.save(whole, Path(folder), kind, "to be fine-tuned")
        start = checkpoints.Checkpoint(folder)
        sets = sets or tasks.sample(task)
        found = fine_tune(task, sets, start, FEW_SHOT[name], seed)
    return found.scores[task.score]


def keys(seeds: int) -> list[str]:
    """The keys of a whole run, in its order: seed by seed, the teacher first."""
    return [f"{name}/{seed}" for seed in range(seeds) for name in ("teacher", *ARMS)]


def run(
    path: Path = STORED,
    seeds: int = 3,
    profile: str = "classroom",
    steps: int | None = None,
    done: Callable[[str], None] = lambda key: None,
) -> dict[str, Any]:
    """Every arm and seed that `path` does not hold yet; it is rewritten after each.

    `done` is told the key, `arm/seed`, of each as it is finished. `WorkbookError` when
    the file was made with other settings.
    """
    experiment = Experiment(profile, steps)
    settings = experiment.settings()
    report = {"settings": settings, "machine": machine(), "teacher": {}, "runs": {}}
    if path.exists():
        report = load(path)
        if report["settings"] != settings:
            line = f"{path} holds a run with other settings: move it away first"
            raise WorkbookError(line)
    runs, teacher = report["runs"], report["teacher"]
    if not teacher:
        teacher.update(experiment.scores(experiment.teacher), transfer={})
    scores = teacher["transfer"]
    for key in keys(seeds):
        name, _, seed = key.rpartition("/")
        if name != "teacher" and key not in runs:
            runs[key] = experiment.run(name, int(seed))
        elif name == "teacher" and int(seed) >= len(scores.get("sentiment", ())):
            for task, score in experiment.transfer(
                experiment.teacher, int(seed)
            ).items():
                scores.setdefault(task, []).append(score)
        else:
            continue
        write_json(path, report)
        done(key)
    return report


def load(path: Path = STORED) -> dict[str, Any]:
    """The stored comparison; `WorkbookError` when it is missing."""
    if not path.exists():
        line = f"{path} is missing: `workbook ablation` makes it, in half an hour"
        raise WorkbookError(line)
    return json.loads(path.read_text(encoding="utf8"))


def summary(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each arm at the common number of steps: means over seeds, and their runs.

    `loss` (nats), `masked_accuracy` and `transfer` (mean over the tasks), the last two
    in [0, 1]; `loss_runs` and so on, one entry for each seed.
    """
    out = {}
    for arm in ARMS:
        runs = [run for key, run in report["runs"].items() if key.startswith(f"{arm}/")]
        ends = [at_step(run["curve"], report["settings"]["steps"]) for run in runs]
        found = {k: [end[k] for end in ends] for k in ("loss", "masked_accuracy")}
        found["transfer"] = [fmean(run["transfer"].values()) for run in runs]
        if runs:
            out[arm] = {name: fmean(values) for name, values in found.items()}
            out[arm] |= {f"{name}_runs": values for name, values in found.items()}
    return out


def at_step(curve: list[dict[str, float]], step: int) -> dict[str, float]:
    """The last point of a curve at or before `step`."""
    return [point for point in curve if point["step"] <= step][-1]


def at_seconds(curve: list[dict[str, float]], seconds: float) -> float:
    """The held-out loss after so many seconds of training, read off between points."""
    times, losses = ([point[name] for point in curve] for name in ("seconds", "loss"))
    return float(np.interp(seconds, times, losses))

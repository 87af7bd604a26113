"""The paper's ablation, in miniature: what each loss, and the start from the teacher,
is worth.

Six students of one size learn from one teacher for the same number of steps: with all
three losses, without each of them, from random weights, and with no teacher at all.
Each is then asked for held-out words and fine-tuned on two small tasks. `workbook
ablation` runs it for several seeds and keeps the result in
`data/measurements/ablation.json`.

Source: Sanh et al. 2019, table 4.
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from helpers import checkpoints, data
from helpers.core import profiles
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.training.finetuning import Recipe

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import DistilBertForMaskedLM

    from helpers.data.tasks import Task

STORED = data.DATA / "measurements" / "ablation.json"
MAX_LENGTH, BATCH, WARMUP = 96, 24, 20
LEARNING_RATE, MLM_PROBABILITY = 5e-4, 0.2
FEW_SHOT = {"sentiment": Recipe(3, 1e-4), "entities": Recipe(5, 2e-4)}
# how much further the arm without a teacher goes: its steps are that much cheaper
LONGER = 1.8


@dataclass(frozen=True)
class Arm:
    """One student of the comparison: its losses' weights, and what it starts from."""

    weights: dict[str, float] = field(default_factory=dict)
    random_start: bool = False

    @property
    def taught(self) -> bool:
        """Whether any loss looks at the teacher."""
        return any(self.weights[name] for name in ("distillation", "cosine"))


TRIPLE = {"distillation": 5.0, "masked_lm": 2.0, "cosine": 20.0}
ARMS = {
    "triple loss": Arm(TRIPLE),
    "no distillation loss": Arm(TRIPLE | {"distillation": 0.0}),
    "no cosine loss": Arm(TRIPLE | {"cosine": 0.0}),
    "no masked LM loss": Arm(TRIPLE | {"masked_lm": 0.0}),
    "random start": Arm(TRIPLE, random_start=True),
    "masked LM alone": Arm({"distillation": 0.0, "masked_lm": 2.0, "cosine": 0.0}),
}


def sample_texts(profile: str = "classroom") -> list[str]:
    """Every training text of the sample sets: about 61,000 tokens; in `full`,
    WikiText-2's.

    Raises `WorkbookError` on an unknown profile.
    """
    if profiles.profile(profile).online:
        return data.passages(profile, "train")
    entries = {name: list(data.rows(name, "train")) for name in data.NAMES}
    entries["reviews"] = list(data.rows("reviews", "train", "wry"))
    texts = [
        row["text"] for name in ("corpus", "reviews", "pairs") for row in entries[name]
    ]
    texts += [" ".join(row["tokens"]) for row in entries["entities"]]
    texts += [
        f"{row['context']} {row['choices'][row['label']]}" for row in entries["endings"]
    ]
    contexts = dict.fromkeys(row["context"] for row in entries["questions"])
    texts += [text for text in contexts if text not in texts]
    return texts


class Laboratory:
    """What all arms share, loaded once: teacher, tokenizer, texts, held-out texts."""

    def __init__(self, profile: str = "classroom"):
        from transformers import AutoModelForMaskedLM

        from helpers.checkpoints.convert import spread
        from helpers.data.texts import cut
        from helpers.distillation.trainer import as_distilbert

        name = checkpoints.bert(profile)
        self.profile = profiles.profile(profile)
        self.tokenizer = _tokenizer(profile)
        self.teacher: DistilBertForMaskedLM = as_distilbert(
            AutoModelForMaskedLM.from_pretrained(name, revision=name.revision)
        )
        self.rows = cut(sample_texts(profile), self.tokenizer, MAX_LENGTH)
        self.held_out = cut(data.passages(profile, "test"), self.tokenizer, MAX_LENGTH)
        self.layers = spread(self.teacher.config.n_layers)

    def scores(self, model: Any) -> dict[str, float]:
        """Held-out `masked_accuracy` in [0, 1] and `loss`, cross-entropy in nats."""
        from helpers.training.metrics import masked_accuracy_of_ids

        found = masked_accuracy_of_ids(
            model, self.tokenizer, self.held_out, maskings=self.profile.maskings, seed=1
        )
        return {"masked_accuracy": found["accuracy"], "loss": found["loss"]}

    def student(self, arm: Arm, seed: int) -> Any:
        """A fresh student of half the teacher's layers, embeddings frozen."""
        import torch

        from helpers.distillation.trainer import random_student, student_of

        torch.manual_seed(seed)
        if arm.random_start:
            return random_student(self.teacher, len(self.layers), dropout=0.0)
        student = student_of(self.teacher, self.layers, dropout=0.0)
        student.distilbert.embeddings.requires_grad_(False)
        return student

    def transfer(self, model: Any, seed: int) -> dict[str, float]:
        """Few-shot scores of a trained encoder on the sample tasks."""
        return {name: few_shot(model, name, seed) for name in FEW_SHOT}


def few_shot(
    model: Any,
    name: str,
    seed: int,
    task: Task | None = None,
    sets: DatasetDict | None = None,
) -> float:
    """The score of an encoder fine-tuned on a little data: what it is worth to a task.

    `name` is one of `FEW_SHOT`, which holds the recipe; `task` and `sets` replace the
    sample task of that name. `model` is a BERT or DistilBERT with any head, and is left
    as it is.
    """
    from helpers import checkpoints
    from helpers.data import tasks
    from helpers.training import finetuning

    kind = {"bert": "BERT", "distilbert": "DistilBERT"}[model.config.model_type]
    with tempfile.TemporaryDirectory() as folder:
        whole = copy.deepcopy(model)
        for field in ("dropout", "attention_dropout"):
            if hasattr(whole.config, field):
                setattr(whole.config, field, 0.1)  # whatever it was distilled with
        checkpoints.save(whole, Path(folder), kind, "to be fine-tuned")
        task = task or tasks.task(name)
        found = finetuning.fine_tune(
            task,
            sets or tasks.sample(task),
            checkpoints.Checkpoint(folder),
            FEW_SHOT[name],
            seed,
        )
    return found.scores[task.score]


def _tokenizer(profile: str) -> Any:
    from transformers import AutoTokenizer

    name = checkpoints.distilbert(profile)
    return AutoTokenizer.from_pretrained(name, revision=name.revision)


def run_arm(
    arm: str,
    seed: int,
    profile: str = "classroom",
    steps: int | None = None,
    watch: TrainerCallback | None = None,
    laboratory: Laboratory | None = None,
    transfer: bool = True,
) -> dict[str, Any]:
    """Train and score one student; `watch` sees the run as it goes.

    Returns `curve`, a list of {step, seconds, loss, masked_accuracy} from step 0
    (seconds of training, evaluation left out), and `transfer`, a score in [0, 1] for
    each task.

    Raises `WorkbookError` on an unknown arm.
    """
    if arm not in ARMS:
        raise WorkbookError(f"no arm is called {arm!r}; there are {', '.join(ARMS)}")
    laboratory = laboratory or Laboratory(profile)
    steps = steps or laboratory.profile.distil_steps
    student = laboratory.student(ARMS[arm], seed)
    curve = Curve(laboratory, student, steps)
    trainer = _trainer(laboratory, ARMS[arm], student, seed, curve)
    if watch:
        trainer.add_callback(watch)
    trainer.train()
    result: dict[str, Any] = {"curve": curve.points}
    if transfer:
        student.load_state_dict(curve.kept)
        result["transfer"] = laboratory.transfer(student, seed)
    return result


def _trainer(
    laboratory: Laboratory, arm: Arm, student: Any, seed: int, curve: Any
) -> Any:
    """A `DistillationTrainer` for one arm; its rate is flat, so that curves can be
    compared.
    """
    import torch

    from helpers.core.machine import bf16_pays
    from helpers.data.texts import Masking, Sequences
    from helpers.distillation.objective import Objective
    from helpers.distillation.trainer import DistillationTrainer, training_arguments

    arguments = training_arguments(
        Path(tempfile.gettempdir()) / "workbook-ablation",  # nothing is saved there
        laboratory.profile.name,
        max_steps=curve.steps if arm.taught else round(LONGER * curve.steps),
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=WARMUP,
        max_grad_norm=1.0,
        bf16=bf16_pays(),
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=seed,
    )
    return DistillationTrainer(
        model=student,
        args=arguments,
        train_dataset=Sequences.of(laboratory.rows, seed),
        data_collator=Masking(laboratory.tokenizer, MLM_PROBABILITY),
        teacher=copy.deepcopy(laboratory.teacher),  # the trainer turns its own to bf16
        objective=Objective(**arm.weights, positions="masked"),
        callbacks=[curve],
    )


class Curve(TrainerCallback):
    """Held-out figures as a run goes on, the clock stopped meanwhile; keeps `steps`'s
    weights.
    """

    def __init__(
        self, laboratory: Laboratory, student: Any, steps: int, points: int = 6
    ):
        self.laboratory, self.student, self.steps = laboratory, student, steps
        self.every = max(1, steps // points)
        self.points = [{"step": 0, "seconds": 0.0, **laboratory.scores(student)}]
        self.seconds = 0.0
        self.kept: dict[str, Any] = {}

    def on_step_begin(self, args, state, control, **keywords):
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **keywords):
        self.seconds += time.perf_counter() - self.began
        step = state.global_step
        if step % self.every and step not in (self.steps, state.max_steps):
            return
        self.student.eval()
        scores = self.laboratory.scores(self.student)
        self.student.train()
        self.points.append({"step": step, "seconds": round(self.seconds, 1), **scores})
        if step == self.steps:
            self.kept = {
                n: t.detach().clone() for n, t in self.student.state_dict().items()
            }


def run(
    path: Path = STORED,
    seeds: int = 3,
    profile: str = "classroom",
    steps: int | None = None,
    done: Callable[[str], None] = lambda key: None,
) -> dict[str, Any]:
    """Every arm and seed that `path` does not hold yet; the file is rewritten after
    each.

    `done` is told the key, `arm/seed`, of each as it is finished.

    Raises `WorkbookError` when the file was made with other settings.
    """
    from helpers.core.machine import machine

    laboratory = Laboratory(profile)
    steps = steps or laboratory.profile.distil_steps
    settings = _settings(laboratory, steps)
    report = {"settings": settings, "machine": machine(), "teacher": {}, "runs": {}}
    if path.exists():
        report = json.loads(path.read_text(encoding="utf8"))
        if report["settings"] != settings:
            raise WorkbookError(
                f"{path} holds a run with other settings: move it away first"
            )
    for key, work in _todo(laboratory, report, seeds, profile, steps):
        work()
        write_json(path, report)
        done(key)
    return report


def keys(seeds: int) -> list[str]:
    """The keys of a whole run, in its order: seed by seed, the teacher first."""
    return [f"{name}/{seed}" for seed in range(seeds) for name in ("teacher", *ARMS)]


def _todo(
    laboratory: Laboratory, report: dict[str, Any], seeds: int, profile: str, steps: int
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is still missing from a report, each with the call that adds it."""
    runs, teacher = report["runs"], report["teacher"]

    def measure_teacher(seed: int) -> None:
        if not teacher:
            teacher.update(**laboratory.scores(laboratory.teacher), transfer={})
        for task, score in laboratory.transfer(laboratory.teacher, seed).items():
            teacher["transfer"].setdefault(task, []).append(score)

    def measure_arm(key: str, arm: str, seed: int) -> None:
        runs[key] = run_arm(arm, seed, profile, steps, laboratory=laboratory)

    taught = len(next(iter(teacher.get("transfer", {"": []}).values())))
    for key in keys(seeds):
        arm, _, seed = key.rpartition("/")
        if arm == "teacher" and int(seed) >= taught:
            yield key, functools.partial(measure_teacher, int(seed))
        elif arm != "teacher" and key not in runs:
            yield key, functools.partial(measure_arm, key, arm, int(seed))


def _settings(laboratory: Laboratory, steps: int) -> dict[str, Any]:
    return {
        "profile": laboratory.profile.name,
        "steps": steps,
        "layers": laboratory.layers,
        "batch": BATCH,
        "max_length": MAX_LENGTH,
        "learning_rate": LEARNING_RATE,
        "mlm_probability": MLM_PROBABILITY,
        "sequences": len(laboratory.rows),
        "arms": {name: {**arm.weights, "random_start": arm.random_start}
                 for name, arm in ARMS.items()},
    }  # fmt: skip


def load(path: Path = STORED) -> dict[str, Any]:
    """The stored comparison.

    Raises `WorkbookError` when it is missing.
    """
    if not path.exists():
        raise WorkbookError(
            f"{path} is missing: `workbook ablation` makes it, in half an hour"
        )
    return json.loads(path.read_text(encoding="utf8"))


def summary(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each arm, at the common number of steps: means over seeds, and the runs they
    are of.

    `loss` (nats), `masked_accuracy` and `transfer` (mean over the tasks), the last two
    in [0, 1]; `loss_runs` and `transfer_runs`, one entry for each seed.
    """
    out: dict[str, dict[str, Any]] = {}
    for arm in ARMS:
        runs = [
            run for key, run in report["runs"].items() if key.rpartition("/")[0] == arm
        ]
        ends = [at_step(run["curve"], report["settings"]["steps"]) for run in runs]
        if not runs:
            continue
        transfers = [statistics.mean(run["transfer"].values()) for run in runs]
        out[arm] = {
            "loss": statistics.mean(end["loss"] for end in ends),
            "masked_accuracy": statistics.mean(end["masked_accuracy"] for end in ends),
            "transfer": statistics.mean(transfers),
            "loss_runs": [end["loss"] for end in ends],
            "transfer_runs": transfers,
        }
    return out


def at_step(curve: list[dict[str, float]], step: int) -> dict[str, float]:
    """The last point of a curve at or before `step`."""
    return [point for point in curve if point["step"] <= step][-1]


def at_seconds(curve: list[dict[str, float]], seconds: float) -> float:
    """The held-out loss after so many seconds of training, read off between two points.

    After the last point, the last point's loss.
    """
    for left, right in itertools.pairwise(curve):
        if left["seconds"] <= seconds <= right["seconds"]:
            share = (seconds - left["seconds"]) / (right["seconds"] - left["seconds"])
            return left["loss"] + share * (right["loss"] - left["loss"])
    return curve[-1]["loss"]

"""One distillation run, from a teacher and texts to a folder that `from_pretrained`
opens.

Everything is read and checked before the first step. The folder of a run holds
`run.json` (its settings), `log.jsonl`, `checkpoints/` and, at the end, the student and
its tokenizer. The same command goes on where a killed run stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from helpers import checkpoints
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError

if TYPE_CHECKING:
    from transformers import DistilBertForMaskedLM, PreTrainedTokenizerBase

    from helpers.distillation.trainer import DistillationTrainer, Student


def _setting(default: Any, help: str = "", **option: Any) -> Any:
    """A field, with what `workbook distill` says of it: arguments of a click option."""
    return field(default=default, metadata={"help": help, **option})


@dataclass(frozen=True)
class Settings:
    """What a run is made of. The defaults are the original's, with one process of its
    eight.

    The options of `workbook distill` are made of these fields.
    """

    texts: tuple[str, ...] = _setting((), "File, folder or 'glob'; a paragraph a line.")
    hub: tuple[str, ...] = _setting(
        (), "A Hub set with texts.", metavar="NAME[:CONFIG]"
    )
    profile: str = "full"
    teacher: str = _setting("", "Folder or Hub id. Default: the profile's BERT.")
    revision: str | None = _setting(None, "The teacher's revision on the Hub.")
    student_layers: tuple[int, ...] = _setting(
        (0, 2, 4, 7, 9, 11), "Teacher layers to start from.", metavar="0,2,4"
    )
    n_layers: int = _setting(0, "Start from so many random layers instead.")
    distillation: float = _setting(5.0, "Weight of the distillation loss.")
    masked_lm: float = _setting(2.0, "Weight of the masked-LM loss.")
    cosine: float = _setting(1.0, "Weight of the cosine loss.")
    mse: float = _setting(0.0, "Weight of the squared distance of the logits.")
    temperature: float = _setting(2.0, "Of the distillation loss.")
    positions: Literal["all", "masked"] = _setting("all", "Of the distillation loss.")
    masking: Literal["uniform", "smoothed"] = _setting(
        "uniform", "How words are drawn."
    )
    mlm_probability: float = _setting(0.15, "Share of the tokens that is masked.")
    clean: float = _setting(0.0, "Share of sequences left unmasked, for the cosine.")
    max_length: int = _setting(512, "Tokens of a sequence.")
    steps: int = _setting(-1, "Optimizer steps; replaces --epochs.")
    epochs: float = _setting(3.0, "Passes over the texts.")
    batch_size: int = _setting(5, "Sequences for each process and pass.")
    accumulation: int = _setting(50, "Passes for each optimizer step.")
    learning_rate: float = _setting(5e-4, "The highest one.")
    warmup: float = _setting(0.05, "Steps, or a share of them below 1.")
    decay_steps: int = _setting(0, "Flat rate that falls to 0 over the last steps.")
    max_grad_norm: float = _setting(5.0, "Longer gradients are shortened to this.")
    dropout: float = _setting(0.1, "Of the student.")
    freeze_embeddings: bool = _setting(
        False, "Teach the rest alone.", off="/--train-embeddings"
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = _setting(
        "fp32", "auto: bf16 where the processor supports it."
    )
    held_out: float = _setting(0.02, "Share of each text that is kept back.")
    repeat: tuple[tuple[str, int], ...] = _setting(
        (), "How often a text comes in an epoch.", metavar="TEXT TIMES"
    )
    log_every: int = _setting(50, "Steps from one line of log.jsonl to the next.")
    save_every: int = _setting(500, "Steps from one checkpoint to the next.")
    seed: int = _setting(0, "Draws masks, order and random layers.")


# What each profile changes of the original's recipe: a few layers, short sequences, two
# cores.
_POCKET = Settings(
    student_layers=(0, 2, 5),
    cosine=50.0,
    positions="masked",
    mlm_probability=0.2,
    max_length=128,
    batch_size=24,
    accumulation=1,
    warmup=100,
    max_grad_norm=1.0,
    dropout=0.0,
    freeze_embeddings=True,
    precision="auto",
    held_out=0.04,
)
RECIPES = {
    "smoke": replace(_POCKET, profile="smoke", steps=4, log_every=1, save_every=2),
    "classroom": replace(_POCKET, profile="classroom"),
    "full": Settings(),
}


@dataclass
class Run:
    """A run that is ready to start: `trainer.train()` would do."""

    trainer: DistillationTrainer
    tokenizer: PreTrainedTokenizerBase
    output: Path
    facts: dict[str, Any] = field(default_factory=dict)


def prepare(settings: Settings, output: Path, report_to: Sequence[str] = ()) -> Run:
    """Read and check everything a run needs; nothing is trained and nothing written
    yet.

    Raises `WorkbookError`, one line, on texts that are missing, empty or not UTF-8, a
    teacher that cannot teach, layers that it does not have, or an output folder that
    holds something else.
    """
    import torch
    from transformers import set_seed

    from helpers.core.machine import bf16_pays
    from helpers.data.texts import Masking, Sequences, SmoothedMasking
    from helpers.distillation.trainer import (
        DistillationTrainer,
        JsonLines,
        training_arguments,
    )

    _check_output(output)
    _check_numbers(settings)
    objective = _objective(settings)
    teacher, tokenizer = load_teacher(settings)
    set_seed(settings.seed)
    student = _student(settings, teacher)
    train, held_out = _sequences(settings, tokenizer)
    sequences = Sequences.of(train, settings.seed)
    masking = (
        SmoothedMasking.counted(
            tokenizer, sequences, settings.mlm_probability, settings.clean
        )
        if settings.masking == "smoothed"
        else Masking(tokenizer, settings.mlm_probability, settings.clean)
    )
    arguments = training_arguments(
        output / "checkpoints",
        settings.profile,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        max_steps=settings.steps,
        num_train_epochs=settings.epochs,
        warmup_steps=settings.warmup,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bf16"
        or (settings.precision == "auto" and bf16_pays()),
        fp16=settings.precision == "fp16",
        use_cpu=not torch.cuda.is_available(),
        logging_steps=settings.log_every,
        save_steps=settings.save_every,
        eval_strategy="steps" if held_out else "no",
        eval_steps=settings.save_every,
        report_to=list(report_to),
        seed=settings.seed,
        **_schedule(settings),
    )
    trainer = DistillationTrainer(
        model=student,
        args=arguments,
        train_dataset=sequences,
        eval_dataset=sequences,  # Trainer asks for one; `examine` is what looks
        data_collator=masking,
        processing_class=tokenizer,
        teacher=teacher,
        objective=objective,
        examine=_examine(tokenizer, held_out),
        callbacks=[JsonLines(output / "log.jsonl")],
    )
    facts = {
        "sequences": len(sequences),
        "tokens": len(sequences.flat),
        "held_out": len(held_out),
    }
    return Run(trainer, tokenizer, output, facts)


def _schedule(settings: Settings) -> dict[str, Any]:
    if not settings.decay_steps:
        return {}
    return {
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {"num_decay_steps": settings.decay_steps},
    }


def _check_output(output: Path) -> None:
    if output.is_file() or (
        output.is_dir() and any(output.iterdir()) and not (output / "run.json").exists()
    ):
        raise WorkbookError(
            f"{output} holds something that is not a distillation run: name another"
        )


def _check_numbers(settings: Settings) -> None:
    """Refuse what would fail later, or train nothing."""
    positive = (
        "batch_size",
        "accumulation",
        "learning_rate",
        "log_every",
        "save_every",
    )
    for name in positive:
        if getattr(settings, name) <= 0:
            raise WorkbookError(
                f"{name} is {getattr(settings, name)}; it must be above 0"
            )
    shares = {"mlm_probability": 1.0, "held_out": 0.5, "dropout": 1.0, "clean": 1.0}
    for name, below in shares.items():
        if not 0 <= getattr(settings, name) < below:
            raise WorkbookError(
                f"{name} is {getattr(settings, name)}; it must be from 0 to below {below}"
            )
    if settings.steps == 0 or settings.epochs <= 0 or settings.mlm_probability == 0:
        raise WorkbookError("steps, epochs and mlm_probability must not be 0")


def _objective(settings: Settings) -> Any:
    from helpers.distillation.objective import Objective

    names = ("distillation", "masked_lm", "cosine", "mse", "temperature", "positions")
    try:
        return Objective(**{name: getattr(settings, name) for name in names})
    except ValueError as error:
        raise WorkbookError(str(error)) from None


def load_teacher(
    settings: Settings,
) -> tuple[DistilBertForMaskedLM, PreTrainedTokenizerBase]:
    """The teacher as a `DistilBertForMaskedLM` of all its layers, and its tokenizer.

    Raises `WorkbookError` when it cannot be opened, has no trained masked-LM head, or
    has another vocabulary than its tokenizer.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from helpers.distillation.trainer import as_distilbert

    name = settings.teacher or checkpoints.bert(settings.profile)
    revision = settings.revision or getattr(name, "revision", None)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        model, report = AutoModelForMaskedLM.from_pretrained(
            name, revision=revision, output_loading_info=True, dtype="float32"
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkbookError(f"the teacher {name} cannot be opened: {reason}") from None
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:2])
        raise WorkbookError(
            f"the teacher {name} cannot fill gaps: it has no weights for {missing}"
        )
    if len(tokenizer) != model.config.vocab_size or tokenizer.mask_token is None:
        raise WorkbookError(
            f"the teacher {name} has {model.config.vocab_size:,} word vectors, but its tokenizer "
            f"has {len(tokenizer):,} tokens: they must be the same vocabulary, with a mask token"
        )
    return as_distilbert(model), tokenizer


def _student(settings: Settings, teacher: DistilBertForMaskedLM) -> Student:
    from helpers.distillation.trainer import random_student, student_of

    if settings.n_layers:
        student = random_student(teacher, settings.n_layers, settings.dropout)
    else:
        student = student_of(teacher, settings.student_layers, settings.dropout)
    if settings.freeze_embeddings:
        student.distilbert.embeddings.requires_grad_(False)
    return student


def _sequences(
    settings: Settings, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[list[int]], list[list[int]]]:
    """Training sequences and held-out ones: the last share of every text."""
    from helpers.data.texts import cut, read_texts, split

    limit = tokenizer.model_max_length
    if not 16 <= settings.max_length <= limit:
        raise WorkbookError(
            f"max_length is {settings.max_length}; it must be from 16 to {limit}"
        )
    texts = read_texts(settings.texts) if settings.texts else {}
    texts |= {name: _hub_texts(name) for name in settings.hub}
    if not texts:
        raise WorkbookError("nothing to read: name text files or a Hub set")
    times = dict(settings.repeat)
    train: list[list[int]] = []
    held_out: list[list[int]] = []
    for name, paragraphs in texts.items():
        kept, kept_back = split(
            cut(paragraphs, tokenizer, settings.max_length), settings.held_out
        )
        train += [*kept] * times.get(Path(name).stem, 1)
        held_out += kept_back
    return train, held_out


def _hub_texts(name: str) -> list[str]:
    from datasets import load_dataset

    try:
        rows = load_dataset(*name.split(":", 1), split="train")
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkbookError(f"the Hub set {name} cannot be read: {reason}") from None
    if "text" not in rows.column_names:
        raise WorkbookError(
            f"the Hub set {name} has no column 'text', only {rows.column_names}"
        )
    return [text for text in rows["text"] if text.strip()]


def _examine(
    tokenizer: PreTrainedTokenizerBase, held_out: list[list[int]]
) -> Callable[[Any], dict[str, float]]:
    from helpers.training.metrics import masked_accuracy_of_ids

    def examine(model: Any) -> dict[str, float]:
        scores = masked_accuracy_of_ids(model, tokenizer, held_out, seed=1)
        perplexity = math.exp(min(scores["loss"], 50))
        return {"masked_accuracy": scores["accuracy"], "perplexity": perplexity}

    return examine


def run(
    settings: Settings, output: Path, report_to: Sequence[str] = ()
) -> dict[str, float]:
    """Distil, from the start or from the last checkpoint in `output`; returns the last
    figures.

    Raises `WorkbookError` as `prepare` does, before anything is written.
    """
    from transformers.trainer_utils import get_last_checkpoint

    ready = prepare(settings, output, report_to)
    trainer = ready.trainer
    folder = output / "checkpoints"
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    if trainer.is_world_process_zero():
        folder.mkdir(parents=True, exist_ok=True)
        _note_start(settings, ready, last)
    trainer.accelerator.wait_for_everyone()
    trainer.train(resume_from_checkpoint=last)
    if trainer.is_world_process_zero():
        save_student(trainer.model, ready.tokenizer, output)
    examined = [line for line in trainer.state.log_history if "eval_perplexity" in line]
    return (
        {k: v for k, v in examined[-1].items() if k.startswith("eval_")}
        if examined
        else {}
    )


def _note_start(settings: Settings, ready: Run, last: str | None) -> None:
    """Append to `run.json` what this start was told, and from which step it goes on."""
    path = ready.output / "run.json"
    starts = (
        json.loads(path.read_text(encoding="utf8"))["starts"] if path.exists() else []
    )
    step = int(last.rsplit("-", 1)[1]) if last else 0
    starts.append({"after_step": step, **asdict(settings), **ready.facts})
    write_json(path, {"starts": starts})


def save_student(
    student: Any, tokenizer: PreTrainedTokenizerBase, output: Path
) -> None:
    """Write the student as a plain `DistilBertForMaskedLM`, with its tokenizer.

    Its configuration has the library's usual dropout, for whoever fine-tunes it.
    """
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    usual = DistilBertConfig()
    values = {"dropout": usual.dropout, "attention_dropout": usual.attention_dropout}
    plain = DistilBertForMaskedLM(
        DistilBertConfig(**(student.config.to_dict() | values))
    )
    plain.load_state_dict(student.state_dict())
    plain.save_pretrained(output)
    tokenizer.save_pretrained(output)

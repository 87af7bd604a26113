"""One distillation run: teacher and texts in, a folder for `from_pretrained` out.

The folder of a run holds `run.json` (its settings), `log.jsonl`, `checkpoints/` and, at
the end, the student and its tokenizer. The same call goes on where a killed run
stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    PreTrainedTokenizerBase,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from helpers import checkpoints
from helpers.core.cache import write_json
from helpers.core.errors import WorkbookError
from helpers.core.machine import bf16_pays
from helpers.data.texts import (
    Masking,
    Sequences,
    SmoothedMasking,
    cut,
    read_texts,
    split,
)
from helpers.distillation.objective import Objective
from helpers.distillation.settings import Settings
from helpers.distillation.trainer import (
    DistillationTrainer,
    JsonLines,
    Student,
    as_distilbert,
    random_student,
    student_of,
    training_arguments,
)
from helpers.training.metrics import masked_accuracy_of_ids

Rows = list[list[int]]


def run(
    settings: Settings, output: Path, report_to: Sequence[str] = ()
) -> dict[str, float]:
    """Distil, from the start or from the last checkpoint in `output`; the last figures.

    Everything is read and checked before anything is written: one line of
    `WorkbookError` on bad texts, a teacher that cannot teach, layers that it does not
    have, or an output folder that holds something else.
    """
    trainer, sizes = _prepared(settings, output, report_to)
    folder = output / "checkpoints"
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    if trainer.is_world_process_zero():
        folder.mkdir(parents=True, exist_ok=True)
        _note_start(output / "run.json", asdict(settings) | sizes, last)
    trainer.accelerator.wait_for_everyone()
    trainer.train(resume_from_checkpoint=last)
    if trainer.is_world_process_zero():
        save_student(trainer.model, trainer.processing_class, output)
    looks = [line for line in trainer.state.log_history if "eval_perplexity" in line]
    last_look = looks[-1] if looks else {}
    return {k: v for k, v in last_look.items() if k.startswith("eval_")}


def _prepared(
    settings: Settings, output: Path, report_to: Sequence[str]
) -> tuple[DistillationTrainer, dict[str, int]]:
    """All that a run needs, and how much there is to read."""
    _check(settings, output)
    objective = _objective(settings)
    teacher, tokenizer = load_teacher(settings)
    set_seed(settings.seed)
    student = _student(settings, teacher)
    train, held_out = _read(settings, tokenizer)
    sequences = Sequences.of(train, settings.seed)
    trainer = DistillationTrainer(
        model=student,
        args=_arguments(settings, output / "checkpoints", bool(held_out), report_to),
        train_dataset=sequences,
        eval_dataset=sequences,  # Trainer asks for one; `examine` is what looks
        data_collator=_masking(settings, tokenizer, sequences),
        processing_class=tokenizer,
        teacher=teacher,
        objective=objective,
        examine=_examine(tokenizer, held_out),
        callbacks=[JsonLines(output / "log.jsonl")],
    )
    sizes = {"sequences": len(sequences), "tokens": len(sequences.flat)}
    return trainer, sizes | {"held_out": len(held_out)}


def _check(settings: Settings, output: Path) -> None:
    """Refuse what would fail later, overwrite something, or train nothing."""
    there = output.is_dir() and any(output.iterdir())
    if output.is_file() or (there and not (output / "run.json").exists()):
        line = f"{output} holds something that is not a distillation run: name another"
        raise WorkbookError(line)
    given, shares = (
        asdict(settings),
        ("mlm_probability", "held_out", "dropout", "clean"),
    )
    for name in (
        "batch_size", "accumulation", "learning_rate", "log_every", "save_every",
    ):  # fmt: skip
        if given[name] <= 0:
            raise WorkbookError(f"{name} is {given[name]}; it must be above 0")
    for name in shares:
        below = 0.5 if name == "held_out" else 1.0
        if not 0 <= given[name] < below:
            line = f"{name} is {given[name]}; it must be from 0 to below {below}"
            raise WorkbookError(line)
    if settings.steps == 0 or settings.epochs <= 0 or settings.mlm_probability == 0:
        raise WorkbookError("steps, epochs and mlm_probability must not be 0")


def _objective(settings: Settings) -> Objective:
    names = Objective.__dataclass_fields__
    try:
        return Objective(**{name: getattr(settings, name) for name in names})
    except ValueError as error:
        raise WorkbookError(str(error)) from None


def load_teacher(
    settings: Settings,
) -> tuple[DistilBertForMaskedLM, PreTrainedTokenizerBase]:
    """The teacher in DistilBERT's class, all its layers, and its tokenizer."""
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
        line = f"the teacher {name} cannot fill gaps: it has no weights for {missing}"
        raise WorkbookError(line)
    if len(tokenizer) != model.config.vocab_size or tokenizer.mask_token is None:
        raise WorkbookError(
            f"the teacher {name} has {model.config.vocab_size:,} word vectors, but its "
            f"tokenizer has {len(tokenizer):,} tokens: they must be the same "
            "vocabulary, with a mask token"
        )
    return as_distilbert(model), tokenizer


def _student(settings: Settings, teacher: DistilBertForMaskedLM) -> Student:
    if settings.n_layers:
        student = random_student(teacher, settings.n_layers, settings.dropout)
    else:
        student = student_of(teacher, settings.student_layers, settings.dropout)
    if settings.freeze_embeddings:
        student.distilbert.embeddings.requires_grad_(False)
    return student


def _read(settings: Settings, tokenizer: PreTrainedTokenizerBase) -> tuple[Rows, Rows]:
    """Training sequences and held-out ones: the last share of every text."""
    length, limit = settings.max_length, tokenizer.model_max_length
    if not 16 <= length <= limit:
        line = f"max_length is {length}; it must be from 16 to {limit}"
        raise WorkbookError(line)
    texts = read_texts(settings.texts) if settings.texts else {}
    texts |= {name: _hub_texts(name) for name in settings.hub}
    if not texts:
        raise WorkbookError("nothing to read: name text files or a Hub set")
    times, train, held_out = dict(settings.repeat), [], []
    for name, paragraphs in texts.items():
        rows = cut(paragraphs, tokenizer, length)
        kept, kept_back = split(rows, settings.held_out)
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
        line = f"the Hub set {name} has no column 'text', only {rows.column_names}"
        raise WorkbookError(line)
    return [text for text in rows["text"] if text.strip()]


def _masking(settings: Settings, tokenizer: Any, sequences: Sequences) -> Masking:
    how = settings.mlm_probability, settings.clean
    if settings.masking == "smoothed":
        return SmoothedMasking.counted(tokenizer, sequences, *how)
    return Masking(tokenizer, *how)


def _arguments(
    settings: Settings, folder: Path, looks: bool, report_to: Sequence[str]
) -> TrainingArguments:
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if bf16_pays() else "fp32"
    changes: dict[str, Any] = {}
    if settings.decay_steps:
        changes["lr_scheduler_type"] = "warmup_stable_decay"
        changes["lr_scheduler_kwargs"] = {"num_decay_steps": settings.decay_steps}
    return training_arguments(
        folder,
        settings.profile,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        max_steps=settings.steps,
        num_train_epochs=settings.epochs,
        warmup_steps=settings.warmup,
        max_grad_norm=settings.max_grad_norm,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        logging_steps=settings.log_every,
        save_steps=settings.save_every,
        eval_strategy="steps" if looks else "no",
        eval_steps=settings.save_every,
        report_to=list(report_to),
        seed=settings.seed,
        **changes,
    )


def _examine(
    tokenizer: PreTrainedTokenizerBase, held_out: Rows
) -> Callable[[Any], dict[str, float]]:
    def examine(model: Any) -> dict[str, float]:
        scores = masked_accuracy_of_ids(model, tokenizer, held_out, seed=1)
        perplexity = math.exp(min(scores["loss"], 50))
        return {"masked_accuracy": scores["accuracy"], "perplexity": perplexity}

    return examine


def _note_start(path: Path, told: dict[str, Any], last: str | None) -> None:
    """Add to `run.json` what this start was told, and from which step it goes on."""
    before = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
    step = int(last.rsplit("-", 1)[1]) if last else 0
    start = {"after_step": step, **told}
    write_json(path, {"starts": [*before.get("starts", []), start]})


def save_student(
    student: Student, tokenizer: PreTrainedTokenizerBase, output: Path
) -> None:
    """Write the student as a plain `DistilBertForMaskedLM`, with its tokenizer.

    Its configuration has the library's usual dropout, for whoever fine-tunes it.
    """
    usual = DistilBertConfig()
    values = {"dropout": usual.dropout, "attention_dropout": usual.attention_dropout}
    config = DistilBertConfig(**(student.config.to_dict() | values))
    plain = DistilBertForMaskedLM(config)
    plain.load_state_dict(student.state_dict())
    plain.save_pretrained(output)
    tokenizer.save_pretrained(output)

"""The distillation run: the library's trainer, our objective, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT
from datasets import Dataset
from safetensors.torch import load_file
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from helpers.cli import main
from helpers.data import passages
from helpers.distill_step import compare, original_step, random_batch, workbook_step
from helpers.distillation import (
    DistillationTrainer,
    Student,
    as_distilbert,
    bf16_pays,
    random_student,
    student_of,
    training_arguments,
    valid_hidden_states,
)
from helpers.errors import WorkbookError
from helpers.objective import Objective
from helpers.pretraining import RECIPES
from helpers.texts import Masking, Sequences, cut

WORKBOOK = ["-m", "helpers.cli", "distill"]
TWO = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def save(folder, tokenizer, model):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tokenizer):
    """A small BERT of four layers with random weights and the real vocabulary."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = BertForMaskedLM(BertConfig(**sizes, intermediate_size=96))
    return save(tmp_path_factory.mktemp("teacher"), tokenizer, model)


@pytest.fixture(scope="module")
def options(tmp_path_factory, teacher):
    """`options(output, name=value, ...)`: fp32, no dropout, a few steps."""
    texts = tmp_path_factory.mktemp("texts") / "corpus.txt"
    texts.write_text("\n".join(passages("classroom", "train")[:40]), encoding="utf8")
    usual = {"texts": texts, "teacher": teacher, "student_layers": "0,2", "steps": 8}
    usual |= {"batch_size": 8, "max_length": 48, "precision": "fp32", "log_every": 1}
    usual |= {"save_every": 2, "warmup": 2}

    def list_them(output, **changes):
        words = ["--output", str(output)]
        for name, value in (usual | changes).items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        return words

    return list_them


def launch(words, check=True, **environment):
    """Runs Python with these words, in a process of its own."""
    done = subprocess.run(
        [sys.executable, *words],
        env=ENVIRONMENT | environment,
        cwd=ROOT,
        timeout=600,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0 or not check, done.stderr[-2000:]
    return done


def log(output):
    return list(map(json.loads, (output / "log.jsonl").read_text().splitlines()))


def curve(output):
    """{step: losses} of a run's log, training lines only."""
    names = ("loss", "distillation_loss", "masked_lm_loss", "cosine_loss")
    return {r["step"]: [r[n] for n in names] for r in log(output) if "cosine_loss" in r}


def looks(output):
    """The steps at which the held-out texts were read."""
    return [line["step"] for line in log(output) if "eval_perplexity" in line]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options):
    """A run that nobody disturbed."""
    output = tmp_path_factory.mktemp("run") / "whole"
    launch([*WORKBOOK, *options(output)])
    return output


def test_a_run_leaves_a_student_for_plain_transformers_and_a_whole_log(finished):
    model = AutoModelForMaskedLM.from_pretrained(finished)
    assert type(model) is DistilBertForMaskedLM
    assert model.config.n_layers == 2
    assert model.config.architectures == ["DistilBertForMaskedLM"]
    assert AutoTokenizer.from_pretrained(finished).vocab_size == 30_522
    losses = curve(finished)
    assert list(losses) == list(range(1, 9))
    for total, distillation, masked_lm, cosine in losses.values():
        want = 5 * distillation + 2 * masked_lm + 50 * cosine
        assert total == pytest.approx(want, rel=1e-4)
    assert losses[8][0] < losses[1][0]
    assert looks(finished) == [2, 4, 6, 8]
    (start,) = json.loads((finished / "run.json").read_text())["starts"]
    noted = [start[name] for name in ("after_step", "student_layers", "cosine")]
    assert noted == [0, [0, 2], 50]
    assert start["sequences"] > 50


def test_what_is_frozen_stays_and_the_rest_learns(finished, teacher):
    before = as_distilbert(BertForMaskedLM.from_pretrained(teacher)).state_dict()
    after = DistilBertForMaskedLM.from_pretrained(finished).state_dict()
    frozen = [n for n in before if "embeddings" in n or n == "vocab_projector.weight"]
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    head = "vocab_transform.weight"
    assert not torch.equal(before[head], after[head])
    layer = "distilbert.transformer.layer.{}.attention.q_lin.weight"
    moved = (after[layer.format(1)] - before[layer.format(2)]).abs().max()
    assert 0 < moved < 0.05  # began there


def test_killed_in_mid_run_and_resumed_it_ends_as_if_nothing_had_happened(
    finished, tmp_path, options
):
    output = tmp_path / "killed"
    command = [*WORKBOOK, *options(output)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    alone = {"cwd": ROOT, "env": ENVIRONMENT, "start_new_session": True}
    process = subprocess.Popen([sys.executable, *command], **alone, **quiet)
    deadline = time.monotonic() + 240
    while not (output / "log.jsonl").exists() or 5 not in curve(output):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "model.safetensors").exists()
    launch(command)
    _, again = json.loads((output / "run.json").read_text())["starts"]
    assert again["after_step"] in (2, 4, 6)
    whole, resumed = curve(finished), curve(output)
    assert resumed.keys() == whole.keys()
    for step in whole:
        assert resumed[step] == pytest.approx(whole[step], abs=1e-6)
    mine, theirs = (load_file(run / "model.safetensors") for run in (output, finished))
    for name in theirs:
        torch.testing.assert_close(mine[name], theirs[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("ways", ["two processes", "two passes"])
def test_half_batches_have_the_loss_of_whole_ones(ways, finished, tmp_path, options):
    if ways == "two processes":
        port = str(29500 + os.getpid() % 1000)
        launch([*TWO, port, *WORKBOOK, *options(tmp_path / "run", batch_size=4)])
    else:
        launch([*WORKBOOK, *options(tmp_path / "run", batch_size=4, accumulation=2)])
    one, halves = curve(finished), curve(tmp_path / "run")
    assert halves.keys() == one.keys()
    for step in one:
        assert halves[step] == pytest.approx(one[step], abs=1e-4)


def test_the_full_recipe_starts_from_bert_base_shapes(tmp_path, tokenizer, options):
    """Random weights of bert-base-uncased's shape, the original's settings."""
    torch.manual_seed(0)
    base = save(tmp_path / "bert-base", tokenizer, BertForMaskedLM(BertConfig()))
    recipe = {"teacher": base, "student_layers": "0,2,4,7,9,11", "profile": "full"}
    recipe |= {"steps": 2, "accumulation": 1, "batch_size": 2, "dropout": 0.1}
    recipe |= {"warmup": 0.05, "held_out": 0, "masking": "smoothed", "save_every": 10}
    launch([*WORKBOOK, *options(tmp_path / "run", **recipe), "--train-embeddings"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["n_layers"], config["dim"], config["dropout"]) == (6, 768, 0.1)
    assert list(curve(tmp_path / "run")) == [1, 2]


def written(raw):
    def write(folder, *_):
        (folder / "bad.txt").write_bytes(raw)
        return {"texts": folder / "bad.txt"}

    return write


def other_vocabulary(folder, tokenizer, _):
    sizes = {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 24}
    config = BertConfig(vocab_size=1_000, num_hidden_layers=4, **sizes)
    return {"teacher": save(folder / "other", tokenizer, BertForMaskedLM(config))}


def headless(folder, tokenizer, teacher):
    bare = BertModel.from_pretrained(teacher)
    return {"teacher": save(folder / "headless", tokenizer, bare)}


BAD = {
    "line 2: byte 0xe9 is not UTF-8": written(b"one\ntwo \xe9\n"),
    "no text in there": written(b"\n\n"),
    "no sequence of 12 tokens or more": written(b"Hello.\nYes.\n"),
    "layers [0, 4] asked for, but this model has": {"student_layers": "0,4"},
    "no list of layers": {"student_layers": "a,b"},
    "cannot be opened": {"teacher": "/nowhere/at-all"},
    "max_length is 4": {"max_length": 4},
    "weights must be 0 or more": {"cosine": -1},
    "temperature must be above 0": {"temperature": 0},
    "batch_size is 0": {"batch_size": 0},
    "mlm_probability is 1.5": {"mlm_probability": 1.5},
    "must be one of smoke": {"profile": "ful"},
    "has 1,000 word vectors, but its tokenizer has 30,522 tokens": other_vocabulary,
    "cannot fill gaps: it has no weights for cls.predictions": headless,
    "holds something that is not a distillation run": {"output": "photos"},
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_one_clear_line_before_any_training(
    words, tmp_path, options, tokenizer, teacher
):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    wrong = BAD[words]
    wrong = dict(wrong(tmp_path, tokenizer, teacher) if callable(wrong) else wrong)
    output = tmp_path / wrong.pop("output", "run")
    done = CliRunner().invoke(main, ["distill", *options(output, **wrong)])
    assert done.exit_code == (2 if "list of layers" in words else 1), done.exception
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.png"]


@pytest.mark.parametrize("column", ["text", "body"])
def test_a_hub_set_is_read_and_told_to_tensorboard(tmp_path, options, column):
    """A folder of Parquet, which `datasets` opens as it opens one from the Hub."""
    (tmp_path / "set").mkdir()
    rows = passages("classroom", "train")[:30]
    Dataset.from_dict({column: rows}).to_parquet(tmp_path / "set" / "train.parquet")
    offline = {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_DATASETS_OFFLINE": "1"}
    output = tmp_path / "run"
    words = options(output, hub=tmp_path / "set", steps=3, batch_size=4)
    at = words.index("--texts")
    del words[at : at + 2]
    words += ["--tensorboard"]
    done = launch([*WORKBOOK, *words], check=column == "text", **offline)
    if column == "body":
        assert done.returncode == 1
        assert "has no column 'text', only ['body']" in done.stderr
        assert not output.exists()
        return
    assert list(curve(output)) == [1, 2, 3]
    assert looks(output) == [2, 3]  # every second step, and the last
    (events,) = (output / "tensorboard").rglob("events.out.tfevents*")
    assert b"distillation_loss" in events.read_bytes()


@pytest.fixture(scope="module")
def pair(bert_model):
    """The pocket teacher, re-laid, and an untrained student of its even layers."""
    teacher = as_distilbert(bert_model).requires_grad_(False)
    return teacher, student_of(teacher, [0, 2, 4], dropout=0.0)


def test_leaving_padding_out_changes_no_hidden_state(pair, tokenizer):
    model, batch = pair[0].distilbert, random_batch(tokenizer, (5, 40))
    ids, mask, labels = (batch[n] for n in ("input_ids", "attention_mask", "labels"))
    order, real = mask.sum(1).argsort(stable=True), mask.bool()
    with torch.inference_mode():
        whole = model(input_ids=ids, attention_mask=mask).last_hidden_state
        for groups in (1, 2, 5, 9):
            flat, found = valid_hidden_states(model, ids, mask, labels, groups)
            assert flat.shape == (mask.sum(), 384)
            want = torch.cat([whole[row][real[row]] for row in order])
            torch.testing.assert_close(flat, want, rtol=1e-4, atol=1e-5)
            want = torch.cat([labels[row][real[row]] for row in order])
            assert torch.equal(found, want)


@pytest.mark.parametrize("positions", ["all", "masked"])
def test_a_step_is_the_originals_step_in_loss_and_gradient(pair, tokenizer, positions):
    teacher, student = pair
    batch, objective = random_batch(tokenizer, (4, 40)), Objective(positions=positions)
    gradients = {}
    for step in (original_step, workbook_step):
        student.zero_grad(set_to_none=True)
        loss = step(student, teacher, batch, objective)
        loss.backward()
        gradients[step] = (loss.item(), [p.grad.clone() for p in student.parameters()])
    (theirs, expected), (mine, got) = gradients[original_step], gradients[workbook_step]
    assert mine == pytest.approx(theirs, rel=1e-5)
    for one, other in zip(got, expected, strict=True):
        scale = other.abs().max()
        assert (one - other).abs().max() <= 1e-3 * scale + 1e-6


def test_the_comparison_of_steps_measures_all_four_cases(pair, tokenizer):
    lines = []
    small = {"repeats": 2, "shape": (3, 40)}
    report = compare(pair[0], tokenizer, progress=lines.append, **small)
    assert len(lines) == 4 * 3
    for precision in ("fp32", "bf16"):
        for positions in ("all", "masked"):
            row = report[precision][positions]
            assert row["speedup_same_precision"] > 0.5
            if precision == "fp32" or bf16_pays():  # emulated, bf16 is slower than fp32
                assert row["speedup"] > 0.5
            low, high = row["speedup_quartiles"]
            assert low <= row["speedup"] <= high
            assert row["memory_ratio"] > 0
            assert row["loss_difference"] < (1e-4 if precision == "fp32" else 0.02)


def test_a_student_is_the_librarys_class_with_the_layers_it_was_given(pair, tokenizer):
    teacher, student = pair
    plain = DistilBertForMaskedLM(student.config)
    plain.load_state_dict(student.state_dict())
    batch = tokenizer("Hello, my [MASK] is cute", return_tensors="pt")
    batch.pop("token_type_ids")
    with torch.inference_mode():
        assert torch.equal(student.eval()(**batch).logits, plain.eval()(**batch).logits)
    student.train()
    other = student_of(teacher, [5, 1], dropout=0.2)
    mine, theirs = other.state_dict(), teacher.state_dict()
    name = "distilbert.transformer.layer.{}.ffn.lin1.weight"
    for at, layer in enumerate([5, 1]):
        assert torch.equal(mine[name.format(at)], theirs[name.format(layer)])
    assert other.config.dropout == other.config.attention_dropout == 0.2
    embeddings = other.distilbert.embeddings.word_embeddings
    assert other.vocab_projector.weight is embeddings.weight
    torch.manual_seed(3)
    fresh = random_student(teacher, 2)
    assert fresh.config.n_layers == 2
    assert not torch.equal(fresh.state_dict()[name.format(0)], theirs[name.format(0)])
    with pytest.raises(WorkbookError, match="this model has layers"):
        student_of(teacher, [6])
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=50, intermediate_size=8, **small)
    with pytest.raises(WorkbookError, match="must be a BERT or DistilBERT, not rob"):
        as_distilbert(RobertaForMaskedLM(config))


@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
def test_the_trainer_learns_in_either_order(pair, tokenizer, tmp_path, strategy):
    teacher, _ = pair
    student = student_of(teacher, [0, 1], dropout=0.0)
    assert isinstance(student, Student)
    rows = cut(passages("classroom", "train")[:6], tokenizer, 32)
    trainer = DistillationTrainer(
        model=student,
        args=training_arguments(
            tmp_path, "classroom", max_steps=3, per_device_train_batch_size=4,
            bf16=True, use_cpu=True, save_strategy="no", disable_tqdm=True, logging_steps=1,
            train_sampling_strategy=strategy,
        ),
        train_dataset=Sequences.of(rows),
        data_collator=Masking(tokenizer),
        teacher=student_of(teacher, range(6), dropout=0.1),
        objective=Objective(positions="masked"),
    )  # fmt: skip
    trainer.train()
    lines = [line for line in trainer.state.log_history if "cosine_loss" in line]
    assert len(lines) == 3
    assert all(line["loss"] > 0 for line in lines)
    assert not any(p.requires_grad for p in trainer.teacher.parameters())
    assert not trainer.teacher.training


def test_the_full_profile_has_the_originals_hyper_parameters(tmp_path):
    full = RECIPES["full"]
    args = training_arguments(tmp_path, "full", use_cpu=True)
    assert (full.distillation, full.masked_lm, full.cosine, full.mse) == (5, 2, 1, 0)
    assert (full.temperature, full.positions, full.mlm_probability) == (2, "all", 0.15)
    assert full.student_layers == (0, 2, 4, 7, 9, 11)
    assert (full.batch_size, full.accumulation, full.epochs) == (5, 50, 3)
    assert (args.learning_rate, args.adam_beta1, args.adam_beta2) == (5e-4, 0.9, 0.98)
    assert (args.adam_epsilon, args.weight_decay, args.max_grad_norm) == (1e-6, 0, 5)
    assert (args.lr_scheduler_type, args.warmup_steps) == ("linear", 0.05)
    assert args.train_sampling_strategy == "group_by_length"

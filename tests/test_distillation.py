"""The distillation run: the library's trainer, our objective, and nothing lost on the way."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM, DistilBertForMaskedLM

from helpers.data import passages
from helpers.distill_step import compare, original_step, random_batch, workbook_step
from helpers.distillation import (
    DistillationTrainer,
    Student,
    as_distilbert,
    random_student,
    student_of,
    training_arguments,
    valid_hidden_states,
)
from helpers.errors import WorkbookError
from helpers.objective import Objective
from helpers.texts import Masking, Sequences, cut


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory, tokenizer):
    """A small BERT of four layers with random weights and the real vocabulary."""
    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "corpus.txt"
    path.write_text("\n".join(passages("classroom", "train")[:40]), encoding="utf8")
    return path


@pytest.fixture
def distil(workbook, teacher_folder, texts):
    """`workbook distill` on the small teacher: fp32, no dropout, a few steps."""

    def run(output, *more, texts=texts, teacher=teacher_folder, layers="0,2", **environment):
        return workbook(
            "distill", *arguments(output, texts, teacher, layers), *more,
            OMP_NUM_THREADS="1", **environment,
        )  # fmt: skip

    return run


def arguments(output, texts, teacher, layers="0,2"):
    return [
        "--output", str(output), "--texts", str(texts), "--teacher", str(teacher),
        "--student-layers", layers, "--steps", "8", "--batch-size", "8", "--max-length", "48",
        "--precision", "fp32", "--log-every", "1", "--save-every", "2", "--warmup", "2",
    ]  # fmt: skip


def curve(output):
    """{step: losses} of a run's log, training lines only."""
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    names = ("loss", "distillation_loss", "masked_lm_loss", "cosine_loss")
    return {r["step"]: [r[n] for n in names] for r in lines if "cosine_loss" in r}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, teacher_folder, texts):
    """A run that nobody disturbed."""
    output = tmp_path_factory.mktemp("run") / "whole"
    subprocess.run(
        [sys.executable, "-m", "helpers.cli", "distill", *arguments(output, texts, teacher_folder)],
        check=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
        capture_output=True,
    )  # fmt: skip
    return output


def test_a_run_leaves_a_student_that_plain_transformers_opens(finished):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(finished)
    assert type(model) is DistilBertForMaskedLM
    assert model.config.n_layers == 2
    assert AutoTokenizer.from_pretrained(finished).vocab_size == 30_522
    config = json.loads((finished / "config.json").read_text())
    assert config["architectures"] == ["DistilBertForMaskedLM"]


def test_a_runs_log_has_every_loss_the_held_out_figures_and_its_settings(finished):
    losses = curve(finished)
    assert list(losses) == list(range(1, 9))
    for total, distillation, masked_lm, cosine in losses.values():
        assert total == pytest.approx(5 * distillation + 2 * masked_lm + 50 * cosine, rel=1e-4)
    assert losses[8][0] < losses[1][0]
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    examined = [line for line in lines if "eval_perplexity" in line]
    assert [line["step"] for line in examined] == [2, 4, 6, 8]
    (start,) = json.loads((finished / "run.json").read_text())["starts"]
    assert (start["after_step"], start["student_layers"], start["cosine"]) == (0, [0, 2], 50)
    assert start["sequences"] > 50


def test_what_is_frozen_stays_and_the_rest_learns(finished, teacher_folder):
    before = as_distilbert(BertForMaskedLM.from_pretrained(teacher_folder)).state_dict()
    after = DistilBertForMaskedLM.from_pretrained(finished).state_dict()
    for name in before:
        if "embeddings" in name or name == "vocab_projector.weight":
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["vocab_transform.weight"], after["vocab_transform.weight"])
    layer = "distilbert.transformer.layer.{}.attention.q_lin.weight"
    assert (after[layer.format(1)] - before[layer.format(2)]).abs().max() < 0.05  # began there
    assert not torch.equal(after[layer.format(1)], before[layer.format(2)])


def test_killed_in_mid_run_and_resumed_it_ends_as_if_nothing_had_happened(
    finished, tmp_path, teacher_folder, texts, distil
):
    output = tmp_path / "killed"
    command = [
        sys.executable, "-m", "helpers.cli", "distill", *arguments(output, texts, teacher_folder),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not (output / "log.jsonl").exists() or 5 not in curve(output):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "model.safetensors").exists()

    done = distil(output)
    assert done.returncode == 0, done.stderr
    starts = json.loads((output / "run.json").read_text())["starts"]
    assert len(starts) == 2
    assert starts[1]["after_step"] in (2, 4, 6)
    whole, resumed = curve(finished), curve(output)
    assert resumed.keys() == whole.keys()
    for step in whole:
        assert resumed[step] == pytest.approx(whole[step], abs=1e-6)
    mine, theirs = (
        load_file(output / "model.safetensors"),
        load_file(finished / "model.safetensors"),
    )
    for name in theirs:
        torch.testing.assert_close(mine[name], theirs[name], rtol=0, atol=1e-6)


def torchrun(output, texts, teacher, *more):
    """Two processes on the CPU, each with half of the batch."""
    port = 29500 + os.getpid() % 1000
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
         "--master-port", str(port), "-m", "helpers.cli", "distill",
         *arguments(output, texts, teacher), *more],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=600, text=True,
        capture_output=True,
    )  # fmt: skip


def test_two_processes_have_the_loss_of_one(finished, tmp_path, teacher_folder, texts):
    output = tmp_path / "two"
    done = torchrun(output, texts, teacher_folder, "--batch-size", "4")
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = curve(finished), curve(output)
    assert two.keys() == one.keys()
    for step in one:
        assert two[step] == pytest.approx(one[step], abs=1e-4)


def test_accumulated_passes_have_the_loss_of_one(finished, tmp_path, distil):
    done = distil(tmp_path / "parts", "--batch-size", "4", "--accumulation", "2")
    assert done.returncode == 0, done.stderr
    one, parts = curve(finished), curve(tmp_path / "parts")
    for step in one:
        assert parts[step] == pytest.approx(one[step], abs=1e-4)


def test_the_full_recipe_starts_from_bert_base_shapes(tmp_path, tokenizer, texts):
    """Random weights of bert-base-uncased's shape, the original's settings, one process and two."""
    folder = tmp_path / "bert-base"
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    recipe = [
        "--profile", "full", "--student-layers", "0,2,4,7,9,11", "--steps", "2",
        "--accumulation", "1", "--batch-size", "2", "--dropout", "0.1", "--train-embeddings",
        "--warmup", "0.05", "--held-out", "0", "--masking", "smoothed", "--save-every", "10",
    ]  # fmt: skip
    single = subprocess.run(
        [sys.executable, "-m", "helpers.cli", "distill",
         *arguments(tmp_path / "one", texts, folder), *recipe],
        cwd=ROOT, env=dict(os.environ), timeout=600, text=True, capture_output=True,
    )  # fmt: skip
    assert single.returncode == 0, single.stderr[-2000:]
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    assert (config["n_layers"], config["dim"], config["dropout"]) == (6, 768, 0.1)
    double = torchrun(tmp_path / "two", texts, folder, *recipe)
    assert double.returncode == 0, double.stderr[-2000:]
    for run in ("one", "two"):
        assert list(curve(tmp_path / run)) == [1, 2]
        (tmp_path / run / "model.safetensors").unlink()  # 270 MB


BAD = [
    ("a bad text file", {"texts": b"one\ntwo \xe9\n"}, "line 2: byte 0xe9 is not UTF-8"),
    ("an empty corpus", {"texts": b"\n\n"}, "no text in there"),
    ("short lines only", {"texts": b"Hello.\nYes.\n"}, "no sequence of 12 tokens or more"),
    ("layers that don't exist", {"layers": "0,4"}, "layers [0, 4] asked for, but this model has"),
    ("layers that are none", {"layers": "a,b"}, "no list of layers"),
    ("no such teacher", {"teacher": "/nowhere/at-all"}, "cannot be opened"),
    ("a length of nothing", {"more": ["--max-length", "4"]}, "max_length is 4"),
    ("a negative weight", {"more": ["--cosine", "-1"]}, "weights must be 0 or more"),
    ("no temperature", {"more": ["--temperature", "0"]}, "temperature must be above 0"),
    ("no batch", {"more": ["--batch-size", "0"]}, "batch_size is 0"),
    ("all hidden", {"more": ["--mlm-probability", "1.5"]}, "mlm_probability is 1.5"),
    ("no such profile", {"more": ["--profile", "ful"]}, "must be one of smoke"),
]


@pytest.mark.parametrize(("what", "wrong", "words"), BAD, ids=[row[0] for row in BAD])
def test_bad_input_is_one_clear_line_before_any_training(what, wrong, words, distil, tmp_path):
    wrong = dict(wrong)
    if "texts" in wrong:
        (tmp_path / "bad.txt").write_bytes(wrong["texts"])
        wrong["texts"] = tmp_path / "bad.txt"
    done = distil(tmp_path / "run", *wrong.pop("more", []), **wrong)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_another_vocabulary_is_refused(tmp_path, tokenizer, distil):
    config = BertConfig(
        vocab_size=1_000, hidden_size=24, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=24,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    done = distil(tmp_path / "run", teacher=tmp_path / "other")
    assert done.returncode == 1
    assert "has 1,000 word vectors, but its tokenizer has 30,522 tokens" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_teacher_without_a_trained_head_is_refused(tmp_path, teacher_folder, tokenizer, distil):
    from transformers import BertModel

    BertModel.from_pretrained(teacher_folder).save_pretrained(tmp_path / "headless")
    tokenizer.save_pretrained(tmp_path / "headless")
    done = distil(tmp_path / "run", teacher=tmp_path / "headless")
    assert done.returncode == 1
    assert "cannot fill gaps: it has no weights for cls.predictions" in done.stderr


def test_a_folder_of_something_else_is_left_alone(tmp_path, distil):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    done = distil(tmp_path / "photos")
    assert done.returncode == 1
    assert "holds something that is not a distillation run" in done.stderr
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["cat.png"]


@pytest.mark.parametrize("column", ["text", "body"])
def test_a_hub_set_is_read_through_datasets(tmp_path, distil, workbook, teacher_folder, column):
    """A folder of Parquet, which `datasets` opens as it opens one from the Hub."""
    from datasets import Dataset

    (tmp_path / "set").mkdir()
    rows = passages("classroom", "train")[:30]
    Dataset.from_dict({column: rows}).to_parquet(tmp_path / "set" / "train.parquet")
    done = workbook(
        "distill", "--hub", str(tmp_path / "set"), "--teacher", str(teacher_folder),
        "--student-layers", "0,2", "--output", str(tmp_path / "run"), "--steps", "2",
        "--batch-size", "4", "--max-length", "48", "--log-every", "1",
        HF_DATASETS_CACHE=str(tmp_path / "cache"), HF_DATASETS_OFFLINE="1", OMP_NUM_THREADS="1",
    )  # fmt: skip
    if column == "text":
        assert done.returncode == 0, done.stderr
        assert list(curve(tmp_path / "run")) == [1, 2]
    else:
        assert done.returncode == 1
        assert "has no column 'text', only ['body']" in done.stderr
        assert not (tmp_path / "run").exists()


def test_tensorboard_on_request(tmp_path, distil):
    done = distil(tmp_path / "run", "--tensorboard", "--steps", "3")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    looks = [json.loads(line)["step"] for line in lines if "eval_perplexity" in line]
    assert looks == [2, 3]  # every second step, and the last
    (events,) = (tmp_path / "run" / "tensorboard").rglob("events.out.tfevents*")
    assert b"distillation_loss" in events.read_bytes()


@pytest.fixture(scope="module")
def pair(bert_model):
    """The pocket teacher, re-laid, and an untrained student of its even layers."""
    teacher = as_distilbert(bert_model).requires_grad_(False)
    return teacher, student_of(teacher, [0, 2, 4], dropout=0.0)


def test_leaving_padding_out_changes_no_hidden_state(pair, tokenizer):
    teacher, _ = pair
    batch = random_batch(tokenizer, (5, 40))
    mask = batch["attention_mask"].bool()
    with torch.inference_mode():
        whole = teacher.distilbert(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        for groups in (1, 2, 5, 9):
            flat, labels = valid_hidden_states(
                teacher.distilbert, batch["input_ids"], batch["attention_mask"], batch["labels"],
                groups,
            )  # fmt: skip
            assert flat.shape == (mask.sum(), 384)
            order = batch["attention_mask"].sum(1).argsort(stable=True)
            expected = torch.cat([whole[row][mask[row]] for row in order])
            torch.testing.assert_close(flat, expected, rtol=1e-4, atol=1e-5)
            wanted = torch.cat([batch["labels"][row][mask[row]] for row in order])
            assert torch.equal(labels, wanted)


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
    report = compare(pair[0], tokenizer, repeats=2, progress=lines.append, shape=(3, 40))
    assert len(lines) == 4 * 3
    for precision in ("fp32", "bf16"):
        for positions in ("all", "masked"):
            row = report[precision][positions]
            assert row["speedup"] > 0.5
            assert row["memory_ratio"] > 0
            assert row["loss_difference"] < (1e-4 if precision == "fp32" else 0.02)


def test_a_student_without_a_lesson_is_the_librarys_own_class(pair, tokenizer):
    _, student = pair
    plain = DistilBertForMaskedLM(student.config)
    plain.load_state_dict(student.state_dict())
    inputs = tokenizer("Hello, my [MASK] is cute", return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        mine, theirs = student.eval()(**inputs), plain.eval()(**inputs)
    assert torch.equal(mine.logits, theirs.logits)
    student.train()


def test_a_student_has_the_layers_it_was_given_or_none_of_them(pair):
    teacher, _ = pair
    student = student_of(teacher, [5, 1], dropout=0.2)
    mine, theirs = student.state_dict(), teacher.state_dict()
    name = "distilbert.transformer.layer.{}.ffn.lin1.weight"
    assert torch.equal(mine[name.format(0)], theirs[name.format(5)])
    assert torch.equal(mine[name.format(1)], theirs[name.format(1)])
    assert student.config.dropout == student.config.attention_dropout == 0.2
    assert student.vocab_projector.weight is student.distilbert.embeddings.word_embeddings.weight
    torch.manual_seed(3)
    fresh = random_student(teacher, 2)
    assert fresh.config.n_layers == 2
    assert not torch.equal(fresh.state_dict()[name.format(0)], theirs[name.format(0)])
    with pytest.raises(WorkbookError, match="this model has layers"):
        student_of(teacher, [6])


def test_only_a_bert_can_teach():
    from transformers import RobertaConfig, RobertaForMaskedLM

    config = RobertaConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    with pytest.raises(WorkbookError, match="must be a BERT or DistilBERT, not roberta"):
        as_distilbert(RobertaForMaskedLM(config))


@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
def test_the_trainer_learns_with_either_order_and_bf16(pair, tokenizer, tmp_path, strategy):
    teacher, _ = pair
    student = student_of(teacher, [0, 1], dropout=0.0)
    assert isinstance(student, Student)
    rows = cut(passages("classroom", "train")[:6], tokenizer, 32)
    trainer = DistillationTrainer(
        model=student,
        args=training_arguments(
            tmp_path, "classroom", max_steps=3, per_device_train_batch_size=4, bf16=True,
            use_cpu=True, save_strategy="no", disable_tqdm=True, logging_steps=1,
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
    from helpers.pretraining import RECIPES

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

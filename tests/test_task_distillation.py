"""Task distillation: the loss restated; a run that differs from a plain one by it."""

import json
from types import SimpleNamespace

import pytest
import tiny
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForQuestionAnswering,
    BertModel,
    TrainerCallback,
)

from helpers import checkpoints
from helpers.core.errors import WorkbookError
from helpers.data import tasks
from helpers.training import finetuning, head_results, task_distillation
from helpers.training.finetuning import Outcome, Recipe, fine_tune
from helpers.training.task_distillation import (
    answer_distillation_loss,
    distil,
    teacher_logits,
)

TASK = tasks.task("questions")
SMALL = {"num_hidden_layers": 1, "hidden_size": 36, "intermediate_size": 64}
SHORT = Recipe(epochs=1, learning_rate=1e-4, steps=2, batch_size=4, max_length=96)


def logits(*shape):
    """Student start and end, teacher start and end."""
    generator = torch.Generator().manual_seed(0)
    return list(3 * torch.randn(4, *shape, generator=generator, dtype=torch.float64))


def restated(student_start, student_end, teacher_start, teacher_end, mask, temperature):
    """One window after the other, straight from the definition of the divergence."""
    total = 0.0
    for row, real in enumerate(mask.bool()):
        for mine, yours in ((student_start, teacher_start), (student_end, teacher_end)):
            q = (mine[row, real] / temperature).exp()
            p = (yours[row, real] / temperature).exp()
            q, p = q / q.sum(), p / p.sum()
            total += (p * (p / q).log()).sum()
    return temperature**2 * total / 2 / len(mask)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("lengths", [[7, 7, 7], [7, 3, 1]])
def test_the_loss_is_the_restatement_and_the_originals_line(temperature, lengths):
    tensors = logits(3, 7)
    mask = (torch.arange(7) < torch.tensor(lengths)[:, None]).long()
    found = answer_distillation_loss(*tensors, mask, temperature).item()
    want = restated(*tensors, mask, temperature)
    assert found == pytest.approx(want.item(), abs=1e-10)
    if mask.all():
        soft = [tensor / temperature for tensor in tensors]
        kl = torch.nn.KLDivLoss(reduction="batchmean")
        both = (kl(soft[i].log_softmax(-1), soft[i + 2].softmax(-1)) for i in (0, 1))
        line = sum(both) * temperature**2 / 2
        assert found == pytest.approx(line.item(), abs=1e-10)


def test_the_gradient_is_that_of_the_softened_difference_on_real_tokens_alone():
    start, *others = logits(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    start.requires_grad_()
    answer_distillation_loss(start, *others, mask, 2.0).backward()
    assert start.grad.isfinite().all()
    assert (start.grad[mask == 0] == 0).all()
    q, p = ((tensor.detach() / 2).softmax(-1) for tensor in (start, others[1]))
    # d/dz of T^2 KL / (2 B) is T (q - p) / (2 B)
    assert torch.allclose(start.grad[0], 2 * (q - p)[0] / 4, atol=1e-12)


def test_what_lies_under_the_padding_does_not_matter():
    tensors, mask = logits(2, 6), torch.tensor([[1, 1, 1, 1, 0, 0]] * 2)
    narrow = answer_distillation_loss(*(t[:, :4] for t in tensors), mask[:, :4]).item()
    filled = [tensor.masked_fill(mask == 0, 1e4) for tensor in tensors]
    filled = answer_distillation_loss(*filled, mask)
    assert filled.item() == pytest.approx(narrow, abs=1e-12)
    assert answer_distillation_loss(*tensors[:2], *tensors[:2], mask).item() == 0
    shapes, ones = r"expected five times \(B, S\)", torch.ones(2, 6)
    for wrong, line in [
        ([*tensors[:3], tensors[3][:, :4], ones], shapes),
        ([*tensors, torch.ones(2, 6, 1)], shapes),
        ([*tensors, ones, 0.0], "temperature must be above 0; it is 0"),
    ]:
        with pytest.raises(ValueError, match=line):
            answer_distillation_loss(*wrong)


# A run


@pytest.fixture(scope="module")
def sets():
    found = tasks.sample(TASK)
    sizes = {"train": 10, "test": 4}
    return found | {name: found[name].select(range(n)) for name, n in sizes.items()}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    checkpoints.base_tokenizer().save_pretrained(folder)
    return checkpoints.Checkpoint(folder)


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("distilbert"))


@pytest.fixture(scope="module")
def teacher(sets, bert):
    return fine_tune(TASK, sets, bert, SHORT, seed=0).trainer.model


@pytest.fixture(scope="module")
def plain(sets, distilbert):
    return fine_tune(TASK, sets, distilbert, SHORT, seed=1)


class Count(TrainerCallback):
    steps = 0

    def on_step_end(self, *_, **__):
        self.steps += 1


@pytest.fixture(scope="module")
def taught(sets, teacher, distilbert):
    """A run with a teacher, and the steps that it told of."""
    count = Count()
    run = distil(TASK, sets, teacher, distilbert, SHORT, seed=1, report=[count])
    return run, count.steps


def test_the_teachers_table_holds_what_it_says_to_each_window_alone(
    sets, teacher, bert, distilbert
):
    tables = teacher_logits(TASK, sets["train"], teacher, distilbert, SHORT)
    assert tables.dtype == torch.float32
    elder = AutoTokenizer.from_pretrained(bert)  # BERT's own: gives token types
    rows = finetuning.encode(TASK, sets["train"], elder, SHORT).rows
    assert len(tables[0]) == len(rows) >= len(sets["train"])
    for number in (0, len(rows) - 1):
        row = rows[number]
        assert set(row["token_type_ids"]) == {0, 1}
        names = ("input_ids", "token_type_ids", "attention_mask")
        width = len(row["input_ids"])
        with torch.inference_mode():
            alone = teacher.eval()(**{n: torch.tensor([row[n]]) for n in names})
        both = alone.start_logits[0], alone.end_logits[0]
        for table, want in zip(tables, both, strict=True):
            assert torch.allclose(table[number, :width], want, atol=1e-4)
        assert (tables[0][number, width:] == 0).all()


def test_with_no_weight_on_the_teacher_it_is_the_plain_run(
    sets, teacher, plain, distilbert, monkeypatch
):
    monkeypatch.setattr(task_distillation, "WEIGHT", 0.0)
    same = distil(TASK, sets, teacher, distilbert, SHORT, seed=1)
    assert same.scores == plain.scores
    sides = (run.trainer.model.parameters() for run in (same, plain))
    assert all(map(torch.equal, *sides))


def test_the_teacher_changes_what_is_learned(sets, teacher, plain, taught, distilbert):
    once, steps = taught
    again = distil(TASK, sets, teacher, distilbert, SHORT, seed=1)
    assert once.scores == again.scores
    assert once.scores.keys() == plain.scores.keys()
    assert once.scores["loss"] != plain.scores["loss"]
    assert once.seconds > 0
    assert once.trainer.model.config.model_type == "distilbert"
    assert steps == SHORT.steps
    right = once.trainer.eval_dataset["start_positions"][:]
    assert once.prediction.label_ids[0].tolist() == right, "in the rows' own order"


def test_the_loss_of_a_batch_is_half_and_half(taught):
    trainer = taught[0].trainer
    model, rows = trainer.model.eval(), trainer.train_dataset
    batch = trainer.data_collator([rows[4], rows[1]])
    inputs = {name: value for name, value in batch.items() if name != "window"}
    mask = batch["attention_mask"]
    tables = trainer.tables[:, [4, 1], : mask.shape[1]]
    with torch.inference_mode():
        total, output = trainer.compute_loss(model, batch, return_outputs=True)
        said = output["start_logits"], output["end_logits"]
        theirs = answer_distillation_loss(*said, *tables, mask).item()
        own = trainer.compute_loss(model, inputs).item()
        assert own == pytest.approx(model(**inputs).loss.item(), rel=1e-6)
    assert total.item() == pytest.approx(0.5 * theirs + 0.5 * own, rel=1e-6)


def test_who_may_teach(sets, teacher, plain, distilbert):
    with pytest.raises(WorkbookError, match="topic has no answers in a text"):
        distil(tasks.task("topic"), sets, teacher, distilbert, SHORT, seed=0)
    other = BertForQuestionAnswering(BertConfig(**SMALL, vocab_size=99))
    with pytest.raises(
        WorkbookError, match="the teacher knows 99 word pieces and the s"
    ):
        distil(TASK, sets, other, distilbert, SHORT, seed=0)
    # one of DistilBERT's own class may
    learned = plain.trainer.model
    tokenizer = AutoTokenizer.from_pretrained(distilbert)
    rows = finetuning.encode(TASK, sets["train"], tokenizer, SHORT).rows
    tables = teacher_logits(TASK, sets["train"], learned, distilbert, SHORT)
    assert tables.shape == (2, len(rows), max(map(len, rows["input_ids"])))
    assert distil(TASK, sets, learned, distilbert, SHORT, seed=0).seconds > 0


# The table


def test_a_distilled_run_has_the_teacher_of_its_seed(monkeypatch, tmp_path):
    last = ["distilled/questions/0", "distilled/questions/1"]
    assert head_results.keys(["topic", "questions", "endings"], 2)[-2:] == last
    plain = head_results.keys(["topic", "stars"], 3)
    assert not any(key.startswith("distilled") for key in plain)
    asked = []

    def kind_of(checkpoint):
        return "distilbert" if "distilbert" in checkpoint else "bert"

    def fake(task, sets, checkpoint, recipe, seed):
        kind = kind_of(checkpoint)
        asked.append((kind, seed))
        scores = {"f1": 0.5 if kind == "bert" else 0.4, "exact_match": 0.3}
        trainer = SimpleNamespace(model=f"{kind} of seed {seed}")
        return Outcome(scores, 2.0, trainer, None)

    def taught(task, sets, teacher, checkpoint, recipe, seed):
        asked.append((teacher, kind_of(checkpoint), seed))
        return Outcome({"f1": 0.41 + seed / 100, "exact_match": 0.31}, 3.0, None, None)

    for kind in ("bert", "distilbert"):  # nothing is built
        monkeypatch.setattr(checkpoints, kind, lambda profile, kind=kind: kind)
    monkeypatch.setattr(head_results, "fine_tune", fake)
    monkeypatch.setattr(task_distillation, "distil", taught)
    path = tmp_path / "heads.json"
    report = head_results.run(path, ["questions"], 2)
    learned = [(f"bert of seed {seed}", "distilbert", seed) for seed in (0, 1)]
    assert asked[-2:] == learned
    assert asked.count(("bert", 0)) == 1  # not trained anew
    del report["runs"]["distilled/questions/1"]
    path.write_text(json.dumps(report))
    report = head_results.run(path, ["questions"], 2)
    assert asked[-2:] == [("bert", 1), learned[1]]  # another process has no teacher yet
    rows = head_results.summary(report)
    row = {"mean": pytest.approx(0.415), "runs": [0.41, 0.42], "seconds": 3.0}
    assert rows["questions"]["distilled"] == row
    assert (
        rows["questions"]["retention"]
        == head_results.retention(rows)
        == pytest.approx(0.8)
    )
    figures = head_results.figures(report, "questions", 0.4)
    assert set(figures) == {"bert", "distilbert", "baseline", "live"}

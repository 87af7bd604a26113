"""Task distillation: the loss against a restatement, and a run that differs from a plain one in
nothing but that loss."""

import json

import pytest
import torch
from transformers import AutoTokenizer, DataCollatorWithPadding

from helpers import finetuning, heads, task_distillation, tasks
from helpers.checkpoints import bert, distilbert
from helpers.errors import WorkbookError
from helpers.finetuning import Recipe
from helpers.task_distillation import answer_distillation_loss, distil, teacher_logits

TASK = tasks.task("questions")
SHORT = Recipe(epochs=1, learning_rate=1e-4, steps=2, batch_size=4, max_length=96)


def logits(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(4)]


def restated(student_start, student_end, teacher_start, teacher_end, mask, temperature):
    """One window after the other, straight from the definition of the divergence."""
    total = 0.0
    for row in range(len(mask)):
        real = mask[row].bool()
        for mine, yours in ((student_start, teacher_start), (student_end, teacher_end)):
            q = (mine[row, real] / temperature).exp()
            p = (yours[row, real] / temperature).exp()
            q, p = q / q.sum(), p / p.sum()
            total += (p * (p / q).log()).sum()
    return temperature**2 * total / 2 / len(mask)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("lengths", [[7, 7, 7], [7, 3, 1]])
def test_the_loss_is_the_restatement(temperature, lengths):
    tensors = logits(3, 7)
    mask = (torch.arange(7) < torch.tensor(lengths)[:, None]).long()
    found = answer_distillation_loss(*tensors, mask, temperature)
    assert found.item() == pytest.approx(restated(*tensors, mask, temperature).item(), abs=1e-10)


def test_without_padding_it_is_the_originals_line():
    tensors = logits(3, 7)
    each = []
    for mine, yours in ((tensors[0], tensors[2]), (tensors[1], tensors[3])):
        log_q, p = (mine / 2).log_softmax(-1), (yours / 2).softmax(-1)
        each.append(torch.nn.KLDivLoss(reduction="batchmean")(log_q, p) * 2**2)
    found = answer_distillation_loss(*tensors, torch.ones(3, 7), 2.0)
    assert found.item() == pytest.approx((sum(each) / 2).item(), abs=1e-10)


def test_the_gradient_flows_to_real_tokens_alone_and_is_that_of_the_softened_difference():
    tensors = logits(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    start = tensors[0].requires_grad_()
    answer_distillation_loss(start, *tensors[1:], mask, 2.0).backward()
    assert start.grad.isfinite().all()
    assert (start.grad[mask == 0] == 0).all()
    q, p = ((t[0].detach() / 2).softmax(-1) for t in (start, tensors[2]))
    # d/dz of T^2 KL / (2 B) is T (q - p) / (2 B)
    assert torch.allclose(start.grad[0], 2 * (q - p) / 4, atol=1e-12)


def test_squared_temperature_keeps_the_size_of_the_gradient():
    sizes = []
    for temperature in (1.0, 4.0, 8.0):
        tensors = [t / 20 for t in logits(4, 9)]  # small logits: softmax is nearly linear
        start = tensors[0].requires_grad_()
        answer_distillation_loss(start, *tensors[1:], torch.ones(4, 9), temperature).backward()
        sizes.append(start.grad.norm().item())
    assert sizes[1:] == pytest.approx([sizes[0]] * 2, rel=0.2)


def test_what_lies_under_the_padding_does_not_matter():
    tensors = logits(2, 6)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]] * 2)
    filled = [t.masked_fill(mask == 0, 1e4) for t in tensors]
    narrow = [t[:, :4] for t in tensors]
    expected = answer_distillation_loss(*narrow, mask[:, :4]).item()
    assert answer_distillation_loss(*filled, mask).item() == pytest.approx(expected, abs=1e-12)
    assert answer_distillation_loss(*tensors[:2], *tensors[:2], mask).item() == 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: [*t[:3], t[3][:, :4], torch.ones(2, 6)], r"expected five times \(B, S\)"),
        (lambda t: [*t, torch.ones(2, 6, 1)], r"expected five times \(B, S\)"),
        (lambda t: [*t, torch.ones(2, 6), 0.0], "temperature must be above 0; it is 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, line):
    with pytest.raises(ValueError, match=line):
        answer_distillation_loss(*change(logits(2, 6)))


# -- a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets():
    found = tasks.sample(TASK)
    found["train"], found["test"] = (
        found["train"].select(range(10)),
        found["test"].select(range(4)),
    )
    return found


@pytest.fixture(scope="module")
def teacher(sets):
    return finetuning.fine_tune(TASK, sets, bert(), SHORT, seed=0).trainer.model


def test_the_teachers_table_holds_what_it_says_to_each_window_alone(sets, teacher):
    starts, ends = task_distillation._taught(TASK, sets["train"], teacher, distilbert(), SHORT)
    assert starts.dtype == ends.dtype == torch.float32
    elder = AutoTokenizer.from_pretrained(bert())  # BERT's own: gives token types
    rows = finetuning.encode(TASK, sets["train"], elder, SHORT).rows
    assert len(starts) == len(rows) >= len(sets["train"])
    for number in (0, len(rows) - 1):
        row = rows[number]
        assert set(row["token_type_ids"]) == {0, 1}
        names = ("input_ids", "token_type_ids", "attention_mask")
        with torch.inference_mode():
            alone = teacher.eval()(**{name: torch.tensor([row[name]]) for name in names})
        width = len(row["input_ids"])
        assert torch.allclose(starts[number, :width], alone.start_logits[0], atol=1e-4)
        assert torch.allclose(ends[number, :width], alone.end_logits[0], atol=1e-4)
        assert (starts[number, width:] == 0).all()


def test_with_no_weight_on_the_teacher_it_is_the_plain_run(sets, teacher):
    plain = finetuning.fine_tune(TASK, sets, distilbert(), SHORT, seed=1)
    same = distil(TASK, sets, teacher, distilbert(), SHORT, seed=1, weight=0.0)
    assert same.scores == plain.scores
    for left, right in zip(
        plain.trainer.model.parameters(), same.trainer.model.parameters(), strict=True
    ):
        assert torch.equal(left, right)


def test_the_teacher_changes_what_is_learned_and_the_seed_decides_the_rest(sets, teacher):
    plain = finetuning.fine_tune(TASK, sets, distilbert(), SHORT, seed=1)
    once, again = (distil(TASK, sets, teacher, distilbert(), SHORT, seed=1) for _ in range(2))
    assert once.scores == again.scores
    assert once.scores.keys() == plain.scores.keys()
    assert once.scores["loss"] != plain.scores["loss"]
    assert once.seconds > 0
    assert once.trainer.model.config.model_type == "distilbert"


def test_the_loss_of_a_batch_is_half_and_half(sets, teacher):
    trainer = distil(TASK, sets, teacher, distilbert(), SHORT, seed=1).trainer
    rows = trainer.train_dataset
    batch = trainer.data_collator([rows[4], rows[1]])
    model = trainer.model.eval()
    with torch.inference_mode():
        total, output = trainer.compute_loss(model, batch, return_outputs=True)
        width = batch["input_ids"].shape[1]
        taught = answer_distillation_loss(
            output["start_logits"], output["end_logits"],
            trainer.starts[[4, 1], :width], trainer.ends[[4, 1], :width], batch["attention_mask"],
        )  # fmt: skip
        inputs = {name: value for name, value in batch.items() if name != "window"}
        own = trainer.compute_loss(model, inputs)
    assert total.item() == pytest.approx(0.5 * taught.item() + 0.5 * own.item(), rel=1e-6)
    assert own.item() == pytest.approx(model(**inputs).loss.item(), rel=1e-6)


def test_callbacks_are_told_of_each_step(sets, teacher):
    from transformers import TrainerCallback

    class Count(TrainerCallback):
        steps = 0

        def on_step_end(self, *_, **__):
            self.steps += 1

    count = Count()
    distil(TASK, sets, teacher, distilbert(), SHORT, seed=0, report=[count])
    assert count.steps == SHORT.steps


def test_what_cannot_be_distilled_is_one_line(sets, teacher):
    from transformers import BertConfig, BertForQuestionAnswering

    with pytest.raises(WorkbookError, match="topic has no answers in a text"):
        distil(tasks.task("topic"), sets, teacher, distilbert(), SHORT, seed=0)
    small = BertConfig(vocab_size=99, hidden_size=12, num_hidden_layers=1, intermediate_size=12)
    with pytest.raises(WorkbookError, match="the teacher knows 99 word pieces and the student"):
        distil(TASK, sets, BertForQuestionAnswering(small), distilbert(), SHORT, seed=0)


def test_a_teacher_of_distilberts_own_class_may_teach_too(sets):
    learned = finetuning.fine_tune(TASK, sets, distilbert(), SHORT, seed=0).trainer.model
    tokenizer = AutoTokenizer.from_pretrained(distilbert())
    rows = finetuning.encode(TASK, sets["train"], tokenizer, SHORT).rows
    starts, _ = teacher_logits(learned, rows, DataCollatorWithPadding(tokenizer))
    assert starts.shape == (len(rows), max(map(len, rows["input_ids"])))
    assert distil(TASK, sets, learned, distilbert(), SHORT, seed=0).seconds > 0


# -- the table -------------------------------------------------------------------------------------


def test_distilled_runs_come_last_and_only_where_questions_are_asked():
    assert heads.keys(["topic", "questions", "endings"], 2)[-2:] == [
        "distilled/questions/0", "distilled/questions/1",
    ]  # fmt: skip
    assert not any(key.startswith("distilled") for key in heads.keys(["topic", "stars"], 3))


def test_a_distilled_run_has_the_teacher_of_its_seed(monkeypatch, tmp_path):
    asked = []

    def fake(task, sets, checkpoint, recipe, seed):
        kind = checkpoint.rsplit("/", 1)[-1].split("-")[1]
        asked.append((kind, seed))
        trainer = type("Trainer", (), {"model": f"{kind} of seed {seed}"})
        scores = {"f1": 0.5 if kind == "bert" else 0.4, "exact_match": 0.3}
        return finetuning.Outcome(scores, 2.0, trainer, None)

    def taught(task, sets, teacher_model, checkpoint, recipe, seed):
        asked.append((teacher_model, checkpoint.rsplit("/", 1)[-1].split("-")[1], seed))
        scores = {"f1": 0.41 + seed / 100, "exact_match": 0.31}
        return finetuning.Outcome(scores, 3.0, None, None)

    monkeypatch.setattr(heads, "fine_tune", fake)
    monkeypatch.setattr(task_distillation, "distil", taught)
    path = tmp_path / "heads.json"
    report = heads.run(path, ["questions"], 2)
    learned = [("bert of seed 0", "distilbert", 0), ("bert of seed 1", "distilbert", 1)]
    assert asked[-2:] == learned
    assert asked.count(("bert", 0)) == 1  # not trained anew
    del report["runs"]["distilled/questions/1"]
    path.write_text(json.dumps(report))
    report = heads.run(path, ["questions"], 2)
    assert asked[-2:] == [("bert", 1), learned[1]]  # another process has no teacher yet
    row = heads.summary(report)["questions"]
    assert row["distilled"] == {
        "mean": pytest.approx(0.415), "runs": [0.41, 0.42], "seconds": 3.0,
    }  # fmt: skip
    assert row["retention"] == pytest.approx(0.8)
    assert heads.retention(heads.summary(report)) == pytest.approx(0.8)
    assert set(heads.figures(report, "questions", 0.4)) == {
        "bert", "distilbert", "baseline", "live",
    }  # fmt: skip

"""Fine-tuning of each head: what it is given, what is scored, what a run leaves."""

import json
from dataclasses import replace

import pytest
import tiny
import torch
from datasets import DatasetDict
from transformers import AutoModel, AutoTokenizer

from helpers.checkpoints import bert, distilbert
from helpers.core.errors import WorkbookError
from helpers.data import schemas, splits, tasks
from helpers.training import finetuning, head_results
from helpers.training.finetuning import RECIPES, Recipe

SHORT = Recipe(epochs=1, learning_rate=1e-4, steps=2)
each = pytest.mark.parametrize("name", tasks.TASKS)


@pytest.fixture(scope="module")
def tokenizers():
    found = {"bert": bert(), "distilbert": distilbert()}
    return {kind: AutoTokenizer.from_pretrained(at) for kind, at in found.items()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def samples():
    return {name: tasks.sample(task) for name, task in tasks.TASKS.items()}


@pytest.fixture
def few(samples):
    """A few rows of a task's sample set."""

    def select(name, train=12, test=6):
        rows = {"train": range(train), "test": range(test)}
        return DatasetDict({s: samples[name][s].select(r) for s, r in rows.items()})

    return select


def test_a_recipe_follows_its_profile():
    topic, questions = tasks.task("topic"), tasks.task("questions")
    assert finetuning.recipe(topic, kind="bert") == RECIPES["topic"]
    own = {"epochs": 8, "learning_rate": 3e-4}
    assert finetuning.recipe(topic) == replace(RECIPES["topic"], **own)
    assert finetuning.recipe(topic, "smoke").steps == 2
    full = finetuning.recipe(questions, "full")
    assert full == finetuning.recipe(questions, "full", "bert")
    assert (full.epochs, full.learning_rate) == (3, 5e-5)
    assert (full.max_length, full.stride) == (384, 128)
    assert finetuning.recipe(tasks.task("pairs"), "full").towers
    with pytest.raises(WorkbookError, match="PROFILE is 'fast'"):
        finetuning.recipe(topic, "fast")


def test_steps_are_counted_as_the_trainer_counts_them(few, small):
    task, how = tasks.task("pairs"), Recipe(1.5, 1e-4, batch_size=8)
    trainer = finetuning.fine_tune(task, few("pairs", 20), small, how, seed=0).trainer
    assert trainer.state.global_step == finetuning.steps(how, 20)
    assert finetuning.steps(SHORT, 20) == 2


@each
def test_a_tasks_rows_are_in_the_contract_of_its_head(name, samples):
    task, sets = tasks.task(name), samples[name]
    expected = schemas.features(task.head, task.names, pair=name == "relation")
    for split in ("train", "test"):
        assert sets[split].features == expected
        assert len(sets[split]) >= 100


def test_an_unknown_task_is_one_line():
    said = r"no task is called 'mood'; there are sentiment, "
    with pytest.raises(WorkbookError, match=said):
        tasks.task("mood")


def test_results_have_the_names_under_which_the_notebooks_record_them():
    assert {task.record for task in tasks.TASKS.values()} == {
        "sentiment_accuracy", "topic_accuracy", "aspects_f1", "stars_spearman",
        "pairs_spearman", "relation_accuracy", "entity_f1", "questions_f1",
        "next_accuracy", "endings_accuracy",
    }  # fmt: skip


@each
def test_every_head_trains_and_is_scored(name, few, small):
    task = tasks.task(name)
    outcome = finetuning.fine_tune(task, few(name), small, SHORT, seed=0)
    assert -1 <= outcome.scores[task.score] <= 1
    assert outcome.seconds > 0
    model = outcome.trainer.model
    assert model.config.model_type == "distilbert"
    before = AutoModel.from_pretrained(small).state_dict()
    after = model.base_model.state_dict()
    changed = {
        key.split(".")[0] for key in before if not torch.equal(before[key], after[key])
    }
    assert changed == {"transformer"}  # the embeddings are frozen, the layers are not


@pytest.mark.parametrize("name", ["topic", "questions", "endings"])
def test_rows_are_examined_in_their_own_order(few, small, name):
    sets = few(name, 4, 40)
    outcome = finetuning.fine_tune(tasks.task(name), sets, small, SHORT, seed=0)
    rows, found = outcome.trainer.eval_dataset, outcome.prediction.label_ids
    lengths = {len(str(ids)) for ids in rows["input_ids"]}
    assert len(lengths) > 5, "they could be grouped by length"
    starts = name == "questions"
    right = rows["start_positions" if starts else "labels"][:]
    assert (found[0] if starts else found).tolist() == right


def test_the_same_seed_gives_the_same_scores_and_another_another_head(few, small):
    given = tasks.task("pairs"), few("pairs"), small, SHORT
    runs = [finetuning.fine_tune(*given, seed).scores for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize(("name", "texts"), [("pairs", 2), ("endings", 5)])
def test_towers_read_each_text_alone(few, small, tokenizers, name, texts):
    task, sets, how = tasks.task(name), few(name, 4), replace(SHORT, towers=True)
    tokenizer = tokenizers["bert"]
    encoded = finetuning.encode(task, sets["train"], tokenizer, how).rows
    pad = finetuning.collator(task, tokenizer, towers=True)
    batch = pad([encoded[i] for i in range(4)])
    assert batch["input_ids"].shape[:2] == (4, texts)
    assert (batch["input_ids"] == tokenizer.sep_token_id).sum() == 4 * texts
    assert encoded.column_names == ["input_ids", "attention_mask", "labels"]
    outcome = finetuning.fine_tune(task, sets, small, how, seed=0)
    assert type(outcome.trainer.model).__name__ == "Towers"
    assert len(outcome.prediction.predictions) == len(sets["test"])
    assert -1 <= outcome.scores[task.score] <= 1


def test_multilabel_targets_are_floats_one_for_each_label(few, tokenizers):
    task, sets = tasks.task("aspects"), few("aspects")
    rows = finetuning.encode(task, sets["train"], tokenizers["distilbert"], SHORT).rows
    for labels, given in zip(rows["labels"], sets["train"]["label"], strict=True):
        assert all(isinstance(value, float) for value in labels)
        assert [i for i, value in enumerate(labels) if value == 1.0] == sorted(given)
        assert len(labels) == len(task.names)


def test_a_pair_is_read_as_one_sequence_of_two_segments(few, tokenizers):
    task, sets = tasks.task("relation"), few("relation", 3)
    for kind, tokenizer in tokenizers.items():
        row = finetuning.encode(task, sets["train"], tokenizer, SHORT).rows[0]
        assert row["input_ids"].count(tokenizer.sep_token_id) == 2
        assert ("token_type_ids" in row) == (kind == "bert")


def test_choices_are_four_sequences_that_begin_alike(few, tokenizers):
    task, sets = tasks.task("endings"), few("endings", 4)
    tokenizer = tokenizers["distilbert"]
    assert not SHORT.towers
    rows = finetuning.encode(task, sets["train"], tokenizer, SHORT).rows
    batch = finetuning.collator(task, tokenizer)([rows[i] for i in range(4)])
    assert batch["input_ids"].shape[:2] == (4, 4)  # (batch, choices, length)
    row = sets["train"][0]
    for ids, ending in zip(rows[0]["input_ids"], row["choices"], strict=True):
        assert ids == tokenizer(row["context"], ending)["input_ids"]


def test_a_regression_starts_from_the_mean(few, tokenizers):
    task, sets = tasks.task("stars"), few("stars", 30)
    model = finetuning.model(task, distilbert(), sets["train"]).eval()
    expected = sum(sets["train"]["label"]) / 30
    assert model.classifier.bias.item() == pytest.approx(expected)
    with torch.no_grad():
        guess = model(**tokenizers["distilbert"]("A book.", return_tensors="pt"))
    assert guess.logits.item() == pytest.approx(expected, abs=0.5)


def test_label_names_travel_with_the_model(few, small):
    model = finetuning.model(tasks.task("topic"), small, few("topic")["train"])
    assert model.config.id2label[0] == "film"
    assert model.config.label2id["course"] == 5


def test_every_task_has_a_recipe():
    assert RECIPES.keys() == tasks.TASKS.keys()


# -- the table -------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch, samples):
    """Fine-tuning that takes no time and remembers what it was asked."""
    asked = []

    def fake(task, sets, checkpoint, recipe, seed):
        kind = checkpoint.rsplit("/", 1)[-1].split("-")[1]
        asked.append((task.name, kind, seed, len(sets["train"])))
        scores = {task.score: 0.5 + seed / 10, "loss": 1.0}
        return finetuning.Outcome(scores, 2.0 + seed, None, None)

    def rows_of(task, profile):
        return DatasetDict(samples[task.name])

    monkeypatch.setattr(head_results, "fine_tune", fake)
    monkeypatch.setattr(head_results, "rows_of", rows_of)
    return asked


def test_a_table_goes_on_where_it_was_stopped(quick, tmp_path):
    path = tmp_path / "heads.json"

    def stop(key):
        if key == "distilbert/topic/0":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        head_results.run(path, ["relation", "topic"], 2, done=stop)
    assert len(json.loads(path.read_text())["runs"]) == 4
    first = list(quick)
    head_results.run(path, ["relation", "topic"], 2)
    assert quick[:4] == first
    assert len(quick) == 8  # nothing ran twice
    assert quick[1][:3] == ("relation", "distilbert", 0)


def test_the_summary_holds_means_and_what_the_student_keeps(quick, tmp_path):
    report = head_results.run(tmp_path / "heads.json", ["sentiment", "entities"], 3)
    for kind, score in (("distilbert", 0.3), ("bert", 0.6)):
        for seed in range(3):
            report["runs"][f"{kind}/entities/{seed}"]["scores"]["f1"] = score
    rows = head_results.summary(report)
    assert list(rows) == ["sentiment", "entities"]
    assert rows["sentiment"]["bert"] == {
        "mean": pytest.approx(0.6), "runs": [0.5, 0.6, 0.7], "seconds": 3.0,
    }  # fmt: skip
    assert rows["entities"]["retention"] == pytest.approx(0.5)
    assert rows["entities"]["baseline"] == pytest.approx(0.536, abs=1e-3)
    assert head_results.retention(rows) == pytest.approx((0.6 + 0.3) / (0.6 + 0.6))


def test_runs_of_two_recipes_are_not_mixed(quick, tmp_path, monkeypatch):
    path = tmp_path / "heads.json"
    head_results.run(path, ["topic"], 1)
    monkeypatch.setitem(RECIPES, "topic", Recipe(epochs=1, learning_rate=1e-3))
    said = r"heads\.json: bert/topic ran with another recipe"
    with pytest.raises(WorkbookError, match=said):
        head_results.run(path, ["topic"], 2)


def test_a_file_that_is_no_table_is_one_line(tmp_path):
    (tmp_path / "heads.json").write_text("nothing")
    with pytest.raises(WorkbookError, match=r"heads\.json: expected JSON"):
        head_results.load(tmp_path / "heads.json")
    with pytest.raises(WorkbookError, match="`workbook heads` makes it"):
        head_results.load(tmp_path / "no.json")


def test_a_learning_curve_takes_fewer_rows_and_other_ones_each_time(
    quick, samples, tmp_path
):
    report = head_results.run(tmp_path / "heads.json", ["sentiment"], 2)
    assert head_results.keys(["sentiment"], 1)[-3:] == [
        "bert/sentiment@eighth/0", "bert/sentiment@quarter/0", "bert/sentiment@half/0",
    ]  # fmt: skip
    assert head_results.curve(report, "sentiment") == {
        rows: [0.5, 0.6] for rows in (78, 157, 315, 630)
    }
    assert [asked[-1] for asked in quick] == [*[630] * 4, 78, 78, 157, 157, 315, 315]
    rows = samples["sentiment"]["train"]
    parts = [splits.fewer(rows, 78, seed)["text"][:] for seed in (0, 1)]
    assert [len(set(part)) for part in parts] == [78, 78]
    assert parts[0] != parts[1]


def test_figures_hold_the_stored_means_and_this_run(quick, tmp_path):
    report = head_results.run(tmp_path / "heads.json", ["entities"], 3)
    found = head_results.figures(report, "entities", live=0.42)
    assert found == {
        "bert": pytest.approx(0.6), "distilbert": pytest.approx(0.6),
        "baseline": pytest.approx(0.536, abs=1e-3), "live": 0.42,
    }  # fmt: skip
    assert head_results.figures(report, "entities", 0.4, "loss")["bert"] == 1.0


def test_what_is_kept_is_a_share_of_the_teachers_average():
    row, other = (
        {"bert": {"mean": teacher}, "distilbert": {"mean": student},
         "baseline": plain, "retention": student / teacher}
        for teacher, student, plain in ((0.8, 0.6, 0.4), (0.4, 0.4, 0.2))
    )  # fmt: skip
    found = head_results.kept({"topic": row, "stars": other}, {"topic": 0.72})
    assert found == {
        "bert": 1.0, "distilbert": pytest.approx(1 / 1.2),
        "baseline": pytest.approx(0.5), "live": pytest.approx(0.9),
    }  # fmt: skip


def test_the_spread_is_the_prediction_interval():
    low, high = head_results.spread([0.7, 0.72, 0.74])
    assert (low + high) / 2 == pytest.approx(0.72)
    assert high - 0.72 == pytest.approx(4.3027 * 0.02 * (4 / 3) ** 0.5, rel=1e-4)
    assert head_results.spread([0.5, 0.5])[1] > 0.5
    with pytest.raises(ValueError, match="1 run says nothing"):
        head_results.spread([0.5])


# -- what a task is learned from -------------------------------------------------------


def test_smoke_takes_a_few_rows_and_classroom_all():
    task = tasks.task("topic")
    assert [len(rows) for rows in tasks.load(task, "smoke").values()] == [48, 48, 48]
    assert [len(rows) for rows in tasks.load(task).values()] == [630, 210, 225]

"""A head trained on your own rows, kept whole, and used on new ones."""

import json
from dataclasses import replace

import pytest
from datasets import DatasetDict

from helpers import tasks
from helpers.checkpoints import distilbert
from helpers.errors import WorkbookError
from helpers.training import own_model, predict

# head: a sample task in its schema, rows to learn from, the columns that an answer adds
HEADS = {
    "classification": ("topic", 40, {"label", "probability"}),
    "multilabel": ("aspects", 24, {"labels", "probabilities"}),
    "regression": ("stars", 24, {"score"}),
    "similarity": ("pairs", 24, {"score"}),
    "tokens": ("entities", 24, {"tags"}),
    "questions": ("questions", 16, {"answer"}),
    "choices": ("next", 8, {"choice", "probability"}),
}
LABELS = ("label", "tags", "answers", "score")


def few(name, count):
    sets = tasks.sample(tasks.task(name))
    parts = {split: sets[split].select(range(count)) for split in ("train", "test")}
    return DatasetDict(parts)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One model a head, each of one short epoch or two: {head: (folder, sets, what was said)}."""
    found = {}
    for head, (name, count, _) in HEADS.items():
        sets, said = few(name, count), []
        how = replace(own_model.recipe_for(head, "classroom", epochs=1), batch_size=8)
        folder = tmp_path_factory.mktemp("models") / head
        own_model.train(head, sets, distilbert(), how, folder, say=said.append)
        found[head] = (folder, sets, said)
    return found


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_kept_and_answers_new_rows(trained, head):
    folder, sets, said = trained[head]
    assert said[-1].startswith(f"epoch 1 of 1: {own_model.SCORES[head]} ")
    about = json.loads((folder / own_model.ABOUT).read_text())
    assert about["head"] == head
    assert about["rows"] == {"train": HEADS[head][1], "test": HEADS[head][1]}
    model, tokenizer, about = predict.opened(folder)
    rows = [{k: v for k, v in row.items() if k not in LABELS} for row in sets["test"]]
    answers = predict.answers(model, tokenizer, about, rows)
    assert len(answers) == len(rows)
    assert all(set(answer) == HEADS[head][2] for answer in answers)
    alone = predict.answers(model, tokenizer, about, rows[:1])[0]
    for name, value in alone.items():  # neighbours in a batch change nothing but the last digits
        expected = pytest.approx(value, abs=1e-3) if isinstance(value, float | dict) else value
        assert answers[0][name] == expected


def test_names_of_labels_come_back(trained):
    model, tokenizer, about = predict.opened(trained["classification"][0])
    (answer,) = predict.answers(model, tokenizer, about, [{"text": "A fine film."}])
    assert answer["label"] in tasks.task("topic").names
    model, tokenizer, about = predict.opened(trained["tokens"][0])
    (answer,) = predict.answers(model, tokenizer, about, [{"tokens": ["Ada", "sang", "."]}])
    assert len(answer["tags"]) == 3
    assert set(answer["tags"]) <= set(tasks.task("entities").names)


def test_any_number_of_choices(trained):
    model, tokenizer, about = predict.opened(trained["choices"][0])
    rows = [
        {"context": "It rained.", "choices": [f"Ending {i}." for i in range(n)]} for n in (2, 7)
    ]
    found = [answer["choice"] for answer in predict.answers(model, tokenizer, about, rows)]
    assert found[0] in range(2)
    assert found[1] in range(7)


def test_the_best_epoch_is_kept_and_chunks_are_answered_in_order(tmp_path):
    said, sets = [], few("topic", 48)
    how = replace(own_model.recipe_for("classification", "classroom", 3, 5e-4), batch_size=8)
    found = own_model.train(
        "classification", sets, distilbert(), how, tmp_path / "m", say=said.append
    )
    assert sum(line.startswith("about ") for line in said) == 1  # once the first steps are known
    epochs = [float(x.split("macro_f1 ")[1].split(",")[0]) for x in said if "macro_f1" in x]
    assert len(epochs) == 3
    assert found["macro_f1"] == pytest.approx(max(epochs), abs=6e-4)
    model, tokenizer, about = predict.opened(tmp_path / "m")
    rows, written = [{"text": text} for text in sets["test"]["text"][:5]], []
    chunks = iter([rows[:2], rows[2:4], rows[4:]])
    count = predict.label(
        chunks,
        model,
        tokenizer,
        about,
        lambda chunk, found: written.extend(zip(chunk, found, strict=True)),
    )
    assert count == 5
    assert [row for row, _ in written] == rows


def test_nothing_is_lost_or_mistaken(trained, tmp_path):
    folder = trained["classification"][0]
    before = sorted(path.name for path in folder.iterdir())
    how = own_model.recipe_for("classification", "classroom", 1)
    with pytest.raises(WorkbookError, match="is not empty: name another --output"):
        own_model.train("classification", few("topic", 8), distilbert(), how, folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # no litter beside it
    with pytest.raises(WorkbookError, match=r"has no workbook\.json: `workbook fine-tune` makes"):
        predict.opened(tmp_path)


def test_a_long_training_is_foretold_with_what_would_fit():
    assert own_model.forecast(0.1, 300, 3) == "about 30 seconds"
    assert own_model.forecast(1, 600, 3) == "about 10 minutes"
    assert own_model.forecast(2, 1800, 6) == "about 60 minutes; 2 epochs would take 20: --epochs 2"
    assert "--epochs 1 with 50% of the rows" in own_model.forecast(2, 3600, 3)

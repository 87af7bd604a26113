"""A head trained on your own rows, kept whole, and used on new ones."""

import json
from dataclasses import replace

import pytest
import tiny
from datasets import DatasetDict

from helpers import data
from helpers.checkpoints import distilbert
from helpers.core.errors import WorkbookError
from helpers.data import tasks
from helpers.training import own_model, predict, stream

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
    """One model a head, of one short epoch: {head: (folder, sets, what was said)}."""
    found, small = {}, tiny.checkpoint(tmp_path_factory.mktemp("tiny"))
    for head, (name, count, _) in HEADS.items():
        sets, said = few(name, count), []
        how = replace(own_model.recipe_for(head, "classroom", epochs=1), batch_size=8)
        folder = tmp_path_factory.mktemp("models") / head
        own_model.train(head, sets, small, how, folder, say=said.append)
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
    for name, value in alone.items():  # neighbours change only the last digits
        number = isinstance(value, float | dict)
        assert answers[0][name] == (pytest.approx(value, abs=1e-3) if number else value)


def test_names_of_labels_come_back(trained):
    model, tokenizer, about = predict.opened(trained["classification"][0])
    (answer,) = predict.answers(model, tokenizer, about, [{"text": "A fine film."}])
    assert answer["label"] in tasks.task("topic").names
    model, tokenizer, about = predict.opened(trained["tokens"][0])
    words = ["Ada", "sang", "."]
    (answer,) = predict.answers(model, tokenizer, about, [{"tokens": words}])
    assert len(answer["tags"]) == 3
    assert set(answer["tags"]) <= set(tasks.task("entities").names)


def test_any_number_of_choices(trained):
    model, tokenizer, about = predict.opened(trained["choices"][0])
    rows = [
        {"context": "It rained.", "choices": [f"Ending {i}." for i in range(n)]}
        for n in (2, 7)
    ]
    two, seven = predict.answers(model, tokenizer, about, rows)
    assert two["choice"] in range(2)
    assert seven["choice"] in range(7)


def test_the_best_epoch_is_kept(tmp_path):
    said, sets = [], few("topic", 48)
    how = own_model.recipe_for("classification", "classroom", 3, 5e-4)
    given = sets, distilbert(), replace(how, batch_size=8), tmp_path / "m"
    found = own_model.train("classification", *given, say=said.append)
    # once the first steps are known
    assert sum(line.startswith("about ") for line in said) == 1
    lines = [line.split("macro_f1 ")[1] for line in said if "macro_f1" in line]
    epochs = [float(line.split(",")[0]) for line in lines]
    assert len(epochs) == 3
    assert found["macro_f1"] == pytest.approx(max(epochs), abs=6e-4)


def test_nothing_is_lost_or_mistaken(trained, tmp_path):
    folder = trained["classification"][0]
    before = sorted(path.name for path in folder.iterdir())
    how = own_model.recipe_for("classification", "classroom", 1)
    with pytest.raises(WorkbookError, match="is not empty: name another --output"):
        own_model.train("classification", few("topic", 8), distilbert(), how, folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    beside = [path.name for path in folder.parent.iterdir()]
    assert beside == [folder.name]  # no litter
    said = r"has no workbook\.json: `workbook fine-tune` makes"
    with pytest.raises(WorkbookError, match=said):
        predict.opened(tmp_path)


def test_a_long_training_is_foretold_with_what_would_fit():
    assert own_model.forecast(0.1, 300, 3) == "about 30 seconds"
    assert own_model.forecast(1, 600, 3) == "about 10 minutes"
    long = "about 60 minutes; 2 epochs would take 20: --epochs 2"
    assert own_model.forecast(2, 1800, 6) == long
    assert "--epochs 1 with 50% of the rows" in own_model.forecast(2, 3600, 3)


# -- the two commands ------------------------------------------------------------------


def test_from_excels_csv_to_a_labelled_new_file(workbook, tmp_path):
    import csv

    rows = data.rows("reviews", "train", "plain")
    rows = [row for row in rows if row["topic"] in ("film", "food")][:60]
    lines = [
        f'{row["topic"]};"{row["text"].replace(chr(34), "")} à 5 €"' for row in rows
    ]
    file = tmp_path / "export.csv"
    file.write_text("v1;v2\n" + "\n".join(lines), encoding="cp1252")
    asked = ["fine-tune", "classification", file.name, "--output", "mine"]
    asked += ["--epochs", "1"]
    done = workbook(*asked)
    assert done.returncode == 1
    assert "cp1252" in done.stderr  # the encoding that would read it is named
    names = ["--encoding", "cp1252", "--columns", '{"text": "v2", "label": "v1"}']
    done = workbook(*asked, *names)
    assert done.returncode == 0, done.stderr
    assert "48 rows to learn from, 12 held out, 1 epochs" in done.stdout
    assert "macro_f1" in done.stdout
    (tmp_path / "new.csv").write_text(
        "v2,id\nA tasty soup.,1\nA dull film.,2\n", encoding="utf8"
    )
    done = workbook("predict", "mine", "new.csv", "--batch-size", "1")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "new.predicted.csv").open(encoding="utf8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["id"] for row in found] == ["1", "2"]
    assert {row["label"] for row in found} <= {"film", "food"}
    assert all(0.4 < float(row["probability"]) <= 1 for row in found)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"text": "x"}\n[]\n', "line 2: expected one JSON object"),
        (
            "a.csv",
            "comment_x\nfine\n",
            "no column is 'text' among comment_x; say which: --columns",
        ),
        ("a.csv", "text\n", "there are no rows in it"),
        ("a.pdf", "%PDF", "expected .csv, .tsv, .jsonl, .xlsx or .parquet"),
    ],
)
def test_a_file_that_cannot_be_labelled_is_one_line_and_leaves_nothing(
    trained, workbook, tmp_path, name, text, said
):
    (tmp_path / name).write_text(text, encoding="utf8")
    done = workbook("predict", str(trained["classification"][0]), name)
    assert done.returncode == 1
    assert said in done.stderr.strip().splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("bom.csv", "\ufefftext,n\nfine,1\n", "utf-8"),
        ("excel.csv", "sep=;\ntext;n\nfine;1\n", "utf-8"),
        ("tabs.tsv", "text\tn\nfine\t1\n", "utf-8"),
        ("latin.csv", "text;n\nfine;1\n", "cp1252"),
    ],
)
def test_the_tables_that_people_have_are_read(tmp_path, name, text, encoding):
    (tmp_path / name).write_text(text, encoding=encoding)
    told = "" if encoding == "utf-8" else encoding
    assert list(stream.rows(tmp_path / name, told)) == [{"text": "fine", "n": "1"}]


def test_a_large_file_is_read_a_few_rows_at_a_time(tmp_path):
    file = tmp_path / "many.jsonl"
    with file.open("w", encoding="utf8") as lines:
        lines.writelines(json.dumps({"text": f"row {n}"}) + "\n" for n in range(20_000))
    every = stream.chunks(stream.rows(file), 32)
    assert [row["text"] for row in next(every)] == [f"row {n}" for n in range(32)]
    assert sum(map(len, every)) == 20_000 - 32
    columns = stream.places(["Comment", "n"], "classification", {})
    assert stream.in_schema({"Comment": None, "n": 1}, columns) == {"text": ""}

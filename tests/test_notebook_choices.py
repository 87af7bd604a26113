"""What is special to `08_multiple_choice`: its numbers, its helpers, its recipe, own data."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from helpers import data, endings, session, tasks
from helpers.errors import WorkbookError

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "08_multiple_choice.ipynb"
BY_POSITION = {"context": 1, "choices": [2, 3, 4, 5], "label": 6}
ROWS = [
    {"context": "The kettle sang.", "choices": ["Tea?", "Sand?", "Snow?", "Fog?"], "label": 0},
    {"context": "The dog barked.", "choices": ["Soup.", "Moon.", "Post.", "Jam."], "label": 2},
]


def test_recorded_table_and_live_value(recorded):
    found = recorded["endings_accuracy"]
    assert set(found) == {"bert", "distilbert", "baseline", "live"}
    assert all(0 <= value <= 1 for value in found.values())
    name = "towers" if recorded["towers_made_the_table"] else "reader"
    assert found["live"] == recorded["accuracies"][name]
    assert found["live"] > recorded["chance"] + 0.05


def test_recorded_live_value_lies_within_the_stored_spread(recorded):
    from helpers import heads

    runs = heads.summary(heads.load())["endings"]["distilbert"]["runs"]
    low, high = heads.spread(runs)
    assert low <= recorded["endings_accuracy"]["live"] <= high


def test_recorded_shapes_and_permutations(recorded):
    for name in ("by_hand_max_abs_diff", "permutation_max_abs_diff", "towers_max_abs_diff"):
        assert recorded[name] < 1e-4
    assert recorded["choice_follows_the_ending"]["reader"] > 0.97
    assert recorded["choice_follows_the_ending"]["classifier"] < 0.8


def test_recorded_controls_stay_near_chance(recorded):
    accuracy, count = recorded["accuracies"], recorded["test_rows"]
    reach = 3 * endings.standard_error(recorded["chance"], count)
    for name in ("endings only, trained", "reader, untrained", "reader, asked in the wrong order"):
        assert abs(accuracy[name] - recorded["chance"]) < reach, name
    assert accuracy["towers, untrained"] > recorded["chance"] + reach


def test_recorded_silent_failures_look_as_they_should(recorded):
    start, end = recorded["wrong_order_loss"]
    assert end < start - 0.3
    assert recorded["repaired_labels_accuracy"] < recorded["accuracies"]["towers"]
    assert recorded["token_types_matter"]["DistilBERT"] == 0
    assert recorded["token_types_matter"]["BERT"] > 0.01
    cut = recorded["choices_alike_when_cut"]
    assert cut["16"]["glued"] > 0.5 > cut["16"]["pair"]
    faster = list(recorded["kept_vectors_times_faster"].values())
    assert faster[-1] > faster[0]


def test_nested_is_the_other_way_round_of_flattening():
    flat = {"input_ids": [[n] for n in range(8)]}
    found = endings.nested(flat, ROWS)
    assert found[1] == {"input_ids": [[4], [5], [6], [7]], "labels": 2}


def test_shifted_rows_keep_their_right_ending():
    for before, after in zip(ROWS, endings.shifted(ROWS), strict=True):
        right = before["choices"][before["label"]]
        assert after["choices"][after["label"]] == right
        assert sorted(after["choices"]) == sorted(before["choices"])
        assert after["choices"] != before["choices"]
    assert [row["context"] for row in endings.covered(ROWS)] == ["", ""]
    assert ROWS[0]["context"], "the rows themselves stay as they are"


def test_cutting_a_glued_text_leaves_nothing_to_choose(tokenizer):
    rows = [{**ROWS[0], "context": "word " * 40}]
    assert endings.alike(rows, tokenizer, 16, glued=True) == 1
    assert endings.alike(rows, tokenizer, 16) == 0
    assert endings.alike(rows, tokenizer, 64, glued=True) == 0


def test_the_bag_of_words_is_the_stored_baseline():
    stored = json.loads((data.DATA / "measurements" / "baselines.json").read_text())["baselines"]
    train, test = (list(data.rows("endings", split)) for split in data.SPLITS)
    judge = endings.Judge([row["label"] for row in test])
    judge("words", endings.by_words(train, test))
    assert judge.accuracy["words"] == pytest.approx(stored["endings_accuracy"])


def test_a_judge_counts_and_compares(capsys):
    judge = endings.Judge([0, 1, 1, 0])
    first = torch.tensor([[2.0, 1], [1, 2], [1, 2], [1, 2]])  # right, right, right, wrong
    second = torch.tensor([[1.0, 2], [1, 2], [2, 1], [2, 1]])  # wrong, right, wrong, right
    judge("first", first)
    assert judge.accuracy == {"first": 0.75}
    assert "75.0% ± 43.3 of 4 rows" in capsys.readouterr().out
    assert judge.compare("a", first, "b", second) == (2, 1)
    assert "does not tell" in capsys.readouterr().out
    assert endings.standard_error(0.5, 100) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="0 answers"):
        endings.standard_error(0.5, 0)


@pytest.fixture(scope="module")
def tiny_reader():
    """A small reader with the real vocabulary, and its collator."""
    from transformers import (
        DataCollatorForMultipleChoice,
        DistilBertConfig,
        DistilBertForMultipleChoice,
    )

    from helpers.checkpoints import base_tokenizer

    torch.manual_seed(0)
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=4, hidden_dim=64)
    return DistilBertForMultipleChoice(config), DataCollatorForMultipleChoice(
        base_tokenizer("DistilBERT")
    )


def encoded(rows, collate):
    contexts = [row["context"] for row in rows for _ in row["choices"]]
    choices = [choice for row in rows for choice in row["choices"]]
    return endings.nested(collate.tokenizer(contexts, choices), rows)


def test_the_readers_choice_moves_with_the_ending(tiny_reader):
    model, collate = tiny_reader
    plain = endings.ask(model, encoded(ROWS * 20, collate), collate)
    moved = endings.ask(model, encoded(endings.shifted(ROWS * 20), collate), collate)
    assert plain.shape == (40, 4)
    assert torch.allclose(moved, plain.roll(1, dims=-1), atol=1e-6)
    with torch.inference_mode():
        whole = model.eval()(**collate(encoded(ROWS, collate))).logits
    assert torch.allclose(plain[:2], whole, atol=1e-6)


def test_costs_are_measured_for_every_size_and_way(capsys):
    ways = {"slow": lambda texts: lambda: sum(range(200_000)), "fast": lambda texts: len}
    ways["fast"] = lambda texts: lambda: len(texts)
    timed = endings.costs(ways, ["a", "b", "c"], (1, 3), repeats=2)
    assert list(timed) == [1, 3]
    faster = endings.times_faster(timed, "slow", "fast")
    assert all(times > 1 for times in faster.values())
    assert "3 endings: fast" in capsys.readouterr().out


def sample(count):
    """The first so many rows of the sample set."""
    return list(itertools.islice(data.rows("endings", "train"), count))


def table(path, rows):
    """A file in CODAH's form: no header, a category first, the label last."""
    lines = [["o", row["context"], *row["choices"], str(row["label"])] for row in rows]
    path.write_text("\n".join(map("\t".join, lines)) + "\n", encoding="utf8")
    return str(path)


def test_own_rows_without_a_header_are_found_by_position(tmp_path):
    rows = sample(20)
    sets = tasks.load(
        tasks.task("endings"), "smoke", table(tmp_path / "own.tsv", rows), BY_POSITION
    )
    assert {split: len(found) for split, found in sets.items()} == {"train": 16, "test": 4}
    there = [*sets["train"], *sets["test"]]
    key = ("context", "choices", "label")
    assert sorted(str([row[k] for k in key]) for row in there) == sorted(
        str([row[k] for k in key]) for row in rows
    )


def test_own_rows_with_names_need_no_columns(tmp_path):
    path = tmp_path / "own.jsonl"
    lines = [json.dumps({k: row[k] for k in ("context", "choices", "label")}) for row in sample(15)]
    path.write_text("\n".join(lines), encoding="utf8")
    sets = tasks.load(tasks.task("endings"), "smoke", str(path))
    assert sets["train"].column_names == ["context", "choices", "label"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"label": 4}, "line 4: found the label 4; expected 0 to 3"),
        ({"choices": ["a", "b", "a", "c"]}, "line 4: .*equal"),
        ({"context": " "}, "line 4: .*context"),
    ],
)
def test_a_bad_row_is_one_line(tmp_path, change, line):
    rows = [dict(row) for row in sample(12)]
    rows[3] |= change
    path = table(tmp_path / "own.tsv", rows)
    with pytest.raises(WorkbookError, match=line) as raised:
        tasks.load(tasks.task("endings"), "smoke", path, BY_POSITION)
    assert "\n" not in str(raised.value)


def test_the_columns_parameter_is_checked():
    session.check_parameters({"COLUMNS": BY_POSITION})
    session.check_parameters({"COLUMNS": {}})
    with pytest.raises(WorkbookError, match=r"COLUMNS is 'context'; it must be a dict such as"):
        session.check_parameters({"COLUMNS": "context"})


def test_the_recipe_runs_alone_offline(recipe, python, tmp_path):
    from helpers.checkpoints import distilbert

    file, out = tmp_path / "choices.jsonl", tmp_path / "chooser"
    rows = sample(20)
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    names = {"CHECKPOINT": str(distilbert()), "DATA": str(file), "OUT": str(out)}
    done = python(recipe, HF_HUB_OFFLINE="1", **names)
    assert done.returncode == 0, done.stderr
    score, answer = done.stdout.strip().splitlines()[-2:]
    assert score.startswith("accuracy ")
    assert score.endswith("on 4 held out")
    assert any(answer.endswith(f"-> {choice}") for choice in rows[16]["choices"])
    assert (out / "model.safetensors").exists()
    assert (out / "tokenizer.json").exists()


@pytest.fixture
def picker():
    from helpers.widgets.choices import Picker

    longest = {"longest": lambda context, found: [len(e) / sum(map(len, found)) for e in found]}
    return Picker(longest | {"even": lambda context, found: torch.ones(len(found)) / len(found)})


def test_the_explorer_follows_its_boxes(picker):
    from helpers.widgets.choices import ending_explorer

    *boxes, picture = ending_explorer(picker, "It rained.", ["a", "bb", "c", "d"]).children
    assert [box.value for box in boxes] == ["It rained.", "a", "bb", "c", "d"]
    assert "longest: bb" in picture.value
    before = picture.value
    boxes[4].value = "ddddd"
    assert "longest: ddddd" in picture.value
    assert picture.value != before


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("box", "text", "line"),
    [
        (0, " ", "Write a context"),
        (2, "", "Ending 2 is empty"),
        (3, " a ", "Endings 1 and 3 are the same"),
    ],
)
def test_the_explorer_asks_for_what_is_missing(picker, box, text, line):
    from helpers.widgets.choices import ending_explorer

    *boxes, picture = ending_explorer(picker, "It rained.", ["a", "bb", "c", "d"]).children
    boxes[box].value = text
    assert line in picture.value
    assert "<img" not in picture.value
    boxes[box].value = "$ <b> \\frac{ ウ"
    assert "data:image/png" in picture.value
    assert "<b>" not in picture.value


def test_shares_are_plain_numbers(picker):
    shares = picker.shares("It rained.", ["a", "bb", "c", "d"])
    assert shares["even"] == [0.25] * 4
    assert json.dumps(shares)


def test_progress_knows_how_many_steps_a_trainer_takes(monkeypatch):
    from types import SimpleNamespace

    from helpers.widgets.choices import progress

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    settings = SimpleNamespace(max_steps=-1, num_train_epochs=1.5, train_batch_size=16)
    trainer = SimpleNamespace(args=settings, train_dataset=[0] * 33)
    assert progress(trainer).total == 5  # half of three batches, rounded up, and three
    settings.max_steps = 2
    assert progress(trainer).total == 2


def test_pictures_hold_what_they_are_given():
    from helpers.plots import choices as plots

    (ax,) = plots.scores({"reader": 0.4, "towers": 0.5}, 100, 0.25).axes
    assert [patch.get_width() for patch in ax.patches] == pytest.approx([40, 50])
    low, high = ax.lines[0].get_xdata()
    assert high - low == pytest.approx(4 * 100 * (0.4 * 0.6 / 100) ** 0.5)
    (ax,) = plots.seeds({"a": [0.5, 0.6], "b": [0.4, 0.4]}, 0.45, 100, {"chance": 0.25}).axes
    assert list(ax.lines[1].get_xdata()) == pytest.approx([50, 60])
    assert list(ax.lines[4].get_xdata()) == pytest.approx([45])
    (ax,) = plots.learning_curve({39: [0.4, 0.5], 312: [0.6]}, 108, 0.25).axes
    assert list(ax.lines[0].get_ydata()) == pytest.approx([45, 60])
    shares = {"reader": [0.7, 0.1, 0.1, 0.1], "towers": [0.25] * 4}
    (ax,) = plots.endings("$x", ["a", "$b_{", "ウ", "d"], shares, right=1).axes
    assert [patch.get_width() for patch in ax.patches][:4] == pytest.approx([70, 10, 10, 10])
    assert ax.get_yticklabels()[1].get_text().startswith("★")
    spread = {"median": 0.01, "low": 0.009, "high": 0.011}
    (ax,) = plots.costs({4: {"reader": spread}, 16: {"reader": spread}}).axes
    assert list(ax.lines[0].get_ydata()) == pytest.approx([10, 10])
    (ax,) = plots.picks({"reader": [0.25] * 4}, 0.25).axes
    assert [patch.get_height() for patch in ax.patches] == pytest.approx([25] * 4)


def test_pages_escape_and_mark():
    from helpers.plots import choices as plots

    rows = [{**row, "choices": row["choices"][:3]} for row in ROWS]
    contexts = [row["context"] for row in rows for _ in range(3)]
    page = plots.flattening(rows, contexts, [c for row in rows for c in row["choices"]]).data
    assert page.count("<tr>") == 7
    assert "contexts * 3" in page
    read = {**ROWS[1], "context": "<i>", "shares": [0.7, 0.1, 0.1, 0.1]}
    page = plots.readings([read]).data
    assert "&lt;i&gt;" in page
    assert "✗ 70% &nbsp;Soup." in page
    assert "✓ 10% &nbsp;<b>Post.</b>" in page

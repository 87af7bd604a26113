"""What is special to `08_multiple_choice`: its numbers, its helpers, its recipe."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from pictures import axes, heights, widths, words, xs, ys
from transformers import (
    DataCollatorForMultipleChoice,
    DistilBertConfig,
    DistilBertForMultipleChoice,
)

from helpers import data
from helpers.checkpoints import base_tokenizer, distilbert
from helpers.core import session
from helpers.core.errors import WorkbookError
from helpers.multiple_choice import endings, plots
from helpers.multiple_choice.explorers import Picker, ending_explorer, progress
from helpers.training import head_results

NOTEBOOK = ROOT / "notebooks" / "08_multiple_choice.ipynb"
TRAIN, TEST = (list(data.rows("endings", split)) for split in data.SPLITS)
TEA, POST = ["Tea?", "Sand?", "Snow?", "Fog?"], ["Soup.", "Moon.", "Post.", "Jam."]
ROWS = [
    {"context": "The kettle sang.", "choices": TEA, "label": 0},
    {"context": "The dog barked.", "choices": POST, "label": 2},
]


def test_recorded_table_and_live_value(recorded):
    found, chance = recorded["endings_accuracy"], recorded["chance"]
    assert set(found) == {"bert", "distilbert", "baseline", "live"}
    assert all(0 <= value <= 1 for value in found.values())
    name = "towers" if recorded["towers_made_the_table"] else "reader"
    assert found["live"] == recorded["accuracies"][name]
    assert found["live"] > chance + 0.05
    runs = head_results.summary(head_results.load())["endings"]["distilbert"]["runs"]
    low, high = head_results.spread(runs)
    assert low <= found["live"] <= high


def test_recorded_permutations_and_controls(recorded):
    for name in ("by_hand", "permutation", "towers"):
        assert recorded[f"{name}_max_abs_diff"] < 1e-4
    assert recorded["choice_follows_the_ending"]["reader"] > 0.97
    assert recorded["choice_follows_the_ending"]["classifier"] < 0.8
    accuracy, chance = recorded["accuracies"], recorded["chance"]
    reach = 3 * endings.standard_error(chance, recorded["test_rows"])
    for control in (
        "endings only, trained",
        "reader, untrained",
        "reader, asked in the wrong order",
    ):
        assert abs(accuracy[control] - chance) < reach, control
    assert accuracy["towers, untrained"] > chance + reach


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


def test_shifted_rows_keep_their_right_ending():
    for before, after in zip(ROWS, endings.shifted(ROWS), strict=True):
        right = before["choices"][before["label"]]
        assert after["choices"][after["label"]] == right
        assert sorted(after["choices"]) == sorted(before["choices"])
        assert after["choices"] != before["choices"]
    assert [row["context"] for row in endings.covered(ROWS)] == ["", ""]
    assert ROWS[0]["context"], "the rows themselves stay as they are"
    # nested is the other way round of flattening
    found = endings.nested({"input_ids": [[n] for n in range(8)]}, ROWS)
    assert found[1] == {"input_ids": [[4], [5], [6], [7]], "labels": 2}


def test_cutting_a_glued_text_leaves_nothing_to_choose(tokenizer):
    rows = [{**ROWS[0], "context": "word " * 40}]
    assert endings.alike(rows, tokenizer, 16, glued=True) == 1
    assert endings.alike(rows, tokenizer, 16) == 0
    assert endings.alike(rows, tokenizer, 64, glued=True) == 0


def test_a_judge_counts_and_compares_and_the_bag_of_words_is_stored(capsys):
    judge = endings.Judge([0, 1, 1, 0])
    first = torch.tensor([[2.0, 1], [1, 2], [1, 2], [1, 2]])  # wrong: last
    second = torch.tensor([[1.0, 2], [1, 2], [2, 1], [2, 1]])  # and here 1, 3
    judge("first", first)
    assert judge.accuracy == {"first": 0.75}
    assert "75.0% ± 43.3 of 4 rows" in capsys.readouterr().out
    assert judge.compare("a", first, "b", second) == (2, 1)
    assert "does not tell" in capsys.readouterr().out
    assert endings.standard_error(0.5, 100) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="0 answers"):
        endings.standard_error(0.5, 0)
    stored = json.loads((data.DATA / "measurements" / "baselines.json").read_text())
    judge = endings.Judge([row["label"] for row in TEST])
    judge("words", endings.by_words(TRAIN, TEST))
    want = stored["baselines"]["endings_accuracy"]
    assert judge.accuracy["words"] == pytest.approx(want)


def test_the_readers_choice_moves_with_the_ending():
    torch.manual_seed(0)
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=4, hidden_dim=64)
    model = DistilBertForMultipleChoice(config).eval()
    collate = DataCollatorForMultipleChoice(base_tokenizer("DistilBERT"))

    def encoded(rows):
        contexts = [row["context"] for row in rows for _ in row["choices"]]
        choices = [choice for row in rows for choice in row["choices"]]
        return endings.nested(collate.tokenizer(contexts, choices), rows)

    plain = endings.ask(model, encoded(ROWS * 20), collate)
    moved = endings.ask(model, encoded(endings.shifted(ROWS * 20)), collate)
    assert plain.shape == (40, 4)
    assert torch.allclose(moved, plain.roll(1, dims=-1), atol=1e-6)
    with torch.inference_mode():
        whole = model(**collate(encoded(ROWS))).logits
    assert torch.allclose(plain[:2], whole, atol=1e-6)


def test_costs_are_measured_for_every_size_and_way(capsys):
    slow = lambda texts: lambda: sum(range(200_000))  # noqa: E731
    fast = lambda texts: lambda: len(texts)  # noqa: E731
    timed = endings.costs({"slow": slow, "fast": fast}, list("abc"), (1, 3), repeats=2)
    assert list(timed) == [1, 3]
    faster = endings.times_faster(timed, "slow", "fast")
    assert all(times > 1 for times in faster.values())
    assert "3 endings: fast" in capsys.readouterr().out


def test_the_columns_parameter_is_checked():
    named = {"context": 1, "choices": [2, 3, 4, 5], "label": 6}
    session.check_parameters({"COLUMNS": named})
    session.check_parameters({"COLUMNS": {}})
    line = "COLUMNS is 'context'; it must be a dict such as"
    with pytest.raises(WorkbookError, match=line):
        session.check_parameters({"COLUMNS": "context"})


def test_the_recipe_runs_alone_offline(recipe, python, tmp_path):
    file, out, rows = tmp_path / "choices.jsonl", tmp_path / "chooser", TRAIN[:20]
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


# The explorer and the pictures

FOUR = ["a", "bb", "c", "d"]


@pytest.fixture
def picker():
    def longest(context, found):
        return [len(ending) / sum(map(len, found)) for ending in found]

    def even(context, found):
        return torch.ones(len(found)) / len(found)

    return Picker({"longest": longest, "even": even})


def test_the_explorer_follows_its_boxes(picker):
    *boxes, picture = ending_explorer(picker, "It rained.", FOUR).children
    assert [box.value for box in boxes] == ["It rained.", *FOUR]
    assert "longest: bb" in picture.value
    before = picture.value
    boxes[4].value = "ddddd"
    assert "longest: ddddd" in picture.value
    assert picture.value != before
    shares = picker.shares("It rained.", FOUR)
    assert shares["even"] == [0.25] * 4
    assert json.dumps(shares), "plain numbers"


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
    *boxes, picture = ending_explorer(picker, "It rained.", FOUR).children
    boxes[box].value = text
    assert line in picture.value
    assert "<img" not in picture.value
    boxes[box].value = "$ <b> \\frac{ ウ"
    assert "data:image/png" in picture.value
    assert "<b>" not in picture.value


def test_progress_knows_how_many_steps_a_trainer_takes():
    settings = SimpleNamespace(max_steps=-1, num_train_epochs=1.5, train_batch_size=16)
    trainer = SimpleNamespace(args=settings, train_dataset=[0] * 33)
    assert progress(trainer).total == 5  # half of three batches, rounded up, and three
    settings.max_steps = 2
    assert progress(trainer).total == 2


def test_pictures_hold_what_they_are_given():
    (ax,) = axes(plots.scores({"reader": 0.4, "towers": 0.5}, 100, 0.25))
    assert widths(ax) == pytest.approx([40, 50])
    low, high = xs(ax)
    assert high - low == pytest.approx(4 * 100 * (0.4 * 0.6 / 100) ** 0.5)
    runs = {"a": [0.5, 0.6], "b": [0.4, 0.4]}
    (ax,) = axes(plots.seeds(runs, 0.45, 100, {"chance": 0.25}))
    assert xs(ax, 1) == pytest.approx([50, 60])
    assert xs(ax, 4) == pytest.approx([45])
    (ax,) = axes(plots.learning_curve({39: [0.4, 0.5], 312: [0.6]}, 108, 0.25))
    assert ys(ax) == pytest.approx([45, 60])
    shares = {"reader": [0.7, 0.1, 0.1, 0.1], "towers": [0.25] * 4}
    (ax,) = axes(plots.endings("$x", ["a", "$b_{", "ウ", "d"], shares, right=1))
    assert widths(ax)[:4] == pytest.approx([70, 10, 10, 10])
    assert words(ax.get_yticklabels())[1].startswith("★")
    spread = {"median": 0.01, "low": 0.009, "high": 0.011}
    (ax,) = axes(plots.costs({4: {"reader": spread}, 16: {"reader": spread}}))
    assert ys(ax) == pytest.approx([10, 10])
    (ax,) = axes(plots.picks({"reader": [0.25] * 4}, 0.25))
    assert heights(ax) == pytest.approx([25] * 4)


def test_pages_escape_and_mark():
    rows = [{**row, "choices": row["choices"][:3]} for row in ROWS]
    contexts = [row["context"] for row in rows for _ in range(3)]
    choices = [choice for row in rows for choice in row["choices"]]
    page = plots.flattening(rows, contexts, choices).data
    assert page.count("<tr>") == 7
    assert "contexts * 3" in page
    read = {**ROWS[1], "context": "<i>", "shares": [0.7, 0.1, 0.1, 0.1]}
    page = plots.readings([read]).data
    assert "&lt;i&gt;" in page
    assert "✗ 70% &nbsp;Soup." in page
    assert "✓ 10% &nbsp;<b>Post.</b>" in page

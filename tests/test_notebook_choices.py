"""What is special to `08_multiple_choice`: its numbers, its helpers, its recipe."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import tiny
import torch
from cells import defined
from conftest import ROOT
from pictures import axes, heights, widths, words, xs, ys
from transformers import (
    DataCollatorForMultipleChoice,
    DistilBertConfig,
    DistilBertForMultipleChoice,
)

from helpers import data
from helpers.checkpoints import base_tokenizer
from helpers.core import session
from helpers.core.errors import WorkbookError
from helpers.multiple_choice import explorers, plots
from helpers.training import head_results

NOTEBOOK = ROOT / "notebooks" / "08_multiple_choice.ipynb"
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
    reach = 3 * (chance * (1 - chance) / recorded["test_rows"]) ** 0.5
    stored = json.loads(head_results.BASELINES.read_text(encoding="utf8"))["baselines"]
    by_words = accuracy["shared words (tf-idf)"]
    assert by_words == pytest.approx(stored["endings_accuracy"])
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


@pytest.fixture(scope="module")
def pieces():
    return base_tokenizer("DistilBERT")


def test_shifted_rows_keep_their_right_ending_and_the_readers_choice_moves(pieces):
    shifted = defined(NOTEBOOK, "shifted")
    turned = list(map(shifted, ROWS))
    for before, after in zip(ROWS, turned, strict=True):
        right = before["choices"][before["label"]]
        assert after["choices"][after["label"]] == right
        assert after["choices"] == before["choices"][-1:] + before["choices"][:-1]
    collate = DataCollatorForMultipleChoice(pieces)
    around = {"tokenizer": pieces, "recipe": SimpleNamespace(max_length=64)}
    nested = defined(NOTEBOOK, "nested", **around)
    encode = defined(NOTEBOOK, "for_reader", nested=nested)
    # nested is the other way round of flattening
    second, dog = encode(ROWS)[1], "The dog barked."
    assert second["labels"] == 2
    assert second["input_ids"] == [pieces(dog, post)["input_ids"] for post in POST]
    ask = defined(NOTEBOOK, "ask", torch=torch, collate=collate)
    torch.manual_seed(0)
    model = DistilBertForMultipleChoice(DistilBertConfig(**tiny.SHAPE)).eval()
    plain, moved = (ask(model, encode(rows * 20)) for rows in (ROWS, turned))
    assert plain.shape == (40, 4)
    assert torch.allclose(moved, plain.roll(1, dims=-1), atol=1e-6)
    with torch.inference_mode():
        whole = model(**collate(encode(ROWS))).logits
    assert torch.allclose(plain[:2], whole, atol=1e-6)


def test_cutting_a_glued_text_leaves_nothing_to_choose(pieces):
    rows = [{**ROWS[0], "context": "word " * 40}]
    alike = defined(NOTEBOOK, "alike", tokenizer=pieces, test=rows)
    assert [alike(16, True), alike(16, False), alike(64, True)] == [1, 0, 0]


def test_scores_are_counted_and_compared_on_the_same_rows(capsys):
    labels = torch.tensor([0, 1, 1, 0])
    first = torch.tensor([[2.0, 1], [1, 2], [1, 2], [1, 2]])  # wrong: last
    second = torch.tensor([[1.0, 2], [1, 2], [2, 1], [2, 1]])  # and here 1, 3
    error = defined(NOTEBOOK, "standard_error", n=100)
    assert error(0.5) == pytest.approx(0.05)
    space = {"labels": labels, "accuracy": {}, "standard_error": error}
    defined(NOTEBOOK, "judge", **space)("first", first)
    assert space["accuracy"] == {"first": 0.75}
    assert "75.0% ± 43.3 of 4 rows" in capsys.readouterr().out
    assert defined(NOTEBOOK, "compare", **space)("a", first, "b", second) == (2, 1)
    assert "does not tell" in capsys.readouterr().out


def test_the_columns_parameter_is_checked():
    named = {"context": 1, "choices": [2, 3, 4, 5], "label": 6}
    session.check_parameters({"COLUMNS": named})
    session.check_parameters({"COLUMNS": {}})
    line = "COLUMNS is 'context'; it must be a dict such as"
    with pytest.raises(WorkbookError, match=line):
        session.check_parameters({"COLUMNS": "context"})


def test_the_recipe_runs_alone_offline(recipe, capsys, monkeypatch, tmp_path):
    file, out = tmp_path / "choices.jsonl", tmp_path / "chooser"
    rows = list(data.rows("endings", "train"))[:20]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    source = tiny.checkpoint(tmp_path / "tiny")
    names = {"CHECKPOINT": source, "DATA": str(file), "OUT": str(out)}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    exec(recipe, {})
    score, answer = capsys.readouterr().out.strip().splitlines()[-2:]
    assert score.startswith("accuracy ")
    assert score.endswith("on 4 held out")
    assert any(answer.endswith(f"-> {choice}") for choice in rows[16]["choices"])
    assert (out / "model.safetensors").exists()
    assert (out / "tokenizer.json").exists()


# The explorer and the pictures

FOUR = ["a", "bb", "c", "d"]


ANSWERERS = {
    "longest": lambda context, found: [len(e) / len("".join(found)) for e in found],
    "even": lambda context, found: torch.ones(len(found)) / len(found),
}


def test_the_explorer_follows_its_boxes():
    explorer = explorers.ending_explorer(ANSWERERS, "It rained.", FOUR)
    *boxes, picture = explorer.children
    assert [box.value for box in boxes] == ["It rained.", *FOUR]
    assert "longest: bb" in picture.value
    before = picture.value
    boxes[4].value = "ddddd"
    assert "longest: ddddd" in picture.value
    assert picture.value != before
    shares = explorers.shares(ANSWERERS, "It rained.", FOUR)
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
def test_the_explorer_asks_for_what_is_missing(box, text, line):
    explorer = explorers.ending_explorer(ANSWERERS, "It rained.", FOUR)
    *boxes, picture = explorer.children
    boxes[box].value = text
    assert line in picture.value
    assert "<img" not in picture.value
    boxes[box].value = "$ <b> \\frac{ ウ"
    assert "data:image/png" in picture.value
    assert "<b>" not in picture.value


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
    said = ["a", "$b_{", "ウ", "a long ending " * 4]
    (ax,) = axes(plots.endings("$x", said, shares, right=1))
    assert widths(ax)[:4] == pytest.approx([70, 10, 10, 10])
    labels = words(ax.get_yticklabels())
    assert labels[1].startswith("★")
    assert "\n" in labels[3], "a long ending has several lines"
    assert [("U+" in label) for label in labels] == [False, False, True, False]
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

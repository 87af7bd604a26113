"""The shipped student: what it is made of, and that its data sheet says what was
measured.
"""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from ship_student import student_weights

from helpers.checkpoints import POCKET, STUDENT
from helpers.data import passages
from helpers.training.metrics import masked_accuracy

SHEET = (POCKET / "README.md").read_text(encoding="utf8")


def stored(name):
    return json.loads((POCKET / name).read_text(encoding="utf8"))


def test_it_is_light_and_half_as_deep_as_its_teacher(distilbert_model, bert_model):
    assert STUDENT.stat().st_size <= 12e6
    tensors = load_file(STUDENT)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert not any("embeddings" in name for name in tensors)
    assert distilbert_model.config.n_layers * 2 == bert_model.config.num_hidden_layers
    assert distilbert_model.config.dropout == 0.1


def test_its_word_vectors_are_its_teachers(distilbert_model, bert_model):
    mine = distilbert_model.distilbert.embeddings
    yours = bert_model.bert.embeddings
    assert torch.equal(mine.word_embeddings.weight, yours.word_embeddings.weight)
    folded = yours.position_embeddings.weight + yours.token_type_embeddings.weight[0]
    assert torch.equal(mine.position_embeddings.weight, folded)
    assert distilbert_model.vocab_projector.weight is mine.word_embeddings.weight


def test_what_is_shipped_of_a_student_is_what_it_learned(distilbert_model):
    shipped_part = student_weights(distilbert_model.state_dict())
    assert shipped_part.keys() == load_file(STUDENT).keys()


def test_it_fills_gaps_nearly_as_well_as_its_teacher(
    distilbert_model, bert_model, tokenizer
):
    texts = passages("classroom", "test")
    mine = masked_accuracy(distilbert_model, tokenizer, texts, maskings=2)
    yours = masked_accuracy(bert_model, tokenizer, texts, maskings=2)
    assert mine["accuracy"] > 0.8 * yours["accuracy"]
    assert mine["loss"] < yours["loss"] + 0.5


def test_its_log_reaches_from_the_first_step_to_the_last():
    text = (POCKET / "student_log.jsonl").read_text(encoding="utf8")
    lines = list(map(json.loads, text.splitlines()))
    steps = [line["step"] for line in lines]
    assert steps == sorted(steps)
    examined = [line for line in lines if "eval_masked_accuracy" in line]
    assert examined[-1]["step"] > steps[-1] - 250
    assert examined[-1]["eval_masked_accuracy"] > examined[0]["eval_masked_accuracy"]
    starts = stored("student_run.json")["starts"]
    assert starts[-1]["steps"] == steps[-1]
    assert starts[-1]["student_layers"] == [0, 2, 5]


def test_measured_retention_is_what_was_wanted_of_a_student():
    assert stored("masked_words.json")["held_out"]["retention"] >= 0.92
    assert stored("student_transfer.json")["summary"]["retention"] >= 0.92


@pytest.mark.parametrize(
    "name", ["student_run.json", "student_log.jsonl", "masked_words.json"]
)
def test_no_stored_file_speaks_of_the_machine_it_was_made_on(name):
    text = (POCKET / name).read_text(encoding="utf8")
    assert not re.search(r"/(root|home|tmp|work)/", text)


def figures(heading):
    """The rows of the first table below `heading` in the data sheet, as lists of
    cells.
    """
    table = SHEET.split(heading, 1)[1].split("\n\n| ", 1)[1].split("\n\n", 1)[0]
    rows = [
        [c.strip(" *") for c in line.strip("| ").split("|")]
        for line in table.splitlines()
    ]
    return rows[2:]


def test_the_sheets_masked_accuracies_are_the_measured_ones():
    report = stored("masked_words.json")
    rows = {row[0]: row[1:] for row in figures("**Masked accuracy**")}
    for name, found in report["accuracy"].items():
        kinds = ("unadapted", "adapted", "student")
        expected = [f"{found['targets']:,}", *(f"{found[kind]:.3f}" for kind in kinds)]
        assert rows[name] == expected
    whole = report["held_out"]
    assert rows["all held-out text"][1:] == [
        f"{whole[kind]:.3f}" for kind in ("unadapted", "adapted", "student")
    ]


@pytest.mark.parametrize(
    ("heading", "name", "pair"),
    [
        ("**Few-shot transfer**", "transfer.json", ("unadapted", "adapted")),
        ("**The student's transfer**", "student_transfer.json", ("teacher", "student")),
    ],
)
def test_the_sheets_transfer_figures_are_the_measured_ones(heading, name, pair):
    summary = stored(name)["summary"]
    rows = figures(heading)
    for task, row in zip(("reviews", "entities"), rows, strict=False):
        expected = [f"{summary[task][kind]['mean']:.3f}" for kind in pair]
        assert row[1:3] == expected


def test_the_links_of_the_sheet_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", SHEET):
        assert target.startswith("http") or (POCKET / Path(target)).exists(), target

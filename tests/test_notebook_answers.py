"""What is special to `07_question_answering`: numbers, counts, recipe, explorer."""

from __future__ import annotations

import html
import json
import re
from types import SimpleNamespace

import nbformat
import pytest
import tiny
import torch
from cells import defined
from conftest import ROOT
from pictures import axes, heights, widths, words, xs, ys
from transformers import DistilBertConfig, DistilBertForQuestionAnswering

from helpers.checkpoints import base_tokenizer
from helpers.core import session
from helpers.core.errors import WorkbookError
from helpers.data import tasks
from helpers.question_answering import explorers, plots
from helpers.show.progress import Progress
from helpers.training import finetuning, head_results, task_distillation
from helpers.training.spans import answers
from helpers.training.squad import best_match
from helpers.training.windows import Windows, encode_questions, label_windows

NOTEBOOK = ROOT / "notebooks" / "07_question_answering.ipynb"
TASK = tasks.task("questions")


# What the committed run left behind


def test_recorded_live_values_lie_within_the_stored_spread(recorded):
    stored = sorted(head_results.load()["runs"].items())
    for name, score in (("questions_f1", "f1"), ("questions_em", "exact_match")):
        row = recorded[name]
        for kind in head_results.KINDS:
            ours = [run for key, run in stored if key.startswith(f"{kind}/questions/")]
            runs = [run["scores"][score] for run in ours]
            assert row[kind] == pytest.approx(sum(runs) / len(runs))
        low, high = head_results.spread(runs)  # the student's
        assert low <= row["live"] <= high, name
        assert row["baseline"] == pytest.approx(recorded["no_answer_share"])


def test_recorded_scores_thresholds_and_mistakes_fit_together(recorded):
    found, exact = (recorded[name]["live"] for name in ("questions_f1", "questions_em"))
    scores = recorded["threshold_f1"]
    assert scores["0.0"] == pytest.approx(found)
    assert max(scores.values()) >= found
    never = next(iter(scores.values()))
    assert never == pytest.approx(recorded["no_answer_share"], abs=0.15)
    kinds = recorded["kinds_of_answers"]
    assert kinds["right"] / sum(kinds.values()) == pytest.approx(exact)
    assert recorded["exact_match_unnormalised"] <= exact + 1e-9


def test_recorded_truncation_cuts_what_windows_keep(recorded):
    assert recorded["lost_to_truncation"] > 0.4
    truncated, *by_windows = recorded["answers_cut"].values()
    assert all(a > b for a, b in zip(truncated, by_windows[-1], strict=True))
    assert max(by_windows[-1]) <= min(0.02, max(by_windows[0]) + 1e-9)
    found = recorded["long_texts_found"]
    assert found["truncated"] <= found["all windows"] + 0.02


def test_recorded_silent_failures_look_as_they_should(recorded):
    assert recorded["token_type_change"]["DistilBERT"] == 0
    assert recorded["token_type_change"]["BERT"] > 0.01
    assert recorded["pipeline_error"] == "KeyError"
    same, of = recorded["same_without_helpers"]
    assert same >= of - 1  # ties, and a batch of another width, may tip a score over
    assert recorded["distillation_difference"] < 1e-5


# Parameters, own data


def test_the_number_of_live_distillations_is_checked():
    session.check_parameters({"DISTIL_SEEDS": 3})
    line = r"DISTIL_SEEDS is .* a whole number from 0 to 3"
    for wrong in (4, -1, True, 1.0, "1"):
        with pytest.raises(WorkbookError, match=line):
            session.check_parameters({"DISTIL_SEEDS": wrong})


def write(path, paragraphs):
    """Paragraphs as a file of SQuAD 2.0."""
    data = [{"paragraphs": [paragraph]} for paragraph in paragraphs]
    path.write_text(json.dumps({"version": "v2.0", "data": data}), encoding="utf8")
    return str(path)


def paragraph(number):
    """Three questions on one text; the last has no answer."""
    text = f"In {1900 + number} the café in street {number} was opened by Ada Smith."
    asked = {"Who opened it?": "Ada Smith", "When?": str(1900 + number), "Who?": ""}
    qas = []
    for at, (question, said) in enumerate(asked.items()):
        found = [{"text": said, "answer_start": text.index(said)}] if said else []
        row = {"id": f"{number}-{at}", "question": question, "answers": found}
        qas.append(row | {"is_impossible": not said})
    return {"context": text, "qas": qas}


def test_a_row_becomes_squads_json_and_comes_back(tmp_path):
    rows = tasks.sample(TASK)["train"].select(range(20))
    pages = list(map(defined(NOTEBOOK, "squad_page"), rows))
    for number, page in enumerate(pages):
        page["qas"][0]["id"] = str(number)
    sets = tasks.load(TASK, "classroom", write(tmp_path / "back.json", pages))
    both = [row for part in sets.values() for row in part]

    def found(rows):
        return {(row["question"], str(row["answers"])) for row in rows}

    assert found(both) == found(rows)
    assert not set(sets["train"]["context"]) & set(sets["test"]["context"])


# The cells


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("distilbert"))


def test_the_recipe_runs_alone_offline(recipe, small, capsys, monkeypatch, tmp_path):
    out = tmp_path / "reader"
    data = write(tmp_path / "mine.json", map(paragraph, range(10)))
    for name, value in {"CHECKPOINT": small, "DATA": data, "OUT": str(out)}.items():
        monkeypatch.setenv(name, value)
    space = {}
    exec(recipe, space)
    windows, decode = space["windows"], space["tokenizer"].decode
    spans = [(x["start_positions"], x["end_positions"]) for x in windows]
    assert spans[2] == (0, 0)
    found = windows[0]["input_ids"][spans[0][0] : spans[0][1] + 1]
    assert decode(found) == "ada smith"
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("both ends right: ") for line in lines)
    assert lines[-1].startswith("first:")
    assert (out / "model.safetensors").exists()
    assert (out / "tokenizer.json").exists()


def untrained(seed):
    torch.manual_seed(seed)
    return DistilBertForQuestionAnswering(DistilBertConfig(**tiny.SHAPE)).eval()


def test_the_ten_lines_in_place_of_the_pipeline_agree_with_the_helpers(tokenizer):
    answer = defined(NOTEBOOK, "answer", torch=torch)
    sizes = {"max_length": 64, "stride": 16}  # several windows each
    model = untrained(1)
    for row in tasks.sample(TASK)["test"].select(range(12)):
        question, text = row["question"], row["context"]
        windows = encode_questions(tokenizer, [question], [text], **sizes)
        batch = tokenizer.pad(windows.inputs, return_tensors="pt")
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            found = model(**batch)
        (given,) = answers(windows, [text], found.start_logits, found.end_logits)
        assert answer(model, tokenizer, question, text, **sizes) == given.text


def test_live_distillation_on_request_at_smoke_size(small, capsys):
    """The one cell that trains on request, on ten questions."""
    sets, sizes = tasks.sample(TASK), {"train": 10, "test": 4}
    few = {name: sets[name].select(range(n)) for name, n in sizes.items()}
    space = {"NAMES": {"bert": "teacher", "distilbert": "student"}, "DISTIL_SEEDS": 1}
    space |= {"plots": plots, "finetuning": finetuning, "Progress": Progress}
    space |= {"task": TASK, "sets": few, "rows": few, "PROFILE": "smoke"}
    space |= {"source": small, "recipe": finetuning.recipe(TASK, "smoke")}
    space |= {"bert": lambda profile: small, "distil": task_distillation.distil}
    space |= {"trainer": SimpleNamespace(state=SimpleNamespace(max_steps=2))}
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (cell,) = [c for c in cells if c.source.startswith('NAMES["distilled"] = ')]
    exec(cell.source, space)
    assert set(space["task_distillation"]) == {"plain", "distilled"}
    assert "seed 0, student, task distilled" in capsys.readouterr().out


def test_buried_answers_stand_where_they_are_said_to_and_truncation_cuts(tokenizer):
    sets = tasks.sample(TASK)
    shelf = list(dict.fromkeys(sets["train"]["context"]))[:3]
    bury = defined(NOTEBOOK, "bury", shelf=shelf)
    rows = [bury(row, n % 4) for n, row in enumerate(sets["test"].select(range(8)))]
    asked, texts, truths = map(list, zip(*rows, strict=True))
    for text, found in zip(texts, truths, strict=True):
        for said, start in zip(found["text"], found["answer_start"], strict=True):
            assert text[start : start + len(said)] == said
    windows = encode_questions(tokenizer, asked, texts, 96, 24)
    assert windows.rows.count(2) > 2
    first, numbers = defined(NOTEBOOK, "first_windows", Windows=Windows)(windows)
    cut = tokenizer(asked, texts, truncation="only_second", max_length=96)
    assert first.inputs["input_ids"] == cut["input_ids"]
    assert first.rows == list(range(8))
    assert numbers[0] == 0
    assert label_windows(first, truths).lost
    assert label_windows(windows, truths).lost == []


KINDS = [
    ("", [], "right"),
    ("the Eagle.", ["eagle", "moon"], "right"),
    ("", ["Ada"], "silent, but there is an answer"),
    ("Ada", [], "answers, but there is none"),
    ("Ada Smith", ["Ada"], "too much or too little"),
    ("Paris", ["Ada"], "the wrong words"),
]


@pytest.mark.parametrize(("said", "golds", "kind"), KINDS)
def test_mistakes_have_kinds(said, golds, kind):
    kind_of = defined(NOTEBOOK, "kind_of", best_match=best_match)
    assert kind_of(said, golds) == kind


# Pictures and the explorer


def test_pictures_hold_what_they_are_given():
    (ax,) = axes(plots.positions(["[CLS]", "$a"], [0.75, 0.25], [0.5, 0.5]))
    assert heights(ax) == [75, 25, 50, 50]
    (ax,) = axes(plots.windows([(0, 50), (40, 90)], (60, 66), 90))
    assert widths(ax)[:2] == [50, 50]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    shares = {"a": {96: 0.5, 128: 0.25}, "b": {96: 0.0, 128: 0.0}}
    (ax,) = axes(plots.cut_answers(shares))
    assert ys(ax) == [50, 25]
    (ax,) = axes(plots.thresholds([-1, 0, 1], {"all: F1": [0.1, 0.2, 0.3]}))
    assert ys(ax) == pytest.approx([10, 20, 30])
    runs = {"teacher": [0.5, 0.75], "student": [0.5]}
    (ax,) = axes(plots.runs(runs, 0.2, ("student", 0.4)))
    assert widths(ax) == pytest.approx([62.5, 50])
    assert xs(ax) == [50, 75]
    assert axes(plots.runs({"teacher": [0.5]}))
    (ax,) = axes(plots.by_word({"who": [1.0, 0.0], "$why": [0.5, 0.5]}))
    assert words(ax.get_yticklabels()) == ["who (2)", "$why (2)"]


def test_marked_texts_lose_nothing_and_are_escaped():
    text = "a <b>bold</b> claim & more"
    page = plots.marked(text, [(2, 9, 1.0), (5, 13, 0.2)], [(14, 19)])
    assert "<b>" not in page
    assert html.unescape(re.sub(r"<[^>]+>", "", page)) == text
    assert page.count("background") == 3  # two spans that overlap: three pieces
    assert re.search(r"border-bottom[^>]+>claim</span>", page)
    assert plots.marked(text, []) == html.escape(text)
    assert "&lt;i&gt;" in plots.readings([("<i>", "says", page)]).data


@pytest.fixture(scope="module")
def read():
    """The notebook's own function, on two untrained models."""
    pieces, space = base_tokenizer("DistilBERT"), {"answers": answers, "torch": torch}
    recipe = SimpleNamespace(max_length=48, stride=8)
    models = {
        name: (untrained(seed), pieces)
        for seed, name in enumerate(("student", "teacher"))
    }
    space |= {"models": models, "recipe": recipe, "encode_questions": encode_questions}
    return defined(NOTEBOOK, "read", **space)


PASSAGES = {
    "one": ("Who sings?", "The lark sings in the morning."),
    "two": ("When does it rain?", "It rains at night <i>and</i> at noon. " * 12),
}


def test_the_explorer_answers_whatever_is_moved(read):
    box = explorers.answer_explorer(read, ["student", "teacher"], PASSAGES)
    choice, asked, text, slider, which, shown = box.children
    seen = [shown.value]
    assert "Who sings?" in shown.value
    assert "student" in shown.value
    for control, value, then in [
        (choice, "two", "When does it rain?"),
        (slider, -12, "<b>no answer</b>"),
        (which, "teacher", "teacher"),
        (text, "A short one.", "short"),
        (asked, "What is short?", "What is short?"),
    ]:
        control.value = value
        seen.append(shown.value)
        assert then in shown.value
        assert "<i>and" not in shown.value
        assert asked.value != "Who sings?"
    assert len(set(seen)) == 6
    found = read("student", *PASSAGES["two"], n_best=4)
    assert len(found.spans) == 4
    shares = [span.probability for span in [*found.spans, found.null]]
    assert sum(shares) == pytest.approx(1)
    assert all(PASSAGES["two"][1][s.start : s.end] == s.text for s in found.spans)


@pytest.mark.parametrize(
    ("question", "text", "line"),
    [
        (" ", "A text.", "Type a question"),
        ("Who?", " ", "Type a question"),
        ("why " * 60, "A text.", "has 60 word pieces"),
        ("Who?", "word " * 5000, "25,000 characters are a lot"),
    ],
)
def test_what_cannot_be_read_is_one_friendly_line(read, question, text, line):
    shown = explorers.page(read, "student", question, text, 0.0)
    assert line in shown
    assert "<table>" not in shown

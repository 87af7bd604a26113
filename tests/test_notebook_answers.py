"""What is special to `07_question_answering`: numbers, counts, recipe, explorer."""

from __future__ import annotations

import html
import itertools
import json
import re
from types import SimpleNamespace

import nbformat
import pytest
import torch
from conftest import ROOT
from pictures import axes, heights, widths, words, xs, ys
from transformers import DistilBertConfig, DistilBertForQuestionAnswering

from helpers.checkpoints import base_tokenizer, bert, distilbert
from helpers.core import session
from helpers.core.errors import WorkbookError
from helpers.data import tasks
from helpers.question_answering import error_analysis, explorers, plots
from helpers.training import finetuning, head_results, task_distillation
from helpers.training.spans import Prediction, Span, answers
from helpers.training.windows import answer_tokens, encode_questions, label_windows

NOTEBOOK = ROOT / "notebooks" / "07_question_answering.ipynb"
TASK = tasks.task("questions")


def cell(start):
    """The code cell of the notebook that begins so."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (found,) = [c.source for c in cells if c.source.startswith(start)]
    return found


# What the committed run left behind


def test_recorded_live_values_lie_within_the_stored_spread(recorded):
    report = head_results.load()
    for name, score in (("questions_f1", "f1"), ("questions_em", "exact_match")):
        row, runs = (
            recorded[name],
            error_analysis.stored_runs(report, score, head_results.KINDS),
        )
        low, high = head_results.spread(runs["distilbert"])
        assert low <= row["live"] <= high, name
        for kind in head_results.KINDS:
            assert row[kind] == pytest.approx(sum(runs[kind]) / len(runs[kind]))
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
    pages = list(map(error_analysis.squad_page, rows))
    for number, page in enumerate(pages):
        page["qas"][0]["id"] = str(number)
    sets = tasks.load(TASK, "classroom", write(tmp_path / "back.json", pages))
    both = [row for part in sets.values() for row in part]

    def found(rows):
        return {(row["question"], str(row["answers"])) for row in rows}

    assert found(both) == found(rows)
    assert not set(sets["train"]["context"]) & set(sets["test"]["context"])


# The cells


def test_the_recipe_runs_alone_offline(recipe, python, tmp_path):
    out = tmp_path / "reader"
    data = write(tmp_path / "mine.json", map(paragraph, range(10)))
    names = {"CHECKPOINT": str(distilbert()), "DATA": data, "OUT": str(out)}
    checks = """
spans = [(x["start_positions"], x["end_positions"]) for x in windows]
assert spans[2] == (0, 0)
found = windows[0]["input_ids"][spans[0][0] : spans[0][1] + 1]
assert tokenizer.decode(found) == "ada smith"
"""
    done = python(recipe + checks, HF_HUB_OFFLINE="1", **names)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("both ends right: ") for line in lines)
    assert lines[-1].startswith("first:")
    assert (out / "model.safetensors").exists()
    assert (out / "tokenizer.json").exists()


def tiny(seed):
    torch.manual_seed(seed)
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=4, hidden_dim=64)
    return DistilBertForQuestionAnswering(config).eval()


def test_the_ten_lines_in_place_of_the_pipeline_agree_with_the_helpers(tokenizer):
    space, source = {"torch": torch}, cell("def answer(model")
    exec(source[: source.index("\nfew = ")], space)
    sizes, model = {"max_length": 64, "stride": 16}, tiny(1)  # several windows each
    for row in tasks.sample(TASK)["test"].select(range(12)):
        question, text = row["question"], row["context"]
        windows = encode_questions(tokenizer, [question], [text], **sizes)
        batch = tokenizer.pad(windows.inputs, return_tensors="pt")
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            found = model(**batch)
        (given,) = answers(windows, [text], found.start_logits, found.end_logits)
        assert space["answer"](model, tokenizer, question, text, **sizes) == given.text


def test_live_distillation_on_request_at_smoke_size(capsys):
    """The one cell that trains on request, on ten questions."""
    sets = tasks.sample(TASK)
    sizes = {"train": 10, "test": 4}
    small = {name: sets[name].select(range(n)) for name, n in sizes.items()}
    names = cell("NAMES = ").partition("\n")[0]
    space = {"report": head_results.load(), "error_analysis": error_analysis, "plots": plots}
    space |= {"finetuning": finetuning, "explorers": explorers, "bert": bert}
    space |= {"task": TASK, "sets": small, "rows": small, "PROFILE": "smoke"}
    space |= {"source": distilbert("smoke"), "recipe": finetuning.recipe(TASK, "smoke")}
    space["distil"] = task_distillation.distil
    space |= {"trainer": SimpleNamespace(state=SimpleNamespace(max_steps=2))}
    exec(f"{names}\nDISTIL_SEEDS = 1\n{cell('live, elders = ')}", space)
    assert set(space["task_distillation"]) == {"plain", "distilled"}
    assert "seed 0, student, task distilled" in capsys.readouterr().out


# What is counted


@pytest.fixture(scope="module")
def buried():
    sets = tasks.sample(TASK)
    shelf = list(dict.fromkeys(sets["train"]["context"]))[:3]
    return error_analysis.bury(sets["test"].select(range(8)), shelf)


def test_buried_answers_stand_where_they_are_said_to(buried):
    for text, found in zip(buried.contexts, buried.answers, strict=True):
        for said, start in zip(found["text"], found["answer_start"], strict=True):
            assert text[start : start + len(said)] == said
    first, last = buried.answers[0]["answer_start"], buried.answers[3]["answer_start"]
    assert not first or not last or first[0] < last[0]


def test_shares_of_cut_answers_by_hand(tokenizer, buried):
    shares = error_analysis.cut_shares(tokenizer, buried, [96, 128], (0, 24))
    by_windows = ["windows that share 0 tokens", "windows that share 24 tokens"]
    assert list(shares) == ["truncation", *by_windows]
    gone, cut = [], {"truncation": "only_second", "max_length": 96}
    for question, text, found in zip(*buried, strict=True):
        for said, start in zip(found["text"], found["answer_start"], strict=True):
            pair = tokenizer(question, text, **cut, return_offsets_mapping=True)
            place = pair["offset_mapping"], pair.sequence_ids(0)
            gone.append(answer_tokens(*place, start, start + len(said)) == (0, 0))
    assert shares["truncation"][96] == pytest.approx(sum(gone) / len(gone))
    assert shares[by_windows[1]] == {96: 0, 128: 0}


def test_first_windows_are_what_truncation_leaves(tokenizer, buried):
    windows = encode_questions(tokenizer, *buried[:2], 96, 24)
    first, numbers = error_analysis.first_windows(windows)
    pair = list(buried.questions), list(buried.contexts)
    cut = tokenizer(*pair, truncation="only_second", max_length=96)
    assert first.inputs["input_ids"] == cut["input_ids"]
    assert first.rows == list(range(8))
    assert numbers[0] == 0
    spans = error_analysis.reach(windows, 2)
    assert len(spans) == windows.rows.count(2) > 2
    assert spans[0][0] == 0
    assert all(a[0] < b[0] < a[1] for a, b in itertools.pairwise(spans))
    assert label_windows(first, buried.answers).lost


def test_faults_are_counted_right():
    starts, ends = torch.full((2, 4, 40), -9.0)
    for row, (i, j) in enumerate([(5, 3), (0, 6), (4, 39), (1, 5)]):
        starts[row, i], ends[row, j] = 9.0, 9.0
    allowed = (torch.arange(40) >= 3).expand(4, 40)
    assert list(error_analysis.faults(starts, ends, allowed).values()) == [1, 1, 1, 1]
    tables = (starts[1:], ends[1:], torch.ones_like(allowed)[1:], allowed[1:])
    assert (
        error_analysis.outside(*tables) == 2
    )  # all but (4, 39), too long: 4 to 4 ties


KINDS = [
    ("", [], "right"),
    ("the Eagle.", ["eagle", "moon"], "right"),
    ("", ["Ada"], "silent, but there is an answer"),
    ("Ada", [], "answers, but there is none"),
    ("Ada Smith", ["Ada"], "too much or too little"),
    ("Paris", ["Ada"], "the wrong words"),
]


def test_mistakes_have_kinds_thresholds_silence_and_questions_are_grouped():
    for said, golds, kind in KINDS:
        assert error_analysis.judge(said, golds) == kind
    null = Span("", 0, 0, 1.0, 0.2)  # one sure answer, one that is better left
    sure = Prediction("Ada", [Span("Ada", 0, 3, 4.0, 0.8)], null, -3.0)
    both = [sure, Prediction("", [Span("Paris", 4, 9, 0.5, 0.4)], null, 0.5)]
    golds = {0: ["Ada"], 1: []}
    found = [
        error_analysis.at_threshold(both, golds, t)["f1"] for t in (-4, -3, 0, 0.5)
    ]
    assert found == [0.5, 1.0, 1.0, 0.5]
    asked = ["In which year, and how many?", "Whose is it?"]
    grouped = error_analysis.by_word(asked, both, list(golds.values()))
    assert grouped == {"which": [1.0], "whose": [1.0]}
    assert error_analysis.by_word(["Name it."], both[:1], [["Bob"]]) == {"other": [0.0]}


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
def reader():
    tokenizer = base_tokenizer("DistilBERT")
    models = {"student": (tiny(0), tokenizer), "teacher": (tiny(1), tokenizer)}
    return explorers.Reader(models, max_length=48, stride=8)


PASSAGES = {
    "one": ("Who sings?", "The lark sings in the morning."),
    "two": ("When does it rain?", "It rains at night <i>and</i> at noon. " * 12),
}


def test_the_explorer_answers_whatever_is_moved(reader):
    box = explorers.answer_explorer(reader, "student", PASSAGES)
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
    found = reader.read("student", *PASSAGES["two"], n=4)
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
def test_what_cannot_be_read_is_one_friendly_line(reader, question, text, line):
    shown = explorers.page(reader, "student", question, text, 0.0)
    assert line in shown
    assert "<table>" not in shown

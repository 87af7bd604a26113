"""What is special to `07_question_answering`: its numbers, its counts, its recipe, its explorer."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nbformat
import pytest
import torch

from helpers import heads, reading, session, tasks
from helpers.errors import WorkbookError
from helpers.spans import Prediction, Span, answers
from helpers.windows import answer_tokens, encode_questions, label_windows

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "07_question_answering.ipynb"
TASK = tasks.task("questions")


# -- what the committed run left behind ------------------------------------------------------------


def test_recorded_live_values_lie_within_the_stored_spread(recorded):
    report = heads.load()
    for name, score in (("questions_f1", "f1"), ("questions_em", "exact_match")):
        row = recorded[name]
        runs = reading.stored_runs(report, score, heads.KINDS)
        low, high = heads.spread(runs["distilbert"])
        assert low <= row["live"] <= high, name
        for kind in heads.KINDS:
            assert row[kind] == pytest.approx(sum(runs[kind]) / len(runs[kind]))
        assert row["baseline"] == pytest.approx(recorded["no_answer_share"])


def test_recorded_thresholds_go_from_never_to_always(recorded):
    scores = list(recorded["threshold_f1"].values())
    assert recorded["threshold_f1"]["0.0"] == pytest.approx(recorded["questions_f1"]["live"])
    assert max(scores) >= recorded["questions_f1"]["live"]
    assert scores[0] == pytest.approx(recorded["no_answer_share"], abs=0.15)


def test_recorded_truncation_cuts_what_windows_keep(recorded):
    cut = recorded["answers_cut"]
    assert recorded["lost_to_truncation"] > 0.4
    truncated, *by_windows = cut.values()
    assert all(a > b for a, b in zip(truncated, by_windows[-1], strict=True))
    assert max(by_windows[-1]) <= min(0.02, max(by_windows[0]) + 1e-9)
    found = recorded["long_texts_found"]
    assert found["truncated"] <= found["all windows"] + 0.02


def test_recorded_mistakes_add_up(recorded):
    kinds = recorded["kinds_of_answers"]
    total = sum(kinds.values())
    assert kinds["right"] / total == pytest.approx(recorded["questions_em"]["live"])
    assert recorded["exact_match_unnormalised"] <= recorded["questions_em"]["live"] + 1e-9


def test_recorded_silent_failures_look_as_they_should(recorded):
    assert recorded["token_type_change"]["DistilBERT"] == 0
    assert recorded["token_type_change"]["BERT"] > 0.01
    assert recorded["pipeline_error"] == "KeyError"
    same, of = recorded["same_without_helpers"]
    assert same >= of - 1  # ties, and a batch of another width, may tip a score over
    assert recorded["distillation_difference"] < 1e-5


# -- parameters, own data --------------------------------------------------------------------------


def test_the_number_of_live_distillations_is_checked():
    session.check_parameters({"DISTIL_SEEDS": 3})
    for wrong in (4, -1, True, 1.0, "1"):
        with pytest.raises(WorkbookError, match=r"DISTIL_SEEDS is .* a whole number from 0 to 3"):
            session.check_parameters({"DISTIL_SEEDS": wrong})


def squad(path, impossible, articles=6):
    """A file as SQuAD 1.1 or, with `impossible`, 2.0 has it."""
    data = []
    for number in range(articles):
        context = f"In {1900 + number} the café in street {number} was opened by Ada Smith."
        qas = [
            {"id": f"{number}-1", "question": "Who opened it?", "answers": [
                {"text": "Ada Smith", "answer_start": context.index("Ada Smith")}]},
            {"id": f"{number}-2", "question": "When was it opened?", "answers": [
                {"text": str(1900 + number), "answer_start": 3}]},
        ]  # fmt: skip
        if impossible:
            question = {"id": f"{number}-3", "question": "Who closed it?"}
            qas.append({**question, "answers": [], "is_impossible": True})
        data.append({"title": str(number), "paragraphs": [{"context": context, "qas": qas}]})
    version = "v2.0" if impossible else "1.1"
    path.write_text(json.dumps({"version": version, "data": data}), encoding="utf8")
    return str(path)


@pytest.mark.parametrize("impossible", [False, True])
def test_squad_files_of_both_versions_are_own_data(tmp_path, impossible):
    sets = tasks.load(TASK, "smoke", squad(tmp_path / "mine.json", impossible))
    rows = [row for part in sets.values() for row in part]
    assert len(rows) == (18 if impossible else 12)
    silent = [row for row in rows if not row["answers"]["text"]]
    assert len(silent) == (6 if impossible else 0)
    for row in rows:
        for text, start in zip(*(row["answers"][k] for k in ("text", "answer_start")), strict=True):
            assert row["context"][start : start + len(text)] == text
    assert not set(sets["train"]["context"]) & set(sets["test"]["context"])


def test_offsets_in_bytes_are_refused_in_one_line(tmp_path):
    path = tmp_path / "bytes.json"
    squad(path, impossible=False)
    whole = json.loads(path.read_text(encoding="utf8"))
    for article in whole["data"]:
        (paragraph,) = article["paragraphs"]
        answer = paragraph["qas"][0]["answers"][0]
        answer["answer_start"] = paragraph["context"].encode().index(b"Ada Smith")
    path.write_text(json.dumps(whole), encoding="utf8")
    with pytest.raises(WorkbookError, match=r"bytes\.json") as raised:
        tasks.load(TASK, "smoke", str(path))
    assert "\n" not in str(raised.value)


# -- the recipe ------------------------------------------------------------------------------------


def test_the_recipe_runs_alone_offline(recipe, python, tmp_path):
    from helpers.checkpoints import distilbert

    out = tmp_path / "reader"
    data = squad(tmp_path / "mine.json", impossible=True, articles=10)
    names = {"CHECKPOINT": str(distilbert()), "DATA": data, "OUT": str(out)}
    checks = (
        "\nspans = [(x['start_positions'], x['end_positions']) for x in windows]"
        "\nassert spans[2] == (0, 0)"
        "\nassert tokenizer.decode(windows[0]['input_ids'][spans[0][0] : spans[0][1] + 1])"
        " == 'ada smith'"
    )
    done = python(recipe + checks, HF_HUB_OFFLINE="1", **names)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("both ends right: ") for line in lines)
    assert lines[-1].startswith("first:")
    assert (out / "model.safetensors").exists()
    assert (out / "tokenizer.json").exists()


def test_the_ten_lines_in_place_of_the_pipeline_agree_with_the_helpers(tokenizer):
    from transformers import DistilBertConfig, DistilBertForQuestionAnswering

    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (source,) = [c.source for c in cells if c.source.startswith("def answer(model")]
    space = {"torch": torch}
    exec(source[: source.index("\nfew = ")], space)
    torch.manual_seed(1)
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=4, hidden_dim=64)
    model = DistilBertForQuestionAnswering(config).eval()
    rows = tasks.sample(TASK)["test"].select(range(12))
    sizes = {"max_length": 64, "stride": 16}  # several windows each
    for row in rows:
        windows = encode_questions(tokenizer, [row["question"]], [row["context"]], **sizes)
        batch = tokenizer.pad(windows.inputs, return_tensors="pt")
        with torch.inference_mode():
            found = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        (given,) = answers(windows, [row["context"]], found.start_logits, found.end_logits)
        mine = space["answer"](model, tokenizer, row["question"], row["context"], **sizes)
        assert mine == given.text


def test_live_distillation_on_request_at_smoke_size(workbook, tmp_path):
    done = workbook(
        "run", "07", "--profile", "smoke", "-p", "DISTIL_SEEDS", "1", "--output", str(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.rglob("07_question_answering.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    found = [
        output["data"][session.RECORD_MIME]["values"]
        for cell in cells
        for output in cell.get("outputs", [])
        if session.RECORD_MIME in output.get("data", {})
    ]
    assert set(found[0]["task_distillation"]) == {"plain", "distilled"}
    text = "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))
    assert "seed 0, student, task distilled" in text


# -- what is counted -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def buried():
    sets = tasks.sample(TASK)
    shelf = list(dict.fromkeys(sets["train"]["context"]))[:3]
    return reading.bury(sets["test"].select(range(8)), shelf)


def test_buried_answers_stand_where_they_are_said_to(buried):
    assert len({len(text) for text in buried.contexts}) >= 1
    for text, found in zip(buried.contexts, buried.answers, strict=True):
        for words, start in zip(found["text"], found["answer_start"], strict=True):
            assert text[start : start + len(words)] == words
    first, last = buried.answers[0]["answer_start"], buried.answers[3]["answer_start"]
    assert not first or not last or first[0] < last[0]


def test_shares_of_cut_answers_by_hand(tokenizer, buried):
    shares = reading.cut_shares(tokenizer, buried, [96, 128], (0, 24))
    assert list(shares) == [
        "truncation", "windows that share 0 tokens", "windows that share 24 tokens",
    ]  # fmt: skip
    answerable, gone = 0, 0
    for question, text, found in zip(*buried, strict=True):
        if found["text"]:
            pair = tokenizer(
                question, text, truncation="only_second", max_length=96,
                return_offsets_mapping=True,
            )  # fmt: skip
            start = found["answer_start"][0]
            span = answer_tokens(
                pair["offset_mapping"], pair.sequence_ids(0), start, start + len(found["text"][0])
            )
            answerable, gone = answerable + 1, gone + (span == (0, 0))
    assert shares["truncation"][96] == pytest.approx(gone / answerable)
    assert shares["windows that share 24 tokens"] == {96: 0, 128: 0}


def test_first_windows_are_what_truncation_leaves(tokenizer, buried):
    windows = encode_questions(tokenizer, *buried[:2], 96, 24)
    first, numbers = reading.first_windows(windows)
    cut = tokenizer(
        list(buried.questions), list(buried.contexts), truncation="only_second", max_length=96
    )
    assert first.inputs["input_ids"] == cut["input_ids"]
    assert first.rows == list(range(8))
    assert numbers[0] == 0
    spans = reading.reach(windows, 2)
    assert len(spans) == windows.rows.count(2) > 2
    assert spans[0][0] == 0
    assert all(a[0] < b[0] < a[1] for a, b in itertools.pairwise(spans))
    assert label_windows(first, buried.answers).lost


def test_faults_are_counted_right():
    starts, ends = torch.full((4, 40), -9.0), torch.full((4, 40), -9.0)
    for row, (i, j) in enumerate([(5, 3), (0, 6), (4, 39), (1, 5)]):
        starts[row, i], ends[row, j] = 9.0, 9.0
    allowed = torch.zeros(4, 40, dtype=torch.bool)
    allowed[:, 3:] = True
    assert list(reading.faults(starts, ends, allowed).values()) == [1, 1, 1, 1]
    tables = (starts[1:], ends[1:], torch.ones_like(allowed)[1:], allowed[1:])
    assert reading.outside(*tables) == 2  # all but (4, 39), which is too long: 4 to 4 ties


@pytest.fixture(scope="module")
def predictions():
    """Two questions: one sure answer, one that is better left."""
    null = Span("", 0, 0, 1.0, 0.2)
    sure = Prediction("Ada", [Span("Ada", 0, 3, 4.0, 0.8)], null, -3.0)
    unsure = Prediction("", [Span("Paris", 4, 9, 0.5, 0.4)], null, 0.5)
    return [sure, unsure]


def test_thresholds_silence_and_let_speak(predictions):
    golds = {0: ["Ada"], 1: []}
    found = [reading.at_threshold(predictions, golds, t)["f1"] for t in (-4, -3, 0, 0.5)]
    assert found == [0.5, 1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("said", "golds", "kind"),
    [
        ("", [], "right"),
        ("the Eagle.", ["eagle", "moon"], "right"),
        ("", ["Ada"], "silent, but there is an answer"),
        ("Ada", [], "answers, but there is none"),
        ("Ada Smith", ["Ada"], "too much or too little"),
        ("Paris", ["Ada"], "the wrong words"),
    ],
)
def test_mistakes_have_kinds(said, golds, kind):
    assert reading.judge(said, golds) == kind


def test_questions_are_grouped_by_their_word(predictions):
    asked = ["In which year, and how many?", "Whose is it?"]
    assert reading.by_word(asked, predictions, [["Ada"], []]) == {"which": [1.0], "whose": [1.0]}
    assert reading.by_word(["Name it."], predictions[:1], [["Bob"]]) == {"other": [0.0]}


def test_a_row_becomes_squads_json_and_comes_back(tmp_path):
    rows = tasks.sample(TASK)["train"].select(range(20))
    pages = [{"paragraphs": [reading.squad_page(row)]} for row in rows]
    for number, page in enumerate(pages):
        page["paragraphs"][0]["qas"][0]["id"] = str(number)
    path = tmp_path / "back.json"
    path.write_text(json.dumps({"version": "v2.0", "data": pages}), encoding="utf8")
    sets = tasks.load(TASK, "classroom", str(path))
    back = {(row["question"], str(row["answers"])) for part in sets.values() for row in part}
    assert back == {(row["question"], str(row["answers"])) for row in rows}


# -- pictures and the explorer ---------------------------------------------------------------------


def test_pictures_hold_what_they_are_given():
    from helpers.plots import answers as plots

    (ax,) = plots.positions(["[CLS]", "$a"], [0.75, 0.25], [0.5, 0.5]).axes
    assert [p.get_height() for p in ax.patches] == [75, 25, 50, 50]
    (ax,) = plots.windows([(0, 50), (40, 90)], (60, 66), 90).axes
    assert [p.get_width() for p in ax.patches[:2]] == [50, 50]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    (ax,) = plots.cut_answers({"a": {96: 0.5, 128: 0.25}, "b": {96: 0.0, 128: 0.0}}).axes
    assert list(ax.lines[0].get_ydata()) == [50, 25]
    (ax,) = plots.thresholds([-1, 0, 1], {"all: F1": [0.1, 0.2, 0.3]}).axes
    assert list(ax.lines[0].get_ydata()) == pytest.approx([10, 20, 30])
    (ax,) = plots.runs({"teacher": [0.5, 0.75], "student": [0.5]}, 0.2, ("student", 0.4)).axes
    assert [p.get_width() for p in ax.patches] == pytest.approx([62.5, 50])
    assert list(ax.lines[0].get_xdata()) == [50, 75]
    assert plots.runs({"teacher": [0.5]}).axes
    (ax,) = plots.by_word({"who": [1.0, 0.0], "$why": [0.5, 0.5]}).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["who (2)", "$why (2)"]


def test_marked_texts_lose_nothing_and_are_escaped():
    import re

    from helpers.plots import answers as plots

    text = "a <b>bold</b> claim & more"
    page = plots.marked(text, [(2, 9, 1.0), (5, 13, 0.2)], [(14, 19)])
    assert "<b>" not in page
    import html

    assert html.unescape(re.sub(r"<[^>]+>", "", page)) == text
    assert page.count("background") == 3  # two spans that overlap: three pieces
    assert re.search(r"border-bottom[^>]+>claim</span>", page)
    assert plots.marked(text, []) == html.escape(text)
    assert "&lt;i&gt;" in plots.readings([("<i>", "says", page)]).data


@pytest.fixture(scope="module")
def reader():
    from transformers import DistilBertConfig, DistilBertForQuestionAnswering

    from helpers.checkpoints import base_tokenizer
    from helpers.widgets.answers import Reader

    torch.manual_seed(0)
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=4, hidden_dim=64)
    tokenizer = base_tokenizer("DistilBERT")
    models = {
        name: (DistilBertForQuestionAnswering(config), tokenizer) for name in ("student", "teacher")
    }
    return Reader(models, max_length=48, stride=8)


PASSAGES = {
    "one": ("Who sings?", "The lark sings in the morning."),
    "two": ("When does it rain?", "It rains at night <i>and</i> at noon. " * 12),
}


def test_the_explorer_answers_whatever_is_moved(reader):
    from helpers.widgets.answers import answer_explorer

    choice, asked, text, slider, which, shown = answer_explorer(
        reader, "student", PASSAGES
    ).children
    seen = [shown.value]
    assert "Who sings?" in shown.value
    assert "student" in shown.value
    choice.value = "two"
    assert asked.value == "When does it rain?"
    seen.append(shown.value)
    assert "<i>and" not in shown.value
    slider.value = -12
    assert "<b>no answer</b>" in shown.value
    seen.append(shown.value)
    which.value = "teacher"
    seen.append(shown.value)
    text.value = "A short one."
    seen.append(shown.value)
    asked.value = "What is short?"
    seen.append(shown.value)
    assert len(set(seen)) == 6


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
    from helpers.widgets.answers import page

    shown = page(reader, "student", question, text, 0.0)
    assert line in shown
    assert "<table>" not in shown


def test_probabilities_of_the_candidates_sum_to_one(reader):
    found = reader.read("student", *PASSAGES["two"], n=4)
    assert len(found.spans) == 4
    shares = [span.probability for span in [*found.spans, found.null]]
    assert sum(shares) == pytest.approx(1)
    assert all(PASSAGES["two"][1][s.start : s.end] == s.text for s in found.spans)

"""The ladder: the same work on every rung, measured fairly; on a device; the recipe."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest
import torch
import variants
from cells import sources
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from helpers.core.errors import WorkbookError
from helpers.data import tasks
from helpers.speed_and_size import exporting, ladder, workload
from helpers.speed_and_size.ladder import Rung
from helpers.speed_and_size.workload import Work

NOTEBOOK = ROOT / "notebooks" / "11_speed_and_size.ipynb"
needs_onnx = pytest.mark.skipif(bool(exporting.lacks("onnx")), reason="no extra onnx")


@pytest.fixture(scope="module")
def sets():
    return tasks.load(tasks.task(workload.TASK), "smoke")


@pytest.fixture(scope="module")
def folder(sets):
    return workload.classifier(sets, "smoke")


@pytest.fixture(scope="module")
def work(sets):
    return workload.draw(sets, workload.sample_sentences(), 80)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="module")
def parts(folder):
    kind = AutoModelForSequenceClassification
    return kind.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def rungs(parts, shelf):
    return {rung.name: rung for rung in variants.rungs(*parts, shelf, compiled=False)}


# The work


@given(lengths=st.lists(st.integers(1, 60), max_size=80), size=st.integers(1, 40))
def test_every_text_is_read_once_and_shortest_first(lengths, size):
    def tokenizer(texts, truncation):  # a "text" is its place, and as many tokens
        return {"input_ids": [[text] * lengths[text] for text in texts]}

    def forward(feed):
        seen.append(feed["input_ids"][:, 0].tolist())
        return np.eye(len(lengths))[seen[-1]]

    rows = range(len(lengths))
    for ordered in (True, False):
        seen = []
        found = variants.labelled(forward, tokenizer, rows, size, ordered)
        assert found.tolist() == list(rows)
        assert all(len(batch) == size for batch in seen[:-1])
        read = [row for batch in seen for row in batch]
        shortest = sorted(rows, key=lengths.__getitem__)
        assert read == (shortest if ordered else list(rows))


def test_every_label_comes_back_to_its_own_text_and_padding_is_masked(tokenizer):
    texts = ["a " * n for n in (9, 2, 30, 2, 17, 5)]

    def forward(feed):  # the "label" is the number of tokens
        return np.eye(64)[feed["attention_mask"].sum(1)]

    for ordered in (True, False):
        found = variants.labelled(forward, tokenizer, texts, 2, ordered)
        assert found.tolist() == [11, 4, 32, 4, 19, 7]
    found = variants.padded([[5, 6, 7], [8]])
    assert found["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert {array.dtype for array in found.values()} == {np.dtype(np.int64)}


def test_the_work_is_two_thousand_texts_and_every_held_out_label(sets):
    pieces = ["It cost 3.50 in all.", '"Why?" he asked.', "Nobody knew!", "(Nobody!)"]
    assert workload.sentences(" ".join(pieces)) == pieces
    whole, more = tasks.load(tasks.task(workload.TASK)), workload.sample_sentences()
    found = workload.draw(whole, more)
    assert len(found.texts) == len(found.gold) == len(set(found.texts)) == 2_000
    test, pairs = whole["test"], zip(found.texts, found.gold, strict=True)
    right = dict(zip(test["text"], test["label"], strict=True))
    assert {text: gold for text, gold in pairs if gold >= 0} == right
    assert workload.draw(whole, more) == found
    assert workload.draw(whole, more, seed=1).texts != found.texts
    few = workload.draw(sets, [], 300)  # fewer texts are repeated
    assert len(few.texts) == 300
    assert set(few.texts) == {*sets["train"]["text"], *sets["test"]["text"]}


def test_your_own_file_becomes_the_work(tmp_path):
    file = tmp_path / "mine.csv"
    lines = [f"text {n} is {'fine' if n % 2 else 'bad'},{n % 2}" for n in range(20)]
    file.write_text("\n".join(["text,label", *lines]), encoding="utf8")
    sets = tasks.load(tasks.task(workload.TASK), "smoke", str(file))
    found = workload.draw(sets, [], 50)
    assert len(found.texts) == 50
    assert len(set(found.texts)) == 20
    assert {-1} < set(found.gold) <= {-1, 0, 1}


def test_a_classifier_is_trained_once(sets, folder, monkeypatch):
    forbidden = mock.Mock(side_effect=AssertionError("it lies in the cache"))
    monkeypatch.setattr(workload.finetuning, "fine_tune", forbidden)
    assert workload.classifier(sets, "smoke", report=forbidden) == folder
    for other, seed in ((sets, 1), (sets | {"train": sets["test"]}, 0)):
        with pytest.raises(AssertionError, match="it lies in the cache"):
            workload.classifier(other, "smoke", seed=seed)


# The rungs

EXACT = "batches", "sorted by length", "unpadded", "ONNX Runtime"
SHORTER = "bf16", "int8", "ONNX Runtime int8", "OpenVINO"


def test_the_rungs_stand_in_their_order(rungs):
    assert tuple(rungs) == variants.NAMES[:-1]


@pytest.mark.parametrize("name", EXACT + SHORTER)
def test_a_rung_changes_no_label_or_few_and_weighs_less(name, rungs, work):
    if rungs[name].missing:
        pytest.skip(rungs[name].missing)
    want, found = (rungs[n].predict(work.texts) for n in ("pipeline", name))
    assert len(set(want.tolist())) > 1, "one that always says the same proves nothing"
    if name in EXACT:
        assert (found == want).all()
        assert (rungs[name].predict(work.texts[::-1]) == want[::-1]).all()
    # two steps of training: every label is a near thing
    assert (found != want).mean() <= 0.15
    if name in SHORTER[:3]:
        assert rungs[name].bytes < 0.85 * rungs["pipeline"].bytes


def test_unpadded_models_are_left_as_they_were(rungs, work):
    before = rungs["batches"].predict(work.texts[:8])
    rungs["unpadded"].predict(work.texts[:8])
    assert (rungs["batches"].predict(work.texts[:8]) == before).all()


def test_a_rung_without_its_package_says_what_to_install(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "lacks", lambda extra: f"pip install {extra}")
    monkeypatch.setattr(ladder, "COMPILERS", ())
    found = variants.rungs(*parts, tmp_path)
    missing = {rung.name: rung.missing for rung in found if not rung.predict}
    needs = ["pip install onnx"] * 2 + ["pip install openvino"]
    assert list(missing) == list(variants.NAMES[6:])
    assert [*missing.values()][:3] == needs
    assert "compiler" in missing["torch.compile"]


# The measurement

LABELS = np.array([0, 1, 2, 0])
WORK = Work(["a", "b", "c", "d"], [0, -1, 1, 0])


def slow(seconds, labels=LABELS):
    def predict(texts):
        time.sleep(seconds)
        return labels[: len(texts)]

    return predict


def test_every_rung_is_held_against_the_first():
    gone = Rung("not here", None, missing="pip install it")
    fast = Rung("fast", slow(0.01, np.array([0, 1, 1, 0])), 25)
    found, told = [Rung("plain", slow(0.04), 100), gone, fast], []
    plain, gone, fast = ladder.measure(found, WORK, 3, told.append)
    assert (plain["speedup"], plain["changed_share"]) == (1, 0)
    assert plain["accuracy"] == pytest.approx(2 / 3)
    assert gone == {"rung": "not here", "missing": "pip install it"}
    assert 2 < fast["speedup"] < 6
    low, high = fast["speedup_quartiles"]
    assert low <= fast["speedup"] <= high
    assert (fast["changed_share"], fast["accuracy"], fast["bytes"]) == (0.25, 1, 25)
    assert told == ["turn 1 of 3", "turn 2 of 3", "turn 3 of 3"]
    with pytest.raises(WorkbookError, match="the first rung"):
        ladder.measure(found[1:], WORK)


def test_in_lots_every_text_is_read_and_keeps_its_place():
    read, told = [], []

    def predict(texts):
        read.append(list(texts))
        return np.array(["abcde".index(text) for text in texts])

    def wrong_at_d(texts):
        return np.array(["abcXe".find(text) for text in texts])

    work = Work(list("abcde"), [0, 1, -1, 3, 0])
    found = [Rung("plain", predict, 1), Rung("fast", wrong_at_d, 1)]
    plain, fast = ladder.measure(found, work, 2, told.append, lots=3)
    assert read[1:] == 2 * [["a"], ["b", "c"], ["d", "e"]]  # after the warm-up
    assert told[-1] == "turn 6 of 6"
    assert (plain["accuracy"], fast["accuracy"]) == (3 / 4, 2 / 4)
    assert fast["changed_share"] == 1 / 5


def test_figures_of_a_ladder(tokenizer, work):
    rows = [
        {"rung": "plain", "speedup": 1, "changed_share": 0},
        {"rung": "good", "speedup": 5, "changed_share": 0.004},
        {"rung": "bold", "speedup": 9, "changed_share": 0.02},
        {"rung": "none", "missing": "x"},
    ]
    assert ladder.best(rows)["rung"] == "good"
    assert ladder.best(rows, at_most=1)["rung"] == "bold"
    assert ladder.accuracy([1, 2, 3], [1, -1, 0]) == 0.5  # over the known labels
    assert ladder.accuracy([1], [-1]) is None
    found = ladder.conditions(tokenizer, work)
    assert found["texts"] == 80
    assert found["tokens"] > 80 * 10
    assert found["threads"] == torch.get_num_threads()


# The device script, the recipe


@needs_onnx
def test_the_script_answers_without_torch(rungs, shelf, folder):
    (source,) = [text for text in sources(NOTEBOOK) if text.startswith("SCRIPT")]
    script = ast.literal_eval(source.partition("=")[2].strip())
    text = "The soup alone was worth the journey."

    def run(code):
        files = str(shelf / "model.onnx"), str(folder / "tokenizer.json")
        command = [sys.executable, "-c", code, *files, text]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(script)
    assert done.returncode == 0, done.stderr
    label, load, again, peak = done.stdout.split()
    assert int(label) == rungs["pipeline"].predict([text])[0]
    assert float(load) > float(again) > 0
    assert int(peak) == 0 or 30 * 2**20 < int(peak) < 600 * 2**20
    failed = run(script.replace("import numpy as np", "import torch; import numpy"))
    assert "ModuleNotFoundError" in failed.stderr


@pytest.mark.parametrize("engine", [pytest.param(True, marks=needs_onnx), False])
def test_the_recipe_runs_alone(
    engine, recipe, tmp_path, monkeypatch, capsys, folder, rungs
):
    assert len(recipe.splitlines()) <= 30
    assert "helpers" not in recipe
    texts = ["The film was long, but never dull.", "A tasty soup", "It closes at five."]
    file, out = tmp_path / "texts.txt", tmp_path / "small.onnx"
    file.write_text("\n\n".join(texts) + "\n", encoding="utf8")
    asked = 'all(map(find_spec, ("onnx", "onnxscript", "onnxruntime")))'
    assert asked in recipe
    for name, value in (("CHECKPOINT", folder), ("TEXTS", file), ("OUT", out)):
        monkeypatch.setenv(name, str(value))
    exec(recipe if engine else recipe.replace(asked, "False"), {})
    told = [ln.split("\t") for ln in capsys.readouterr().out.splitlines() if "\t" in ln]
    labels, read = zip(*told, strict=True)
    names = tasks.task(workload.TASK).names
    assert list(read) == texts
    assert set(labels) <= set(names)
    assert out.exists() == engine
    if not engine:
        want = rungs["pipeline"].predict(texts)
        assert [names[n] for n in want] == list(labels)

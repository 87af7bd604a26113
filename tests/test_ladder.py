"""The ladder: the same work on every rung, measured fairly."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from helpers import benchmark_report, exporting, ladder, profiling, tasks, workload
from helpers.checkpoints import distilbert
from helpers.errors import WorkbookError
from helpers.ladder import Rung, plan
from helpers.plots import speed as plots
from helpers.workload import Work


@pytest.fixture(scope="module")
def sets():
    return tasks.load(tasks.task(workload.TASK), "smoke")


@pytest.fixture(scope="module")
def folder(sets):
    return workload.classifier(sets, "smoke")


@pytest.fixture(scope="module")
def work(sets):
    return workload.draw(sets, workload.sample_sentences(), 80)


# The work


@given(lengths=st.lists(st.integers(1, 60), max_size=80), size=st.integers(1, 40))
def test_a_plan_reads_every_text_once_and_shortest_first(lengths, size):
    found = plan(lengths, size)
    rows = [row for batch in found for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths)
    assert all(len(batch) == size for batch in found[:-1])
    as_they_come = [row for batch in plan(lengths, size, ordered=False) for row in batch]
    assert as_they_come == list(range(len(lengths)))


def test_padding_is_masked():
    found = ladder.padded([[5, 6, 7], [8]])
    assert found["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert {array.dtype for array in found.values()} == {np.dtype(np.int64)}


def test_every_label_comes_back_to_its_own_text(tokenizer):
    texts = ["a " * n for n in (9, 2, 30, 2, 17, 5)]

    def forward(rows):  # the "label" is the number of tokens
        return np.eye(64)[[len(row) for row in rows]]

    for ordered in (True, False):
        found = ladder.labelled(forward, tokenizer, texts, 2, ordered)
        assert found.tolist() == [11, 4, 32, 4, 19, 7]


def test_sentences_are_cut_at_their_ends():
    text = 'It cost 3.50 in all. "Why?" he asked. Nobody knew! (Nobody at all.)'
    assert workload.sentences(text) == [
        "It cost 3.50 in all.", '"Why?" he asked.', "Nobody knew!", "(Nobody at all.)",
    ]  # fmt: skip


def test_the_classroom_has_two_thousand_different_texts_and_every_held_out_label():
    sets = tasks.load(tasks.task(workload.TASK))
    found = workload.draw(sets, workload.sample_sentences())
    assert len(found.texts) == len(found.gold) == len(set(found.texts)) == 2_000
    right = dict(zip(sets["test"]["text"], sets["test"]["label"], strict=True))
    judged = {t: g for t, g in zip(found.texts, found.gold, strict=True) if g >= 0}
    assert judged == right
    again = workload.draw(sets, workload.sample_sentences())
    assert found == again
    assert workload.draw(sets, workload.sample_sentences(), seed=1).texts != found.texts


def test_fewer_texts_are_repeated(sets):
    found = workload.draw(sets, [], 300)
    assert len(found.texts) == 300
    assert set(found.texts) == {*sets["train"]["text"], *sets["test"]["text"]}


def test_a_classifier_is_trained_once(sets, folder, monkeypatch):
    def forbidden(*_):
        raise AssertionError("it lies in the cache")

    monkeypatch.setattr(workload.finetuning, "fine_tune", forbidden)
    assert workload.classifier(sets, "smoke", report=forbidden) == folder
    with pytest.raises(AssertionError, match="it lies in the cache"):
        workload.classifier(sets, "smoke", seed=1)
    with pytest.raises(AssertionError, match="it lies in the cache"):
        workload.classifier(sets | {"train": sets["test"]}, "smoke")


# The rungs


@pytest.fixture(scope="module")
def rungs(folder, tmp_path_factory):
    return {r.name: r for r in ladder.rungs(folder, tmp_path_factory.mktemp("shelf"), False)}


def test_the_rungs_stand_in_their_order(rungs):
    assert tuple(rungs) == ladder.NAMES[:-1]


@pytest.mark.parametrize("name", ["batches", "sorted by length", "unpadded", "ONNX Runtime"])
def test_rungs_in_fp32_change_no_label(name, rungs, work):
    if rungs[name].missing:
        pytest.skip(rungs[name].missing)
    want = rungs["pipeline"].predict(work.texts)
    assert (rungs[name].predict(work.texts) == want).all()
    assert (rungs[name].predict(work.texts[::-1]) == want[::-1]).all()
    assert len(set(want.tolist())) > 1, "a model that always says the same proves nothing"


@pytest.mark.parametrize("name", ["bf16", "int8", "ONNX Runtime int8", "OpenVINO"])
def test_shorter_numbers_change_few_labels_and_weigh_less(name, rungs, work):
    if rungs[name].missing:
        pytest.skip(rungs[name].missing)
    want = rungs["pipeline"].predict(work.texts)
    found = rungs[name].predict(work.texts)
    assert (found != want).mean() <= 0.15  # two steps of training: every label is a near thing
    if name != "OpenVINO":
        assert rungs[name].bytes < 0.85 * rungs["pipeline"].bytes


def test_unpadded_models_are_left_as_they_were(rungs, work):
    before = rungs["batches"].predict(work.texts[:8])
    rungs["unpadded"].predict(work.texts[:8])
    assert (rungs["batches"].predict(work.texts[:8]) == before).all()


def test_a_rung_without_its_package_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "lacks", lambda extra: f"pip install {extra}")
    monkeypatch.setattr(ladder, "COMPILERS", ())
    missing = {r.name: r.missing for r in ladder.rungs(folder, tmp_path) if not r.predict}
    assert list(missing) == list(ladder.NAMES[6:])
    assert missing["ONNX Runtime int8"] == "pip install onnx"
    assert missing["OpenVINO"] == "pip install openvino"
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
    changed = np.array([0, 1, 1, 0])
    found = [
        Rung("plain", slow(0.04), 100),
        Rung("not here", None, missing="pip install it"),
        Rung("fast", slow(0.01, changed), 25),
    ]
    told = []
    plain, gone, fast = ladder.measure(found, WORK, 3, told.append)
    assert plain["speedup"] == 1
    assert plain["changed_share"] == 0
    assert plain["accuracy"] == pytest.approx(2 / 3)
    assert gone == {"rung": "not here", "missing": "pip install it"}
    assert 2 < fast["speedup"] < 6
    assert fast["speedup_quartiles"][0] <= fast["speedup"] <= fast["speedup_quartiles"][1]
    assert fast["changed_share"] == 0.25
    assert fast["accuracy"] == 1
    assert fast["bytes"] == 25
    assert told == ["turn 1 of 3", "turn 2 of 3", "turn 3 of 3"]


def test_in_lots_every_text_is_read_and_keeps_its_place():
    read = []

    def predict(texts):
        read.append(list(texts))
        return np.array(["abcde".index(text) for text in texts])

    def wrong_at_d(texts):
        return np.array(["abcXe".find(text) for text in texts])

    work, told = Work(list("abcde"), [0, 1, -1, 3, 0]), []
    found = [Rung("plain", predict, 1), Rung("fast", wrong_at_d, 1)]
    plain, fast = ladder.measure(found, work, 2, told.append, lots=3)
    assert read[1:] == 2 * [["a"], ["b", "c"], ["d", "e"]]  # after the warm-up
    assert told[-1] == "turn 6 of 6"
    assert plain["accuracy"] == 3 / 4
    assert fast["accuracy"] == 2 / 4
    assert fast["changed_share"] == 1 / 5


def test_without_the_plain_way_there_is_no_ladder():
    with pytest.raises(WorkbookError, match="the first rung"):
        ladder.measure([Rung("plain", None, missing="x"), Rung("fast", slow(0), 1)], WORK)


def test_the_best_rung_is_the_fastest_of_those_that_changed_little():
    rows = [
        {"rung": "plain", "speedup": 1, "changed_share": 0},
        {"rung": "good", "speedup": 5, "changed_share": 0.004},
        {"rung": "bold", "speedup": 9, "changed_share": 0.02},
        {"rung": "none", "missing": "x"},
    ]
    assert ladder.best(rows)["rung"] == "good"
    assert ladder.best(rows, at_most=1)["rung"] == "bold"


def test_accuracy_is_over_the_known_labels():
    assert ladder.accuracy([1, 2, 3], [1, -1, 0]) == 0.5
    assert ladder.accuracy([1], [-1]) is None


def test_conditions_say_what_the_figures_hold_for(folder, work):
    found = ladder.conditions(folder, work)
    assert found["texts"] == 80
    assert found["tokens"] > 80 * 10
    assert found["threads"] == torch.get_num_threads()


def test_time_is_told_apart_by_part():
    first, second = (torch.nn.Identity() for _ in range(2))
    first.register_forward_hook(lambda *_: time.sleep(0.02))
    second.register_forward_hook(lambda *_: time.sleep(0.005))

    def work():
        second(first(torch.zeros(1)))
        time.sleep(0.01)

    found = profiling.by_part(work, {"a": [first], "b": [second]}, repeats=3)
    assert list(found) == ["a", "b", "the rest"]
    assert found["a"] > found["the rest"] > found["b"] > 0.004
    assert not any(len(module._forward_pre_hooks) for module in (first, second))


def test_operations_are_counted_and_nothing_is_logged(capfd):
    linear, x = torch.nn.Linear(64, 64), torch.zeros(512, 64)

    def work():
        linear(x)
        linear(x).relu()

    with torch.inference_mode():
        found = profiling.by_operation(work)
    assert found["aten::addmm"][0] == 2
    assert found["aten::relu"][0] == 1
    seconds = [taken for _, taken in found.values()]
    assert seconds == sorted(seconds, reverse=True)
    assert 0 < sum(seconds) < 1
    assert capfd.readouterr().err == ""


def test_bert_and_distilbert_are_timed_on_the_same_texts(monkeypatch, tmp_path):
    from transformers import BertConfig, BertForSequenceClassification, DistilBertConfig
    from transformers import DistilBertForSequenceClassification as Student

    from helpers.checkpoints import base_tokenizer

    small = {"vocab_size": 30522}
    shapes = {
        "Bert": lambda: BertForSequenceClassification(
            BertConfig(
                **small, hidden_size=48, num_hidden_layers=12, num_attention_heads=4,
                intermediate_size=96,
            )
        ),
        "DistilBert": lambda: Student(
            DistilBertConfig(**small, dim=48, n_layers=1, n_heads=4, hidden_dim=96)
        ),
    }  # fmt: skip

    def stored(folder, family):
        shapes[family]().save_pretrained(folder)
        base_tokenizer("DistilBERT").save_pretrained(folder)
        return folder

    monkeypatch.setattr(ladder, "full_size", stored)
    found = ladder.against_bert(tmp_path, ["a short text", "another one"] * 4, repeats=2)
    assert list(found) == ["one by one", "batches"]
    assert found["one by one"]["speedup"] > 1.5
    assert set(found["batches"]["seconds"]) == {"Bert", "DistilBert"}


# make bench


def test_the_report_holds_the_ladder_and_prints_it(monkeypatch, capsys):
    some = ladder.rungs

    def two(folder, shelf):
        found = some(folder, shelf)
        yield next(found)
        yield next(found)
        yield Rung("OpenVINO", None, missing="pip install openvino")

    monkeypatch.setattr(ladder, "rungs", two)
    monkeypatch.setattr(ladder, "full_size", lambda shelf: distilbert())
    row = {"speedup": 2.0, "speedup_quartiles": [1.9, 2.1], "seconds": {"Bert": 2, "DistilBert": 1}}
    monkeypatch.setattr(ladder, "against_bert", lambda *_: {"one by one": row})
    told = []
    report = benchmark_report.ladders(2, told.append, count=60, profile="smoke")
    names = [row["rung"] for row in report["ladder"]]
    assert names == ["pipeline", "batches", "OpenVINO"]
    assert report["ladder_work"]["texts"] == 60
    assert {"rung", "speedup", "changed_share", "bytes"} <= set(report["ladder"][1])
    assert "changed_share" not in report["ladder_full_size"][1]
    assert "the ladder: turn 1 of 2" in told
    monkeypatch.setenv("COLUMNS", "120")
    benchmark_report.show({"distill_step": {}, **report})
    printed = capsys.readouterr().out
    assert "pip install openvino" in printed
    assert "2.0x (1.9 to 2.1)" in printed


def test_the_stored_measurement_holds_the_whole_ladder():
    stored = json.loads((ROOT / "data" / "measurements" / "ladder.json").read_text())
    assert stored["machine"]["date"]
    for name in ("ladder", "ladder_full_size"):
        assert [row["rung"] for row in stored[name]] == list(ladder.NAMES)
        assert stored[name][0]["speedup"] == 1
    best = ladder.best(stored["ladder"])
    assert best["speedup"] >= 6
    assert stored["ladder_work"]["different_texts"] == workload.COUNT
    _, speeds = plots.climb(stored["ladder"]).axes
    assert [bar.get_width() for bar in speeds.patches] == [r["speedup"] for r in stored["ladder"]]

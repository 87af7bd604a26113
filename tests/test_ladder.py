"""The ladder: the same work on every rung, measured fairly."""

from __future__ import annotations

import json
import time
from itertools import islice
from unittest import mock

import numpy as np
import pytest
import torch
import transformers
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from pictures import axes, widths

from helpers.checkpoints import base_tokenizer, distilbert
from helpers.core.errors import WorkbookError
from helpers.data import tasks
from helpers.speed_and_size import (
    benchmark_report,
    exporting,
    ladder,
    plots,
    profiling,
    workload,
)
from helpers.speed_and_size.ladder import Rung, plan
from helpers.speed_and_size.workload import Work


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
    unordered = plan(lengths, size, ordered=False)
    as_they_come = [row for batch in unordered for row in batch]
    assert as_they_come == list(range(len(lengths)))


def test_every_label_comes_back_to_its_own_text_and_padding_is_masked(tokenizer):
    texts = ["a " * n for n in (9, 2, 30, 2, 17, 5)]

    def forward(rows):  # the "label" is the number of tokens
        return np.eye(64)[[len(row) for row in rows]]

    for ordered in (True, False):
        found = ladder.labelled(forward, tokenizer, texts, 2, ordered)
        assert found.tolist() == [11, 4, 32, 4, 19, 7]
    found = ladder.padded([[5, 6, 7], [8]])
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


def test_a_classifier_is_trained_once(sets, folder, monkeypatch):
    forbidden = mock.Mock(side_effect=AssertionError("it lies in the cache"))
    monkeypatch.setattr(workload.finetuning, "fine_tune", forbidden)
    assert workload.classifier(sets, "smoke", report=forbidden) == folder
    for other, seed in ((sets, 1), (sets | {"train": sets["test"]}, 0)):
        with pytest.raises(AssertionError, match="it lies in the cache"):
            workload.classifier(other, "smoke", seed=seed)


# The rungs


@pytest.fixture(scope="module")
def rungs(folder, tmp_path_factory):
    found = ladder.rungs(folder, tmp_path_factory.mktemp("shelf"), False)
    return {rung.name: rung for rung in found}


EXACT = "batches", "sorted by length", "unpadded", "ONNX Runtime"
SHORTER = "bf16", "int8", "ONNX Runtime int8", "OpenVINO"


def test_the_rungs_stand_in_their_order(rungs):
    assert tuple(rungs) == ladder.NAMES[:-1]


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


def test_a_rung_without_its_package_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "lacks", lambda extra: f"pip install {extra}")
    monkeypatch.setattr(ladder, "COMPILERS", ())
    found = ladder.rungs(folder, tmp_path)
    missing = {rung.name: rung.missing for rung in found if not rung.predict}
    needs = ["pip install onnx"] * 2 + ["pip install openvino"]
    assert list(missing) == list(ladder.NAMES[6:])
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
    found, told = (
        [
            Rung("plain", slow(0.04), 100),
            Rung("not here", None, missing="pip install it"),
            Rung("fast", slow(0.01, np.array([0, 1, 1, 0])), 25),
        ],
        [],
    )
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


def test_figures_of_a_ladder(folder, work):
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
    found = ladder.conditions(folder, work)
    assert found["texts"] == 80
    assert found["tokens"] > 80 * 10
    assert found["threads"] == torch.get_num_threads()


def test_time_and_operations_are_told_apart(capfd):
    first, second = (torch.nn.Identity() for _ in range(2))
    first.register_forward_hook(lambda *_: time.sleep(0.02))
    second.register_forward_hook(lambda *_: time.sleep(0.005))

    def wait():
        second(first(torch.zeros(1)))
        time.sleep(0.01)

    found = profiling.by_part(wait, {"a": [first], "b": [second]}, repeats=3)
    assert list(found) == ["a", "b", "the rest"]
    assert found["a"] > found["the rest"] > found["b"] > 0.004
    assert not any(len(module._forward_pre_hooks) for module in (first, second))
    linear, x = torch.nn.Linear(64, 64), torch.zeros(512, 64)
    with torch.inference_mode():
        found = profiling.by_operation(lambda: (linear(x), linear(x).relu()))
    assert (found["aten::addmm"][0], found["aten::relu"][0]) == (2, 1)
    seconds = [taken for _, taken in found.values()]
    assert seconds == sorted(seconds, reverse=True)
    assert 0 < sum(seconds) < 1
    assert capfd.readouterr().err == ""


def test_bert_and_distilbert_are_timed_on_the_same_texts(monkeypatch, tmp_path):
    def stored(folder, family):
        layers = {"Bert": 12, "DistilBert": 1}[family]
        sizes = {"hidden_size": 48, "num_attention_heads": 4}
        hidden = {"intermediate_size" if family == "Bert" else "hidden_dim": 96}
        config = getattr(transformers, f"{family}Config")(
            num_hidden_layers=layers, **sizes, **hidden
        )
        kind = getattr(transformers, f"{family}ForSequenceClassification")
        kind(config).save_pretrained(folder)
        base_tokenizer("DistilBERT").save_pretrained(folder)
        return folder

    monkeypatch.setattr(ladder, "full_size", stored)
    texts = ["a short text", "another one"] * 4
    found = ladder.against_bert(tmp_path, texts, repeats=2)
    assert list(found) == ["one by one", "batches"]
    assert found["one by one"]["speedup"] > 1.5
    assert set(found["batches"]["seconds"]) == {"Bert", "DistilBert"}


# make bench


def test_the_report_holds_the_ladder_and_prints_it(monkeypatch, capsys):
    some, last = ladder.rungs, Rung("OpenVINO", None, missing="pip install openvino")
    row = {"speedup": 2.0, "speedup_quartiles": [1.9, 2.1]}
    row["seconds"] = {"Bert": 2, "DistilBert": 1}
    two = lambda *given: [*islice(some(*given), 2), last]  # noqa: E731
    monkeypatch.setattr(ladder, "rungs", two)
    monkeypatch.setattr(ladder, "full_size", lambda shelf: distilbert())
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
    _, speeds = axes(plots.climb(stored["ladder"]))
    assert widths(speeds) == [row["speedup"] for row in stored["ladder"]]

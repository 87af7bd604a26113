"""`make bench`: what it measures, its tables, the file that it leaves."""

from __future__ import annotations

import json
from itertools import islice

import benchmark_report
import pytest
import torch
import transformers
import variants
from click.testing import CliRunner
from conftest import ROOT
from distill_step import compare
from pictures import axes, widths

from helpers.core.machine import bf16_pays
from helpers.distillation.trainer import as_distilbert
from helpers.speed_and_size import ladder, plots, workload
from helpers.speed_and_size.ladder import Rung


def test_the_comparison_of_steps_measures_all_four_cases(bert_model, tokenizer):
    teacher, lines = as_distilbert(bert_model).requires_grad_(False), []
    small = {"repeats": 2, "shape": (3, 40)}
    report = compare(teacher, tokenizer, progress=lines.append, **small)
    assert len(lines) == 4 * 3
    for precision in ("fp32", "bf16"):
        for positions in ("all", "masked"):
            row = report[precision][positions]
            assert row["speedup_same_precision"] > 0.5
            if precision == "fp32" or bf16_pays():  # emulated, bf16 is slower
                assert row["speedup"] > 0.5
            low, high = row["speedup_quartiles"]
            assert low <= row["speedup"] <= high
            assert row["memory_ratio"] > 0
            assert row["loss_difference"] < (1e-4 if precision == "fp32" else 0.02)


@pytest.fixture
def small(monkeypatch):
    """Full size in small: BERT of twelve layers, DistilBERT of one."""

    def model(family):
        torch.manual_seed(0)
        layers = {"Bert": 12, "DistilBert": 1}[family]
        sizes = {"hidden_size": 48, "num_attention_heads": 4, "num_labels": 6}
        inner = {"intermediate_size" if family == "Bert" else "hidden_dim": 96}
        kind = getattr(transformers, f"{family}Config")
        config = kind(num_hidden_layers=layers, **sizes, **inner)
        return getattr(transformers, f"{family}ForSequenceClassification")(
            config
        ).eval()

    monkeypatch.setattr(benchmark_report, "full_size", model)


def test_bert_and_distilbert_are_timed_on_the_same_texts(small, tokenizer):
    texts = ["a short text", "another one"] * 4
    found = benchmark_report.against_bert(tokenizer, texts, repeats=2)
    assert list(found) == ["one by one", "batches"]
    assert found["one by one"]["speedup"] > 1.5
    assert set(found["batches"]["seconds"]) == {"Bert", "DistilBert"}


def test_the_report_holds_the_ladder_and_prints_it(small, monkeypatch, capsys):
    some, last = variants.rungs, Rung("OpenVINO", None, missing="pip install openvino")
    two = lambda *given: [*islice(some(*given), 2), last]  # noqa: E731
    monkeypatch.setattr(variants, "rungs", two)
    told = []
    report = benchmark_report.ladders(2, told.append, count=60, profile="smoke")
    names = [row["rung"] for row in report["ladder"]]
    assert names == ["pipeline", "batches", "OpenVINO"]
    assert report["ladder_work"]["texts"] == 60
    assert {"rung", "speedup", "changed_share", "bytes"} <= set(report["ladder"][1])
    assert "changed_share" not in report["ladder_full_size"][1]
    assert "the ladder: turn 1 of 2" in told
    monkeypatch.setenv("COLUMNS", "120")
    row = {"speedup": 2.0, "speedup_quartiles": [1.9, 2.1]}
    report["bert_to_distilbert"] = {"one by one": row}
    benchmark_report.show({"distill_step": {}, **report})
    printed = capsys.readouterr().out
    assert "pip install openvino" in printed
    assert "2.0x (1.9 to 2.1)" in printed


def test_bench_prints_a_table_and_writes_its_figures(monkeypatch, tmp_path):
    row = {
        "speedup": 3.0, "speedup_quartiles": [2.9, 3.1], "speedup_same_precision": 2.0,
        "memory_ratio": 2.5, "seconds": {"original in fp32": 3.0, "workbook": 1.0},
    }  # fmt: skip
    steps = {"fp32": {"all": row}, "bf16": {"masked": row}}
    report = {"machine": {}, "distill_step": steps}
    monkeypatch.setattr(benchmark_report, "measure", lambda repeats, progress: report)
    asked = ["--output", str(tmp_path / "out")]
    done = CliRunner().invoke(benchmark_report.main, asked)
    assert done.exit_code == 0, done.output
    assert "3.0x" in done.output
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == report


def test_the_stored_measurement_holds_the_whole_ladder():
    stored = json.loads((ROOT / "data" / "measurements" / "ladder.json").read_text())
    assert stored["machine"]["date"]
    for name in ("ladder", "ladder_full_size"):
        assert [row["rung"] for row in stored[name]] == list(variants.NAMES)
        assert stored[name][0]["speedup"] == 1
    best = ladder.best(stored["ladder"])
    assert best["speedup"] >= 6
    assert stored["ladder_work"]["different_texts"] == workload.COUNT
    _, speeds = axes(plots.climb(stored["ladder"]))
    assert widths(speeds) == [row["speedup"] for row in stored["ladder"]]

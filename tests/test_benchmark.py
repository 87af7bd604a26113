"""Timing in turns, and memory at its peak."""

import sys
import time

import pytest

from helpers.training.benchmark import paired, peak_memory, peak_memory_apart, ratio


def test_the_sides_take_turns_after_a_warm_up():
    calls, turns = [], []
    sides = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    paired(sides, repeats=3, warm=1, progress=lambda: turns.append(len(calls)))
    assert "".join(calls) == "ab" * 4
    assert turns == [2, 4, 6, 8]


def test_medians_spreads_and_ratios_are_those_of_the_runs():
    timed = paired(
        {"slow": lambda: time.sleep(0.02), "fast": lambda: time.sleep(0.005)}, repeats=5
    )
    for side in timed.values():
        assert len(side["runs"]) == 5
        assert min(side["runs"]) <= side["low"] <= side["median"] <= side["high"]
    times = ratio(timed, "slow", "fast")
    assert 1.5 < times["median"] < 6
    assert times["low"] <= times["median"] <= times["high"]


def test_one_turn_has_no_spread():
    with pytest.raises(ValueError, match="at least two repeats"):
        paired({"a": lambda: None}, repeats=1)


def test_peak_memory_sees_what_was_held_for_a_while():
    assert 70e6 < peak_memory(hold(80)) < 150e6


def hold(megabytes):
    def work():
        block = bytearray(megabytes * 1_000_000)
        for i in range(0, len(block), 4096):
            block[i] = 1
        time.sleep(0.5)  # long enough to be seen on a machine that is busy

    return work


def test_memory_measured_apart_does_not_depend_on_what_was_held_before():
    hold(200)()
    assert 70e6 < peak_memory_apart(hold, 80) < 150e6


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be asked")
def test_memory_that_was_freed_is_seen_again_by_the_next_measurement(python):
    code = """
import torch
from helpers.training import benchmark

def use():
    return [torch.ones(2**14) for _ in range(640)]  # 40 MiB, too small for mmap

use()
print(benchmark.peak_memory(use))
"""
    done = python(code, OMP_NUM_THREADS="1")
    assert 35 < int(done.stdout) / 2**20 < 60


def test_bench_prints_a_table_and_writes_its_figures(monkeypatch, tmp_path):
    import json

    from click.testing import CliRunner

    from helpers import cli
    from helpers.speed_and_size import benchmark_report

    row = {
        "speedup": 3.0, "speedup_quartiles": [2.9, 3.1], "speedup_same_precision": 2.0,
        "memory_ratio": 2.5, "seconds": {"original in fp32": 3.0, "workbook": 1.0},
    }  # fmt: skip
    report = {
        "machine": {},
        "distill_step": {"fp32": {"all": row}, "bf16": {"masked": row}},
    }
    monkeypatch.setattr(benchmark_report, "measure", lambda repeats, progress: report)
    done = CliRunner().invoke(cli.main, ["bench", "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "3.0x" in done.output
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == report

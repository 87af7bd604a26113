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

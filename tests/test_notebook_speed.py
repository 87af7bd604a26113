"""What is special to `11_speed_and_size`: its record, parts, forecasts, pictures."""

from __future__ import annotations

import time

import pytest
import torch
from cells import defined, imports, sources
from conftest import ROOT, title_of
from pictures import axes, heights, widths, words, ys
from variants import NAMES

from helpers.speed_and_size import exporting, ladder, plots, workload
from helpers.speed_and_size.explorers import Forecast, Shape, forecaster, still

NOTEBOOK = ROOT / "notebooks" / "11_speed_and_size.ipynb"


# The recorded run


def test_recorded_ladder_reaches_what_was_promised(recorded):
    rows = {row["rung"]: row for row in recorded["ladder"]}
    plain, best = rows["pipeline"], ladder.best(recorded["ladder"])
    assert next(iter(rows)) == "pipeline"
    assert (plain["speedup"], plain["changed_share"]) == (1, 0)
    assert sorted([*rows, *recorded["left_out"]]) == sorted(NAMES)
    for row in rows.values():
        assert {"rung", "speedup", "changed_share", "bytes"} <= set(row)
        assert row["bytes"] > 1_000_000
    exact = {"batches", "sorted by length", "unpadded", "ONNX Runtime", "torch.compile"}
    for name in exact & set(rows):
        assert rows[name]["changed_share"] <= 0.001
    assert rows["unpadded"]["speedup"] > rows["batches"]["speedup"] > 1
    assert recorded["best"]["rung"] == best["rung"]
    # without instructions for bf16 what is left is fp32: sorting, and a better engine
    assert best["speedup"] >= (6 if recorded["bf16_kernels"] else 4)
    assert best["changed_share"] <= 0.005
    assert recorded["work"]["texts"] == recorded["work"]["different_texts"] == 2_000
    assert recorded["work"]["tokens"] > 40_000


def test_recorded_parts_forecast_device_and_slips(recorded):
    for row in recorded["bert_to_distilbert"].values():  # half of the layers
        assert 1.5 < row["median"] < 2.4
    for times in recorded["parts"].values():
        assert min(times.values()) > 0
    assert recorded["forecast_error"] < 0.25
    assert recorded["company"]["int8"] > 100 * recorded["company"]["fp32"]
    assert recorded["unsteady"] > 0.01
    alone = recorded["on_device"]
    assert alone["same"]
    assert alone["file_bytes"] < 25_000_000
    assert alone["peak_bytes"] < 300 * 2**20
    assert alone["load_seconds"] < 5


# What it does without the extras


def test_without_the_extras_it_says_what_to_install(monkeypatch, capsys, tokenizer):
    for extra in exporting.EXTRAS:
        monkeypatch.setitem(exporting.EXTRAS, extra, ("no_such_package",))
    work = workload.Work(["one text", "another one"], [0, 1])
    given = {"PROFILE": "smoke", "work": work, "few": work, "rungs": [], "seen": []}
    given |= {"display": lambda shown: None, "tokenizer": tokenizer} | imports(NOTEBOOK)
    predict = lambda texts: [0] * len(texts)  # noqa: E731
    for name in ("climb", "leave_out"):
        given[name] = defined(NOTEBOOK, name, **given)
    given["climb"]("pipeline", predict, 1)
    parts = ("def engine(", "exporting.to_int8(", "exporting.to_openvino(")
    parts += ("torch.compile(", "ladder.best(", "alone, example =")
    for part in parts:
        (source,) = [text for text in sources(NOTEBOOK) if part in text]
        exec(source, given)
    told = capsys.readouterr().out
    install = "pip install -c constraints.txt -e '.[{}]'"
    for rung, extra in zip(NAMES[6:9], ("onnx", "onnx", "openvino"), strict=True):
        line = f"{rung} is left out here. It needs: {install.format(extra)}"
        assert line in told
    assert f"Left out here. It needs: {install.format('onnx')}" in told
    assert [row["rung"] for row in given["climbed"]] == ["pipeline", *NAMES[6:]]
    assert given["best"]["rung"] == "pipeline"


def test_time_is_told_apart_by_part():
    by_part = defined(NOTEBOOK, "by_part", time=time)
    first, second = (torch.nn.Identity() for _ in range(2))
    first.register_forward_hook(lambda *_: time.sleep(0.02))
    second.register_forward_hook(lambda *_: time.sleep(0.005))

    def wait():
        second(first(torch.zeros(1)))
        time.sleep(0.01)

    found = by_part(wait, {"a": [first], "b": [second]}, repeats=3)
    assert list(found) == ["a", "b", "the rest"]
    assert found["a"] > found["the rest"] > found["b"] > 0.004
    assert not any(len(module._forward_pre_hooks) for module in (first, second))


# Forecast, explorer, pictures


def law(shape, start=0.002, token=1e-5, pair=1e-8):
    tokens = shape.batch * shape.length
    return start * (3 - shape.threads) + token * tokens + pair * tokens * shape.length


SHAPES = [Shape(t, b, n) for t in (1, 2) for b in (1, 4, 16) for n in (16, 64, 128)]


@pytest.fixture
def forecast():
    return Forecast({shape: law(shape) for shape in SHAPES})


def test_a_forecast_finds_the_law_and_has_no_negative_parts(forecast):
    for shape, seconds in forecast.measured.items():
        assert forecast.seconds(shape) == pytest.approx(seconds, rel=1e-6)
    assert forecast.parts[1] == pytest.approx([0.004, 1e-5, 1e-8], rel=1e-4)
    new = Shape(2, 64, 32)  # was not measured
    assert forecast.seconds(new) == pytest.approx(law(new))
    alone = [shape for shape in SHAPES if shape.threads == 1 and shape.length < 128]
    found = Forecast({s: law(s, start=-1e-5, pair=0) for s in alone}).parts[1]
    assert min(found) >= 0
    assert found[0] == 0


def test_the_explorer_follows_its_controls(forecast):
    batch, length, threads, shown = forecaster(forecast, Shape(2, 16, 64)).children
    assert f"forecast {1000 * law(Shape(2, 16, 64)):.1f} ms, measured" in shown.value
    before = shown.value
    batch.value = 128
    assert "not measured" in shown.value
    length.value, threads.value = 16, 1
    assert shown.value != before
    assert f"forecast {1000 * law(Shape(1, 128, 16)):.1f} ms" in shown.value
    # where there is one core there is no slider for threads
    one = Forecast({shape: law(shape) for shape in SHAPES if shape.threads == 1})
    batch, length, shown = forecaster(one, Shape(1, 4, 16)).children
    assert [batch.description, length.description] == ["batch", "length"]
    before = shown.value
    length.value = 64
    assert shown.value != before


ROW = {"rung": "plain <b>", "speedup": 1.0, "speedup_quartiles": [1.0, 1.0]}
ROW |= {"seconds": 10.0, "changed_share": 0.0, "accuracy": 0.8, "bytes": 40_000_000}
FAST = {"rung": "fast", "speedup": 5.0, "speedup_quartiles": [4.0, 6.0], "seconds": 2.0}


def test_the_ladders_picture_holds_its_rows():
    rows = [ROW, {"rung": "gone", "missing": "pip install x"}, ROW | FAST]
    left, right = axes(plots.climb(rows))
    dots = [dots.get_offsets().tolist()[0] for dots in left.collections]
    assert dots == [[2, 80], [10, 80]]
    assert widths(right) == [1, 5]
    said = " ".join(words(right.texts))
    assert "5.0x" in said
    assert "not here" in said
    assert axes(plots.climb([ROW | {"accuracy": None}]))
    page = plots.table(rows).data
    assert "plain &lt;b&gt;" in page
    assert "5.0 (4.0 to 6.0)" in page
    assert "needs: pip install x" in page


def test_the_other_pictures_hold_what_they_are_given():
    (ax,) = axes(plots.lengths([3, 5, 9], [True, False, False]))
    assert sum(heights(ax)) >= 3
    (ax,) = axes(plots.sweep({16: {1: 0.5, 4: 0.5}}, 2))
    assert ys(ax) == [32, 128]
    (ax,) = axes(plots.parts({"1 x 2": {"a": 1.0, "b": 3.0}}))
    assert widths(ax) == [25, 75]
    times = {"median": 1.9, "low": 1.8, "high": 2.0}
    (ax,) = axes(plots.families({"one": times}, 1.63))
    assert widths(ax)[0] == 1.9
    (ax,) = axes(plots.rounding(torch.tensor([[1.27, -0.5], [0.014, 0.0]])))
    assert "0.01" in title_of(ax)
    assert "0.004" in title_of(ax)
    assert "&lt;" in plots.slips({"<": ("a", "b")}).data
    law = Forecast({Shape(1, batch, 1): 0.001 * batch for batch in (1, 2, 4)})
    (ax,) = axes(still(law, Shape(1, 2, 1)))
    assert ys(ax, 2) == pytest.approx([2.0])
    assert ys(ax, 1) == pytest.approx([1.0, 2.0, 4.0])

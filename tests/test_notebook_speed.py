"""What is special to `11_speed_and_size`: ladder, forecasts, device, recipe."""

from __future__ import annotations

import ast
import subprocess
import sys

import nbformat
import pytest
import torch
from conftest import ROOT, title_of
from pictures import axes, heights, widths, words, ys
from transformers import AutoModelForSequenceClassification

from helpers.data import tasks
from helpers.speed_and_size import exporting, ladder, plots, workload
from helpers.speed_and_size.explorers import Forecast, Shape, forecaster

NOTEBOOK = ROOT / "notebooks" / "11_speed_and_size.ipynb"
needs_onnx = pytest.mark.skipif(bool(exporting.lacks("onnx")), reason="no extra onnx")


@pytest.fixture(scope="module")
def folder():
    return workload.classifier(tasks.load(tasks.task(workload.TASK), "smoke"), "smoke")


# The recorded run


def test_recorded_ladder_reaches_what_was_promised(recorded):
    rows = {row["rung"]: row for row in recorded["ladder"]}
    plain, best = rows["pipeline"], ladder.best(recorded["ladder"])
    assert next(iter(rows)) == "pipeline"
    assert (plain["speedup"], plain["changed_share"]) == (1, 0)
    assert sorted([*rows, *recorded["left_out"]]) == sorted(ladder.NAMES)
    for row in rows.values():
        assert {"rung", "speedup", "changed_share", "bytes"} <= set(row)
        assert row["bytes"] > 1_000_000
    exact = {"batches", "sorted by length", "unpadded", "ONNX Runtime", "torch.compile"}
    for name in exact & set(rows):
        assert rows[name]["changed_share"] <= 0.001
    assert rows["unpadded"]["speedup"] > rows["batches"]["speedup"] > 1
    assert recorded["best"]["rung"] == best["rung"]
    assert best["speedup"] >= 6
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


# The device script, the recipe


@needs_onnx
def test_the_script_answers_without_torch(folder, tmp_path):
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (source,) = [c.source for c in cells if c.source.startswith("SCRIPT")]
    script = ast.literal_eval(source.partition("=")[2].strip())
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    plain = exporting.to_onnx(model, tmp_path / "model.onnx")
    text = "The soup alone was worth the journey."

    def run(code):
        files = str(plain), str(folder / "tokenizer.json")
        command = [sys.executable, "-c", code, *files, text]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(script)
    assert done.returncode == 0, done.stderr
    label, load, again, peak = done.stdout.split()
    assert int(label) == ladder.one_by_one(folder)([text])[0]
    assert float(load) > float(again) > 0
    assert int(peak) == 0 or 30 * 2**20 < int(peak) < 600 * 2**20
    failed = run(script.replace("import numpy as np", "import torch; import numpy"))
    assert "ModuleNotFoundError" in failed.stderr


@pytest.mark.parametrize("engine", [True, False])
def test_the_recipe_runs_alone_offline(recipe, python, tmp_path, folder, engine):
    if engine and exporting.lacks("onnx"):
        pytest.skip("without the extra onnx")
    assert "helpers" not in recipe
    texts = ["The film was long, but never dull.", "A tasty soup", "It closes at five."]
    file, out = tmp_path / "texts.txt", tmp_path / "small.onnx"
    file.write_text("\n\n".join(texts) + "\n", encoding="utf8")
    asked = 'all(map(find_spec, ("onnx", "onnxscript", "onnxruntime")))'
    assert asked in recipe
    code = recipe if engine else recipe.replace(asked, "False")
    names = {"CHECKPOINT": str(folder), "TEXTS": str(file), "OUT": str(out)}
    done = python(code, HF_HUB_OFFLINE="1", **names)
    assert done.returncode == 0, done.stderr
    told = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    labels, read = zip(*told, strict=True)
    assert list(read) == texts
    assert set(labels) <= set(tasks.task(workload.TASK).names)
    assert out.exists() == engine
    if not engine:
        want = ladder.one_by_one(folder)(texts)
        assert [tasks.task(workload.TASK).names[n] for n in want] == list(labels)


def test_your_own_file_becomes_the_work(tmp_path):
    file = tmp_path / "mine.csv"
    lines = [f"text {n} is {'fine' if n % 2 else 'bad'},{n % 2}" for n in range(20)]
    file.write_text("\n".join(["text,label", *lines]), encoding="utf8")
    sets = tasks.load(tasks.task(workload.TASK), "smoke", str(file))
    found = workload.draw(sets, [], 50)
    assert len(found.texts) == 50
    assert len(set(found.texts)) == 20
    assert {-1} < set(found.gold) <= {-1, 0, 1}


# Forecast, explorer, pictures


def law(shape, start=0.002, token=1e-5, pair=1e-8):
    tokens = shape.batch * shape.length
    return start * (3 - shape.threads) + token * tokens + pair * tokens * shape.length


SHAPES = [Shape(t, b, n) for t in (1, 2) for b in (1, 4, 16) for n in (16, 64, 128)]


@pytest.fixture
def forecast():
    return Forecast({shape: law(shape) for shape in SHAPES})


def test_a_forecast_finds_the_law_and_has_no_negative_parts(forecast):
    assert forecast.error() < 1e-6
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
    (ax,) = axes(plots.forecast({1: 0.001}, {1: 0.001, 2: 0.002}, 2, "t"))
    assert ys(ax, 2) == [2.0]

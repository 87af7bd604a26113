"""What is special to `11_speed_and_size`: its ladder, its forecasts, its device, its recipe."""

from __future__ import annotations

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, title_of

from helpers import exporting, ladder, tasks, workload
from helpers.widgets.speed import Forecast, Shape

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "11_speed_and_size.ipynb"
needs_onnx = pytest.mark.skipif(bool(exporting.lacks("onnx")), reason="without the extra onnx")


@pytest.fixture(scope="module")
def folder():
    return workload.classifier(tasks.load(tasks.task(workload.TASK), "smoke"), "smoke")


# The recorded run


def test_recorded_ladder_begins_with_the_plain_pipeline(recorded):
    rows = recorded["ladder"]
    assert rows[0]["rung"] == "pipeline"
    assert rows[0]["speedup"] == 1
    assert rows[0]["changed_share"] == 0
    names = [row["rung"] for row in rows] + list(recorded["left_out"])
    assert sorted(names) == sorted(ladder.NAMES)
    for row in rows:
        assert {"rung", "speedup", "changed_share", "bytes"} <= set(row)
        assert row["bytes"] > 1_000_000


def test_recorded_rungs_without_shorter_numbers_changed_next_to_nothing(recorded):
    rows = {row["rung"]: row for row in recorded["ladder"]}
    for name in ("batches", "sorted by length", "unpadded", "ONNX Runtime", "torch.compile"):
        if name in rows:
            assert rows[name]["changed_share"] <= 0.001
    assert rows["unpadded"]["speedup"] > rows["batches"]["speedup"] > 1


def test_recorded_best_rung_reaches_what_was_promised(recorded):
    best = ladder.best(recorded["ladder"])
    assert recorded["best"]["rung"] == best["rung"]
    assert best["speedup"] >= 6
    assert best["changed_share"] <= 0.005
    assert recorded["work"]["texts"] == recorded["work"]["different_texts"] == 2_000
    assert recorded["work"]["tokens"] > 40_000


def test_recorded_halving_of_the_layers(recorded):
    for row in recorded["bert_to_distilbert"].values():
        assert 1.5 < row["median"] < 2.4


def test_recorded_parts_forecast_and_slips(recorded):
    for times in recorded["parts"].values():
        assert min(times.values()) > 0
    assert recorded["forecast_error"] < 0.25
    assert recorded["company"]["int8"] > 100 * recorded["company"]["fp32"]
    assert recorded["unsteady"] > 0.01


def test_recorded_device(recorded):
    alone = recorded["on_device"]
    assert alone["same"]
    assert alone["file_bytes"] < 25_000_000
    assert alone["peak_bytes"] < 300 * 2**20
    assert alone["load_seconds"] < 5


# The device script, the recipe


def script():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code" and cell.source.startswith("SCRIPT"):
            return ast.literal_eval(cell.source.partition("=")[2].strip())
    raise AssertionError("no cell holds the script")


@needs_onnx
def test_the_script_answers_without_torch(folder, tmp_path):
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    plain = exporting.to_onnx(model, tmp_path / "model.onnx")
    text = "The soup alone was worth the journey."
    words = [sys.executable, "-c", script(), str(plain), str(folder / "tokenizer.json"), text]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, load, again, peak = done.stdout.split()
    assert int(label) == ladder.one_by_one(folder)([text])[0]
    assert float(load) > float(again) > 0
    assert int(peak) == 0 or 30 * 2**20 < int(peak) < 600 * 2**20
    forbidden = script().replace("import numpy as np", "import torch; import numpy as np")
    failed = subprocess.run([*words[:2], forbidden, *words[3:]], capture_output=True, text=True)
    assert "ModuleNotFoundError" in failed.stderr


@pytest.mark.parametrize("engine", [True, False])
def test_the_recipe_runs_alone_offline(recipe, python, tmp_path, folder, engine):
    if engine and exporting.lacks("onnx"):
        pytest.skip("without the extra onnx")
    assert len(recipe.splitlines()) <= 30
    assert "helpers" not in recipe
    texts = ["The film was long, but never dull.", "A tasty soup", "The museum closes at five."]
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
    lines = [f"text number {n} is {'fine' if n % 2 else 'bad'},{n % 2}" for n in range(20)]
    file.write_text("text,label\n" + "\n".join(lines), encoding="utf8")
    sets = tasks.load(tasks.task(workload.TASK), "smoke", str(file))
    found = workload.draw(sets, [], 50)
    assert len(found.texts) == 50
    assert len(set(found.texts)) == 20
    assert {-1} < set(found.gold) <= {-1, 0, 1}


def test_without_the_extras_the_notebook_runs_and_says_what_to_install(tmp_path):
    hidden = dict.fromkeys(itertools.chain(*exporting.EXTRAS.values()))
    file = tmp_path / "sitecustomize.py"  # read by every Python that starts below
    file.write_text(f"import sys; sys.modules.update({hidden})")
    command = [sys.executable, "-m", "helpers.cli", "run", "11", "--profile", "smoke"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    cells = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4).cells
    told = "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))
    for rung, extra in zip(ladder.NAMES[6:9], ("onnx", "onnx", "openvino"), strict=True):
        assert f"{rung} is left out here. It needs: {exporting.install(extra)}" in told
    assert "8 of 8 labels of the recipe are the pipeline's" in told


# Forecast, explorer, pictures


def law(shape, start=0.002, token=1e-5, pair=1e-8):
    tokens = shape.batch * shape.length
    return start * (3 - shape.threads) + token * tokens + pair * tokens * shape.length


@pytest.fixture
def forecast():
    shapes = [Shape(t, b, n) for t in (1, 2) for b in (1, 4, 16) for n in (16, 64, 128)]
    return Forecast({shape: law(shape) for shape in shapes})


def test_a_forecast_finds_the_law_and_foretells_what_was_not_measured(forecast):
    assert forecast.error() < 1e-6
    assert forecast.parts[1] == pytest.approx([0.004, 1e-5, 1e-8], rel=1e-4)
    new = Shape(2, 64, 32)
    assert forecast.seconds(new) == pytest.approx(law(new))


def test_a_forecast_has_no_negative_parts():
    shapes = [Shape(1, b, n) for b in (1, 4, 16) for n in (16, 64)]
    found = Forecast({s: law(s, start=-1e-5, pair=0) for s in shapes}).parts[1]
    assert min(found) >= 0
    assert found[0] == 0


def test_the_explorer_follows_its_controls(forecast):
    from helpers.widgets.speed import forecaster

    batch, length, threads, shown = forecaster(forecast, Shape(2, 16, 64)).children
    assert f"forecast {1000 * law(Shape(2, 16, 64)):.1f} ms, measured" in shown.value
    before = shown.value
    batch.value = 128
    assert "not measured" in shown.value
    length.value, threads.value = 16, 1
    assert shown.value != before
    assert f"forecast {1000 * law(Shape(1, 128, 16)):.1f} ms" in shown.value


def test_where_there_is_one_core_there_is_no_slider_for_threads():
    from helpers.widgets.speed import forecaster

    found = Forecast({Shape(1, b, n): law(Shape(1, b, n)) for b in (1, 4, 16) for n in (16, 64)})
    batch, length, shown = forecaster(found, Shape(1, 4, 16)).children
    assert [batch.description, length.description] == ["batch", "length"]
    before = shown.value
    length.value = 64
    assert shown.value != before


ROW = {
    "rung": "plain <b>", "speedup": 1.0, "speedup_quartiles": [1.0, 1.0], "seconds": 10.0,
    "changed_share": 0.0, "accuracy": 0.8, "bytes": 40_000_000,
}  # fmt: skip
FAST = ROW | {"rung": "fast", "speedup": 5.0, "speedup_quartiles": [4.0, 6.0], "seconds": 2.0}


def test_the_ladders_picture_holds_its_rows():
    from helpers.plots import speed as plots

    left, right = plots.climb([ROW, {"rung": "gone", "missing": "x"}, FAST]).axes
    assert [dots.get_offsets().tolist()[0] for dots in left.collections] == [[2, 80], [10, 80]]
    assert [bar.get_width() for bar in right.patches] == [1, 5]
    assert any("5.0x" in text.get_text() for text in right.texts)
    assert any("not here" in text.get_text() for text in right.texts)
    unknown = ROW | {"accuracy": None}
    assert plots.climb([unknown]).axes
    page = plots.table([ROW, {"rung": "gone", "missing": "pip install x"}, FAST]).data
    assert "plain &lt;b&gt;" in page
    assert "5.0 (4.0 to 6.0)" in page
    assert "needs: pip install x" in page


def test_the_other_pictures_hold_what_they_are_given():
    import torch

    from helpers.plots import speed as plots

    (ax,) = plots.lengths([3, 5, 9], [True, False, False]).axes
    assert sum(bar.get_height() for bar in ax.patches) >= 3
    (ax,) = plots.sweep({16: {1: 0.5, 4: 0.5}}, 2).axes
    assert list(ax.lines[0].get_ydata()) == [32, 128]
    (ax,) = plots.parts({"1 x 2": {"a": 1.0, "b": 3.0}}).axes
    assert [bar.get_width() for bar in ax.patches] == [25, 75]
    (ax,) = plots.families({"one": {"median": 1.9, "low": 1.8, "high": 2.0}}, 1.63).axes
    assert ax.patches[0].get_width() == 1.9
    (ax,) = plots.rounding(torch.tensor([[1.27, -0.5], [0.014, 0.0]])).axes
    assert "0.01" in title_of(ax)
    assert "0.004" in title_of(ax)
    assert "&lt;" in plots.slips({"<": ("a", "b")}).data
    (ax,) = plots.forecast({1: 0.001}, {1: 0.001, 2: 0.002}, 2, "t").axes
    assert list(ax.lines[2].get_ydata()) == [2.0]

"""`workbook run`: it checks first, runs everything, and says plainly what failed."""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers import notebook_files, pages, runner
from helpers.errors import WorkbookError

PARAMETERS = 'PROFILE = "classroom"  # a\nSEED = 0  # b'
RECORD = (
    "from helpers import session\n"
    "workbook = session.start('t', PROFILE, SEED=SEED)\n"
    "workbook.record(seed=SEED, profile=PROFILE)"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two small notebooks in place of the workbook's: one that runs, one that fails half-way."""
    for name, code in {"00_good": RECORD, "01_bad": "print(1)\nraise ValueError('no <b>')"}.items():
        cells = [
            new_markdown_cell(f"# {name} <i>"),
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            new_code_cell(code),
            new_code_cell("print('after')"),
        ]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.setattr(notebook_files, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(notebook_files, "PICTURE", tmp_path / "picture.png")
    return tmp_path


def test_a_run_records_values_pages_and_failures(folder):
    todo = runner.plan("smoke", parameters={"SEED": 7})
    good, bad = runner.run(todo, "smoke", folder / "build")
    assert good.values == {"seed": 7, "profile": "smoke"}
    assert not bad.ok
    assert bad.error == "cell 3: ValueError: no <b>"
    report = json.loads((folder / "build" / "results.json").read_text())
    assert report["notebooks"]["00_good"]["values"] == {"seed": 7, "profile": "smoke"}
    assert report["notebooks"]["00_good"]["seconds"] > 0
    assert report["notebooks"]["01_bad"]["ok"] is False
    assert {"processor", "torch", "date"} <= report["machine"].keys()
    index = (folder / "build" / "index.html").read_text()
    assert 'href="00_good.html"' in index
    assert "no &lt;b&gt;" in index
    assert (folder / "build" / "01_bad.html").exists()


def test_a_cell_that_hangs_is_stopped_and_named(folder, monkeypatch):
    path = folder / "notebooks" / "00_good.ipynb"
    notebook = notebook_files.read(path)
    notebook.cells[2].source = "import time; time.sleep(600)"
    notebook_files.write(path, notebook)
    monkeypatch.setattr(runner, "CELL_SECONDS", 2)
    result = runner.run_notebook(path, {}, folder / "build")
    assert result.error == "a cell took more than 2 seconds and was stopped"
    assert result.seconds < 120


def test_a_failed_run_updates_nothing(folder):
    before = [path.read_bytes() for path in notebook_files.notebooks()]
    todo = runner.plan("classroom")
    results = runner.run(todo, "classroom", folder / "build")
    with pytest.raises(WorkbookError, match="01_bad failed"):
        runner.update(todo, results, folder / "build")
    assert [path.read_bytes() for path in notebook_files.notebooks()] == before


def test_a_clean_run_puts_its_outputs_into_the_notebook(folder):
    (folder / "notebooks" / "01_bad.ipynb").unlink()
    todo = runner.plan("classroom")
    runner.update(todo, runner.run(todo, "classroom", folder / "build"), folder / "build")
    notebook = notebook_files.read(folder / "notebooks" / "00_good.ipynb")
    assert notebook_files.records(notebook) == {"seed": 0, "profile": "classroom"}
    assert [c.execution_count for c in notebook.cells if c.cell_type == "code"] == [1, 2, 3]
    assert notebook.metadata["workbook"]["code"] == notebook_files.code_digest(notebook)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--profile", "fast"], "PROFILE is 'fast'; it must be one of smoke, classroom, full"),
        (["-p", "SEED", "many"], "SEED is 'many'; it must be a whole number"),
        (["-p", "SEDE", "1"], "SEDE is no parameter that the workbook knows"),
        (["-p", "LAYERS", "[0.5]"], "LAYERS is [0.5]; it must be a list of layer numbers"),
        (["77"], "no notebook begins with '77'"),
        (["--update", "--profile", "smoke"], "--update takes the classroom profile"),
    ],
)
def test_bad_arguments_are_one_line_before_anything_runs(workbook, tmp_path, arguments, line):
    done = workbook("run", *arguments)
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"Error: {line}")
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_meant_from_where_the_command_is_typed(tmp_path, monkeypatch):
    from helpers.cli import _from_here

    monkeypatch.chdir(tmp_path)
    assert _from_here("DATA_FILE", "mine.csv") == str(tmp_path / "mine.csv")
    assert _from_here("DATA_FILE", "") == ""
    assert _from_here("DATA_FILE", 3) == 3
    assert _from_here("TEXT", "mine.csv") == "mine.csv"


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The whole workbook in `smoke`, from a checkout that nobody may write to."""
    checkout = tmp_path_factory.mktemp("checkout") / "workbook"
    shutil.copytree(
        ROOT, checkout, ignore=shutil.ignore_patterns(".venv", ".git", "build", "__pycache__")
    )
    files = sorted(path for path in checkout.rglob("*"))
    for path in files:
        path.chmod(0o555 if path.is_dir() else 0o444)
    output = tmp_path_factory.mktemp("smoke")
    done = subprocess.run(
        [sys.executable, "-m", "helpers.cli", "run", "--profile", "smoke", "--output", output],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    left = sorted(path for path in checkout.rglob("*"))
    for path in files:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return done, output, [path for path in left if path not in files]


def test_the_workbook_runs_in_smoke_from_a_read_only_checkout(smoke):
    done, output, written = smoke
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((output / "results.json").read_text())
    assert len(report["notebooks"]) == len(notebook_files.notebooks())
    assert all(entry["ok"] and entry["values"] for entry in report["notebooks"].values())
    assert written == []


def test_a_smoke_run_is_quiet(smoke):
    for path in smoke[1].glob("*.ipynb"):
        for cell in notebook_files.read(path).cells:
            assert not [o for o in cell.get("outputs", []) if o.get("name") == "stderr"], (
                cell.source
            )


def test_pages_fetch_nothing(smoke):
    found = list(smoke[1].glob("*.html"))
    assert len(found) == len(notebook_files.notebooks()) + 1
    for path in found:
        text = path.read_text()
        assert not re.search(r"<(script|img|link|iframe)[^>]+(src|href)=[\"'](https?:|[\"'])", text)
        assert not re.search(r"import\(|cdnjs|jsdelivr|unpkg", text), path


def test_pages_lead_to_each_other(smoke):
    for path in smoke[1].glob("*.html"):
        for target in re.findall(r'href="([\w./]+\.(?:html|ipynb))"', path.read_text()):
            assert target.endswith(".html"), f"{path.name}: {target}"
            assert (smoke[1] / target).exists(), f"{path.name}: {target}"


def test_the_title_of_a_page_is_the_notebooks():
    notebook = new_notebook(cells=[new_markdown_cell("Intro\n\n# The title\n## no")])
    assert pages.title(notebook) == "The title"


def can_cut_the_network():
    try:
        return subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_cut_the_network(), reason="needs Linux's unshare to cut the network")
def test_a_notebook_runs_with_the_network_cut_off(tmp_path):
    command = [sys.executable, "-m", "helpers.cli", "run", "01", "--profile", "smoke"]
    done = subprocess.run(
        ["unshare", "-rn", *command, "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""`workbook run`: it checks first, keeps what it has, goes on, and says what failed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.core import notebook_files, results, runner, screen
from helpers.core.errors import WorkbookError
from helpers.core.results import Result

PARAMETERS = 'PROFILE = "classroom"  # a\nSEED = 0  # b\nNAMES = []  # c'
GOOD = """
from helpers.core.profiles import profile
from helpers.core.session import Session
Session("t", profile(PROFILE), "cpu", SEED).record(seed=SEED, profile=PROFILE)
"""
BAD = "print(1)\nraise ValueError('no <b>')"
# the first time it waits for whoever may kill it, its process in the file
WAIT = """
import os, pathlib, time
file = pathlib.Path({!r})
if not file.exists():
    file.write_text(str(os.getpid()))
    time.sleep(600)
"""
MAIN = """
import sys
from pathlib import Path
from helpers.core import notebook_files
from helpers.cli import main
notebook_files.NOTEBOOKS = Path(sys.argv.pop(1))
main()
"""


def write(folder, name, code, **metadata):
    """A small notebook that ends with `code`."""
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [
        new_markdown_cell(f"# {name}\n\nOne.\n\n## Two"),
        parameters,
        new_code_cell(code),
    ]
    folder.mkdir(exist_ok=True)
    nbformat.write(
        new_notebook(cells=cells, metadata=metadata), folder / f"{name}.ipynb"
    )


@pytest.fixture
def books(tmp_path, monkeypatch):
    """Two notebooks in place of the workbook's: one that runs, one that fails."""
    folder = tmp_path / "notebooks"
    write(folder, "00_good", GOOD)
    write(folder, "01_bad", BAD)
    monkeypatch.setattr(notebook_files, "NOTEBOOKS", folder)
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "build"


def report(output):
    return json.loads((output / "results.json").read_text())


def files(output, *names):
    """Whether these notebooks' results lie in `output`, and nothing else."""
    pages = {f"{name}.{kind}" for name in names for kind in ("html", "ipynb")}
    found = {path.name for path in output.iterdir()}
    return found == {"index.html", "results.json", *pages}


def test_a_run_records_values_and_failures_and_leaves_nothing_else(books, output):
    good, bad = runner.run(runner.plan("smoke", parameters={"SEED": 7}), output)
    assert bad.error == "cell 3: ValueError: no <b>"
    entry = report(output)["notebooks"]["00_good"]
    assert entry["values"] == good.values == {"seed": 7, "profile": "smoke"}
    assert (entry["profile"], entry["parameters"]) == ("smoke", {"SEED": 7})
    assert entry["seconds"] > 0
    assert not report(output)["notebooks"]["01_bad"]["ok"]
    assert {"processor", "torch", "date"} <= report(output)["machine"].keys()
    index = (output / "index.html").read_text()
    assert "no &lt;b&gt;" in index
    how = rf"{entry['date']}\s+in <code>smoke</code>,\s+<code>SEED = 7"
    assert re.search(how, index)
    assert files(output, "00_good", "01_bad")


HANGS = (
    "import time; time.sleep(600)",
    "a cell took more than 2 seconds and was stopped",
)
DIES = ("import os; os.kill(os.getpid(), 9)", "Kernel died (often for lack of memory)")


@pytest.mark.parametrize(("code", "error"), [HANGS, DIES])
def test_a_cell_that_hangs_or_dies_is_named(books, output, monkeypatch, code, error):
    write(books, "00_good", code)
    monkeypatch.setattr(runner, "CELL_SECONDS", 2)
    assert runner.run_notebook(books / "00_good.ipynb", {}, output).error == error
    assert (output / "00_good.html").exists()


def test_a_later_run_keeps_other_results_and_their_pages_learn_of_it(books, output):
    runner.run(runner.plan("smoke", ("00",)), output)
    before = report(output)["notebooks"]["00_good"]
    assert 'rel="next"' not in (output / "00_good.html").read_text()
    write(books, "01_bad", GOOD)
    runner.run(runner.plan("classroom", ("01",)), output)
    assert report(output)["notebooks"]["00_good"] == before
    assert report(output)["notebooks"]["01_bad"]["profile"] == "classroom"
    assert (output / "index.html").read_text().count("<h2>") == 2
    assert 'href="01_bad.html" rel="next"' in (output / "00_good.html").read_text()


def test_resume_takes_what_failed_and_mixes_no_parameters(books, output):
    asked = runner.plan("smoke", parameters={"NAMES": ["a"]})
    assert runner.left(asked, output) == asked, "nothing was run yet"
    runner.run(asked, output)
    runner.run(runner.plan("smoke", ("00",), {"NAMES": ["a"]}), output)
    assert runner.left(asked, output).names == ["01_bad"]
    write(books, "01_bad", GOOD)
    write(books, "02_new", GOOD)
    runner.run(runner.left(asked, output), output)
    for only, names in (((), []), (("02",), ["02_new"])):
        again = runner.plan("smoke", only, {"NAMES": ["a"]})
        assert runner.left(again, output).names == names
    for other in (runner.plan("smoke"), runner.plan("classroom", (), {"NAMES": ["a"]})):
        had = "had --profile smoke -p NAMES .*: give --resume"
        with pytest.raises(WorkbookError, match=had):
            runner.left(other, output)
    (output / "00_good.html").unlink()
    found = results.load(output).results
    assert found.keys() == {"01_bad"}, "without a page it is no result"


def stopped(books, output, flag, how, *more):
    """Runs until a notebook has written `flag`, then sends a signal; what was said."""
    command = [sys.executable, "-c", MAIN, books, "run", "--profile", "smoke"]
    process = subprocess.Popen(
        [*map(str, command), "--output", output, *more],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.time() + 240
    while not (flag.exists() and flag.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.time() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    said = process.communicate(timeout=60)
    while psutil.pid_exists(int(flag.read_text())):
        assert time.time() < deadline, "a kernel is left behind"
        time.sleep(0.1)
    return said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_killed_half_way_and_resumed_only_the_rest_is_run(
    books, output, workbook, tmp_path
):
    flags = [tmp_path / "first", tmp_path / "second"]
    write(books, "01_bad", WAIT.format(str(flags[0])) + GOOD)
    write(books, "02_c", WAIT.format(str(flags[1])) + GOOD)
    write(books, "03_d", GOOD)
    stopped(books, output, flags[0], signal.SIGKILL)
    assert files(output, "00_good")
    assert report(output)["left"] == ["01_bad", "02_c", "03_d"]
    first = (output / "00_good.ipynb").stat().st_mtime_ns

    said = stopped(books, output, flags[1], signal.SIGTERM, "--resume")
    assert said[1] == "Error: stopped: the same command with --resume goes on\n"
    assert files(output, "00_good", "01_bad")
    assert report(output)["left"] == ["02_c", "03_d"]

    done = workbook("run", "--profile", "smoke", "--output", str(output), "--resume")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"\d/\d  ok  (\w+)", done.stdout) == ["02_c", "03_d"]
    assert (output / "00_good.ipynb").stat().st_mtime_ns == first
    assert files(output, "00_good", "01_bad", "02_c", "03_d")
    assert (output / "index.html").read_text().count("<h2>") == 4
    assert report(output)["left"] == []


def test_only_a_clean_run_puts_its_outputs_into_the_notebooks(books, output):
    before = [path.read_bytes() for path in notebook_files.notebooks()]
    asked = runner.plan("classroom")
    runner.run(asked, output)
    with pytest.raises(WorkbookError, match="nothing was updated: 01_bad failed"):
        runner.update(asked, output)
    write(books, "01_bad", GOOD)
    runner.run(runner.plan("classroom", ("01",), {"SEED": 1}), output)
    with pytest.raises(WorkbookError, match="01_bad changed, or had other parameters"):
        runner.update(asked, output)
    assert notebook_files.notebooks()[0].read_bytes() == before[0]
    runner.update(runner.plan("classroom", ("00",)), output)
    notebook = notebook_files.read(books / "00_good.ipynb")
    assert notebook_files.records(notebook) == {"seed": 0, "profile": "classroom"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2]
    assert notebook.metadata["workbook"]["code"] == notebook_files.code_digest(notebook)


def store(output, *found):
    """A folder with these results, as a run leaves it."""
    names = [one.notebook for one in found]
    folder = results.begin(output, found[0].profile, {}, names)
    for one in found:
        for kind in ("html", "ipynb"):
            (output / f"{one.notebook}.{kind}").write_text("")
        results.finish(output, one, folder)


@pytest.mark.parametrize(
    ("profile", "ok", "last", "seconds"),
    [
        ("classroom", True, "classroom", 30),  # as it took here
        ("classroom", False, "classroom", 80),  # as it was committed
        ("classroom", True, "smoke", 80),
        ("smoke", True, "smoke", 30),
        ("smoke", True, "classroom", runner.USUAL_SECONDS),
    ],
)
def test_a_notebooks_time_is_its_last_one(books, output, profile, ok, last, seconds):
    write(books, "00_good", GOOD, workbook={"seconds": 80})
    store(output, Result("00_good", 30.0, ok, profile=last))
    assert runner.expected_seconds(runner.plan(profile, ("00",)), output) == {
        "00_good": seconds
    }


def test_the_time_left_follows_the_notebooks_and_not_their_average(capsys):
    with screen.Progress({"00_a": 10, "01_b": 20, "02_c": 600, "03_d": 370}) as bar:
        assert bar.seconds_left() == pytest.approx(1000, abs=2)
        bar.finished(Result("00_a", 20, True))  # twice as slow, but short: mere noise
        assert bar.seconds_left() == pytest.approx(1131, abs=2)
        bar.finished(Result("01_b", 1, False, error="no"))  # soon failed is not quick
        assert bar.seconds_left() == pytest.approx(1107, abs=4)
        bar.finished(Result("02_c", 1200, True))  # this machine takes twice as long
        assert bar.seconds_left() == pytest.approx(2 * 370, rel=0.1)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "4 notebooks, about 17 min left"
    assert said[2] == "2/4  failed  01_b  1 s  no, about 18 min left"


def test_an_older_results_file_is_read_and_a_broken_one_named(output):
    store(output, Result("00_a", 1.0, True), Result("01_b", 1.0, False))
    old = {k: v for k, v in report(output).items() if k not in ("parameters", "left")}
    for entry in old["notebooks"].values():
        del entry["profile"], entry["parameters"], entry["date"]
    (output / "results.json").write_text(json.dumps(old))
    found = results.load(output)
    assert found.results["00_a"].date == old["machine"]["date"]
    assert found.left == ["01_b"]
    (output / "results.json").write_text("{")
    line = "results.json is not what `workbook run` writes"
    with pytest.raises(WorkbookError, match=line):
        results.load(output)


BAD_ARGUMENTS = {
    "--profile fast": "PROFILE is 'fast'; it must be one of smoke, classroom, full",
    "-p SEED many": "SEED is 'many'; it must be a whole number",
    "-p SEDE 1": "no notebook of this run has a parameter SEDE",
    "-p LAYERS [0.5]": "LAYERS is [0.5]; it must be a list of layer numbers",
    "77": "no notebook begins with '77'",
    "--update --profile smoke": "--update takes the classroom profile",
}


@pytest.mark.parametrize(("arguments", "line"), BAD_ARGUMENTS.items())
def test_bad_arguments_are_one_line_before_anything_runs(
    workbook, tmp_path, arguments, line
):
    done = workbook("run", *arguments.split())
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {line}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_parameter_is_of_its_kind_and_a_path_of_the_callers_folder(
    books, monkeypatch
):
    from helpers.cli import _given

    line = r"NAMES is 'a'; it must be a list, such as \[\]"
    with pytest.raises(WorkbookError, match=line):
        runner.plan("smoke", parameters={"NAMES": "a"})
    monkeypatch.chdir(books)
    assert _given("DATA_FILE", "mine.csv") == str(books / "mine.csv")
    assert [_given("DATA_FILE", ""), _given("TEXT", "a.b")] == ["", "a.b"]
    assert [_given("LAYERS", "[0, 2]"), _given("SEED", "3")] == [[0, 2], 3]


def without_network():
    """What to put before a command so that it has none, where that can be done."""
    cut = ["unshare", "-rn"]
    can = shutil.which("unshare") and subprocess.run([*cut, "true"]).returncode == 0
    return cut if can else []


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The whole workbook in `smoke`, with no network, from a read-only checkout."""
    checkout = tmp_path_factory.mktemp("checkout") / "workbook"
    left_out = shutil.ignore_patterns(".venv", ".git", "build", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=left_out)
    before = sorted(checkout.rglob("*"))
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    output = tmp_path_factory.mktemp("smoke")
    command = [*without_network(), sys.executable, "-m", "helpers.cli", "run"]
    done = subprocess.run(
        [*command, "--profile", "smoke", "--output", output],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    written = set(checkout.rglob("*")) - set(before)
    for path in before:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return done, output, written


def test_the_workbook_runs_in_smoke_from_a_read_only_checkout(smoke):
    done, output, written = smoke
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(output)["notebooks"]
    assert list(found) == [path.stem for path in notebook_files.notebooks()]
    assert all(entry["ok"] and entry["values"] for entry in found.values())
    assert files(output, *found)
    assert written == set()


def test_a_smoke_run_is_quiet_and_its_pages_fetch_nothing_and_lead_to_each_other(smoke):
    output = smoke[1]
    for path in output.glob("*.ipynb"):
        outputs = notebook_files.outputs(notebook_files.read(path))
        assert [o for o in outputs if o.get("name") == "stderr"] == [], path
    for path in output.glob("*.html"):
        text = path.read_text()
        assert not re.search(
            r"<(script|img|link|iframe)[^>]+(src|href)=[\"'](https?:|[\"'])", text
        )
        assert not re.search(r"import\(|cdnjs|jsdelivr|unpkg", text), path
        for target in re.findall(r'href="([\w./]+\.(?:html|ipynb))"', text):
            assert target.endswith(".html"), f"{path.name}: {target}"
            assert (output / target).exists(), f"{path.name}: {target}"

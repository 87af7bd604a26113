"""Every committed notebook: its shape, its outputs, its exercises."""

import ast
import importlib
import itertools
import re

import nbformat
import pytest
from conftest import ROOT

from helpers.core import notebook_files
from helpers.show import exercises as checks
from helpers.show.exercises import Exercise
from helpers.show.widgets import FALLBACK, WIDGET_MIME

PATHS = notebook_files.notebooks()
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
each = pytest.mark.parametrize("name", list(NOTEBOOKS))


def code_cells(name):
    return [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]


def outputs(name):
    return notebook_files.outputs(NOTEBOOKS[name])


def tagged(name, tag):
    """The places of the cells with this tag."""
    cells = NOTEBOOKS[name].cells
    return [i for i, c in enumerate(cells) if tag in c.metadata.get("tags", [])]


def test_there_are_notebooks_and_their_numbers_have_no_gap():
    numbers = [int(name[:2]) for name in NOTEBOOKS]
    assert numbers == list(range(len(NOTEBOOKS)))
    assert len(NOTEBOOKS) >= 3


@each
def test_outputs_are_those_of_the_sources(name):
    notebook = NOTEBOOKS[name]
    ran, code = (
        notebook.metadata["workbook"]["code"],
        notebook_files.code_digest(notebook),
    )
    assert ran == code, f"{name} was edited after its last run: `make notebooks`"
    counts = [cell.execution_count for cell in code_cells(name)]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_no_output_is_an_error_or_a_warning(name):
    for output in outputs(name):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.get("text")
        text = f"{output.get('text', '')}{output.get('data', {}).get('text/plain', '')}"
        assert not re.search(r"\b\w*Warning\b:", text), text


@each
def test_the_file_is_light_and_holds_no_widget_state(name):
    path = notebook_files.NOTEBOOKS / f"{name}.ipynb"
    assert path.stat().st_size < 1_000_000
    assert "widgets" not in NOTEBOOKS[name].metadata
    assert not any(WIDGET_MIME in output.get("data", {}) for output in outputs(name))


@each
def test_no_output_speaks_of_the_machine_it_ran_on(name):
    for output in outputs(name):
        text = output.get("text", "") + str(output.get("data", ""))
        places = r"(/root/|/home/|/tmp/|/work/|[A-Z]:\\\\Users)"
        assert not re.search(places, text), text[:300]


@each
def test_the_shape_of_a_notebook(name):
    cells = NOTEBOOKS[name].cells
    assert len(cells) >= 25
    assert cells[0].source.startswith(f"# {int(name[:2])}. ")
    assert all(word in cells[0].source for word in ("CPU", "minute", "GB", "GPU"))
    assert tagged(name, "parameters") == [2]
    tree = ast.parse(cells[2].source)
    assert all(isinstance(node, ast.Assign) for node in tree.body)
    assert all("  # " in line for line in cells[2].source.splitlines())
    assert "session.start(" in cells[3].source
    assert "workbook.record(" in code_cells(name)[-1].source
    assert cells[-1].cell_type == "markdown"
    assert len({cell.id for cell in cells}) == len(cells)


@each
def test_code_is_short_and_plain(name):
    for cell in code_cells(name):
        lines = cell.source.splitlines()
        assert len(lines) <= 30 or "recipe" in cell.metadata.get("tags", [])
        assert max(map(len, lines)) <= 88, "cut off on a projector or on paper"
        assert not re.search(r"sys\.path|import \*|trust_remote_code", cell.source)


@each
def test_every_widget_has_its_still_below(name):
    cells = code_cells(name)
    found = 0
    for cell, below in itertools.pairwise(cells):
        if not any(
            FALLBACK in o.get("data", {}).get("text/plain", "") for o in cell.outputs
        ):
            continue
        found += 1
        kinds = {kind for output in below.outputs for kind in output.get("data", {})}
        assert kinds & {"image/png", "text/html"}, f"no still below: {cell.source}"
    assert found >= 1


def exercises():
    for name, notebook in NOTEBOOKS.items():
        for i in tagged(name, "exercise"):
            cells = notebook.cells[i : i + 2]
            yield pytest.param(name, *cells, id=f"{name}-{i}")


def topic(name):
    source = "\n".join(cell.source for cell in code_cells(name))
    module = re.search(r"from helpers\.(\w+) import exercises as check", source)
    return importlib.import_module(f"helpers.{module[1]}.exercises")


def solution(cell):
    code = re.search(
        r"Solution</summary>.*?```python\n(.*?)```", cell.source, flags=re.DOTALL
    )
    assert code, f"no folded solution: {cell.source[:80]}"
    return code[1]


@each
def test_there_are_at_least_two_exercises(name):
    assert len(tagged(name, "exercise")) >= 2


@pytest.mark.parametrize(("name", "cell", "below"), list(exercises()))
def test_the_stub_is_not_attempted_yet_and_the_solution_passes(name, cell, below):
    check, attempt = re.search(
        r"^check\.(\w+)\((\w+)\)$", cell.source, re.MULTILINE
    ).groups()
    exercise = getattr(topic(name), check)
    stub, solved = {}, {}
    exec(cell.source.replace(f"check.{check}({attempt})", ""), stub)
    assert exercise.verdict(stub[attempt]).status == checks.NOT_ATTEMPTED
    exec(solution(below), solved)
    assert exercise.verdict(solved[attempt]).status == checks.PASSED
    assert "<summary>Hint</summary>" in below.source
    assert any(checks.NOT_ATTEMPTED in str(o.data) for o in cell.outputs)


def mistakes():
    for name in NOTEBOOKS:
        for label, exercise in vars(topic(name)).items():
            if isinstance(exercise, Exercise):
                for message, wrong in exercise.mistakes.items():
                    yield pytest.param(
                        exercise, message, wrong, id=f"{name}-{label}-{message[:30]}"
                    )


@pytest.mark.parametrize(("exercise", "message", "wrong"), list(mistakes()))
def test_each_named_mistake_is_caught_and_named(exercise, message, wrong):
    verdict = exercise.verdict(wrong)
    assert (verdict.status, verdict.message) == (checks.MISTAKE, message)


@each
def test_every_exercise_names_at_least_two_mistakes(name):
    found = [e for e in vars(topic(name)).values() if isinstance(e, Exercise)]
    assert len(found) == len(tagged(name, "exercise"))
    assert all(len(exercise.mistakes) >= 2 for exercise in found)


@pytest.mark.parametrize(
    "name", [name for name in NOTEBOOKS if "04" <= name[:2] <= "08"]
)
def test_the_copy_and_go_cell_is_one_and_plain(name):
    (at,) = tagged(name, "recipe")
    recipe = NOTEBOOKS[name].cells[at].source
    assert "helpers" not in recipe
    assert recipe.index("CHECKPOINT") < recipe.index("from_pretrained")


@each
def test_links_to_files_lead_somewhere(name):
    for cell in NOTEBOOKS[name].cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
                if not target.startswith("http"):
                    assert (ROOT / "notebooks" / target).exists(), target


def test_the_readmes_picture_is_the_notebooks():
    pictures = [p for p in map(notebook_files.picture, NOTEBOOKS.values()) if p]
    assert pictures == [notebook_files.PICTURE.read_bytes()]
    assert "](data/picture.png)" in (ROOT / "README.md").read_text()

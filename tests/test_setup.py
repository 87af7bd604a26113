"""The set-up stands once and cannot drift apart."""

import ast
import graphlib
import importlib.metadata
import re
import tomllib

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

from helpers.doctor import other, pinned

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTS = [
    PYPROJECT["project"]["dependencies"],
    *PYPROJECT["project"]["optional-dependencies"].values(),
]
NAME = PYPROJECT["project"]["name"]
REQUIREMENTS = [Requirement(text) for texts in LISTS for text in texts]
REQUIREMENTS = [one for one in REQUIREMENTS if one.name != NAME]  # its own extras
PINS = pinned((ROOT / "constraints.txt").read_text())
PINS = {canonical(name): version for name, version in PINS.items()}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_every_dependency_has_a_tested_version_that_it_allows(requirement):
    assert requirement.specifier.contains(PINS[canonical(requirement.name)])


def test_what_is_installed_is_what_was_tested():
    assert other(PINS) == {}


def closure(names):
    """Every distribution that these need on this machine, directly or not."""
    seen, todo = set(), list(names)
    while todo:
        name = canonical(todo.pop())
        if name in seen:
            continue
        seen.add(name)
        for text in importlib.metadata.requires(name) or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                todo.append(need.name)
    return seen


def test_every_package_that_an_install_brings_has_its_pin():
    assert closure(r.name for r in REQUIREMENTS) - PINS.keys() == set()


def test_constraints_are_exact_and_name_no_build_or_place():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(
            r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line
        ), line


def test_conda_installs_the_same_through_pip():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    makefile = (ROOT / "Makefile").read_text()
    assert "-c constraints.txt -e '.[dev]'" in makefile


def test_every_dependency_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.findall(r'^  "[a-z][^"]*",(.*)$', text, flags=re.MULTILINE)
    assert len(listed) == sum(map(len, LISTS))
    assert all(re.match(r"\s+# \w+", rest) for rest in listed)


def test_every_package_is_installed_with_the_project():
    setuptools = PYPROJECT["tool"]["setuptools"]
    assert setuptools["packages"] == {"find": {"include": ["helpers*"]}}
    files = {path for path in (ROOT / "helpers").rglob("*") if path.is_file()}
    code = {path for path in files if path.suffix in (".py", ".pyc")}
    assert all(
        path.with_name("__init__.py") in code for path in code if path.suffix == ".py"
    )
    shipped = {
        path
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert files - code == {path for path in shipped if path.is_file()}


def test_ci_calls_what_the_readme_tells_a_newcomer():
    script = (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text()
    assert script.index("make test") < script.index("make run")
    assert "set -euo pipefail" in script
    assert "make run" in script.splitlines(), "all notebooks, as they come"
    assert "make run" in readme
    assert "make test" in readme
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


HELPERS = ROOT / "helpers"
# what stands on what: a module imports from its own row and those above it
ROWS = [("core", "show"), ("checkpoints",), ("data",), ("training",)]
LEVELS = {name: level for level, names in enumerate(ROWS) for name in names}
LEVELS |= {"doctor": len(ROWS) + 1, "cli": len(ROWS) + 1, "": 0}  # a room: len(ROWS)
ACROSS = {("attention", "masked_lm"), ("speed_and_size", "flash_attention")}
MOST = 300


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in HELPERS.rglob("*.py")}


def imported(path):
    """The helpers that a file imports, wherever in it, but for types alone."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    tree.body = [
        node for node in tree.body if "TYPE_CHECKING" not in ast.dump(node)[:60]
    ]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {n if n in MODULES else str(node.module) for n in whole}
    return {name for name in names if name.split(".")[0] == "helpers"}


GRAPH = {name: imported(path) - {name} for name, path in MODULES.items()}


def package(module):
    return f"{module}.".split(".")[1]


def level(package):
    return LEVELS.get(package, len(ROWS))


def test_imports_of_the_helpers_run_in_no_circle():
    order = list(graphlib.TopologicalSorter(GRAPH).static_order())  # raises on a circle
    assert len(order) == len(MODULES) > 60


def test_imports_point_down_and_no_notebooks_package_needs_anothers():
    edges = {(package(one), package(two)) for one in GRAPH for two in GRAPH[one]}
    edges = {(one, two) for one, two in edges if one != two}
    assert {edge for edge in edges if level(edge[0]) < level(edge[1])} == set()
    rooms = {edge for edge in edges if level(edge[0]) == level(edge[1]) == len(ROWS)}
    assert rooms - ACROSS == set()


def test_the_test_of_directions_sees_what_it_should():
    assert imported(HELPERS / "cli.py") >= {
        "helpers.core.options",
        "helpers.core.runner",
    }
    assert [level(name) for name in ("show", "data", "start", "cli")] == [0, 2, 4, 5]


def test_the_helpers_modules_are_short():
    lines = {path: len(path.read_text().splitlines()) for path in MODULES.values()}
    assert not [str(path) for path, count in lines.items() if count > MOST]
    assert len(list(HELPERS.glob("*.py"))) <= 3

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

from helpers.doctor import canonical, pinned

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTS = [
    PYPROJECT["project"]["dependencies"],
    *PYPROJECT["project"]["optional-dependencies"].values(),
]
NAME = PYPROJECT["project"]["name"]
REQUIREMENTS = [Requirement(text) for texts in LISTS for text in texts]
REQUIREMENTS = [one for one in REQUIREMENTS if one.name != NAME]  # its own extras
PINS = pinned((ROOT / "constraints.txt").read_text())


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_every_dependency_has_a_tested_version_that_it_allows(requirement):
    assert requirement.specifier.contains(PINS[canonical(requirement.name)])


def test_what_is_installed_is_what_was_tested():
    installed = {
        canonical(d.name): d.version for d in importlib.metadata.distributions()
    }
    differ = {
        name: (installed[name], version)
        for name, version in PINS.items()
        if name in installed and installed[name].partition("+")[0] != version
    }
    assert differ == {}


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
    named = " ".join(re.findall(r'make run NOTEBOOKS="([^"]*)"', script)).split()
    assert sorted(named) == sorted(
        path.name[:2] for path in ROOT.glob("notebooks/*.ipynb")
    )
    assert "make run" in readme
    assert "make test" in readme
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def imported(path, modules):
    """Those of `modules` that a file imports, wherever in it, but for types alone."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    tree.body = [
        node for node in tree.body if "TYPE_CHECKING" not in ast.dump(node)[:60]
    ]
    found = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
    found = [node for node in found if node.module.split(".")[0] == "helpers"]
    names = [
        (node.module, f"{node.module}.{alias.name}")
        for node in found
        for alias in node.names
    ]
    return {whole if whole in modules else module for module, whole in names}


def test_imports_of_the_helpers_run_in_no_circle():
    modules = {}
    for path in (ROOT / "helpers").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    graph = {name: imported(path, modules) - {name} for name, path in modules.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises on a circle
    assert len(order) == len(modules) > 60

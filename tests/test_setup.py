"""The set-up stands once and cannot drift apart."""

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
    installed = {canonical(d.name): d.version for d in importlib.metadata.distributions()}
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
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line), line


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
    folders = {p.parent.relative_to(ROOT).as_posix() for p in ROOT.glob("helpers/**/__init__.py")}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == {
        f.replace("/", ".") for f in folders
    }


def test_ci_calls_what_the_readme_tells_a_newcomer():
    script = (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text()
    assert script.index("make test") < script.index("make run")
    assert "set -euo pipefail" in script
    named = " ".join(re.findall(r'make run NOTEBOOKS="([^"]*)"', script)).split()
    assert sorted(named) == sorted(path.name[:2] for path in ROOT.glob("notebooks/*.ipynb"))
    assert "make run" in readme
    assert "make test" in readme
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_imports_of_the_helpers_point_downwards():
    floors = {
        "errors": 0, "lora": 0, "counting": 0, "surgery": 0, "flash": 0, "profiles": 0,
        "metrics": 0, "objective": 0, "benchmark": 0, "plots": 0, "checks": 0, "contracts": 0,
        "spans": 0, "towers": 0, "entities": 0, "task_distillation": 9, "endings": 0, "reading": 1,
        "attention_patterns": 0, "attention_frames": 0, "attention": 1, "attention_views": 2,
        "unpadded": 0, "attention_cost": 0, "head_ablation": 10, "flash_bench": 10,
        "exporting": 0, "profiling": 0, "workload": 9, "ladder": 10, "scores": 0, "squad": 0,
        "windows": 0, "widgets": 1, "sources": 1, "texts": 1,
        "gaps": 2, "cache": 2, "revisions": 3, "checkpoints": 4, "own_files": 6,
        "hub_files": 4, "hub_sets": 5, "data": 6, "prefetch": 6, "baselines": 7, "tasks": 7,
        "transfer": 7, "distillation": 7, "session": 7, "notebook_files": 8, "shipped": 8,
        "finetuning": 8, "pretraining": 8, "distill_step": 8, "pages": 9, "doctor": 9,
        "ablation": 10, "heads": 10, "benchmark_report": 11, "runner": 10, "screen": 11,
        "cli_training": 11, "cli_data": 11, "cli_speed": 12, "cli": 13,
    }  # fmt: skip
    for path in (ROOT / "helpers").rglob("*.py"):
        room = path.relative_to(ROOT / "helpers").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        text = path.read_text()
        used = re.findall(r"^\s*from helpers import ([\w, ]+)", text, flags=re.MULTILINE)
        used = [name.split()[0] for names in used for name in names.split(",")]
        used += re.findall(r"^\s*from helpers\.(\w+)", text, flags=re.MULTILINE)
        above = {u for u in used if floors[u] > floors[room]} - _typing_only(path.read_text())
        assert not above, f"{path.name} imports from above: {above}"


def _typing_only(text):
    block = re.search(r"if TYPE_CHECKING:\n((?:    .*\n)+)", text)
    return set(re.findall(r"from helpers\.(\w+)", block[1])) if block else set()

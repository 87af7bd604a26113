"""Shared by all tests: one cache for the whole run, and no connection to anywhere."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"

ROOT = Path(__file__).parent.parent
# every head of the library: the class is `BertModel`, `DistilBertForMaskedLM`, ...
HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """A cache of the tests' own, so that they neither use nor touch the reader's."""
    home = tmp_path_factory.mktemp("workbook-home")
    os.environ["WORKBOOK_HOME"] = str(home)
    return home


@pytest.fixture(autouse=True)
def progress_bars():
    """Every test begins with the bars of `datasets` on, whatever was turned off."""
    import datasets

    datasets.enable_progress_bars()


@pytest.fixture(scope="session")
def tokenizer():
    from helpers.checkpoints import base_tokenizer

    return base_tokenizer()


@pytest.fixture(scope="session")
def bert_model():
    from transformers import BertForMaskedLM

    from helpers.checkpoints import bert

    return BertForMaskedLM.from_pretrained(bert()).eval()


@pytest.fixture(scope="session")
def distilbert_model():
    from transformers import DistilBertForMaskedLM

    from helpers.checkpoints import distilbert

    return DistilBertForMaskedLM.from_pretrained(distilbert()).eval()


@pytest.fixture(scope="module")
def recorded(request):
    """What the committed notebook, a test module's `NOTEBOOK`, recorded."""
    from helpers.core import notebook_files
    from helpers.core.session import RECORD_MIME

    outputs = notebook_files.outputs(notebook_files.read(request.module.NOTEBOOK))
    found = [o["data"] for o in outputs if RECORD_MIME in o.get("data", {})]
    assert len(found) == 1, "the notebook records its results exactly once"
    return found[0][RECORD_MIME]["values"]


@pytest.fixture(scope="module")
def recipe(request) -> str:
    """The copy-and-go cell of a test module's `NOTEBOOK`."""
    from helpers.core import notebook_files

    notebook = notebook_files.read(request.module.NOTEBOOK)
    (cell,) = notebook_files.tagged(notebook, "recipe")
    return cell.source


@pytest.fixture
def python():
    """Runs Python code in a fresh interpreter; returns the finished process."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            cwd=ROOT,
            timeout=300,
        )

    return run


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    """Runs the `workbook` command in an empty folder; returns how it ended."""
    from click.testing import CliRunner

    from helpers.cli import main

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(main, arguments, catch_exceptions=False)
        return SimpleNamespace(
            returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr
        )

    return run


def title_of(ax) -> str:
    """The title of a matplotlib axes; the style sheet puts it on the left."""
    return ax.get_title(loc="left") or ax.get_title()


@pytest.fixture(scope="module")
def own(request):
    """Takes a function out of the cells of a test module's `NOTEBOOK`.

    `own("tokenize", words=words)`: the names are what its body finds.
    """
    import ast

    import nbformat

    cells = nbformat.read(request.module.NOTEBOOK, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    defined = {getattr(node, "name", ""): node for node in ast.parse(code).body}

    def take(name: str, **names: object):
        module = ast.Module([defined[name]], [])
        exec(compile(module, request.module.NOTEBOOK, "exec"), names)
        return names[name]

    return take


@pytest.fixture(scope="session")
def tiny_masked_lm():
    """A masked language model of four tiny layers with the real vocabulary."""
    import torch
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    torch.manual_seed(0)
    config = DistilBertConfig(n_layers=4, dim=32, n_heads=4, hidden_dim=64)
    model = DistilBertForMaskedLM(config).eval()
    model.load_state_dict({name: 5 * t for name, t in model.state_dict().items()})
    return model

"""Opening a notebook: fast, offline, and one clear line for what it cannot accept."""

import re

import pytest
from IPython.core.interactiveshell import InteractiveShell

from helpers.core import session
from helpers.core.errors import WorkbookError

NAMES = 'LABEL_NAMES is {}; it must be a list of names such as ["bad", "good"]'
DICT = "COLUMNS is {}; it must be a dict such as"
MALFORMED = [
    (
        {"PROFILE": "Classroom"},
        "PROFILE is 'Classroom'; it must be one of smoke, class",
    ),
    ({"SEED": "3"}, "SEED is '3'; it must be a whole number, 0 or more"),
    ({"SEED": True}, "SEED is True; it must be a whole number"),
    ({"SEED": -1}, "SEED is -1"),
    ({"MAX_LENGTH": 513}, "MAX_LENGTH is 513; it must be a whole number from 8 to 512"),
    ({"TEXT": "  "}, "TEXT is '  '; it must be a text that is not empty"),
    ({"LAYERS": "0,2,4"}, "LAYERS is '0,2,4'; it must be a list of layer numbers"),
    ({"LABEL_NAMES": ["a", 1]}, NAMES.format("['a', 1]")),
    ({"LABEL_NAMES": "bad"}, NAMES.format("'bad'")),
    ({"ENCODING": None}, "ENCODING is None; it must be the name of an encoding"),
    ({"OUTPUT_DIR": 1}, "OUTPUT_DIR is 1; it must be the path of a folder, or empty"),
    ({"COLUMNS": ["a"]}, DICT.format("['a']")),
    ({"COLUMNS": "{a: 1"}, DICT.format("'{a: 1'")),
]


@pytest.mark.parametrize(("parameters", "line"), MALFORMED)
def test_malformed_parameters_are_one_clear_line(parameters, line):
    with pytest.raises(WorkbookError) as raised:
        session.start("test", **parameters)
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


GOOD = [
    {"LABEL_NAMES": [], "ENCODING": "", "OUTPUT_DIR": "", "COLUMNS": {}},
    {"LABEL_NAMES": ["bad"], "ENCODING": "cp1252", "OUTPUT_DIR": "out"},
    {"LABEL_NAMES": '["bad", "good"]', "COLUMNS": "{}"},  # as papermill's -p gives them
    {"COLUMNS": '{"text": ["title", "body"], "label": 2}', "TEXT": "no gap"},
]


@pytest.mark.parametrize("parameters", GOOD)
def test_what_is_well_formed_passes(parameters):
    session.check_parameters(parameters, "05_sequence_classification")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["tea"] * 749 + ["[MASK]"], 750),
        (["Donaudampfschiff"] * 90 + ["[MASK]"], 541),  # six pieces a word
    ],
)
def test_a_text_with_a_gap_that_no_model_can_read_is_refused_with_its_length(
    words, count
):
    line = f"{count} word pieces; it must have 510 at most"
    for notebook, name in (("04", "MASKED_TEXT"), ("02_architecture", "TEXT")):
        with pytest.raises(WorkbookError, match=f"^{name} has {line}$"):
            session.check_parameters({name: " ".join(words)}, notebook)
        session.check_parameters({name: " ".join(words[-80:])}, notebook)


def test_the_text_of_notebook_02_has_a_gap():
    line = "TEXT is 'no gap'; it must be a text with a [MASK]"
    with pytest.raises(WorkbookError, match=re.escape(line)):
        session.start("02_architecture", "smoke", TEXT="no gap")


def test_jupyter_shows_the_line_and_no_stack(capsys):
    shell = InteractiveShell()
    assert not shell.run_cell(
        "from helpers.core import session; session.start('x', 'no')"
    ).success
    shown = capsys.readouterr().out
    assert shown.strip().startswith("WorkbookError: PROFILE is 'no'")
    assert "Traceback" not in shown


def test_start_seeds_everything():
    import random

    import numpy
    import torch

    draws = []
    for _ in range(2):
        session.start("test", "smoke", SEED=5)
        draws.append((random.random(), numpy.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_start_goes_offline_even_after_huggingface_hub_was_imported(python):
    code = (
        "import huggingface_hub.constants as c\n"
        "c.HF_HUB_OFFLINE = False\n"
        "from helpers.core import session\n"
        "session.start('test', 'smoke')\n"
        "from huggingface_hub import snapshot_download\n"
        "try: snapshot_download('bert-base-uncased', cache_dir='/nonexistent')\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = python(code, HF_HUB_OFFLINE="0")
    assert done.stdout.splitlines()[-1] == "LocalEntryNotFoundError", done.stderr


def test_record_leaves_json_for_the_runner_and_a_table_for_the_reader(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    rows = [{"rung": "a", "seconds": 1.23456}, {"rung": "b", "range": [0.001234, 2000]}]
    opened = session.start("test", "smoke")
    opened.record(rows=rows, words=["<b>"], empty={}, same=True)
    assert shown[0][session.RECORD_MIME]["values"]["rows"] == rows
    assert "<b>" not in shown[0]["text/html"]
    assert shown[0]["text/plain"] == (
        "rows = rung a, seconds 1.235\nrung b, range (0.00123, 2,000)\n"
        "words = <b>\nempty = none\nsame = true"
    )
    with pytest.raises(TypeError):
        opened.record(value=object())


def test_importing_helpers_is_fast_and_brings_no_torch(python):
    names = ["helpers", "helpers.cli", "helpers.core.session"]
    names += ["helpers.checkpoints", "helpers.checkpoints.convert"]
    names += [f"helpers.show.{name}" for name in ("exercises", "plots", "widgets")]
    code = (
        f"import sys, time; began = time.process_time(); import {', '.join(names)}\n"
        "there = [name in sys.modules for name in ('torch', 'transformers')]\n"
        "print(time.process_time() - began, *there)"
    )
    seconds, *there = python(code).stdout.split()
    assert there == ["False", "False"]
    assert float(seconds) < 0.3

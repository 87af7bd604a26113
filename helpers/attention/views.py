"""bertviz's three views, drawn with no network: in JupyterLab, in exported HTML, on a
saved page.

    head_view, model_view       weights, as lines; rounded to three decimals
    neuron_view                 queries, keys and weights; rounded to six decimals and seven
    weigh                       how many bytes a view will add to a notebook, before it is made

bertviz draws; `helpers.attention.frames` gives it its libraries and packs it. The same
view twice is the same bytes, so a notebook that is run again does not churn.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from helpers.attention.frames import frame
from helpers.attention.maps import Neurons, Sentence, neurons
from helpers.core.errors import WorkbookError

LIMIT = 300_000  # bytes that one view may add to a notebook
# Decimals that are kept. Weights are drawn as shades. The neuron view's numbers are
# there to be recomputed: with these, softmax(QK^T / sqrt(d)) of what the view holds is
# its weights to 1e-6.
SHADES, VECTORS, WEIGHTS = 3, 6, 7
MARGIN = 1.05  # a weight is foretold, so a view must look as if it were this much below the limit
SAMPLE = 20_000  # numbers that are packed to learn what one weighs


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


def head_view(
    sentence: Sentence,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    limit: int = LIMIT,
) -> View:
    """bertviz's head view: one layer's heads laid over each other, a colour each.

    Hover over a token to see where it looks; click a coloured square to switch a head
    off, double click to see it alone. `layers` and `heads` say what the view holds
    (default all). Raises `WorkbookError` when the model has no such layer or head, and
    when the view would weigh more than `limit` bytes: then the error names layers that
    fit.
    """
    layers, heads = _chosen(sentence, layers, heads)
    _guard("head", sentence, layers, heads, limit)
    return _head_page(sentence, layers, heads)


def model_view(
    sentence: Sentence,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    limit: int = LIMIT,
) -> View:
    """bertviz's model view: every layer and head as a small picture; click one to
    enlarge it.

    Arguments and errors as for `head_view`.
    """
    layers, heads = _chosen(sentence, layers, heads)
    _guard("model", sentence, layers, heads, limit)
    return _model_page(sentence, layers, heads)


def neuron_view(
    model: Any,
    tokenizer: Any,
    text: str,
    pair: str | None = None,
    layer: int = 0,
    head: int = 0,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    limit: int = LIMIT,
) -> View:
    """bertviz's neuron view: how a query and the keys make the weights, number by
    number.

    Hover over a token and click its plus sign. `layer` and `head` are shown first; the
    view holds `layers` (default that layer alone: vectors weigh more than weights) and
    `heads` (default all). Works for BERT and for DistilBERT, which bertviz itself has
    no neuron view for. Errors as for `head_view`, and on a text without a word.
    """
    given = neurons(model, tokenizer, text, pair)
    layers, heads = _chosen(
        given.sentence, [layer] if layers is None else layers, heads
    )
    if layer not in layers or head not in heads:
        raise WorkbookError(
            f"layer {layer}, head {head} is not in layers={layers}, heads={heads}"
        )
    _guard("neuron", given, layers, heads, limit)
    return _neuron_page(given, layers, heads, layer, head)


def _head_page(sentence: Sentence, layers: list[int], heads: list[int]) -> View:
    from bertviz import head_view as draw

    drawn = draw(
        _tensors(sentence.weights[:, heads]),
        ["" for _ in sentence.tokens],
        sentence.second,
        layer=layers[0],
        include_layers=layers,
        html_action="return",
    )
    return _view(
        "head", drawn.data, sentence, layers, heads, 80 + 22.5 * len(sentence.tokens)
    )


def _model_page(sentence: Sentence, layers: list[int], heads: list[int]) -> View:
    from bertviz import model_view as draw

    drawn = draw(
        _tensors(sentence.weights),
        ["" for _ in sentence.tokens],
        sentence.second,
        display_mode="light",
        include_layers=layers,
        include_heads=heads,
        html_action="return",
    )
    tokens, all_heads = len(sentence.tokens), sentence.weights.shape[1]
    # bertviz's own sums: a column of small pictures, or one enlarged
    tall = max(38 + len(layers) * (tokens * 84 / all_heads + 10), 55 + 18 * tokens)
    return _view("model", drawn.data, sentence, layers, heads, 50 + tall)


def _neuron_page(
    given: Neurons, layers: list[int], heads: list[int], layer: int, head: int
) -> View:
    from bertviz.neuron_view import show

    sentence = given.sentence
    second = sentence.second or len(sentence.tokens)
    words = SimpleNamespace(
        cls_token="",
        sep_token="",
        tokenize=list,
        convert_tokens_to_ids=lambda t: [0] * len(t),
    )
    drawn = show(
        _Recorded(given, layers, heads),
        "bert",  # what bertviz asks of a BERT, the recording answers
        words,
        [""] * (second - 2),  # bertviz adds the special tokens
        [""] * (len(sentence.tokens) - second - 1),
        display_mode="light",
        layer=layers.index(layer),
        head=heads.index(head),
        html_action="return",
    )
    return _view(
        "neuron", drawn.data, sentence, layers, heads, 160 + 26 * len(sentence.tokens)
    )


class _Recorded:
    """A model that has already run: gives bertviz the numbers of `Neurons`."""

    def __init__(self, given: Neurons, layers: list[int], heads: list[int]) -> None:
        self.given, self.layers, self.heads = given, layers, heads

    def eval(self) -> None:
        """bertviz asks for it; dropout was off when the numbers were made."""

    def __call__(
        self, _ids: Any, token_type_ids: Any = None
    ) -> tuple[list[dict[str, Any]]]:
        weights, queries, keys = (
            _tensors(numbers[:, self.heads], decimals)
            for numbers, decimals in (
                (self.given.sentence.weights, WEIGHTS),
                (self.given.queries, VECTORS),
                (self.given.keys, VECTORS),
            )
        )
        return (
            [
                {"attn": weights[i], "queries": queries[i], "keys": keys[i]}
                for i in self.layers
            ],
        )


def _view(
    kind: str,
    drawn: str,
    sentence: Sentence,
    layers: list[int],
    heads: list[int],
    height: float,
) -> View:
    tokens = len(sentence.tokens)
    title = f"bertviz's {kind} view: {tokens} tokens, {_some(layers, 'layer')}, {_some(heads, 'head')}"
    labels = {"layers": layers, "heads": heads}
    return View(
        frame(drawn, kind, title, sentence.tokens, sentence.second, labels, height),
        title,
    )


def _some(numbers: list[int], what: str) -> str:
    """ "layers 0 to 2", "head 3", "layers 0, 4": numbers in words."""
    if len(numbers) == 1:
        return f"{what} {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{what}s {numbers[0]} to {numbers[-1]}"
    return f"{what}s {', '.join(map(str, numbers))}"


def _tensors(numbers: np.ndarray, decimals: int = SHADES) -> list[Any]:
    """One tensor (1, heads, S, ...) a layer, rounded in float64, which prints no more
    digits.
    """
    import torch

    return [torch.from_numpy(_rounded(layer, decimals))[None] for layer in numbers]


def _rounded(numbers: np.ndarray, decimals: int) -> np.ndarray:
    return np.round(np.asarray(numbers, dtype=np.float64), decimals) + 0.0  # no "-0.0"


def _chosen(
    sentence: Sentence, layers: Sequence[int] | None, heads: Sequence[int] | None
) -> tuple[list[int], list[int]]:
    """The layers and heads meant, in order; an error names the first that is not
    there.
    """
    chosen = []
    for what, count, given in zip(
        ("layer", "head"), sentence.weights.shape, (layers, heads), strict=False
    ):
        numbers = (
            list(range(count)) if given is None else sorted({int(n) for n in given})
        )
        wrong = [n for n in numbers if not 0 <= n < count]
        if wrong or not numbers:
            said = f"no {what} {wrong[0]}" if wrong else f"no {what} chosen"
            raise WorkbookError(f"{said}: the model has {what}s 0 to {count - 1}")
        chosen.append(numbers)
    return chosen[0], chosen[1]


def weigh(
    what: Sentence | Neurons,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    kind: str = "model",
) -> int:
    """About how many bytes a view of `what` will add to a notebook, libraries included.

    `kind` is "head" or "model" for a `Sentence`; `Neurons` mean the neuron view. Only a
    sample of the numbers is packed to find out, so it takes the same moment for a text
    of any length.
    """
    sentence = what.sentence if isinstance(what, Neurons) else what
    layers, heads = _chosen(sentence, layers, heads)
    kind = "neuron" if isinstance(what, Neurons) else kind
    return round(_fixed(kind) + len(layers) * len(heads) * _each(what))


def _each(what: Sentence | Neurons) -> float:
    """Bytes that one head of one layer adds."""
    if isinstance(what, Sentence):
        return _packed(what.weights, SHADES)
    vectors = _packed(what.queries, VECTORS) + _packed(what.keys, VECTORS)
    return _packed(what.sentence.weights, WEIGHTS) + vectors


def _packed(numbers: np.ndarray, decimals: int) -> float:
    """Bytes of one head of `numbers` (layers, heads, S, ...), from a sample of their
    rows.
    """
    rows = numbers.reshape(-1, numbers.shape[-1])
    sample = rows[:: max(1, numbers.size // SAMPLE)]
    text = json.dumps(_rounded(sample, decimals).tolist(), separators=(",", ":"))
    size = len(gzip.compress(text.encode(), 9)) * 4 / 3  # base64
    return size * numbers.shape[2] / len(sample)


@functools.cache
def _fixed(kind: str) -> int:
    """What a view weighs that has next to nothing to show."""
    sentence = Sentence(["", "", ""], np.zeros((1, 1, 3, 3)), None)
    if kind != "neuron":
        return {"head": _head_page, "model": _model_page}[kind](
            sentence, [0], [0]
        ).bytes
    vectors = np.zeros((1, 1, 3, 1))
    return _neuron_page(Neurons(sentence, vectors, vectors), [0], [0], 0, 0).bytes


def _guard(
    kind: str, what: Sentence | Neurons, layers: list[int], heads: list[int], limit: int
) -> None:
    """Raises `WorkbookError` when the view would weigh more than `limit`, with what
    would fit.
    """
    size = weigh(what, layers, heads, kind) * MARGIN
    if size <= limit:
        return
    room = int(
        (limit / MARGIN - _fixed(kind)) / _each(what)
    )  # heads that fit, of whatever layers
    if room >= len(heads):
        advice = f"choose fewer layers, such as layers={layers[: room // len(heads)]}"
    elif room >= 1:
        advice = f"choose less, such as layers={layers[:1]}, heads={heads[:room]}"
    else:
        advice = "shorten the text"
    tokens = len(what.sentence.tokens if isinstance(what, Neurons) else what.tokens)
    raise WorkbookError(
        f"the {kind} view of {tokens} tokens, {_some(layers, 'layer')} and {_some(heads, 'head')} "
        f"would weigh up to {size / 1000:,.0f} kB, above {limit / 1000:,.0f} kB: {advice}"
    )

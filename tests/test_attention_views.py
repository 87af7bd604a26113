"""bertviz with no network: light, the same twice, right in its numbers, deaf to hostile text."""

import hashlib
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from helpers import attention, attention_frames, attention_views
from helpers.attention import Neurons, Sentence
from helpers.errors import WorkbookError

TEXT = "The animal did not cross because it was tired."  # 12 tokens
PAIR = ("Who spoke?", "Nobody spoke in the lift.")
HOSTILE = [
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"];window.hacked=1;//',
    "\u2028window.hacked=1\u2029",
    "</iframe>&quot;&lt;b&gt;",
    "PYTHON_PARAMS",
    "</w>\u0120",  # bertviz would take these for marks of its own
]


@pytest.fixture(scope="module")
def sentence(bert_model, tokenizer):
    return attention.read(bert_model, tokenizer, TEXT)


@pytest.fixture(scope="module")
def views(sentence, bert_model, distilbert_model, tokenizer):
    pair = attention.read(distilbert_model, tokenizer, *PAIR)
    return {
        "head": attention_views.head_view(sentence),
        "model": attention_views.model_view(sentence),
        "neuron": attention_views.neuron_view(bert_model, tokenizer, TEXT, layer=3, head=2),
        "distilbert": attention_views.neuron_view(distilbert_model, tokenizer, TEXT, layer=1),
        "pair, head": attention_views.head_view(pair, layers=[0, 2], heads=[1, 5]),
        "pair, neuron": attention_views.neuron_view(
            distilbert_model, tokenizer, *PAIR, layer=2, heads=[0, 4], head=4
        ),
    }


def hostile_views():
    """The hostile tokens in a head, a model and a neuron view."""
    size = len(HOSTILE)
    even = np.full((1, 1, size, size), 1 / size)
    bad = Sentence(HOSTILE, even, None)
    vectors = np.ones((1, 1, size, 2))
    return {
        "head": attention_views.head_view(bad),
        "model": attention_views.model_view(bad),
        "neuron": attention_views._neuron_page(Neurons(bad, vectors, vectors), [0], [0], 0, 0),
    }


def data(view):
    """What the view's program is given, read out of its page."""
    script = attention_frames.unpack(view.html)
    marker = "window.bertviz_params = "
    return json.JSONDecoder().raw_decode(script, script.index(marker) + len(marker))[0]


def test_all_views_of_twelve_tokens_are_light(views, sentence):
    assert len(sentence.tokens) == 12
    assert sentence.weights.shape[:2] == (6, 12)
    for name, view in views.items():
        assert view.bytes < attention_views.LIMIT, name
    assert sum(views[name].bytes for name in ("head", "model", "neuron")) < 600_000


def test_a_view_weighs_in_a_notebook_what_it_says(views):
    import nbformat

    view = views["head"]
    output = nbformat.v4.new_output("display_data", {"text/html": view._repr_html_()})
    cell = nbformat.v4.new_code_cell("view", outputs=[output])
    file = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    assert view.bytes <= len(file) < view.bytes + 1500
    assert "kB" in repr(view)
    assert len(repr(view)) < 100, "the data are no part of what a console shows"


def test_the_same_view_twice_is_the_same_bytes(views, sentence, bert_model, tokenizer):
    assert attention_views.head_view(sentence).html == views["head"].html
    assert attention_views.model_view(sentence).html == views["model"].html
    again = attention_views.neuron_view(bert_model, tokenizer, TEXT, layer=3, head=2)
    assert again.html == views["neuron"].html


def test_the_weight_is_foretold(sentence, bert_model, tokenizer):
    long = attention.neurons(bert_model, tokenizer, "the old man and the sea, " * 9)
    assert len(long.sentence.tokens) == 65
    given = attention.neurons(bert_model, tokenizer, TEXT)
    free = {"limit": 10**8}
    foretold = [
        (attention_views.weigh(sentence), attention_views.model_view(sentence)),
        (
            attention_views.weigh(long.sentence, kind="head"),
            attention_views.head_view(long.sentence, **free),
        ),
        (
            attention_views.weigh(long.sentence, [1], [2, 3]),
            attention_views.model_view(long.sentence, [1], [2, 3]),
        ),
        (
            attention_views.weigh(given, [2, 4]),
            attention_views.neuron_view(
                bert_model, tokenizer, TEXT, layer=2, layers=[2, 4], **free
            ),
        ),
    ]
    for bytes_, view in foretold:
        assert bytes_ == pytest.approx(view.bytes, rel=0.15), view


def test_too_heavy_a_view_is_refused_with_one_that_fits(bert_model, tokenizer):
    long = attention.read(bert_model, tokenizer, "the old man and the sea, " * 9)
    for draw in (attention_views.head_view, attention_views.model_view):
        with pytest.raises(WorkbookError, match=r"65 tokens.*above 300 kB: choose") as refused:
            draw(long)
        layers = json.loads(re.search(r"layers=(\[.*?\])", str(refused.value))[1])
        assert draw(long, layers).bytes < attention_views.LIMIT
    with pytest.raises(WorkbookError, match=r"heads=\[.*\]") as refused:
        attention_views.model_view(long, limit=170_000)
    chosen = re.search(r"layers=(\[.*?\]), heads=(\[.*?\])", str(refused.value)).groups()
    view = attention_views.model_view(long, *map(json.loads, chosen), limit=170_000)
    assert view.bytes < 170_000
    with pytest.raises(WorkbookError, match="shorten the text"):
        attention_views.model_view(long, limit=1000)
    with pytest.raises(WorkbookError, match=r"neuron view of 12 tokens.*layers=\[0, "):
        attention_views.neuron_view(bert_model, tokenizer, TEXT, layers=range(6))


def test_the_views_hold_the_layers_and_heads_asked_for(
    views, sentence, distilbert_model, tokenizer
):
    held = data(attention_views.head_view(sentence, layers=[4, 1], heads=[7]))
    assert held["labels"]["layers"] == held["include_layers"] == [1, 4]
    assert held["labels"]["heads"] == [7]
    expected = sentence.weights[[1, 4]][:, [7]]
    assert np.abs(np.array(held["attention"]["attn"]) - expected).max() <= 0.000501
    assert np.shape(data(views["model"])["attention"]["attn"]) == (6, 12, 12, 12)
    for layers, heads, message in (([6], None, "no layer 6"), (None, [-1], "no head -1")):
        with pytest.raises(WorkbookError, match=message):
            attention_views.model_view(sentence, layers, heads)
    with pytest.raises(WorkbookError, match="no layer chosen"):
        attention_views.head_view(sentence, layers=[])
    with pytest.raises(WorkbookError, match=r"head 3 is not in .*heads=\[1\]"):
        attention_views.neuron_view(distilbert_model, tokenizer, TEXT, head=3, heads=[1])


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_the_neuron_views_numbers_are_the_models(
    kind, views, bert_model, distilbert_model, tokenizer
):
    model = {"bert": bert_model, "distilbert": distilbert_model}[kind]
    layer = {"bert": 3, "distilbert": 1}[kind]
    given = data(views[{"bert": "neuron", "distilbert": "distilbert"}[kind]])["attention"]
    weights, queries, keys = (np.array(given[name])[0] for name in ("attn", "queries", "keys"))
    assert queries.shape == (12, 12, 32)
    batch = tokenizer(TEXT, return_tensors="pt")
    true = [projected[layer, 0].numpy() for projected in attention.queries_and_keys(model, batch)]
    assert np.abs(queries - true[0]).max() < 1e-6
    assert np.abs(keys - true[1]).max() < 1e-6
    dots = queries @ keys.swapaxes(1, 2) / 32**0.5  # as the page's own program makes them
    assert np.abs(dots - true[0] @ true[1].swapaxes(1, 2) / 32**0.5).max() < 1e-5
    softmax = np.exp(dots) / np.exp(dots).sum(-1, keepdims=True)
    assert np.abs(weights - softmax).max() < 1e-6
    library = attention.maps(model, batch)[layer, 0].numpy()
    assert np.abs(weights - library).max() < 1e-6


def test_hostile_text_never_leaves_its_quotes():
    for name, view in hostile_views().items():
        assert data(view)["attention"]["left_text"] == HOSTILE, name
        page = re.search(r'srcdoc="([^"]*)"', view.html)[1]
        assert view.html.count("<iframe") == view.html.count("</iframe>") == 1
        assert "<" not in page
        assert "hacked" not in html.unescape(page), "text is in the packed data alone"
        script = attention_frames.unpack(view.html)
        line = next(x for x in script.split("\n") if x.startswith("window.bertviz_params"))
        assert line.isascii()
        assert not re.search(r"[<>&]", line)
        assert script.count("hacked") == line.count("hacked")


def test_the_page_asks_nobody_for_anything(views):
    for view in views.values():
        page = html.unescape(view.html)
        assert "default-src 'none'" in page
        assert 'sandbox="allow-scripts"' in page, "not allow-same-origin: text stays in its frame"
        assert not re.search(r"\b(src|href)=", page.replace("srcdoc=", ""))
        script = attention_frames.unpack(view.html)
        assert "cdnjs" not in script
        assert "require.config" not in script


def test_the_libraries_are_those_of_the_readme_with_their_licences():
    readme = (attention_frames.VENDOR / "README.md").read_text()
    listed = dict(re.findall(r"^\| `(\S+\.js)` .*`([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    assert set(listed) == {path.name for path in attention_frames.VENDOR.glob("*.js")}
    assert set(listed) == set(attention_frames.LIBRARIES)
    for name, digest in listed.items():
        content = (attention_frames.VENDOR / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    assert "Redistribution and use" in (attention_frames.VENDOR / "LICENSE.d3.txt").read_text()
    assert "Permission is hereby" in (attention_frames.VENDOR / "LICENSE.jquery.txt").read_text()


# --- in a browser ---------------------------------------------------------------------------------

LOOK = """
import json, sys
from playwright.sync_api import sync_playwright

SEEN = '''() => ({
  lines: document.querySelectorAll("#vis svg line").length,
  left: [...document.querySelectorAll("#left text, #leftText text")].map(t => t.textContent),
  layers: [...document.querySelectorAll("#layer option")].map(o => o.textContent),
  heads: [...document.querySelectorAll("#att_head option")].map(o => o.textContent),
  squares: [...document.querySelectorAll("svg rect > title")].map(t => t.textContent),
  high: document.documentElement.scrollHeight - innerHeight,
  wide: document.documentElement.scrollWidth - innerWidth,
  hacked: String(window.hacked),
})'''
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=sys.argv[1],
        args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"],
    )
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(sys.argv[2])
    seen = []
    for frame in page.frames[1:]:
        frame.wait_for_selector("#vis svg line", state="attached", timeout=30_000)
        seen.append(frame.evaluate(SEEN))
        if frame.query_selector("#filter"):
            frame.select_option("#filter", index=4)  # from the second text to the first
            seen[-1]["second"] = frame.evaluate(SEEN)["left"]
        if frame.query_selector("#collapsed"):
            token = frame.locator("#collapsed #leftText > g").nth(1)
            token.hover()
            token.locator("rect").last.click()  # the plus sign
            frame.locator("#expanded #leftText > g").nth(2).hover()
            dots = frame.locator("#expanded .dotproduct")
            seen[-1]["dots"] = dots.evaluate_all("all => all.map(d => +d.dataset.value)")
    print(json.dumps({"seen": seen, "requests": requests, "errors": errors,
                      "hacked": page.evaluate("String(window.hacked)")}))
    browser.close()
"""


def look(path, views):
    """Opens the views on one page in Chromium with no network; what is seen there."""
    if not (chromium := shutil.which("chromium")):
        pytest.skip("no Chromium here: the bertviz views are not opened in a browser")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no Playwright here: the bertviz views are not opened in a browser")
    bodies = "\n".join(view.html for view in views.values())
    path.write_text(f"<!doctype html><meta charset=utf-8><title>Views</title>{bodies}", "utf8")
    # a process of its own: there may be one Playwright in each
    command = [sys.executable, "-c", LOOK, chromium, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert found["requests"] == [path.as_uri()], "nothing but the page itself is asked for"
    assert found["hacked"] == "undefined"
    assert [frame["hacked"] for frame in found["seen"]] == ["undefined"] * len(views)
    return dict(zip(views, found["seen"], strict=True))


def test_every_view_draws_itself_in_chromium(views, sentence, tmp_path):
    seen = look(tmp_path / "views.html", views)
    for name, frame in seen.items():
        assert frame["lines"] > 0, name
        assert frame["high"] <= 0, f"{name} needs a scroll bar"
        assert frame["wide"] <= 0, f"{name} needs a scroll bar"
    assert seen["head"]["lines"] == 12 * 144
    assert seen["model"]["lines"] == 6 * 12 * 144
    assert seen["head"]["left"] == sentence.tokens
    assert seen["head"]["layers"] == list("012345")
    assert seen["head"]["squares"] == [f"Head {head}" for head in range(12)]
    assert seen["neuron"]["layers"] == ["3"], "the true number, not its place in the view"
    assert seen["distilbert"]["heads"] == [str(head) for head in range(12)]
    assert seen["pair, head"]["layers"] == ["0", "2"]
    assert seen["pair, head"]["squares"] == ["Head 1", "Head 5"]
    assert seen["pair, neuron"]["heads"] == ["0", "4"]
    second = ["nobody", "spoke", "in", "the", "lift", ".", "[SEP]"]
    assert seen["pair, head"]["second"] == second
    assert seen["pair, neuron"]["second"] == second * 2  # collapsed and expanded


def test_the_neuron_views_dot_products_are_the_models(views, distilbert_model, tokenizer, tmp_path):
    name = "distilbert"
    seen = look(tmp_path / "neuron.html", {name: views[name]})
    batch = tokenizer(TEXT, return_tensors="pt")
    queries, keys = (
        p[1, 0, 0].numpy() for p in attention.queries_and_keys(distilbert_model, batch)
    )
    assert np.abs(np.array(seen[name]["dots"]) - keys @ queries[2] / 32**0.5).max() < 1e-5


def test_hostile_text_is_shown_as_text_in_chromium(tmp_path):
    seen = look(tmp_path / "hostile.html", hostile_views())
    assert seen["head"]["left"] == HOSTILE
    assert seen["neuron"]["left"] == HOSTILE * 2

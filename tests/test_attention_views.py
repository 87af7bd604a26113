"""bertviz with no network: light, the same twice, right in its numbers."""

import hashlib
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from gzip import decompress
from importlib.resources import files

import nbformat
import numpy as np
import pytest
from conftest import ROOT

from helpers.attention import maps
from helpers.attention.maps import Sentence
from helpers.attention.views import LIBRARIES, LIMIT, view
from helpers.core.errors import WorkbookError

VENDOR = files("helpers.attention") / "vendor"
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
    return maps.read(bert_model, tokenizer, TEXT)


@pytest.fixture(scope="module")
def long(bert_model, tokenizer):
    found = maps.read(bert_model, tokenizer, "the old man and the sea, " * 9)
    assert len(found.tokens) == 65
    return found


@pytest.fixture(scope="module")
def shown(sentence, distilbert_model, tokenizer):
    """The arguments of each view that is drawn here."""
    pair = maps.read(distilbert_model, tokenizer, *PAIR)
    return {
        "head": ("head", sentence),
        "model": ("model", sentence),
        "neuron": ("neuron", sentence, [3], [2, *range(2), *range(3, 12)]),
        "distilbert": ("neuron", maps.read(distilbert_model, tokenizer, TEXT), [1]),
        "pair, head": ("head", pair, [0, 2], [1, 5]),
        "pair, neuron": ("neuron", pair, [2], [4, 0]),
    }


@pytest.fixture(scope="module")
def views(shown):
    return {name: view(*arguments) for name, arguments in shown.items()}


@pytest.fixture(scope="module")
def hostile():
    """The hostile tokens in a head, a model and a neuron view."""
    size = len(HOSTILE)
    weights, vectors = np.full((1, 1, size, size), 1 / size), np.ones((1, 1, size, 2))
    bad = Sentence(HOSTILE, weights, None, vectors, vectors)
    return {f"bad {kind}": view(kind, bad) for kind in ("head", "model", "neuron")}


def script(drawn):
    """What a view's frame will run."""
    pattern = "id=&quot;packed&quot; type=&quot;text/plain&quot;&gt;([^&]*)&lt;"
    return decompress(b64decode(re.search(pattern, drawn.html)[1])).decode()


def data(drawn):
    """What the view's program is given, read out of its page."""
    marker, text = "window.bertviz_params = ", script(drawn)
    return json.JSONDecoder().raw_decode(text, text.index(marker) + len(marker))[0]


def test_views_are_light_and_the_same_bytes_twice(shown, views, sentence):
    assert sentence.weights.shape == (6, 12, 12, 12)
    assert all(drawn.bytes < LIMIT for drawn in views.values())
    assert sum(views[name].bytes for name in ("head", "model", "neuron")) < 600_000
    for name in ("head", "model", "neuron"):
        assert view(*shown[name]).html == views[name].html
    drawn = views["head"]  # weighs in a notebook what it says
    output = nbformat.v4.new_output("display_data", {"text/html": drawn._repr_html_()})
    cell = nbformat.v4.new_code_cell("view", outputs=[output])
    file = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    assert drawn.bytes <= len(file) < drawn.bytes + 1500
    assert "kB" in repr(drawn)
    assert len(repr(drawn)) < 100, "the data are no part of what a console shows"


@pytest.mark.parametrize(
    ("kind", "limit", "halved"),
    [("head", LIMIT, "layers"), ("model", LIMIT, "layers"), ("model", 170_000, "heads"),
     ("neuron", LIMIT, "heads")],
)  # fmt: skip
def test_too_heavy_a_view_is_refused_with_one_that_fits(long, kind, limit, halved):
    line = rf"the {kind} view of 65 tokens, .*above {limit // 1000} kB: choose less"
    with pytest.raises(WorkbookError, match=line) as refused:
        view(kind, long, limit=limit)
    found = re.search(r"layers=(\[.*?\]), heads=(\[.*?\])", str(refused.value))
    layers, heads = map(json.loads, found.groups())
    assert (len(heads) == 12) == (halved == "layers")
    lighter = view(kind, long, layers, heads, limit)
    said = int(
        re.search(r"would weigh ([\d,]+) kB", str(refused.value))[1].replace(",", "")
    )
    assert lighter.bytes < limit < 1000 * said


def test_a_view_that_is_too_heavy_with_one_head_wants_a_shorter_text(sentence):
    with pytest.raises(WorkbookError, match="above 1 kB: shorten the text"):
        view("model", sentence, limit=1000)


def test_views_hold_the_layers_and_heads_meant(views, sentence):
    held = data(view("head", sentence, layers=[4, 1], heads=[7]))
    assert held["include_layers"] == [4, 1]
    assert held["include_heads"] == [7]
    expected = sentence.weights[[4, 1]][:, [7]]
    assert np.abs(np.array(held["attention"]["attn"]) - expected).max() <= 0.000501
    assert np.shape(data(views["model"])["attention"]["attn"]) == (6, 12, 12, 12)
    wrong = {
        "no layer 6: the model has layers 0 to 5": [[6]],
        "no head -1": [None, [-1]],
        "no layer chosen": [[]],
    }
    for message, chosen in wrong.items():
        with pytest.raises(WorkbookError, match=message):
            view("model", sentence, *chosen)


@pytest.mark.parametrize(("name", "layer"), [("neuron", 3), ("distilbert", 1)])
def test_the_neuron_views_numbers_are_the_models(
    name, layer, shown, views, bert_model, distilbert_model, tokenizer
):
    model = bert_model if name == "neuron" else distilbert_model
    given, batch = data(views[name])["attention"], tokenizer(TEXT, return_tensors="pt")
    heads = data(views[name])["include_heads"]
    weights, *vectors = (np.array(given[n])[0] for n in ("attn", "queries", "keys"))
    true = [p[layer, 0, heads].numpy() for p in maps.queries_and_keys(model, batch)]
    assert vectors[0].shape == (12, 12, 32)
    assert np.abs(np.subtract(vectors, true)).max() < 1e-6
    # as the page's own program makes them
    dots, right = (q @ k.swapaxes(1, 2) / 32**0.5 for q, k in (vectors, true))
    assert np.abs(dots - right).max() < 1e-5
    softmax = np.exp(dots) / np.exp(dots).sum(-1, keepdims=True)
    assert np.abs(weights - softmax).max() < 1e-6
    expected = maps.maps(model, batch)[layer, 0, heads].numpy()
    assert np.abs(weights - expected).max() < 1e-6


def test_a_page_asks_nobody_and_text_never_leaves_its_quotes(views, hostile):
    for name, drawn in (views | hostile).items():
        page, program = html.unescape(drawn.html), script(drawn)
        assert "default-src 'none'" in page
        assert 'sandbox="allow-scripts"' in page, "not allow-same-origin"
        assert not re.search(r"\b(src|href)=", page.replace("srcdoc=", ""))
        assert not re.search(r"cdnjs|require\.config", program)
        inner = re.search(r'srcdoc="([^"]*)"', drawn.html)[1]
        assert drawn.html.count("<iframe") == drawn.html.count("</iframe>") == 1
        assert "<" not in inner
        assert "hacked" not in html.unescape(inner), "text is in the packed data alone"
        lines = program.split("\n")
        line = next(x for x in lines if x.startswith("window.bertviz_params"))
        assert line.isascii()
        assert not re.search(r"[<>&]", line)
        assert program.count("hacked") == line.count("hacked")
        if name in hostile:
            assert data(drawn)["attention"]["left_text"] == HOSTILE


def test_the_libraries_are_those_of_the_readme_with_their_licences():
    pattern = r"^\| `(\S+\.js)` .*`([0-9a-f]{64})` \|$"
    readme = (VENDOR / "README.md").read_text()
    listed = dict(re.findall(pattern, readme, re.MULTILINE))
    assert set(listed) == {path.name for path in VENDOR.glob("*.js")} == set(LIBRARIES)
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert "Redistribution and use" in (VENDOR / "LICENSE.d3.txt").read_text()
    assert "Permission is hereby" in (VENDOR / "LICENSE.jquery.txt").read_text()


# In a browser

SECOND = ["nobody", "spoke", "in", "the", "lift", ".", "[SEP]"]
LOOK = """
import json, sys
from playwright.sync_api import sync_playwright

SEEN = '''() => ({
  lines: document.querySelectorAll("#vis svg line").length,
  left: [...document.querySelectorAll("#left text, #leftText text")].map(
    t => t.textContent),
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
    bad = ("error", "warning")
    page.on("console", lambda m: errors.append(m.text) if m.type in bad else None)
    page.goto(sys.argv[2])
    seen = []
    for frame in page.frames[1:]:
        frame.wait_for_selector("#vis svg line", state="attached", timeout=30_000)
        seen.append(frame.evaluate(SEEN))
        if frame.is_visible("#filter"):
            frame.select_option("#filter", index=4)  # from the second text to the first
            seen[-1]["second"] = frame.evaluate(SEEN)["left"]
        if frame.query_selector("#collapsed"):
            token = frame.locator("#collapsed #leftText > g").nth(1)
            token.hover()
            token.locator("rect").last.click()  # the plus sign
            frame.locator("#expanded #leftText > g").nth(2).hover()
            dots = frame.locator("#expanded .dotproduct")
            dots = dots.evaluate_all("all => all.map(d => +d.dataset.value)")
            seen[-1]["dots"] = dots
    print(json.dumps({"seen": seen, "requests": requests, "errors": errors,
                      "hacked": page.evaluate("String(window.hacked)")}))
    browser.close()
"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here")
@pytest.mark.skipif(not importlib.util.find_spec("playwright"), reason="no Playwright")
def test_every_view_draws_itself_in_chromium_with_no_network(
    views, hostile, sentence, distilbert_model, tokenizer, tmp_path
):
    path, drawn = tmp_path / "views.html", views | hostile
    bodies = "\n".join(each.html for each in drawn.values())
    path.write_text(f"<!doctype html><meta charset=utf-8>{bodies}", "utf8")
    # a process of its own: there may be one Playwright in each
    command = [sys.executable, "-c", LOOK, shutil.which("chromium"), path.as_uri()]
    told = {"capture_output": True, "text": True}
    done = subprocess.run(command, cwd=ROOT, timeout=180, **told)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert found["requests"] == [path.as_uri()], "nothing but the page itself"
    assert found["hacked"] == "undefined"
    assert [frame["hacked"] for frame in found["seen"]] == ["undefined"] * len(drawn)
    seen = dict(zip(drawn, found["seen"], strict=True))
    for name in views:
        assert seen[name]["lines"] > 0, name
        assert max(seen[name]["high"], seen[name]["wide"]) <= 0, f"{name}: a scroll bar"
    for name, key, expected in [
        ("head", "lines", 12 * 144),
        ("model", "lines", 6 * 12 * 144),
        ("head", "left", sentence.tokens),
        ("head", "layers", list("012345")),
        ("head", "squares", [f"Head {head}" for head in range(12)]),
        ("neuron", "layers", ["3"]),  # the true number, not its place in the view
        ("distilbert", "heads", [str(head) for head in range(12)]),
        ("pair, head", "layers", ["0", "2"]),
        ("pair, head", "squares", ["Head 1", "Head 5"]),
        ("pair, neuron", "heads", ["4", "0"]),
        ("pair, head", "second", SECOND),
        ("pair, neuron", "second", SECOND * 2),  # collapsed and expanded
        ("bad head", "left", HOSTILE),
        ("bad neuron", "left", HOSTILE * 2),
    ]:
        assert seen[name][key] == expected, name
    batch = tokenizer(TEXT, return_tensors="pt")
    vectors = maps.queries_and_keys(distilbert_model, batch)
    query, keys = (p[1, 0, 0].numpy() for p in vectors)
    dots = np.array(seen["distilbert"]["dots"])
    assert np.abs(dots - keys @ query[2] / 32**0.5).max() < 1e-5

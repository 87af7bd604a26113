"""A page that bertviz made, as one frame that needs no network.

Of what bertviz returns, the markup, the data and the program are kept, and the scripts
that it takes from a CDN are left out. Program, data and the two libraries of
`helpers/attention/vendor` are packed (gzip, base64) into the `srcdoc` of an `<iframe>`,
which unpacks and runs them.

Three things keep a text from being more than a text. bertviz never sees it: it is given
numbered slots, which are filled in its data afterwards. The data pass no HTML parser:
they are packed, their angle brackets and ampersands escaped. And the frame is
sandboxed, under a content policy that forbids it every request, so it can neither reach
the page around it nor anybody else.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).with_name("vendor")
LIBRARIES = ("jquery-2.2.4.min.js", "d3-5.7.0.min.js")
WIDTHS = {"head": 360, "model": 990, "neuron": 1050}  # pixels that a view wants

# The frame covers the sentence above it; where frames are taken out (GitHub, a notebook
# that is not trusted yet), the sentence is what remains, and no empty space below it.
_OUTSIDE = """<div style="margin:0.5em 0">
<p style="height:3em;margin:0"><em>{title}. It is drawn where scripts may run: run this cell in
JupyterLab, or trust the notebook. A still of it follows below.</em></p>
<iframe sandbox="allow-scripts" title="{title}" srcdoc="{page}" width="100%" height="{height}"
style="display:block;position:relative;margin-top:-3em;border:0;background:white;color-scheme:light">
</iframe></div>
"""

_INSIDE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>html {{ color-scheme: light; background: white; color: black }}
body {{ margin: 8px }} #vis {{ min-width: {width}px }} svg {{ overflow: visible }}</style></head>
<body>{markup}<script id="packed" type="text/plain">{packed}</script><script>
(async () => {{
  const text = document.getElementById("packed").textContent;
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.body.append(script);
}})().catch((error) => {{ document.body.textContent = "This view cannot be drawn: " + error; }});
</script></body></html>"""

# what bertviz expects of require.js, once both libraries are there
_SHIM = "window.requirejs = (names, run) => run(window.jQuery, window.d3);"

# the parts of a pair, in bertviz's order, cut from the whole: sent along they would
# double it
_PARTS = """{
  const params = window.bertviz_params, whole = params.attention, second = params.second;
  const spans = { all: [0], a: [0, second], b: [second] };
  const rows = (vectors, span) => vectors && vectors.map((l) => l.map((h) => h.slice(...span)));
  const part = (left, right) => ({
    attn: rows(whole.attn, left).map((l) => l.map((h) => h.map((row) => row.slice(...right)))),
    queries: rows(whole.queries, left), keys: rows(whole.keys, right),
    left_text: whole.left_text.slice(...left), right_text: whole.right_text.slice(...right),
  });
  const sides = [["all", "all"], ["a", "a"], ["b", "b"], ["a", "b"], ["b", "a"]];
  params.attention = {};
  params.parts.forEach((name, i) => {
    params.attention[name] = part(...sides[i].map((side) => spans[side]));
  });
}"""

# bertviz numbers what it is given from 0 and leaves the squares of heads without a name
_LABELS = """{
  const { layers, heads, width } = window.bertviz_params.labels;
  const name = (list, names) =>
    document.querySelectorAll(list).forEach((o, i) => { o.textContent = names[i]; });
  name("#layer option", layers);
  name("#att_head option", heads);
  const squares = () => document.querySelectorAll("#vis > svg > g:last-child > rect").forEach(
    (square, i) => d3.select(square).append("title").text("Head " + heads[i]));
  const watch = () => { if (document.querySelector("#left")) { squares(); } };
  new MutationObserver(watch).observe(document.querySelector("#vis"), { childList: true });
  watch();
  const fit = () => {
    document.documentElement.style.zoom = Math.max(0.6, Math.min(1, innerWidth / width));
  };
  addEventListener("resize", fit);
  fit();
}"""


def frame(
    drawn: str,
    kind: str,
    title: str,
    tokens: Sequence[str],
    second: int | None,
    labels: dict[str, list[int]],
    height: float,
) -> str:
    """HTML that draws `drawn`, what bertviz returned, with no network: a `<div>` with a
    frame.

    `kind` is "head", "model" or "neuron", `tokens` the S true tokens, `second` where
    the second text begins, `labels` the true numbers of `layers` and `heads`, `height`
    in pixels.
    """
    markup, params, program = take_apart(drawn)
    parts = params["attention"]  # a dict of parts, or a list of them
    names = (
        list(parts) if isinstance(parts, dict) else [str(i) for i in range(len(parts))]
    )
    whole = next(iter(parts.values())) if isinstance(parts, dict) else parts[0]
    params["attention"] = whole | {
        "left_text": list(tokens),
        "right_text": list(tokens),
    }
    params |= {
        "parts": names,
        "second": second,
        "labels": labels | {"width": WIDTHS[kind]},
    }
    data = f"window.bertviz_params = {script_json(params)};"
    libraries = [(VENDOR / name).read_text(encoding="utf8") for name in LIBRARIES]
    script = "\n;\n".join([data, *libraries, _SHIM, _PARTS, program, _LABELS])
    page = _INSIDE.format(
        title=html.escape(title),
        markup=markup,
        packed=pack(script),
        width=WIDTHS[kind] - 16,
    )
    return _OUTSIDE.format(
        title=html.escape(title), page=html.escape(page), height=round(height)
    )


def take_apart(drawn: str) -> tuple[str, dict[str, Any], str]:
    """bertviz's HTML as its markup, its data, and its program, which reads
    `bertviz_params`.

    bertviz's random id becomes a constant: each view has a document of its own.
    """
    opening = '<script type="text/javascript">'
    markup = drawn[: drawn.index(opening)].partition("</script>")[2].strip()
    program = "\n".join(re.findall(f"{opening}\n(.*?)\n</script>", drawn, re.DOTALL))
    marker = next(
        m for m in ("const params = ", "window.bertviz_params = ") if m + "{" in program
    )
    start = program.index(marker)
    params, end = json.JSONDecoder().raw_decode(program, start + len(marker))
    # in the head and model view a comment repeats all data in the rest of that line
    rest = program[program.index("\n", end) :]
    read = "const params = window.bertviz_params;" if marker.startswith("const") else ""
    program = re.sub(
        r"require\.config\(\{.*?\}\);", "", program[:start] + read + rest, flags=re.S
    )
    markup = markup.replace(params["root_div_id"], "bertviz")
    return markup, params | {"root_div_id": "bertviz"}, program


def script_json(value: Any) -> str:
    """JSON that can neither end a script nor begin a tag, wherever it is put.

    >>> script_json("</script>&")
    '"\\\\u003c/script\\\\u003e\\\\u0026"'
    """
    text = json.dumps(
        value, separators=(",", ":")
    )  # ASCII: U+2028 and U+2029 are escaped too
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})


def pack(text: str) -> str:
    """gzip and base64, the same for the same text. `unpack` undoes it."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpack(view: str) -> str:
    """The script that a view's HTML holds, as its frame will run it."""
    packed = re.search(
        "id=&quot;packed&quot; type=&quot;text/plain&quot;&gt;([^&]*)&lt;", view
    )
    return gzip.decompress(base64.b64decode(packed[1])).decode()

"""Executed notebooks as HTML pages that open offline, and the index that leads to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

if TYPE_CHECKING:
    from helpers.runner import Result

_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The DistilBERT workbook</title>
<style>
 :root { color-scheme: light dark }
 body { font: 17px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
        padding: 0 1rem }
 table { border-collapse: collapse; width: 100% }
 th, td { text-align: left; padding: .5rem .6rem; vertical-align: top;
          border-bottom: 1px solid #8884 }
 td.number, th.number { text-align: right; white-space: nowrap }
 .failed { color: #d55e00; font-weight: bold }
 code { font-size: .9em; overflow-wrap: anywhere }
</style></head><body>
<h1>The DistilBERT workbook</h1>
<p>One run in the <code>{{ profile }}</code> profile: {{ results | length }} notebooks in
{{ "%.1f" | format(minutes) }} minutes.</p>
<table><thead><tr><th>Notebook</th><th class="number">Seconds</th><th>Recorded</th></tr></thead>
<tbody>{% for result in results %}
<tr><td><a href="{{ result.notebook }}.html">{{ titles[result.notebook] }}</a>
{% if not result.ok %}<br><span class="failed">failed: {{ result.error }}</span>{% endif %}</td>
<td class="number">{{ "%.0f" | format(result.seconds) }}</td>
<td>{% for name, value in result.values.items() %}<code>{{ name }} = {{ value | short }}</code><br>
{% endfor %}</td></tr>{% endfor %}
</tbody></table></body></html>
"""

# nbconvert's own page, less the scripts that it takes from a CDN, plus the way back
_PAGE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block body_header %}{{ super() }}
<nav style="font:14px system-ui,sans-serif;padding:1em 1em 0 6em">
<a style="color:#0072b2" href="index.html">The DistilBERT workbook</a></nav>
{% endblock %}
"""


def write_page(notebook: nbformat.NotebookNode, path: Path) -> None:
    """One notebook as an HTML page. Nothing on it is fetched from elsewhere."""
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"page.html.j2": _PAGE})], template_file="page.html.j2"
    )
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title(notebook)}})
    # beside each notebook lies its page
    body = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', body)
    path.write_text(body, encoding="utf8")


def title(notebook: nbformat.NotebookNode) -> str:
    """The first heading of a notebook."""
    for cell in notebook.cells:
        for line in cell.source.splitlines():
            if cell.cell_type == "markdown" and line.startswith("# "):
                return line.removeprefix("# ").strip()
    return "Untitled"


def write_index(results: Sequence[Result], profile: str, output: Path) -> None:
    """`index.html`: every notebook of the run with its page, its seconds and what it recorded."""
    from jinja2 import Environment

    environment = Environment(autoescape=True)
    environment.filters["short"] = short
    titles = {
        result.notebook: title(nbformat.read(output / f"{result.notebook}.ipynb", as_version=4))
        for result in results
    }
    minutes = sum(result.seconds for result in results) / 60
    page = environment.from_string(_INDEX).render(
        results=results, profile=profile, titles=titles, minutes=minutes
    )
    (output / "index.html").write_text(page, encoding="utf8")


def short(value: object, limit: int = 70) -> str:
    """A recorded value as a few words: floats to four places, long ones cut.

    >>> short(0.123456)
    '0.1235'
    """
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 0.001 else f"{value:,.4f}".rstrip("0").rstrip(".")
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."

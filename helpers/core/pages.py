"""Executed notebooks as one offline site: a page each, and the index that leads there.

nbconvert renders the pages; `site/` holds what stands around them: template, style and
the search over headings. Nothing on a page is fetched from elsewhere.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode as Notebook

from helpers.core.cache import write_text
from helpers.core.results import Result
from helpers.core.session import readable

SITE = Path(__file__).parent / "site"
TEMPLATE = "workbook"


@dataclass(frozen=True)
class Heading:
    """A section's heading: `level` 2 or 3, its words and its anchor."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Chapter:
    """One notebook as the site knows it; `promise` is the sentence below its title."""

    name: str
    title: str
    promise: str
    headings: tuple[Heading, ...]


def chapter(name: str, notebook: Notebook) -> Chapter:
    """What the site says of a notebook called `name`; anchors are as nbconvert's."""
    from nbconvert.filters import markdown2html

    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    source = "\n\n".join(cells)
    title = re.search(r"^# (.+)", source, flags=re.MULTILINE)
    _, first, *_ = [*"".join(cells[:1]).split("\n\n"), ""]
    promise = re.sub(r"[*_`]", "", " ".join(first.split()))
    pattern = r'<h([23]) id="([^"]*)">(.*?)<a class="anchor-link"'
    headings = tuple(
        Heading(int(level), html.unescape(re.sub("<[^>]+>", "", text)).strip(), anchor)
        for level, anchor, text in re.findall(pattern, markdown2html(source))
    )
    return Chapter(name, title[1].strip() if title else "Untitled", promise, headings)


def write_page(notebook: Notebook, path: Path, site: Sequence[Chapter] = ()) -> None:
    """One notebook as the page `path`; neighbours and search come from `site`."""
    from nbconvert import HTMLExporter

    own = chapter(path.stem, notebook)
    exporter = HTMLExporter(
        template_name=TEMPLATE,
        extra_template_basedirs=[str(SITE)],
        filters={"headings_json": headings_json},
    )
    resources = {"metadata": {"name": own.title}, "here": path.stem}
    resources |= _around(site or [own])
    body, _ = exporter.from_notebook_node(notebook, resources)
    # beside each notebook lies its page
    write_text(path, re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', body))


def write_index(
    found: Mapping[str, Result], output: Path, site: Sequence[Chapter]
) -> None:
    """`index.html`: every notebook of `site` that has a result, when and how it ran."""
    from jinja2 import Environment, FileSystemLoader

    # the templates escape what they insert themselves: most of it is HTML
    loader = FileSystemLoader(SITE / TEMPLATE)
    environment = Environment(loader=loader, autoescape=False)
    environment.filters |= {"short": short, "headings_json": headings_json}
    there = [chapter for chapter in site if chapter.name in found]
    page = environment.get_template("contents.html.j2").render(
        **_around(there),
        chapters=[(chapter, found[chapter.name]) for chapter in there],
        minutes=sum(found[chapter.name].seconds for chapter in there) / 60,
    )
    write_text(output / "index.html", page)


def _around(site: Sequence[Chapter]) -> dict[str, Any]:
    """What the templates need to draw the site around a page."""
    import nbconvert
    from jupyter_core.paths import jupyter_path

    folders = [Path(p) / "nbconvert/templates/lab/static" for p in jupyter_path()]
    folders.append(Path(nbconvert.__file__).parent / "templates/lab/static")
    dark = next(filter(Path.exists, (f / "theme-dark.css" for f in folders)), None)
    return {
        "site": list(site),
        "site_css": (SITE / "site.css").read_text(encoding="utf8"),
        "site_js": (SITE / "site.js").read_text(encoding="utf8"),
        "dark_colours": dark.read_text(encoding="utf8") if dark else "",
    }


def headings_json(site: Sequence[Chapter]) -> str:
    """The site's headings as JSON that cannot end the script element around it."""
    kept = [{k: v for k, v in asdict(one).items() if k != "promise"} for one in site]
    return json.dumps(kept).replace("<", "\\u003c")


def short(value: object, limit: int = 70) -> str:
    """A recorded value in a few words.

    >>> short([0.123456, 2000])
    '0.123, 2,000'
    """
    return textwrap.shorten(readable(value), limit, placeholder=" ...")

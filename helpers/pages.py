"""Executed notebooks as one offline site: a page each, and the index that leads to them.

nbconvert renders the pages; `site/` holds what stands around them: its template, style and the
search over headings. Nothing on a page is fetched from elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from helpers.runner import Result

SITE = Path(__file__).parent / "site"
TEMPLATE = "workbook"


@dataclass(frozen=True)
class Heading:
    """A section's heading: `level` 2 or 3, its words, and the anchor that leads to it."""

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


def chapter(name: str, notebook: nbformat.NotebookNode) -> Chapter:
    """What the site says of a notebook called `name`."""
    return Chapter(name, title(notebook), _promise(notebook), _headings(notebook))


def title(notebook: nbformat.NotebookNode) -> str:
    """The first heading of a notebook."""
    for cell in notebook.cells:
        for line in cell.source.splitlines():
            if cell.cell_type == "markdown" and line.startswith("# "):
                return line.removeprefix("# ").strip()
    return "Untitled"


def _promise(notebook: nbformat.NotebookNode) -> str:
    """The paragraph after the title, on one line, without its markup."""
    first = notebook.cells[0].source if notebook.cells else ""
    paragraphs = [" ".join(part.split()) for part in first.split("\n\n")[1:]]
    return re.sub(r"[*_`]", "", paragraphs[0]) if paragraphs else ""


def _headings(notebook: nbformat.NotebookNode) -> tuple[Heading, ...]:
    """All headings of the second and third level, with the anchors that nbconvert gives them."""
    from nbconvert.filters import markdown2html

    source = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.findall(r'<h([23]) id="([^"]*)">(.*?)<a class="anchor-link"', markdown2html(source))
    return tuple(Heading(int(level), _plain(text), anchor) for level, anchor, text in found)


def _plain(markup: str) -> str:
    """The text of a piece of HTML."""
    import html

    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def write_page(
    notebook: nbformat.NotebookNode, path: Path, site: Sequence[Chapter] | None = None
) -> None:
    """One notebook as the page `path`; its neighbours and the search come from `site`."""
    from nbconvert import HTMLExporter

    site = site or [chapter(path.stem, notebook)]
    exporter = HTMLExporter(
        template_name=TEMPLATE,
        extra_template_basedirs=[str(SITE)],
        filters={"headings_json": headings_json},
    )
    resources = {"metadata": {"name": title(notebook)}, **_around(site), "here": path.stem}
    body, _ = exporter.from_notebook_node(notebook, resources)
    # beside each notebook lies its page
    body = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', body)
    path.write_text(body, encoding="utf8")


def write_index(
    results: Sequence[Result], profile: str, output: Path, site: Sequence[Chapter]
) -> None:
    """`index.html`: every notebook of the run with its sections, its seconds and its results."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(SITE / TEMPLATE), autoescape=False)
    environment.filters |= {"short": short, "headings_json": headings_json}
    page = environment.get_template("contents.html.j2").render(
        **_around(site),
        chapters=list(zip(site, results, strict=True)),
        results=results,
        profile=profile,
        minutes=sum(result.seconds for result in results) / 60,
    )
    (output / "index.html").write_text(page, encoding="utf8")


def _around(site: Sequence[Chapter]) -> dict[str, Any]:
    """What the templates need to draw the site around a page."""
    import nbconvert
    from jupyter_core.paths import jupyter_path

    dark = "theme-dark.css"
    folders = [Path(p) / "nbconvert/templates/lab/static" for p in jupyter_path()]
    folders.append(Path(nbconvert.__file__).parent / "templates/lab/static")
    colours = next((f / dark for f in folders if (f / dark).exists()), None)
    return {
        "site": list(site),
        "site_css": (SITE / "site.css").read_text(encoding="utf8"),
        "site_js": (SITE / "site.js").read_text(encoding="utf8"),
        "dark_colours": colours.read_text(encoding="utf8") if colours else "",
    }


def headings_json(site: Sequence[Chapter]) -> str:
    """The site's headings as JSON that cannot end the script element that it stands in."""
    kept = [{k: v for k, v in asdict(chapter).items() if k != "promise"} for chapter in site]
    return json.dumps(kept).replace("<", "\\u003c")


def short(value: object, limit: int = 70) -> str:
    """A recorded value as a few words: floats to four places, long ones cut.

    >>> short(0.123456)
    '0.1235'
    """
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 0.001 else f"{value:,.4f}".rstrip("0").rstrip(".")
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."

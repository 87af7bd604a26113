"""The offline site: pages around the executed notebooks, headings, the search over
them.
"""

import html
import json
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.core import notebook_files, pages
from helpers.core.results import Result


def notebook(title, *sections):
    cells = [new_markdown_cell(f"# {title}\n\nYou will *see* `it`.\n\nFacts.")]
    cells += [
        new_markdown_cell(f"## {name}\n\ntext\n\n### Exercise of {name}")
        for name in sections
    ]
    shown = new_output("stream", text="shown")
    return new_notebook(
        cells=[*cells, new_code_cell("print('shown')", outputs=[shown])]
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    books = {
        "00_a": notebook("Start", "What is `<b>` & why?"),
        "01_b": notebook("Middle", "`</script><script>alert(1)</script>`"),
        "02_c": notebook("End", "`code` and more"),
    }
    chapters = [pages.chapter(name, book) for name, book in books.items()]
    for name, book in books.items():
        pages.write_page(book, folder / f"{name}.html", chapters)
    results = {name: Result(name, 60.0, True, {"f1": 0.5}) for name in ("00_a", "01_b")}
    pages.write_index(results, folder, chapters)
    return folder


def test_a_chapter_is_what_the_notebook_says_of_itself():
    found = pages.chapter("00_a", notebook("Start", "Why *this*?"))
    assert (found.title, found.promise) == ("Start", "You will see it.")
    parts = [(part.level, part.text) for part in found.headings]
    assert parts == [(2, "Why this?"), (3, "Exercise of Why this?")]


def test_every_heading_of_the_search_leads_to_a_place_that_exists(site):
    for name, count in (("index", 2), ("00_a", 3)):
        text = (site / f"{name}.html").read_text()
        stored = re.search(r'id="headings"[^>]*>(.*?)</script>', text, re.DOTALL)[1]
        assert len(json.loads(stored)) == count, (
            "what has not run yet is not in the index"
        )
    for chapter in json.loads(stored):
        page = (site / f"{chapter['name']}.html").read_text()
        anchors = re.findall(r'<h[23] id="([^"]*)"', page)
        assert [part["anchor"] for part in chapter["headings"]] == anchors


def test_the_workbooks_own_headings_are_all_found():
    for path in notebook_files.notebooks():
        book = notebook_files.read(path)
        text = "\n".join(
            cell.source for cell in book.cells if cell.cell_type == "markdown"
        )
        marks = re.findall(r"^#{2,3} ", text, flags=re.MULTILINE)
        assert len(pages.chapter(path.stem, book).headings) == len(marks) > 5, path.stem


def test_pages_lead_to_their_neighbours_and_have_colours_for_the_dark(site):
    text = (site / "01_b.html").read_text()
    assert re.findall(r'href="(\w+\.html)" rel="(\w+)"', text) == [
        ("00_a.html", "prev"),
        ("02_c.html", "next"),
    ]
    assert "--jp-layout-color0: #111" in text.split("prefers-color-scheme: dark", 1)[1]


def test_a_heading_cannot_become_a_script(site):
    for path in site.glob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text, path
        assert "alert(1)" in html.unescape(text)

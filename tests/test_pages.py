"""The offline site: pages around the executed notebooks, their headings, the search over them."""

import html
import json
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import notebook_files, pages
from helpers.runner import Result


def notebook(title, *sections):
    cells = [new_markdown_cell(f"# {title}\n\nYou will *see* `it`.\n\nFacts.")]
    cells += [
        new_markdown_cell(f"## {section}\n\ntext\n\n### Exercise of {section}")
        for section in sections
    ]
    shown = new_output("stream", text="shown")
    return new_notebook(cells=[*cells, new_code_cell("print('shown')", outputs=[shown])])


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
    results = [Result(name, 60.0, name != "01_b", {"f1": 0.5}, "no <b>") for name in books]
    pages.write_index(results, "classroom", folder, chapters)
    return folder


def test_a_chapter_is_what_the_notebook_says_of_itself():
    found = pages.chapter("00_a", notebook("Start", "Why *this*?"))
    assert (found.title, found.promise) == ("Start", "You will see it.")
    assert [(part.level, part.text) for part in found.headings] == [
        (2, "Why this?"),
        (3, "Exercise of Why *this*?".replace("*", "")),
    ]


def test_every_heading_of_the_search_leads_to_a_place_that_exists(site):
    text = (site / "index.html").read_text()
    stored = re.search(r'id="headings">(.*?)</script>', text, re.DOTALL)[1]
    chapters = json.loads(stored)
    assert [len(chapter["headings"]) for chapter in chapters] == [2, 2, 2]
    for chapter in chapters:
        page = (site / f"{chapter['name']}.html").read_text()
        anchors = set(re.findall(r'<h[23] id="([^"]*)"', page))
        assert {part["anchor"] for part in chapter["headings"]} == anchors


def test_the_workbooks_own_headings_are_all_found():
    for path in notebook_files.notebooks():
        book = notebook_files.read(path)
        marks = [
            line
            for cell in book.cells
            if cell.cell_type == "markdown"
            for line in cell.source.splitlines()
            if re.match(r"#{2,3} ", line)
        ]
        assert len(pages.chapter(path.stem, book).headings) == len(marks) > 5, path.stem


def test_pages_lead_to_their_neighbours(site):
    def neighbours(name):
        links = re.findall(r"<a [^>]*rel=[^>]*>", (site / f"{name}.html").read_text())
        return {tuple(re.search(f'{k}="([^"]*)"', a)[1] for k in ("rel", "href")) for a in links}

    assert neighbours("00_a") == {("next", "01_b.html")}
    assert neighbours("01_b") == {("prev", "00_a.html"), ("next", "02_c.html")}
    assert neighbours("02_c") == {("prev", "01_b.html")}


def test_the_index_says_what_failed_and_what_was_recorded(site):
    text = (site / "index.html").read_text()
    assert text.count("failed: no &lt;b&gt;") == 1
    assert text.count("f1 = 0.5") == 3
    assert "3 notebooks in\n3.0 minutes" in text


def test_a_heading_cannot_become_a_script(site):
    for path in site.glob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text, path
        assert "alert(1)" in html.unescape(text)


def test_pages_have_colours_for_the_dark(site):
    text = (site / "00_a.html").read_text()
    dark = text.split("prefers-color-scheme: dark", 1)[1]
    assert "--jp-layout-color0: #111" in dark


def test_a_page_alone_stands_too(tmp_path):
    pages.write_page(notebook("Alone", "One"), tmp_path / "00_x.html")
    text = (tmp_path / "00_x.html").read_text()
    assert "shown" in text
    assert 'rel="next"' not in text

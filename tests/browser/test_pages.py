"""All notebooks' outputs as one exported page, opened from disk without a network."""

from types import SimpleNamespace

import pytest

from browser import gallery
from browser.watch import DESK, blank_views, window
from helpers.core import notebook_files, pages
from helpers.show.widgets import FALLBACK

PHONE = {"width": 390, "height": 844}

# for each widget: whether its sentence is seen, and the next code cell's picture or
# text
STILLS = """sentence => {
    const seen = e => e?.checkVisibility() && e.getBoundingClientRect().height > 12;
    const cells = [...document.querySelectorAll('.jp-CodeCell')];
    const inside = (e, look) => [...(e?.querySelectorAll(look) ?? [])];
    const outputs = cell => inside(cell, '.jp-OutputArea-output');
    const holders = cell => inside(cell, '.jp-OutputArea-output *').filter(
        e => !e.children.length && e.textContent.includes(sentence));
    return cells.flatMap((cell, i) => holders(cell).map(e => ({
        sentence: seen(e),
        still: outputs(cells[i + 1]).some(
            o => [o, ...inside(o, 'img, svg, table, p')].some(seen)),
    })));
}"""
BROKEN = """() => [...document.images].filter(i => !i.complete || !i.naturalWidth)
    .map(i => i.outerHTML.slice(0, 120))"""
# what reaches over the right edge and stands in nothing that scrolls by itself
TOO_WIDE = """() => {
    const edge = document.documentElement.clientWidth + 1;
    const has = e => /auto|scroll|hidden/.test(getComputedStyle(e).overflowX);
    const scrolls = e => e && e != document.body && e != document.documentElement
        && (has(e) || scrolls(e.parentElement));
    const right = e => e.checkVisibility() && e.getBoundingClientRect().right;
    if (document.documentElement.scrollWidth <= edge) return [];
    return [...document.body.querySelectorAll('*')].filter(
        e => right(e) > edge && !scrolls(e))
        .map(e => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 60)}`);
}"""


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """The committed notebooks as one page, opened from the disk."""
    notebook = gallery.outputs(notebook_files.notebooks())
    file = tmp_path_factory.mktemp("page") / "all.html"
    pages.write_page(notebook, file)
    context, page, watch = window(browser, file.as_uri())
    page.goto(file.as_uri(), wait_until="load")
    yield SimpleNamespace(notebook=notebook, page=page, watch=watch)
    context.close()


def test_the_pictures_are_there(opened):
    outputs = notebook_files.outputs(opened.notebook)
    count = sum("image/png" in output.get("data", {}) for output in outputs)
    assert opened.page.evaluate("document.images.length") >= count > 0
    assert opened.page.evaluate(BROKEN) == []


def test_every_widget_left_its_sentence_and_a_still(opened):
    outputs = notebook_files.outputs(opened.notebook)
    left = sum(FALLBACK in o.get("data", {}).get("text/plain", "") for o in outputs)
    found = opened.page.evaluate(STILLS, FALLBACK)
    assert found == [{"sentence": True, "still": True}] * left
    assert left >= len(notebook_files.notebooks())


def test_every_framed_view_is_drawn(opened):
    assert blank_views(opened.page) == []


def test_a_phone_shows_it_without_scrolling_sideways(opened):
    opened.page.set_viewport_size(PHONE)
    assert opened.page.evaluate(TOO_WIDE) == []
    opened.page.set_viewport_size(DESK)


def test_the_page_asked_for_nothing_and_found_no_fault(opened):
    assert opened.watch.outside == []
    assert opened.watch.errors == []

"""The workbook as one offline site: contents, neighbours, search, light and dark."""

from types import SimpleNamespace

import pytest

from browser.test_pages import PHONE, TOO_WIDE
from browser.watch import DESK, window
from helpers.core import notebook_files, pages
from helpers.core.results import Result

BOOKS = notebook_files.notebooks()[1:4]
PAPER = "() => getComputedStyle(document.body).backgroundColor"
# the first picture's width in pixels of the screen, and whether its place scrolls
# sideways
PICTURE = """() => {
    const image = document.querySelector('.jp-OutputArea-output img');
    const place = image.closest('.jp-OutputArea-output');
    return [image.getBoundingClientRect().width, getComputedStyle(place).overflowX];
}"""


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    books = {path.stem: notebook_files.read(path) for path in BOOKS}
    chapters = [pages.chapter(name, book) for name, book in books.items()]
    for name, book in books.items():
        pages.write_page(book, folder / f"{name}.html", chapters)
    results = {
        n: Result(n, 60.0, True, notebook_files.records(b)) for n, b in books.items()
    }
    pages.write_index(results, folder, chapters)
    context, page, watch = window(browser, folder.as_uri())
    yield SimpleNamespace(
        page=page, watch=watch, url=folder.as_uri(), chapters=chapters
    )
    context.close()


@pytest.fixture
def index(site):
    site.page.goto(f"{site.url}/index.html")
    return site.page


def test_the_contents_lead_to_every_notebook_and_on_to_its_neighbours(site, index):
    links = index.locator(".chapters h2 a")
    assert links.all_inner_texts() == [chapter.title for chapter in site.chapters]
    links.first.click()
    for chapter in site.chapters[1:]:
        index.locator("header a[rel=next]").click()
        assert index.locator("h1").first.inner_text().strip("¶ ") == chapter.title
    assert index.locator("header a[rel=next]").count() == 0


def test_a_search_finds_a_heading_and_goes_there_by_keyboard_alone(site, index):
    wanted = site.chapters[1].headings[3]
    index.locator("#find").focus()
    index.keyboard.type(wanted.text.upper())
    assert index.locator("#found a").first.inner_text().startswith(wanted.text)
    index.keyboard.press("ArrowDown")
    index.keyboard.press("Enter")
    index.wait_for_url(f"**/{site.chapters[1].name}.html#*")
    place = index.locator(f'[id="{wanted.anchor}"]')
    box = place.bounding_box()
    header = index.locator("header.site").bounding_box()
    assert header["height"] <= box["y"] < DESK["height"] / 2, (
        "below the header, and in sight"
    )


def test_a_search_without_a_hit_says_so_and_shows_text_as_text(site, index):
    index.locator("#find").fill("<img src=x onerror=window.hacked=1>")
    assert index.locator("#found").inner_text() == "no heading has these words"
    index.keyboard.press("Escape")
    assert index.locator("#found").inner_text() == ""
    assert index.evaluate("window.hacked") is None


@pytest.mark.parametrize("name", ["index", BOOKS[0].stem])
def test_there_is_a_light_and_a_dark_site(site, name):
    seen = []
    for scheme in ("light", "dark"):
        site.page.emulate_media(color_scheme=scheme)
        site.page.goto(f"{site.url}/{name}.html")
        seen.append(site.page.evaluate(PAPER))
    site.page.emulate_media(color_scheme="light")
    assert seen == ["rgb(255, 255, 255)", "rgb(17, 17, 17)"]


def test_figures_stay_legible_on_a_phone(site):
    site.page.set_viewport_size(PHONE)
    for name in ("index", BOOKS[0].stem):
        site.page.goto(f"{site.url}/{name}.html")
        assert site.page.evaluate(TOO_WIDE) == []
    assert site.page.evaluate(PICTURE) == [640, "auto"], (
        "it scrolls rather than shrinks"
    )
    site.page.set_viewport_size(DESK)


def test_a_projector_gets_larger_letters(site):
    name = f"{site.url}/{BOOKS[0].stem}.html"
    sizes = []
    for width in (DESK["width"], 1920):
        site.page.set_viewport_size({"width": width, "height": 1000})
        site.page.goto(name)
        sizes.append(site.page.locator("h1").first.bounding_box()["height"])
    site.page.set_viewport_size(DESK)
    assert sizes[1] > 1.2 * sizes[0]


def test_the_site_asked_for_nothing_and_found_no_fault(site):
    assert site.watch.outside == []
    assert site.watch.errors == []

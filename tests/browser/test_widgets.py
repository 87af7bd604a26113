"""Every explorer in a real JupyterLab: each control of each does something."""

from types import SimpleNamespace

import pytest

from browser import gallery
from browser.controls import TEXT, TRAPPED, WIDGETS, controls, unknown
from browser.lab import STDERR
from browser.watch import blank_views, window
from helpers.core import notebook_files
from helpers.show.widgets import FALLBACK

MARKUP = '\'"><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
LONGEST = 200  # characters of a friendly line


NOTEBOOKS = {path.stem: [path] for path in notebook_files.notebooks(gallery.WHOLE)}
NOTEBOOKS[gallery.NAME] = gallery.rest()


@pytest.fixture(scope="module", params=NOTEBOOKS)
def opened(request, browser, lab):
    """A notebook in JupyterLab, all of its cells run; its kernel ends with it."""
    context, page, watch = window(browser, lab.url)
    try:
        lab.run_all(page, request.param)
        areas = page.locator(WIDGETS).all()
        yield SimpleNamespace(name=request.param, page=page, watch=watch, areas=areas)
    finally:
        context.close()
        lab.stop_kernels()


def widgets_of(path):
    """How many widgets a committed notebook has."""
    outputs = notebook_files.outputs(notebook_files.read(path))
    return sum(FALLBACK in o.get("data", {}).get("text/plain", "") for o in outputs)


def test_it_runs_to_its_end_without_a_complaint(opened):
    assert opened.page.locator(STDERR).all_inner_texts() == []


def moved(control):
    """What goes wrong when `control` is moved, as lines."""
    if control.is_pressed():
        return []
    wrong = control.complaint() if control.move() else "nothing changed"
    return [f"{control}: {wrong}"] if wrong else []


def test_every_control_changes_what_is_shown(opened):
    assert len(opened.areas) == sum(map(widgets_of, NOTEBOOKS[opened.name])) >= 1
    for area in opened.areas:
        assert unknown(area) == []
        found = controls(opened.page, area)
        assert found, "a widget without a control"
        assert [line for control in found for line in moved(control)] == []


def odd_texts(text):
    """What a reader should not type, by name; `text` is what the box came with."""
    return {
        "nothing": "",
        "markup": MARKUP,
        "markup and mathematics before the text": f"{MARKUP} $\\frac{{_^ 100% {text}",
    }


def written(box, name, text):
    """What goes wrong when `text`, called `name`, is typed into `box`, as lines."""
    if not box.write(text):
        return [f"{box}, {name}: nothing changed"]
    words, drawn = box.words(), box.area.locator("img[src^='data:']").count()
    friendly = drawn or "script" in words or len(words.strip()) <= LONGEST
    wrong = {
        "it became part of the page": box.area.evaluate(TRAPPED),
        "it ran": box.page.evaluate("'hacked' in window && delete window.hacked"),
        box.complaint(): box.complaint(),
        f"an unfriendly answer: {words[:300]}": not friendly,
    }
    return [f"{box}, {name}: {what}" for what, so in wrong.items() if so]


def test_what_is_typed_stays_text(opened):
    faults = []
    for area in opened.areas:
        for box in controls(opened.page, area):
            if box.kind == TEXT:
                text = box.here.input_value()
                for name, odd in odd_texts(text).items():
                    faults += written(box, name, odd)
                    if not box.write(text):
                        faults.append(f"{box}: does not recover from {name}")
    assert faults == []


def test_every_framed_view_is_drawn(opened):
    assert blank_views(opened.page) == []


def test_the_browser_asked_for_nothing_elsewhere_and_found_no_fault(opened):
    assert opened.watch.outside == []
    assert opened.watch.errors == []

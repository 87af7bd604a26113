"""One browser and one JupyterLab for all tests of this folder."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from browser import gallery
from browser.lab import Lab
from browser.watch import NO_NAMES
from helpers.core import notebook_files

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
LEFT_OUT = "left out, no test in a browser: {}"


def missing() -> str:
    """What these tests need and this machine lacks, or nothing."""
    if find_spec("playwright") is None:
        return "Playwright is not installed (pip install playwright)"
    return "" if CHROMIUM else "there is no Chromium (on Debian: apt install chromium)"


def pytest_collection_modifyitems(items):
    """Without a browser this folder's tests are skipped, and the summary says so."""
    if lack := missing():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=LEFT_OUT.format(lack)))


# `package`, not `session`: while Playwright is on, no other test may use asyncio
@pytest.fixture(scope="package")
def browser():
    """Chromium, as the system packages it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=CHROMIUM, args=[NO_NAMES])
        yield program
        program.close()


@pytest.fixture(scope="package")
def lab(cache_home, tmp_path_factory):
    """JupyterLab over two notebooks, and a third with the explorers of all others."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    for path in notebook_files.notebooks(gallery.WHOLE):
        gallery.save(gallery.in_smoke(path), server.root / path.name)
    rest = gallery.explorers(gallery.rest(), server.root)
    gallery.save(rest, server.root / f"{gallery.NAME}.ipynb")
    server.start()
    yield server
    server.stop()

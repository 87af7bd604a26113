"""One browser and one JupyterLab for all tests of this folder, gone when the folder is
done.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from browser.lab import Lab, copy_for_smoke
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
    """Without a browser this folder's tests are skipped: one line a file in pytest's
    summary.
    """
    if lack := missing():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=LEFT_OUT.format(lack)))


# `package`, not `session`: while Playwright is on, no other test of the process may use
# asyncio
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
    """JupyterLab over copies of all notebooks, set to `smoke`."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    copy_for_smoke(notebook_files.notebooks(), server.root)
    server.start()
    yield server
    server.stop()

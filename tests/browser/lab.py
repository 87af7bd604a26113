"""A real JupyterLab of the tests' own: on loopback, with a token, on copies of the
notebooks.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Page

START_SECONDS = 120
RUN_SECONDS = 400  # a notebook in `smoke`, on a machine that does other things too
DONE = "EVERY CELL RAN"
# a kernel's name stands before the bar: "Idle" alone is shown before there is a kernel
IDLE = r"/\| Idle/.test(document.querySelector('#jp-main-statusbar')?.innerText ?? '')"
# what a cell writes to stderr, and the traceback of one that fails
STDERR = '[data-mime-type$="jupyter.stderr"]'
ENDED = f"""() => {{
    const texts = look => [...document.querySelectorAll(look)].map(e => e.innerText.trim());
    return texts('.jp-OutputArea-output').includes('{DONE}')
        || texts('{STDERR}').some(text => text.includes('Traceback (most recent call last)'));
}}"""

SETTINGS = {
    # all cells are drawn, not only those in sight
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",  # any free one; `jpserver-*.json` says which
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def copy_for_smoke(paths: Sequence[Path], folder: Path) -> None:
    """Copies of the notebooks at `paths`: `PROFILE` is smoke, no outputs, a last cell
    says done.
    """
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if "parameters" in cell.metadata.get("tags", []):
                cell.source, found = re.subn(
                    r'^PROFILE = "\w+"',
                    'PROFILE = "smoke"',
                    cell.source,
                    flags=re.MULTILINE,
                )
                assert found == 1, f"{path.name} has no PROFILE"
        start, end = (
            DONE[:5],
            DONE[5:],
        )  # in two, so that the source does not hold the words
        notebook.cells.append(nbformat.v4.new_code_cell(f"print({start!r} + {end!r})"))
        nbformat.write(notebook, folder / path.name)


class Lab:
    """JupyterLab over the notebooks in `folder / "notebooks"`; all that it writes is in
    `folder`.

    `start` before use, `stop` afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.token = folder, secrets.token_hex(16)
        self.root = folder / "notebooks"
        self.root.mkdir(parents=True)
        self.log = folder / "lab.log"
        self.url = ""

    def start(self) -> None:
        """Start the server and wait until it answers."""
        for name, values in SETTINGS.items():
            file = self.folder / "settings" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        with self.log.open("w") as log:
            self.server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jupyterlab",
                    *OPTIONS,
                    f"--ServerApp.root_dir={self.root}",
                ],
                env={**os.environ, **self._environment()},
                cwd=self.root,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def _environment(self) -> dict[str, str]:
        return {
            "JUPYTER_TOKEN": self.token,
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.server.poll() is None:
            for file in (self.folder / "runtime").glob("jpserver-*.json"):
                self.url = f"http://127.0.0.1:{json.loads(file.read_text())['port']}/"
                if self._answers():
                    return
            time.sleep(0.2)
        said = self.log.read_text()[-2000:]
        self.stop()
        raise RuntimeError(f"JupyterLab does not start:\n{said}")

    def _answers(self) -> bool:
        try:
            self.ask("api/status")
        except OSError:
            return False
        return True

    def ask(self, path: str, method: str = "GET") -> Any:
        """The server's answer at `path`, from JSON; None when it has none."""
        header = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=header)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def stop_kernels(self) -> None:
        """End all kernels, so that one notebook's models do not stay while the next
        runs.
        """
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        """End the server and its kernels."""
        if self.server.poll() is None:
            self.server.terminate()  # it takes its kernels along
            try:
                self.server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()

    def run_all(self, page: Page, name: str) -> None:
        """Open notebook `name` in `page` and run its cells, to the end or to the first
        error.
        """
        page.goto(
            f"{self.url}lab/tree/{name}.ipynb?token={self.token}&reset", timeout=120_000
        )
        page.wait_for_function(IDLE, timeout=120_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        page.wait_for_function(ENDED, timeout=1000 * RUN_SECONDS, polling=200)
        page.wait_for_function(IDLE, timeout=60_000)

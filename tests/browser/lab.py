"""A real JupyterLab of the tests' own: on loopback, with a token."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from browser.gallery import DONE

if TYPE_CHECKING:
    from playwright.sync_api import Page

START_SECONDS = 120
RUN_SECONDS = 400  # a notebook in `smoke`, on a machine that does other things too
# a kernel's name stands before the bar: "Idle" alone is shown before there is a kernel
BAR = "document.querySelector('#jp-main-statusbar')?.innerText ?? ''"
IDLE = rf"/\| Idle/.test({BAR})"
# what a cell writes to stderr, and the traceback of one that fails
STDERR = '[data-mime-type$="jupyter.stderr"]'
ENDED = f"""() => {{
    const texts = look =>
        [...document.querySelectorAll(look)].map(e => e.innerText.trim());
    const failed = text => text.includes('Traceback (most recent call last)');
    return texts('.jp-OutputArea-output').includes('{DONE}')
        || texts('{STDERR}').some(failed);
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


class Lab:
    """JupyterLab over `folder / "notebooks"`; all that it writes is in `folder`."""

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
            root = f"--ServerApp.root_dir={self.root}"
            self.server = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *OPTIONS, root],
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
        """End all kernels: no notebook's models stay while the next one runs."""
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
        """Open notebook `name` and run its cells, to the end or to the first error."""
        url = f"{self.url}lab/tree/{name}.ipynb?token={self.token}&reset"
        page.goto(url, timeout=120_000)
        page.wait_for_function(IDLE, timeout=120_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        page.wait_for_function(ENDED, timeout=1000 * RUN_SECONDS, polling=200)
        page.wait_for_function(IDLE, timeout=60_000)

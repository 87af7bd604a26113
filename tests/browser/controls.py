"""The controls of the widgets on a page, and how a reader without a mouse moves
them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

from browser.lab import IDLE

WIDGETS = ".jp-Cell-outputArea:has(.jupyter-widgets)"
TEXT = "text"
# Kind: what it looks like, and the keys that may move it, in the order they are tried.
# In JupyterLab, arrow keys move a menu only once it is open, and never radio buttons or
# a list.
KINDS = {
    "slider": (".widget-slider .noUi-handle", (["ArrowRight"], ["ArrowLeft"])),
    "menu": (
        ".widget-dropdown select",
        (
            ["Alt+ArrowDown", "ArrowDown", "Enter"],
            ["Alt+ArrowDown", "ArrowUp", "Enter"],
        ),
    ),
    "number": (".widget-text input[type=number]", (["ArrowUp"], ["ArrowDown"])),
    "checkbox": (".widget-checkbox input", (["Space"],)),
    "button": ("button.jupyter-button", (["Space"],)),
    TEXT: (
        ".widget-text input[type=text], .widget-textarea textarea",
        (["Oh, "], [" Yes."]),
    ),
}
ANY = ", ".join(look for look, _ in KINDS.values())
FOCUSABLE = ".jupyter-widgets :is(input, select, textarea, button, a, [tabindex='0'])"

# What an output shows, its controls apart: a slider's own number must not pass for a
# change.
SHOWN = """area => {
    const copy = area.cloneNode(true);
    copy.querySelectorAll(`.widget-slider, .widget-text, .widget-textarea, button,
        .widget-dropdown, .widget-checkbox, .widget-toggle-buttons`).forEach(
        e => e.remove());
    const drawn = [...copy.querySelectorAll('img, svg, canvas, [style]')].map(
        e => e.tagName == 'svg' ? e.outerHTML
            : `${e.getAttribute('src')} ${e.style.cssText}`);
    return [copy.textContent, ...drawn].join('\\0');
}"""
NAME = """control => {
    const holder = control.closest('button, .widget-inline-hbox, .jupyter-widgets');
    const said = [...holder.querySelectorAll('label'), holder].map(e => e.innerText);
    const texts = said.map(text => text.replaceAll('\u200b', '').trim());
    return texts.find(text => text) ?? '';
}"""
MATCHES = "(control, look) => control.matches(look)"
TRAPPED = "area => area.querySelectorAll('script, img[src=x], [onerror]').length"
CELL = """area =>
    [...document.querySelectorAll('.jp-Cell')].indexOf(area.closest('.jp-Cell'))"""
CHANGE_SECONDS = 30


@dataclass
class Control:
    """One control; `area` is the output it stands in."""

    page: Page
    area: Locator
    here: Locator
    kind: str
    name: str

    def __str__(self) -> str:
        return f"cell {self.area.evaluate(CELL)}, {self.kind} “{self.name}”"

    def shown(self) -> str:
        """What the output shows, as a text that differs when the output does."""
        return self.area.evaluate(SHOWN)

    def words(self) -> str:
        """The output's text, without the controls'."""
        return self.shown().partition("\0")[0]

    def is_pressed(self) -> bool:
        """Whether it is the chosen one of a group of buttons: pressed again, it does
        nothing.
        """
        return self.here.evaluate(MATCHES, ".widget-toggle-buttons .mod-active")

    def move(self) -> bool:
        """Focus it and move it by the keyboard; whether the output changed."""
        self.here.scroll_into_view_if_needed()
        return any(self._press(keys) for keys in KINDS[self.kind][1])

    def _press(self, keys: Sequence[str]) -> bool:
        self.here.focus()
        reached = (
            "control => control == document.activeElement && control.tabIndex >= 0"
        )
        assert self.here.evaluate(reached), f"{self} cannot be reached by the keyboard"
        before = self.shown()
        keyboard = self.page.keyboard
        if self.kind == TEXT:
            keyboard.press("Control+End" if keys[0].startswith(" ") else "Control+Home")
            keyboard.type(keys[0])
            keyboard.press("Tab")
        else:
            for key in keys:
                keyboard.press(key)
        return self.changed(before)

    def write(self, text: str) -> bool:
        """Replace a text box's content and leave the box; whether the output
        changed.
        """
        before = self.shown()
        self.here.fill(text)
        self.here.press("Tab")
        return self.changed(before)

    def changed(self, before: str) -> bool:
        """Whether the output comes to differ from `before`; waits until the kernel has
        done.
        """
        end = time.monotonic() + CHANGE_SECONDS
        while self.shown() == before:
            if time.monotonic() > end:
                return False
            self.page.wait_for_timeout(100)
        self._settle()
        return True

    def _settle(self) -> None:
        """Wait until the kernel has done, and what it sent is drawn."""
        latest = None
        while latest != (latest := self.shown()):
            self.page.wait_for_function(IDLE, timeout=60_000)
            self.page.wait_for_timeout(250)

    def complaint(self) -> str:
        """An exception's name in the output, or nothing."""
        found = re.search(
            r"\b\w+(Error|Exception|Warning)\b: .*|Traceback.*", self.words()
        )
        return found[0] if found else ""


def controls(page: Page, area: Locator) -> list[Control]:
    """The controls in an output `area` that a reader sees, in the order of the page."""
    found = []
    for here in area.locator(ANY).all():
        if here.is_visible():
            kind = next(
                k for k, (look, _) in KINDS.items() if here.evaluate(MATCHES, look)
            )
            found.append(Control(page, area, here, kind, here.evaluate(NAME)))
    return found


def unknown(area: Locator) -> list[str]:
    """What in `area` waits for the keyboard and is of no kind that `move` can move, as
    HTML.
    """
    return area.evaluate(
        "(area, [all, known]) => [...area.querySelectorAll(all)]"
        ".filter(e => !e.matches(known)).map(e => e.outerHTML.slice(0, 120))",
        [FOCUSABLE, ANY],
    )

"""A browser window that reaches nothing but what it is meant to show, and tells what
went wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

# no name is looked up but this machine's, whatever a page or the browser itself asks
# for
NO_NAMES = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
INSIDE = ("data:", "blob:", "about:")
DRAWN = """() => [...document.querySelectorAll('svg :is(line, path)')].some(e => {
    const {width, height} = e.getBoundingClientRect();
    return e.checkVisibility() && width + height > 0;
})"""
DESK = {"width": 1300, "height": 1000}


@dataclass
class Watch:
    """What a page asked for elsewhere than at `home`, and the errors that it told
    of.
    """

    home: str
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def allows(self, url: str) -> bool:
        return url.startswith(
            (self.home, self.home.replace("http:", "ws:", 1), *INSIDE)
        )

    def ask(self, url: str) -> None:
        if not self.allows(url):
            self.outside.append(url)


def window(browser: Browser, home: str) -> tuple[BrowserContext, Page, Watch]:
    """A fresh window of `browser` that gets only what lies at `home`; the rest is
    refused and kept.

    Close the context when done.
    """
    watch = Watch(home)
    context = browser.new_context(viewport=DESK, service_workers="block")
    wanted = "|".join(map(re.escape, (home, *INSIDE)))
    context.route(re.compile(f"^(?!{wanted})"), lambda route: route.abort())
    context.on("request", lambda request: watch.ask(request.url))
    page = context.new_page()
    page.on("websocket", lambda socket: watch.ask(socket.url))
    page.on("pageerror", lambda error: watch.errors.append(str(error)))
    page.on(
        "console", lambda said: said.type == "error" and watch.errors.append(said.text)
    )
    return context, page, watch


def blank_views(page: Page, seconds: float = 20) -> list[str]:
    """The views in frames (bertviz) on `page` that have drawn nothing, by title or
    number.
    """
    from playwright.sync_api import Error

    blank = []
    for number, place in enumerate(page.query_selector_all("iframe")):
        name = place.get_attribute("title") or f"view {number}"
        try:
            place.scroll_into_view_if_needed()
            place.content_frame().wait_for_function(DRAWN, timeout=1000 * seconds)
        except Error as error:
            blank.append(f"{name}: {error.message.splitlines()[0]}")
    return blank

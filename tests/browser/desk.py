"""Pages of people who are signed in, and the API they could have used instead."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.browser.screen import Screen
from tests.interop.live import wait_on_air
from tests.support.encoder import clip, pushing
from tests.support.server import RunningServer, start_server

AXE = (Path(__file__).parents[2] / "streamd/web/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
LAPTOP, PHONE = (1366, 768), (390, 844)


@contextmanager
def demo_on_air(folder: Path) -> Iterator[RunningServer]:
    """A demo whose picture is small, so that pages open it at little cost, and in which nobody speaks by themselves."""
    with start_server(folder) as server, pushing(f"{server.rtmp_url}/demo-key", clip()):
        wait_on_air(server.http_url)
        yield server


class Person:
    """Somebody who is signed in."""

    def __init__(self, base: str, name: str, password: str = "demo-password") -> None:
        self.base = base
        self.session = call(base, "POST", "/api/v1/sessions", body={"name": name, "password": password})

    def do(self, method: str, path: str, body: object = None, *, key: str = "") -> Any:
        """`key`: the Idempotency-Key, where one is needed."""
        return call(self.base, method, path, body=body, token=self.session["access_token"], key=key)

    def make_room(self, slug: str) -> str:
        """A room of theirs; its stream key."""
        self.do("POST", "/api/v1/rooms", {"room": slug})
        return str(self.do("POST", f"/api/v1/rooms/{slug}/stream-key")["stream_key"])

    @property
    def kept(self) -> str:
        """As the pages keep it in localStorage."""
        user = self.session["user"]
        record = {
            "accessToken": self.session["access_token"],
            "refreshToken": self.session["refresh_token"],
            "expiresAtMs": int(time.time() * 1_000) + 800_000,
            "user": {name: user[field] for name, field in FIELDS.items()},
        }
        return json.dumps(record)


FIELDS = {"id": "id", "name": "name", "displayName": "display_name", "role": "role"}


def call(base: str, method: str, path: str, *, body: object = None, token: str = "", key: str = "") -> Any:
    """The JSON of an answer; raises on refusals."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    if key:
        headers["Idempotency-Key"] = key
    data = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(base + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@contextmanager
def open_page(
    browser: Browser,
    url: str,
    person: Person | None = None,
    *,
    size: tuple[int, int] = LAPTOP,
    theme: str = "light",
    language: str = "en",
    permissions: tuple[str, ...] = (),
    complaints: bool = True,
    clock: bool = False,
) -> Iterator[Page]:
    """A page; what it complains of fails the test at its end, unless `complaints` is false.

    `clock`: its time runs as ours does, and `page.clock.fast_forward` brings what it waits for.
    """
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, permissions=list(permissions))
    page = context.new_page()
    screen = Screen(page)
    kept = {"streamd.page": json.dumps({"theme": theme, "language": language})}
    if person is not None:
        kept["streamd.session"] = person.kept
    # Once: what the page itself keeps later must survive a reload.
    page.add_init_script(
        f"if (!sessionStorage.begun) {{ sessionStorage.begun = 1; Object.assign(localStorage, {json.dumps(kept)}) }}"
    )
    if clock:
        page.clock.install()
    try:
        page.goto(url)
        yield page
        assert screen.problems == [] or not complaints
    finally:
        context.close()


def settled(page: Page) -> None:
    """Until everything that comes in or goes out has done so."""
    page.evaluate(
        "Promise.allSettled(document.getAnimations()"
        ".filter((each) => each.effect?.getComputedTiming().endTime !== Infinity).map((each) => each.finished))"
    )


def axe(page: Page) -> list[str]:
    """What axe finds against WCAG 2.1 A and AA once all has come to rest, each with the first element it concerns."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    settled(page)
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']}).then((r) => "
        "r.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(' | ')}`))"
    )
    return list(found)


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled to, up or sideways."""
    over: bool = page.evaluate(
        "document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth"
    )
    return over

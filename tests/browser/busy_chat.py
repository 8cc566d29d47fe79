"""A room that is told by the test and not by a server: as much chat as wanted, in no time."""

from __future__ import annotations

import itertools
import json
from typing import Any

from playwright.sync_api import CDPSession, Page, WebSocketRoute

HELLO = {"sid": "one", "upgrades": [], "pingInterval": 25_000, "pingTimeout": 20_000, "maxPayload": 1_000_000}
STEP_MS = 20_000
FRAMES_A_STEP, MESSAGES_A_FRAME = 2, 200
FINISH = "for (const each of document.getAnimations()) if (each.effect.target.matches('.bullet')) each.finish()"


class BusyRoom:
    """Answers the page as Socket.IO does, and talks: 20 messages a second, hearts, orders and a card now and then."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._numbers = itertools.count(1)
        self._socket: WebSocketRoute | None = None
        page.route_web_socket(lambda url: "/socket.io/" in url, self._open)

    def _open(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.on_message(lambda said: self._welcome() if str(said).startswith("40") else None)
        socket.send(f"0{json.dumps(HELLO)}")

    def _welcome(self) -> None:
        assert self._socket is not None
        self._socket.send('40{"sid":"one"}')
        me = {"id": "guest", "name": "Guest", "role": "guest", "muted_until_ms": 0}
        self._tell("welcome", {"room": "busy", "title": "Busy", "live": False, "epoch": "e", "seq": 0, "me": me})

    def _tell(self, name: str, payload: object) -> None:
        assert self._socket is not None, "the page has not come"
        self._socket.send(f"42{json.dumps([name, payload])}")

    def _message(self) -> dict[str, Any]:
        number = next(self._numbers)
        user = {"id": f"u{number % 5_000}", "name": f"Viewer {number % 5_000}", "role": "viewer", "level": 3}
        text = f"message {number}, and how is the cup?"
        shown = {"text": text, "color": "#ffffff", "mode": "scroll", "at_ms": 0}
        return {"seq": number, "id": f"m{number}", "user": user, **shown}

    def talk(self, minutes: int) -> None:
        """So many minutes of the page's time."""
        for step in range(minutes * 60_000 // STEP_MS):
            for _ in range(FRAMES_A_STEP):
                self._tell("danmaku", [self._message() for _ in range(MESSAGES_A_FRAME)])
            self._tell("likes", {"total": step * 9, "delta": 9})
            self._tell("order", {"seq": next(self._numbers), "buyer": "A***e", "product_id": 1, "count": 1})
            self._tell(
                "card", {"seq": next(self._numbers), "version": step, "at_ms": 0, "product": self._product(step)}
            )
            assert self._socket is not None
            self._socket.send("2")
            self._page.clock.fast_forward(STEP_MS)
            self._page.evaluate(FINISH)

    def _product(self, step: int) -> dict[str, Any] | None:
        if step % 3 == 0:
            return None
        return {"id": step % 5, "title": f"Cup {step % 5}", "price_minor": 100, "currency": "CNY", "stock": 9}


def kept(devtools: CDPSession) -> tuple[float, int]:
    """What the page still holds after everything that can go is gone: MB of script heap, and nodes."""
    devtools.send("HeapProfiler.collectGarbage")
    heap_mb = devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    return heap_mb, devtools.send("Memory.getDOMCounters")["nodes"]

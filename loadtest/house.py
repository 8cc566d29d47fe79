"""A whole show on one server: a shop on its database, an encoder, a crowd by every way in, buyers, an assistant.

A scenario says when who comes and goes; once every two seconds of waiting everybody is asked how they fare, so that
each stretch of the show has its own figures. Everything is on loopback and ends with the stage.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest import clips
from loadtest.histogram import Histogram
from loadtest.nodes import Encoder
from loadtest.peers import Streamd, open_rooms
from loadtest.processes import Generator
from loadtest.scenarios.ingest import publish
from loadtest.shop_floor import ROOM, Floor, set_up, sign_in_again
from loadtest.stage import Stage

_ASK_EVERY_S = 2.0
_ON_AIR_S = 20.0
GOODS = 9


@dataclass(slots=True)
class Stretch:
    """What the crowd saw between two moments. Seconds of the stage's meter."""

    begins_s: float
    ends_s: float = 0.0
    danmaku: Histogram = field(default_factory=Histogram)
    orders: Histogram = field(default_factory=Histogram)
    placed: int = 0
    refused: int = 0
    failed: int = 0
    stalls: int = 0
    stalled_s: float = 0.0
    latency_ms: float = 0.0  # of the median LL-HLS player, at the end
    silences: int = 0  # of continuous viewers
    cut_off: int = 0  # viewers of either kind who lost their connection
    lost: int = 0  # members who did, laggards apart
    laggards_lost: int = 0  # slow and stalled members, whom a server may cut off

    def take(self, other: Stretch) -> None:
        """Add what came after this one."""
        self.ends_s = other.ends_s
        self.danmaku.add(other.danmaku)
        self.orders.add(other.orders)
        self.latency_ms = other.latency_ms or self.latency_ms
        for name in (
            "placed",
            "refused",
            "failed",
            "stalls",
            "stalled_s",
            "silences",
            "cut_off",
            "lost",
            "laggards_lost",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class House:
    """See the module's promise."""

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        *,
        buyers: int,
        streams: int = 0,
        stock: int = 50_000_000,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`folder`: where the database is. `streams`: other rooms that are on air beside the show's."""
        self.stage = stage
        self._data = data = folder / "data"
        self._url = url = f"sqlite+aiosqlite:///{data}/streamd.db"
        self.floor: Floor = set_up(url, data_dir=data, buyers=buyers, goods=GOODS, stock=stock)
        self._others = [f"other-{number}" for number in range(streams)]
        open_rooms(url, self._others)
        own = {"STREAMD_DATA_DIR": str(data), "STREAMD_DATABASE_URL": url, "STREAMD_API_WRITES_PER_S": "1000"}
        self.server = stage.server(Streamd(stage.folder / "streamd", settings={**own, **(settings or {})}))
        self.encoder: Encoder | None = None
        self.players: list[Generator] = []  # LL-HLS
        self.listeners: list[Generator] = []  # HTTP-FLV
        self.members: list[Generator] = []
        self.buyers: list[Generator] = []
        self.pins_us: dict[int, int] = {}  # when each was asked for, by the version it made
        self._known: dict[int, dict[str, Any]] = {}  # what a generator said last, by its process
        self._asked_s = 0.0
        self.history: list[Stretch] = []  # every look

    # --- who comes and goes ---

    def go_on_air(self) -> None:
        """The show's encoder is ffmpeg, which comes back when it drops; other rooms have our replayer."""
        self.encoder = Encoder([self.server.publish_url(ROOM)], clips.source_clip())
        self.stage.ends_with(self.encoder.stop)
        if self._others:
            publish(self.stage, self.server, self._others, lean=True)
        began_s = time.monotonic()
        while "#EXT-X-PART:" not in self._playlist():
            if time.monotonic() - began_s > _ON_AIR_S:
                raise RuntimeError(f"no part of {ROOM} after {_ON_AIR_S:.0f} s")
            time.sleep(0.1)
        self.stage.wait(2.0, "on air")

    def open_players(self, count: int) -> Generator:
        """LL-HLS viewers, all at once."""
        job = {"url": self.server.http_url(f"/live/{ROOM}/index.m3u8"), "viewers": count, "media": True}
        self.players.append(made := self.stage.generator("hls_crowd", job))
        return made

    def open_listeners(self, count: int) -> Generator:
        """HTTP-FLV viewers, all at once."""
        job = {"kind": "flv", "urls": [self.server.http_url(f"/live/{ROOM}.flv")] * count}
        self.listeners.append(made := self.stage.generator("viewers", job))
        return made

    def open_members(self, count: int, **wishes: object) -> Generator:
        """Room members, who may still be joining; `wishes` as `loadtest.chatters` reads them."""
        speakers = self.floor.tokens[: min(50, count // 10)]
        job = {"ports": [self.server.http_port], "members": count, "room": ROOM, "tokens": speakers}
        made = self.stage.generator("chatters", {**job, "speakers": len(speakers), **wishes}, wait=False)
        self.members.append(made)
        return made

    def open_shop(self, per_s: float) -> Generator:
        """Orders at a rate, whether those before were answered or not."""
        calls = [
            {
                "name": "order",
                "method": "POST",
                "path": "/api/v1/orders",
                "is_once": True,
                "token": token,
                "body": json.dumps({"room": ROOM, "sku_id": 1 + number % 2, "count": 1}),
            }
            for number, token in enumerate(self.floor.tokens)
        ]
        job = {"port": self.server.http_port, "rate": per_s, "calls": calls}
        self.buyers.append(made := self.stage.generator("api_callers", job))
        return made

    def sign_in_again(self) -> None:
        """Buyers and host have tokens of now, for whatever is opened from here on."""
        self.floor = sign_in_again(self._url, data_dir=self._data, floor=self.floor)

    def close(self, one: Generator) -> dict[str, Any]:
        """A crowd leaves; what it came to. What it saw last is not part of a stretch any more."""
        for crowd in (self.players, self.listeners, self.members, self.buyers):
            if one in crowd:
                crowd.remove(one)
        totals = one.finish()
        one.stop()
        return totals

    def pin(self, product: int) -> None:
        """The assistant shows a product."""
        at_us = time.monotonic_ns() // 1_000
        card = self.ask("PUT", f"/api/v1/rooms/{ROOM}/card", {"product_id": product})
        self.pins_us[int(card["version"])] = at_us

    def ask(self, method: str, path: str, body: object | None = None) -> dict[str, Any]:
        """The host's call of the API. Raises OSError."""
        headers = {"Authorization": f"Bearer {self.floor.host}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.server.http_url(path), data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    def metric(self, name: str) -> float:
        """A number of /metrics, added up over its labels."""
        with urllib.request.urlopen(self.server.http_url("/metrics"), timeout=30) as answer:
            page = answer.read().decode()
        samples = re.findall(rf"^{name}(?:\{{.*?\}})? (\S+)", page, re.MULTILINE)
        return sum(float(sample) for sample in samples)

    # --- how they fare ---

    def wait(self, seconds: float, what: str) -> Stretch:
        """Let the show go on; what everybody saw meanwhile."""
        stretch = Stretch(self.stage.meter.elapsed_s)
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            self.stage.wait(min(_ASK_EVERY_S, left_s), what)
            stretch.take(self.look())
        return stretch

    def look(self) -> Stretch:
        """Since the last time."""
        found = Stretch(self._asked_s)
        for one in self.members:
            if one.is_ready():
                self._look_at_members(found, one)
        for one in self.players:
            said, before = self._news(one)
            playing = {"stalls": 0, "stalled_s": 0.0, "ended": 0} | before
            found.stalls += said["stalls"] - playing["stalls"]
            found.stalled_s += said["stalled_s"] - playing["stalled_s"]
            found.cut_off += said["ended"] - playing["ended"]
            found.latency_ms = max(found.latency_ms, said["latency_ms"][0])
        for one in self.listeners:
            said, before = self._news(one)
            found.silences += said["silences"] - before.get("silences", 0)
            found.cut_off += said["cut_off"] - before.get("cut_off", 0)
        for one in self.buyers:
            said, before = self._news(one)
            found.orders.add(_histogram(said["waited"], "order").since(_histogram(before.get("waited", {}), "order")))
            self._count_orders(found, said["statuses"], before.get("statuses", {}))
        self._asked_s = found.ends_s = self.stage.meter.elapsed_s
        self.history.append(found)
        return found

    def _look_at_members(self, found: Stretch, one: Generator) -> None:
        if one.pid not in self._known:
            one.wait_ready()
        said, before = self._news(one)
        found.danmaku.add(_histogram(said, "delays").since(_histogram(before, "delays")))
        found.lost += said["lost"] - before.get("lost", 0)
        found.laggards_lost += said["laggards_lost"] - before.get("laggards_lost", 0)

    @staticmethod
    def _count_orders(found: Stretch, said: Mapping[str, int], before: Mapping[str, int]) -> None:
        for status, count in said.items():
            new = count - before.get(status, 0)
            if status.endswith(" 201"):
                found.placed += new
            elif status.endswith(" 409"):
                found.refused += new
            else:
                found.failed += new

    def _news(self, one: Generator) -> tuple[dict[str, Any], dict[str, Any]]:
        before = self._known.get(one.pid, {})
        said = self._known[one.pid] = one.ask()
        return said, before

    def _playlist(self) -> str:
        with (
            suppress(OSError),
            urllib.request.urlopen(self.server.http_url(f"/live/{ROOM}/source/media.m3u8"), timeout=5) as answer,
        ):
            text: str = answer.read().decode()
            return text
        return ""


def _histogram(said: Mapping[str, Any], name: str) -> Histogram:
    return Histogram.from_json(said.get(name, {}))

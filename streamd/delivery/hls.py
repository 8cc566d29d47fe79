"""Low-latency HLS over HTTP: `/live/ROOM/index.m3u8` and everything under `/live/ROOM/{rendition}/`.

In: GET and HEAD. Out: playlists, at once or when they hold what `_HLS_msn` and `_HLS_part` ask for; parts (the hinted
one is held until it is complete), segments, initialisation segments.

Blocking reload (RFC 8216bis 6.2.5.2): 400 for what lies too far ahead, 503 after three target durations. Except where
the stall shield steps in: hls.js 1.7 gives a request with `_HLS_part` no more than max(3 parts, 0.8 target durations)
(base-playlist-controller.ts), so that an encoder's hiccup ends in network errors. At three quarters of that time the
viewer gets the playlist as it is, which players take as "nothing new yet".

Query arguments that are not ours (tokens) are carried to every child URI. Not here: who may watch (`WatchCheck` is
asked), what is in a playlist (hls_packager), HTTP/2 and TLS (nginx).
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple, Protocol

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric

from hls_packager.model import Epoch
from hls_packager.origin import Origin
from hls_packager.rendering import Rendering
from hls_packager.store import SegmentStore
from streamd.clock import Clock
from streamd.delivery.prebuilt import PLAYLIST, Prebuilt, head
from streamd.delivery.refusal import refusal
from streamd.errors import InvalidError, NotFoundError, StreamdError, UnavailableError

_FOREVER = "public, max-age=31536000, immutable"
_NO_STORE = "no-store"
_MULTIVARIANT = "public, max-age=30"
_FILE = re.compile(
    r"part-(?P<msn>\d{1,15})\.(?P<part>\d{1,6})\.m4s|seg-(?P<segment>\d{1,15})\.m4s|init-(?P<init>\d{1,15})\.mp4"
)
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
# What a query may hold to be repeated inside a playlist: nothing that ends a quoted string or a line.
_QUERY = re.compile(r"[A-Za-z0-9\-._~%!$'()*+,;:@/?=&]{0,2048}")


class RoomLookup(Protocol):
    """What this needs to know of rooms that are not on air."""

    async def exists(self, room: str) -> bool:
        """Whether there is a room of that name."""
        ...


class Mirrors(Protocol):
    """Programmes that other workers make."""

    async def hls(self, room: str) -> bool:
        """See that the origin has the store of such a room; False where there is none. Cancel-safe: yes."""
        ...


class WatchCheck(Protocol):
    """Who may watch which room."""

    def is_public(self, room: str) -> bool:
        """Whether everybody may, as far as is known without asking. Called for every request."""
        ...

    async def check(self, room: str, token: str, address: str) -> None:
        """Raises NotFoundError, ForbiddenError. Cancel-safe: yes."""
        ...


def _remote(request: web.Request) -> str:
    return request.remote or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HlsDeliverySettings:
    """How patient viewers' requests are."""

    stall_shield: bool = True
    starting_ms: int = 4_000  # how long a request is held while a programme has begun and nothing is playable yet
    not_live_retry_ms: int = 2_000
    slow_reader_ms: int = 30_000  # a viewer has so long to take an answer


class Asked(NamedTuple):
    """The delivery directives of a request, and what else its query holds, with a "?" in front."""

    msn: int | None
    part: int | None
    skip: bool
    query: str


@lru_cache(maxsize=1_024)
def read_query(raw: str) -> Asked:
    """Take a raw query string apart. Raises InvalidError."""
    if not _QUERY.fullmatch(raw):
        raise InvalidError(
            "this query cannot be carried into a playlist",
            why="it is longer than 2048 characters or holds characters that a URI does not allow",
            fix="percent-encode the values",
        )
    numbers: dict[str, int] = {}
    skip = False
    others = []
    for argument in raw.split("&"):
        name, _, value = argument.partition("=")
        if name in ("_HLS_msn", "_HLS_part"):
            if not _NUMBER.fullmatch(value):
                raise InvalidError(f"{name} is not a number", fix="send decimal digits")
            numbers[name] = int(value)
        elif name == "_HLS_skip":
            skip = value in ("YES", "v2")
        elif argument and not name.startswith("_HLS_"):
            others.append(argument)
    msn, part = numbers.get("_HLS_msn"), numbers.get("_HLS_part")
    if msn is None and part is not None:
        raise InvalidError("_HLS_part without _HLS_msn", fix="send the media sequence number that the part belongs to")
    return Asked(msn, part, skip, "?" + "&".join(others) if others else "")


@lru_cache(maxsize=64)
def _takes_gzip(accept_encoding: str) -> bool:
    for coding in accept_encoding.lower().split(","):
        name, _, quality = coding.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "").rstrip("0.") != "q="
    return False


@lru_cache(maxsize=64)
def _compressed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def shield_ms(epoch: Epoch) -> int:
    """After how long a request for a part is answered with what there is."""
    return max(3 * epoch.part_target_ms, 800 * epoch.target_duration_s) * 3 // 4


class HlsDelivery:
    """See the module's promise. `answers` counts what was answered: kind and status."""

    def __init__(
        self,
        *,
        origin: Origin,
        rooms: RoomLookup,
        clock: Clock,
        watch: WatchCheck | None = None,
        mirrors: Mirrors | None = None,
        address_of: Callable[[web.Request], str] = _remote,
        settings: HlsDeliverySettings | None = None,
    ) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self._origin = origin
        self._rooms = rooms
        self._watch = watch
        self._mirrors = mirrors
        self._address_of = address_of
        self._clock = clock
        self._settings = settings or HlsDeliverySettings()
        self._closing = False
        self._date = (-1, "")

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [
            web.get("/live/{room}/index.m3u8", self._index),
            web.get("/live/{room}/{rendition}/media.m3u8", self._playlist),
            web.get("/live/{room}/{rendition}/{file}", self._file),
        ]

    def close(self) -> None:
        """Shut down: answer everybody who waits with what there is, and hold nobody any more. Idempotent."""
        self._closing = True
        self._origin.release_waiting()

    # --- handlers ---

    async def _index(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = read_query(request.rel_url.raw_query_string)
            room = request.match_info["room"]
            await self._admit(request, room)
            await self._until_playable(await self._going_on(room), room)
        except StreamdError as error:
            return self._refuse("index", error)
        text = self._origin.multivariant(room, query=asked.query) or ""
        compress = _takes_gzip(request.headers.get("Accept-Encoding", ""))
        body = _compressed(text) if compress else text.encode()
        return self._answer("index", request, (body,), PLAYLIST, _MULTIVARIANT, compressed=compress)

    async def _playlist(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = read_query(request.rel_url.raw_query_string)
            store = await self._store(request)
            cache_control = await self._wait(store, asked)
            if store.is_withdrawn:  # another worker has the programme now: it goes on in that one's mirror
                store = await self._store(request)
                cache_control = await self._wait(store, asked)
            if not store.playable:  # its owner has just changed, and the new one has nothing yet
                raise UnavailableError("the programme is about to go on", retry_after_ms=1_000)
        except StreamdError as error:
            return self._refuse("playlist", error)
        rendering = store.rendering(skip=asked.skip, query=asked.query)
        compress = _takes_gzip(request.headers.get("Accept-Encoding", ""))
        persistent = self._persistent(request)
        wire = self._on_the_wire(rendering, cache_control, compressed=compress, persistent=persistent)
        self.answers["playlist", 200] += 1
        return Prebuilt(wire, persistent=persistent, patience_ms=self._settings.slow_reader_ms)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = _FILE.fullmatch(request.match_info["file"])
        try:
            if name is None:
                raise NotFoundError("there is no such file in a live programme")
            store = await self._store(request)
            chunks = await self._media(store, name)
        except StreamdError as error:
            return self._refuse("media", error)
        content_type = "video/mp4" if store.has_video else "audio/mp4"
        return self._answer(request.match_info["file"].partition("-")[0], request, chunks, content_type, _FOREVER)

    # --- what is asked for ---

    async def _store(self, request: web.Request) -> SegmentStore:
        """The rendition a request names, with something to play."""
        match = request.match_info
        room = match["room"]
        watch = self._watch
        if watch is not None and not watch.is_public(room):
            await self._admit(request, room)
        store = self._origin.find(room, match["rendition"])
        if store is None and await self._going_on(room) is not None:
            store = self._origin.find(room, match["rendition"])
        if store is not None and store.playable:
            store.requests += 1
            return store
        if store is None and self._origin.renditions(room):
            raise NotFoundError(f"room {room} has no rendition {match['rendition']}", fix="take one from index.m3u8")
        return await self._until_playable(store, room)

    async def _going_on(self, room: str) -> SegmentStore | None:
        """A programme of the room, made here or mirrored. Of an ended one only those who watch it still hear."""
        for _ in range(2):
            for store in self._origin.renditions(room):
                if store.ended_ms is None:
                    store.requests += 1
                    return store
            if self._mirrors is None or self._closing or not await self._mirrors.hls(room):
                break
        return None

    async def _admit(self, request: web.Request, room: str) -> None:
        if self._watch is not None:
            await self._watch.check(room, request.query.get("token", ""), self._address_of(request))

    async def _until_playable(self, store: SegmentStore | None, room: str) -> SegmentStore:
        if store is not None and store.ended_ms is None:
            waits_ms = 0 if self._closing else self._settings.starting_ms
            if await store.wait_until_playable(timeout_ms=waits_ms):
                return store
        elif not await self._rooms.exists(room):
            raise NotFoundError(f"there is no room {room}", fix="check the address")
        else:
            store = None
        raise NotFoundError(
            f"room {room} is not live",
            why="its encoder has just begun" if store is not None else "no encoder is sending to it",
            fix="try again in a moment",
            code="not_live",
            retry_after_ms=self._settings.not_live_retry_ms,
        )

    async def _wait(self, store: SegmentStore, asked: Asked) -> str:
        """Hold a request until the playlist has what it asks for. Returns how the answer may be cached."""
        playlist = store.playlist
        assert playlist is not None, "playable"
        epoch = playlist.epoch
        if asked.msn is None or playlist.ended:
            return f"public, max-age={max(1, epoch.target_duration_s // 2)}"
        shielded = self._settings.stall_shield and asked.part is not None
        patience_ms = shield_ms(epoch) if shielded else 3_000 * epoch.target_duration_s
        if self._closing:
            patience_ms = 0
        if await store.wait_for(msn=asked.msn, part=asked.part, timeout_ms=patience_ms):
            return f"public, max-age={epoch.cached_s}"
        if shielded or self._closing:
            return _NO_STORE
        raise UnavailableError(
            f"segment {asked.msn} has not come",
            why="the encoder sent nothing for three target durations",
            fix="reload the playlist",
            code="hls_stalled",
            retry_after_ms=1_000,
        )

    async def _media(self, store: SegmentStore, name: re.Match[str]) -> Sequence[bytes]:
        """The bytes of a file of `store`."""
        msn, part, segment, init = name.groups()
        found: Sequence[bytes] | None
        if part is not None:
            found = await self._part(store, int(msn), int(part))
        elif segment is not None:
            found = store.segment(int(segment))
        else:
            data = store.init(int(init))
            found = None if data is None else (data,)
        if found is None:
            raise NotFoundError(
                f"{name[0]} does not exist",
                why="it left the playlist some time ago, or never was in it",
                fix="reload the playlist",
            )
        return found

    async def _part(self, store: SegmentStore, msn: int, index: int) -> Sequence[bytes] | None:
        data = store.part(msn, index)
        if data is None and not self._closing and store.playlist is not None:
            patience_ms = 3_000 * store.playlist.epoch.target_duration_s
            try:
                data = await store.hinted_part(msn, index, timeout_ms=patience_ms)
            except TimeoutError:
                raise UnavailableError(
                    f"part {index} of segment {msn} has not come", fix="reload the playlist", retry_after_ms=1_000
                ) from None
        return None if data is None else (data,)

    # --- answers ---

    def _persistent(self, request: web.Request) -> bool:
        return request.keep_alive and request.version >= (1, 1) and not self._closing

    def _on_the_wire(
        self, rendering: Rendering, cache_control: str, *, compressed: bool, persistent: bool
    ) -> Sequence[bytes]:
        """Head and body of a playlist, made once for all who get it within a second."""
        date = self._http_date()
        key = (cache_control, compressed, persistent, date)
        wire = rendering.wire.get(key)
        if wire is None:
            body = rendering.gzipped if compressed else rendering.body
            first = head(
                content_type=PLAYLIST,
                length=len(body),
                cache_control=cache_control,
                date=date,
                gzip=compressed,
                persistent=persistent,
            )
            wire = rendering.wire[key] = (first, body)
        return wire

    def _answer(
        self,
        kind: str,
        request: web.Request,
        chunks: Sequence[bytes],
        content_type: str,
        cache_control: str,
        *,
        compressed: bool = False,
    ) -> web.StreamResponse:
        persistent = self._persistent(request)
        first = head(
            content_type=content_type,
            length=sum(map(len, chunks)),
            cache_control=cache_control,
            date=self._http_date(),
            gzip=compressed,
            persistent=persistent,
        )
        self.answers[kind, 200] += 1
        return Prebuilt((first, *chunks), persistent=persistent, patience_ms=self._settings.slow_reader_ms)

    def _refuse(self, kind: str, error: StreamdError) -> web.StreamResponse:
        answer = refusal(error)
        self.answers[kind, answer.status] += 1
        return answer

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        family = CounterMetricFamily("streamd_hls_answers", "Answers to HLS players", labels=("kind", "status"))
        for (kind, status), count in self.answers.items():
            family.add_metric((kind, str(status)), count)
        return (family,)

    def _http_date(self) -> str:
        second = self._clock.utc_ms() // 1_000
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

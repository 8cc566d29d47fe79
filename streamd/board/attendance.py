"""Who is in the rooms while their programmes run, how many hearts they give, which cards they are shown and tap.

In: what rooms say on their hot paths (`came`, `left`, `liked`, `shown`), and taps; each costs some additions, and one
look into a dictionary in a room without a programme. Out, by `run`, every two seconds: rows of the board's tables. What
the database does not take waits, within bounds; beyond them the newest visits are lost, and counted.

A member's visit has a number, kept on the member itself: there is no list of who is present but the room's own.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from prometheus_client.core import CounterMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.board.ledger import Ledger, OpenShow
from streamd.clock import Clock
from streamd.errors import NotFoundError, StreamdError, UnavailableError
from streamd.telemetry.log import Log

_FLUSH_S: Final = 2.0
_LAST_WRITE_S: Final = 1.0
_MINUTE_MS: Final = 60_000
_MAX_WAITING: Final = 200_000


class Person(Protocol):
    """Whom a connection belongs to."""

    @property
    def id(self) -> str: ...
    @property
    def is_guest(self) -> bool: ...


class Seat(Protocol):
    """A connection in a room. `visit` is ours."""

    visit: int

    @property
    def identity(self) -> Person: ...
    @property
    def address(self) -> str: ...


class Audience(Protocol):
    """The rooms of this node: `danmaku.gateway.RoomGateway`."""

    def seats(self, room: str) -> Sequence[Seat]:
        """Who is here."""
        ...

    def online(self, room: str) -> int:
        """How many there are on all nodes."""
        ...

    def state(self, room: str, key: str) -> Mapping[str, Any] | None:
        """The latest value of a state."""
        ...


class _Stage:
    """A programme that runs, as this node sees it."""

    __slots__ = ("card", "cards", "first", "here", "likes", "peak", "product", "products", "show_id", "started_ms")

    def __init__(self, show: OpenShow, first: int) -> None:
        self.show_id = show.id
        self.started_ms = show.started_at_ms
        self.products = show.products
        self.first = first  # visits with lower numbers are of earlier shows
        self.here = self.peak = self.likes = 0
        self.card: tuple[object, object] = (None, None)  # which card stands: its version and product
        self.product = 0
        self.cards: dict[int, list[int]] = {}  # by product, since the last writing: exposures, clicks

    def expose(self, count: int) -> None:
        """The card that stands was shown to so many."""
        self.cards.setdefault(self.product, [0, 0])[0] += count


class Attendance:
    """Implements `danmaku.ports.Attendance`. `pseudonym` makes of an address what can be counted and not read."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, log: Log, pseudonym: Callable[[str], str]) -> None:
        self._clock = clock
        self._log = log
        self._pseudonym = pseudonym
        self._ledger = Ledger(engine=engine, node=secrets.token_hex(8))
        self._numbers = itertools.count(1)
        self._stages: dict[str, _Stage] = {}
        self._joined: list[dict[str, Any]] = []
        self._left: dict[int, list[int]] = {}  # by the second in which they left
        self.lost = 0

    # --- what rooms say ---

    def came(self, room: str, seat: Seat) -> None:
        """Somebody was seated. Never blocks."""
        stage = self._stages.get(room)
        if stage is not None:
            self._open_visit(stage, seat, self._clock.utc_ms())
            if stage.product:
                stage.expose(1)

    def left(self, room: str, seat: Seat) -> None:
        """Somebody is gone. Never blocks."""
        stage = self._stages.get(room)
        if stage is not None and seat.visit >= stage.first:
            stage.here -= 1
            # To the second, rounded up: those who leave together are written together.
            second_ms = -(-self._clock.utc_ms() // 1_000) * 1_000
            self._left.setdefault(second_ms, []).append(seat.visit)

    def liked(self, room: str, count: int) -> None:
        """Hearts were given. Never blocks."""
        stage = self._stages.get(room)
        if stage is not None:
            stage.likes += count

    def shown(self, room: str, payload: Mapping[str, Any] | None, members: int) -> None:
        """A card was told to so many here; None: it was taken away. Never blocks."""
        stage = self._stages.get(room)
        if stage is not None:
            self._show(stage, payload, members)

    def clicked(self, room: str, product: int) -> None:
        """Somebody tapped a card. Raises NotFoundError for what this room does not sell, or where no programme runs."""
        stage = self._stages.get(room)
        if stage is None or product not in stage.products:
            raise NotFoundError(
                "this room does not sell that now", fix="reload the room's products", code="product_unknown"
            )
        stage.cards.setdefault(product, [0, 0])[1] += 1

    def _open_visit(self, stage: _Stage, seat: Seat, at_ms: int) -> None:
        seat.visit = next(self._numbers)
        stage.here += 1
        stage.peak = max(stage.peak, stage.here)
        if len(self._joined) >= _MAX_WAITING:
            self.lost += 1
            return
        person = seat.identity
        viewer = self._pseudonym(seat.address) if person.is_guest else person.id
        row = {"number": seat.visit, "show_id": stage.show_id, "viewer": viewer[:64], "joined_at_ms": at_ms}
        self._joined.append(row)

    def _show(self, stage: _Stage, payload: Mapping[str, Any] | None, members: int) -> None:
        product = (payload or {}).get("product") or {}
        card = ((payload or {}).get("version"), product.get("id"))
        if card == stage.card:
            return  # the same card, with another price
        stage.card = card
        number = str(product.get("id", ""))
        stage.product = int(number) if number.isascii() and number.isdigit() else 0
        if stage.product and members:
            stage.expose(members)

    # --- writing ---

    async def run(self, audience: Audience, changed: asyncio.Event) -> None:
        """Write every two seconds, and when `changed` says that a programme began or ended. Cancel-safe: yes."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FLUSH_S):
                        await changed.wait()
                changed.clear()
                await self._try_to_write(audience)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE_S):
                    await self._try_to_write(audience)

    async def _try_to_write(self, audience: Audience) -> None:
        try:
            await self.write(audience)
        except UnavailableError as error:
            self._log.warning("board.not_written", reason=error.one_line())
        except (StreamdError, SQLAlchemyError, OSError):
            self._log.exception("board.not_written")

    async def write(self, audience: Audience) -> None:
        """One round. Raises UnavailableError, SQLAlchemyError with what was not written still waiting."""
        found = {show.room: show for show in await self._ledger.open_shows()}
        self._match(found, audience)
        await self._write_visits()
        now_ms = self._clock.utc_ms()
        for room, stage in list(self._stages.items()):
            is_over = room not in found or found[room].id != stage.show_id
            online = 0 if is_over else audience.online(room)
            if is_over or online or stage.peak or stage.likes or stage.cards:
                await self._write_minute(stage, online, now_ms)
            if is_over:
                del self._stages[room]
        self._match(found, audience)

    def _match(self, found: Mapping[str, OpenShow], audience: Audience) -> None:
        """Begin what has begun; nobody who is present is missed."""
        now_ms = self._clock.utc_ms()
        for room, show in found.items():
            stage = self._stages.get(room)
            seats = audience.seats(room)
            if stage is None:
                stage = self._stages[room] = _Stage(show, next(self._numbers))
                self._admit(stage, seats, now_ms)
                self._show(stage, audience.state(room, "card"), len(seats))
            elif stage.show_id == show.id:
                stage.products = show.products
                if stage.here != len(seats):
                    self._admit(stage, seats, now_ms)

    def _admit(self, stage: _Stage, seats: Iterable[Seat], now_ms: int) -> None:
        for seat in seats:
            if seat.visit < stage.first:
                self._open_visit(stage, seat, now_ms)

    async def _write_visits(self) -> None:
        joined, self._joined = self._joined, []
        try:
            if joined:
                await self._ledger.add_visits(joined)
        except BaseException:
            self._joined = joined + self._joined
            raise
        while self._left:
            second_ms, numbers = next(iter(self._left.items()))
            await self._ledger.end_visits(numbers, at_ms=second_ms)
            del self._left[second_ms]

    async def _write_minute(self, stage: _Stage, online: int, now_ms: int) -> None:
        likes, cards, stage.likes, stage.cards = stage.likes, stage.cards, 0, {}
        peak = max(online, stage.peak)
        try:
            await self._ledger.add_minute(
                stage.show_id,
                minute_ms=now_ms - now_ms % _MINUTE_MS,
                seen_at_ms=now_ms,
                online=peak,
                likes=likes,
                cards=cards,
            )
        except BaseException:
            stage.likes += likes
            for product, (exposures, clicks) in cards.items():
                kept = stage.cards.setdefault(product, [0, 0])
                kept[0] += exposures
                kept[1] += clicks
            raise
        stage.peak = stage.here

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        lost = "Visits that no show counts, for too many waited to be written"
        yield CounterMetricFamily("streamd_board_lost_visits", lost, value=self.lost)

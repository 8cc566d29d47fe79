"""Keeps the synthetic programme on air: connects, encodes in step with the wall clock, gives way and comes back.

In: an RTMP address. Out: frames into whatever `connect` returns. Drawing and encoding happen on one thread of their
own, the event loop only paces and sends. Frame numbers count from the Unix epoch, so that the flash and the beep fall
on the full second, a key frame on every `gop_s`th, and the clock in the picture is the moment the frame was due: never
earlier than the wall clock, later by the few milliseconds that drawing takes.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from rtmp_ingest.client import PublishClient
from rtmp_ingest.errors import PUBLISH_BAD_NAME, PUBLISH_REJECTED, RtmpRefusedError
from streamd import __version__
from streamd.clock import Clock, SystemClock
from streamd.errors import ProtocolError, StreamdError, UnavailableError
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track
from streamd.programme.card import TestCard
from streamd.programme.encoders import Studio
from streamd.telemetry.log import get_log

# By this name the server knows whom a real encoder may send away, and that it must not be asked twice.
_ENCODER = f"streamd-programme/{__version__}"
_CONNECT_TIMEOUT_MS = 5_000
_CLOSE_TIMEOUT_S = 0.5
_FIRST_RETRY_MS, _LONGEST_RETRY_MS = 250, 5_000
_OCCUPIED_RETRY_MS = 2_000  # how soon the picture is back after the real encoder has left
_LATEST_MS = 500  # further behind than this (a suspended machine), frames are left out
_EARLIEST_MS = 2_000  # the wall clock was set back by more: start anew


class Outlet(Protocol):
    """Where frames go: one admitted publication."""

    def announce(self, track: Track) -> None: ...
    def push(self, frame: EncodedFrame) -> None: ...
    async def drain(self) -> None: ...
    async def close(self) -> None: ...


class Programme:
    """One programme for one address."""

    def __init__(
        self,
        *,
        card: Callable[[], TestCard],
        gop_s: int,
        most_bps: int,
        connect: Callable[[], Awaitable[Outlet]],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`card` is called once, on the encoding thread. `connect` raises StreamdError or OSError."""
        self._make_card = card
        self._gop_s, self._most_bps = gop_s, most_bps
        self._connect = connect
        self._clock = clock
        self._sleep = sleep
        self._log = get_log("programme")

    async def run(self) -> None:
        """Be on air until cancelled. Cancel-safe: yes; a publication is closed on the way out.

        Raises StreamdError where another attempt cannot help: the key is wrong, the room does not exist.
        """
        with ThreadPoolExecutor(1, "programme") as thread:
            card = await asyncio.get_running_loop().run_in_executor(thread, self._make_card)
            wait_ms = _FIRST_RETRY_MS
            while True:
                try:
                    outlet = await self._connect()
                except (StreamdError, OSError) as refusal:
                    wait_ms = self._patience_ms(refusal, wait_ms)
                    await self._sleep(wait_ms / 1000)
                    continue
                self._log.info("programme.on_air")
                reason = await self._broadcast(outlet, card, thread)
                self._log.info("programme.off_air", reason=reason)
                wait_ms = _FIRST_RETRY_MS
                await self._sleep(wait_ms / 1000)

    def _patience_ms(self, refusal: StreamdError | OSError, last_ms: int) -> int:
        """How long to wait after a refusal, or the refusal itself when waiting is of no use."""
        match refusal:
            case RtmpRefusedError(status_code=code) if code == PUBLISH_BAD_NAME:
                wait_ms = _OCCUPIED_RETRY_MS
            case RtmpRefusedError(status_code=code) if code != PUBLISH_REJECTED:
                raise refusal
            case RtmpRefusedError() | OSError() | UnavailableError() | ProtocolError():
                wait_ms = min(2 * last_ms, _LONGEST_RETRY_MS)
            case _:
                raise refusal
        reason = refusal.code if isinstance(refusal, StreamdError) else type(refusal).__name__
        self._log.debug("programme.waiting", reason=reason, wait_ms=wait_ms)
        return wait_ms

    async def _broadcast(self, outlet: Outlet, card: TestCard, thread: ThreadPoolExecutor) -> str:
        """Frames until the other side ends it; returns why."""
        loop = asyncio.get_running_loop()
        try:
            number = self._clock.utc_ms() * card.fps // 1000 + 1
            studio = await loop.run_in_executor(thread, self._studio, card, number)
            for track in studio.tracks:
                outlet.announce(track)
            while True:
                wait_ms = card.utc_ms(number) - self._clock.utc_ms()
                if wait_ms > _EARLIEST_MS:
                    return "clock_set_back"
                if wait_ms > 0:
                    await self._sleep(wait_ms / 1000)
                elif wait_ms < -_LATEST_MS:
                    number = self._clock.utc_ms() * card.fps // 1000
                for frame in await loop.run_in_executor(thread, studio.produce, number):
                    outlet.push(frame)
                await outlet.drain()
                number += 1
        except (StreamdError, OSError) as failure:
            return failure.code if isinstance(failure, StreamdError) else type(failure).__name__
        finally:
            with suppress(StreamdError, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await outlet.close()

    def _studio(self, card: TestCard, first: int) -> Studio:
        return Studio(card=card, gop_s=self._gop_s, most_bps=self._most_bps, first=first)


async def run_programme(
    *,
    url: str,
    seconds: float | None = None,
    width: int = 1280,
    height: int = 720,
    fps: int = 30,
    gop_s: int = 2,
    most_bps: int = 2_000_000,
) -> None:
    """Push the programme to `url` for `seconds` (None: until SIGTERM or SIGINT, which end it within half a second).

    Raises StreamdError when the server refuses for good. `width` and `height` are even, `fps` divides 48000.
    """
    programme = Programme(
        card=lambda: TestCard(width=width, height=height, fps=fps),
        gop_s=gop_s,
        most_bps=most_bps,
        connect=lambda: PublishClient.connect(url, timeout_ms=_CONNECT_TIMEOUT_MS, encoder=_ENCODER),
        clock=SystemClock(),
    )
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds) as limit:

            def leave() -> None:
                if not limit.expired():  # a second signal comes while the first one is obeyed
                    limit.reschedule(loop.time())

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, leave)
            await programme.run()
    except TimeoutError:
        if not limit.expired():
            raise

"""A still of what is on air: the newest key frame of a room's programme as a JPEG, whichever worker owns the stream.

Decoding is done by ffmpeg in a child of its own, which may take so much time, memory and processor and no more: the
loop that carries the programmes never decodes. At most `at_once` children run, and who comes while too many wait is
refused. `recent` answers everybody who asks for the same room by one decoding, not older than `keep_ms`; that it failed
is remembered as long. The key frame of a stream on another worker is fetched from there and decoded here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamd.clock import Clock
from streamd.errors import LimitedError, NotFoundError, StreamdError, UnavailableError
from streamd.ffmpeg import find_binary, still_argv
from streamd.live.gop import newest_key_frame
from streamd.live.stream import LiveStream, StreamState

FindStream = Callable[[str], LiveStream | None]


class Elsewhere(Protocol):
    """What other workers have on air."""

    def is_on_air(self, room: str) -> bool:
        """Whether another worker has an encoder for it. Never blocks."""
        ...

    async def key_frame(self, room: str) -> tuple[str, bytes] | None:
        """The newest, as `newest_key_frame` gives it; None where it cannot be had. Cancel-safe: yes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StillSettings:
    """What a still may cost."""

    side_px: int = 1_280
    keep_ms: int = 30_000
    kept_count: int = 200
    at_once: int = 1
    waiting_count: int = 20
    within_s: float = 5.0
    cpu_s: int = 4
    memory_kib: int = 1_500_000
    limit_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    made_ms: int
    jpeg: bytes | None  # None: there was none to be had
    why: StreamdError | None = None


class Stills:
    """See the module's promise. Every coroutine is cancel-safe: its child ends with it."""

    def __init__(
        self,
        *,
        find: FindStream,
        clock: Clock,
        elsewhere: Elsewhere | None = None,
        settings: StillSettings | None = None,
    ) -> None:
        """`find` knows the streams of this worker; `elsewhere` is None where there are no others."""
        self._find = find
        self._elsewhere = elsewhere
        self._clock = clock
        self._settings = settings or StillSettings()
        self._turns = asyncio.Semaphore(self._settings.at_once)
        self._waiting = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._rooms: dict[str, asyncio.Lock] = {}

    async def take(self, room: str) -> bytes:
        """A JPEG of this moment's key frame.

        Raises NotFoundError (nothing on air, no picture yet), LimitedError, UnavailableError.
        """
        return await self._in_turn(*await self._key_frame(room))

    async def _in_turn(self, form: str, data: bytes) -> bytes:
        if self._waiting >= self._settings.waiting_count:
            raise LimitedError(
                "too many stills are asked for at once", fix="try again", retry_after_ms=2_000, code="still_busy"
            )
        self._waiting += 1
        try:
            async with self._turns:
                return await self._decode(form, data)
        finally:
            self._waiting -= 1

    async def recent(self, room: str) -> bytes:
        """A JPEG that is not older than `keep_ms`. Raises as `take` does."""
        if self._here(room) is None and not self._is_elsewhere(room):  # a programme that is over has no cover any more
            raise _not_on_air()
        lock = self._rooms.setdefault(room, asyncio.Lock())
        try:
            async with lock:
                kept = self._kept.get(room)
                if kept is None or self._clock.now_ms() - kept.made_ms >= self._settings.keep_ms:
                    kept = await self._renew(room)
        finally:
            if not lock.locked():
                self._rooms.pop(room, None)
        if kept.jpeg is None:
            raise kept.why or _no_still("it could not be decoded")
        return kept.jpeg

    async def _renew(self, room: str) -> _Kept:
        now_ms = self._clock.now_ms()
        frame = await self._key_frame(room)  # that there is none yet is not remembered
        try:
            kept = _Kept(made_ms=now_ms, jpeg=await self._in_turn(*frame))
        except (NotFoundError, UnavailableError) as error:
            kept = _Kept(made_ms=now_ms, jpeg=None, why=error)
        self._kept.pop(room, None)
        self._kept[room] = kept
        if len(self._kept) > self._settings.kept_count:
            self._kept.popitem(last=False)
        return kept

    def _here(self, room: str) -> LiveStream | None:
        stream = self._find(room)
        return stream if stream is not None and stream.state is StreamState.ON_AIR else None

    def _is_elsewhere(self, room: str) -> bool:
        return self._elsewhere is not None and self._elsewhere.is_on_air(room)

    async def _key_frame(self, room: str) -> tuple[str, bytes]:
        stream = self._here(room)
        if stream is not None:
            return newest_key_frame(stream.gop)
        if self._elsewhere is None or not self._elsewhere.is_on_air(room):
            raise _not_on_air()
        frame = await self._elsewhere.key_frame(room)
        if frame is None:
            raise _no_still("the worker that has it on air has no picture yet, or does not answer")
        return frame

    async def _decode(self, form: str, data: bytes) -> bytes:
        argv = _bounded(still_argv(form, side_px=self._settings.side_px), self._settings)
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(self._settings.within_s):
                jpeg, _ = await child.communicate(data)
        except TimeoutError as error:
            raise UnavailableError(
                "the still took too long", why="the machine is busy", code="still_timeout"
            ) from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode or not 0 < len(jpeg) <= self._settings.limit_bytes:
            raise _no_still("the key frame could not be decoded")
        return jpeg


def _bounded(argv: list[str], settings: StillSettings) -> list[str]:
    """The command within limits of its own, behind everybody else. The script is constant; argv is only passed on."""
    script = 'ulimit -v "$1" && ulimit -t "$2" && shift 2 && exec nice -n 10 "$@"'
    return [find_binary("sh"), "-c", script, "sh", str(settings.memory_kib), str(settings.cpu_s), *argv]


def _not_on_air() -> NotFoundError:
    return NotFoundError("nothing is on air in this room", fix="wait for the programme", code="not_live")


def _no_still(why: str) -> NotFoundError:
    return NotFoundError("there is no still of this room", why=why, fix="try again in a moment", code="no_still")

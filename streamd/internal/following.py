"""Keeps a mirror fed: finds the stream's owner, follows its records, and finds the next owner when they cease.

One `follow` a mirrored room and kind of mirror. It ends when the mirror has no use for more (`is_over`), when the room
belongs to this worker, or when nobody owned it for `grace_ms`: as long as its owner would have waited for an encoder.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from streamd.clock import Clock
from streamd.cluster.register import Ownership
from streamd.errors import UnavailableError
from streamd.internal.peers import Peers
from streamd.internal.pipe import PING
from streamd.live.shared_directory import SharedDirectory
from streamd.media.records import RecordError
from streamd.telemetry.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowSettings:
    """How persistent."""

    grace_ms: int
    search_ms: int = 250  # between two looks for an owner
    retry_ms: int = 100  # before an owner that broke off is tried again, doubled each time
    longest_retry_ms: int = 1_000


class Mirror(Protocol):
    """What is fed."""

    room: str

    @property
    def path(self) -> str:
        """What an owner is asked for."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing more is wanted."""
        ...

    def begin(self, owner: Ownership) -> None:
        """What follows is from this owner, from its beginning."""
        ...

    def apply(self, kind: int, body: bytes) -> bool:
        """One record; False when this owner has no more. Raises RecordError."""
        ...

    def finish(self) -> None:
        """Nobody owns the room any more, or we do."""
        ...


class Following:
    """See the module's promise."""

    def __init__(
        self, *, directory: SharedDirectory, peers: Peers, clock: Clock, log: Log, settings: FollowSettings
    ) -> None:
        self._directory = directory
        self._peers = peers
        self._clock = clock
        self._log = log
        self._settings = settings
        self.resyncs = 0

    async def follow(self, mirror: Mirror) -> None:
        """Cancel-safe: yes."""
        settings, directory = self._settings, self._directory
        missed_since_ms: int | None = None
        retry_ms, is_first = settings.retry_ms, True
        while not mirror.is_over:
            owner = await directory.find(mirror.room, afresh=not is_first)
            if owner is None:
                known = directory.known(mirror.room)
                now_ms = self._clock.now_ms()
                missed_since_ms = now_ms if missed_since_ms is None else missed_since_ms
                is_ours = known is not None and known.worker == directory.worker
                if is_ours or now_ms - missed_since_ms >= settings.grace_ms:
                    mirror.finish()
                    return
                is_first = False
                await asyncio.sleep(settings.search_ms / 1_000)
                continue
            missed_since_ms = None
            if await self._attend(owner, mirror):
                retry_ms = settings.retry_ms
            self.resyncs += not is_first
            is_first = False
            await asyncio.sleep(retry_ms / 1_000)
            retry_ms = min(2 * retry_ms, settings.longest_retry_ms)

    async def _attend(self, owner: Ownership, mirror: Mirror) -> bool:
        """Follow one owner until its end. Whether it had anything."""
        has_begun = False
        path = f"{mirror.path}?epoch={owner.epoch}"
        try:
            async with self._peers.records(owner.worker, path) as records:
                mirror.begin(owner)
                async for kind, body in records:
                    has_begun = True
                    if kind != PING and not mirror.apply(kind, body):
                        break
                    if mirror.is_over or (kind == PING and self._is_superseded(owner)):
                        break
        except (UnavailableError, RecordError) as error:
            self._log.info(
                "mirror.broke_off", room=mirror.room, owner=owner.worker, reason=getattr(error, "why", "") or str(error)
            )
        return has_begun

    def _is_superseded(self, owner: Ownership) -> bool:
        known = self._directory.known(owner.room)
        return known is not None and known.epoch > owner.epoch

"""The streams of other workers that this one mirrors: once each, for as long as somebody here wants them.

In: viewers' wishes (`hls`, `stream`). Out: a `SegmentStore` in this worker's origin, a `MirroredStream` for its
fan-out.
A mirror that nobody asked for within `linger_ms` is given up; so is one whose room this worker owns by now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hls_packager.mirror import StoreMirror
from hls_packager.origin import Origin
from hls_packager.store import SegmentStore
from streamd.clock import Clock
from streamd.cluster.register import Ownership
from streamd.internal.following import Following, Mirror
from streamd.live.playable import Playable
from streamd.live.relay import Kind, MirroredStream
from streamd.live.shared_directory import SharedDirectory

_SWEEP_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSettings:
    """How long a mirror outlives interest, and how long a viewer waits for its beginning."""

    linger_ms: int = 10_000
    opening_ms: int = 3_000


class StoreFollower:
    """A room's HLS store, mirrored. Implements `Mirror`."""

    def __init__(self, store: SegmentStore) -> None:
        self.room = store.room
        self.path = f"/internal/streams/{store.room}/store"
        self._store = store
        self._writer = StoreMirror(store)
        self._requests = -1

    @property
    def is_over(self) -> bool:
        return self._store.is_withdrawn or self._store.ended_ms is not None

    def begin(self, owner: Ownership) -> None:
        """The store stays as it is until the new owner's state is complete."""
        del owner
        self._writer = StoreMirror(self._store)

    def apply(self, kind: int, body: bytes) -> bool:
        self._writer.apply(kind, body)
        return not self._writer.was_withdrawn

    def finish(self) -> None:
        self._store.finish()

    def was_wanted(self) -> bool:
        """Since the last time it was asked."""
        before, self._requests = self._requests, self._store.requests
        return self._requests != before or self._store.waiting_count > 0


class FrameFollower:
    """A room's frames, mirrored. Implements `Mirror`. Each owner has a stream of its own."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.path = f"/internal/streams/{room}/frames"
        self.is_over = False
        self.stream = MirroredStream(room)
        self.begun = asyncio.Event()
        self._epoch = 0

    def begin(self, owner: Ownership) -> None:
        """Another owner's timeline begins elsewhere: viewers come back for it."""
        if owner.epoch != self._epoch:
            before, self.stream = self.stream, MirroredStream(self.room)
            self._epoch = owner.epoch
            self.begun.clear()
            before.end()

    def apply(self, kind: int, body: bytes) -> bool:
        self.stream.apply(kind, body)
        if self.stream.has_begun:
            self.begun.set()
        return kind != Kind.END

    def finish(self) -> None:
        self.is_over = True
        self.stream.end()

    def was_wanted(self) -> bool:
        """Now."""
        return self.stream.is_watched


class _Wanted(Mirror, Protocol):
    def was_wanted(self) -> bool:
        """Whether anybody here asked for it since the last time."""
        ...


F = TypeVar("F", bound=_Wanted)


class _Followed(Generic[F]):
    """A mirror and who feeds it."""

    def __init__(self, follower: F, now_ms: int) -> None:
        self.follower = follower
        self.wanted_ms = now_ms
        self.task: asyncio.Task[None] | None = None

    def tend(self, now_ms: int, linger_ms: int) -> None:
        """End it when it has not been wanted for so long."""
        if self.follower.was_wanted():
            self.wanted_ms = now_ms
        elif now_ms - self.wanted_ms >= linger_ms and self.task is not None:
            self.task.cancel()


class Mirrors:
    """See the module's promise. `run` must be running."""

    def __init__(
        self,
        *,
        directory: SharedDirectory,
        following: Following,
        origin: Origin,
        clock: Clock,
        settings: MirrorSettings | None = None,
    ) -> None:
        self._directory = directory
        self._following = following
        self._origin = origin
        self._clock = clock
        self._settings = settings or MirrorSettings()
        self._stores: dict[str, _Followed[StoreFollower]] = {}
        self._frames: dict[str, _Followed[FrameFollower]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.begun = 0

    # --- wishes ---

    async def hls(self, room: str) -> bool:
        """See that the origin has a store of a room. False: nobody owns it, here or elsewhere. Cancel-safe: yes."""
        if room in self._stores:
            return True
        group = self._group
        if group is None:
            return False
        if await self._directory.find_next(room) is None:
            return self._directory.known(room) is not None  # its encoder has just come to this worker
        if room not in self._stores:  # two may have come at once
            store = self._origin.mirror(room)
            self._begin(group, self._stores, StoreFollower(store), lambda: self._put_away(store))
        return True

    async def stream(self, room: str) -> Playable | None:
        """See `streamd.live.fanout.Mirrors`."""
        followed = self._frames.get(room)
        if followed is None:
            group = self._group
            if group is None or await self._directory.find_next(room) is None:
                return None
            followed = self._frames.get(room)
            if followed is None:
                follower = FrameFollower(room)
                followed = self._begin(group, self._frames, follower, follower.finish)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.opening_ms / 1_000):
                await followed.follower.begun.wait()
        stream = followed.follower.stream
        return stream if stream.has_begun and not stream.has_ended else None

    # --- life ---

    async def run(self) -> None:
        """Own every mirror until cancelled. Cancel-safe: yes."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    await asyncio.sleep(_SWEEP_S)
                    self.sweep()
            finally:
                self._group = None

    def sweep(self) -> None:
        """Give up what nobody wants."""
        now_ms, linger_ms = self._clock.now_ms(), self._settings.linger_ms
        for store in self._stores.values():
            store.tend(now_ms, linger_ms)
        for frames in self._frames.values():
            frames.tend(now_ms, linger_ms)

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        mirrors = GaugeMetricFamily("streamd_mirrors", "Streams of other workers mirrored here", labels=["kind"])
        mirrors.add_metric(["parts"], len(self._stores))
        mirrors.add_metric(["frames"], len(self._frames))
        return (
            mirrors,
            CounterMetricFamily("streamd_mirrors_begun", "Mirrors that were begun", value=self.begun),
            CounterMetricFamily(
                "streamd_mirror_resyncs", "Mirrors that had to begin anew", value=self._following.resyncs
            ),
        )

    # --- inside ---

    def _put_away(self, store: SegmentStore) -> None:
        """An ended programme stays for those who still watch it: the origin sweeps it away."""
        if store.ended_ms is None and self._origin.find(store.room, store.rendition) is store:
            self._origin.withdraw(store.room)

    def _begin(
        self, group: asyncio.TaskGroup, among: dict[str, _Followed[F]], follower: F, end: Callable[[], None]
    ) -> _Followed[F]:
        followed = among[follower.room] = _Followed(follower, self._clock.now_ms())
        self.begun += 1

        async def keep() -> None:
            try:
                await self._following.follow(follower)
            finally:
                if among.get(follower.room) is followed:
                    del among[follower.room]
                end()

        followed.task = group.create_task(keep())
        return followed

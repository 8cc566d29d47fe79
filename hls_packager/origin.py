"""The HLS origin of this worker: which room has which renditions on offer, and what outlives a programme.

Opens a store for each programme, with media sequence numbers that never go back: they follow the clock, so that a
restarted process goes on above the numbers of the old one without having kept them, and they follow the room's last
programme where that is further. Owned by the composition root, which calls `sweep` now and then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric

from hls_packager.model import Cadence, HlsSettings
from hls_packager.playlist import multivariant
from hls_packager.store import SegmentStore
from streamd.clock import Clock

_ROOMS_REMEMBERED = 4_096
# Segments last half a second at least on average, so a clock that counts half seconds is never behind.
_MSN_STEP_MS = 500
# Small on purpose: hls.js keeps an array indexed by discontinuity and walks it from zero at every reload
# (stream-controller.ts, `initPTS.some`); a clock in seconds would stop the page for four of them each time. And not the
# same in a restarted process: media under a number that hls.js knows is put where that number's media was, not where
# the playlist says, and is waited for in vain. So: tens of seconds, modulo two days and a bit.
_DISCONTINUITY_STEP_MS = 10_000
_DISCONTINUITY_NUMBERS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    next_msn: int
    next_discontinuity: int
    cadence: Cadence | None


class Origin:
    """See the module's promise."""

    def __init__(self, *, clock: Clock, settings: HlsSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._rooms: dict[str, dict[str, SegmentStore]] = {}
        self._remembered: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()

    def open(
        self,
        room: str,
        rendition: str = "source",
        *,
        least_msn: int = 0,
        least_discontinuity: int = 0,
        cadence: Cadence | None = None,
    ) -> SegmentStore:
        """A store for a new programme. What the room offered under that name before is withdrawn.

        The least numbers are those that the room's last owner, which may have been another worker, left off at, and
        `cadence` is what it had learned.
        """
        self.close(room, rendition)
        utc_ms = self._clock.utc_ms()
        past = self._remembered.get((room, rendition))
        discontinuity = max(past.next_discontinuity if past else 0, least_discontinuity)
        return self._put(
            room,
            rendition,
            first_msn=max(utc_ms // _MSN_STEP_MS, past.next_msn if past else 0, least_msn),
            discontinuity_sequence=discontinuity or utc_ms // _DISCONTINUITY_STEP_MS % _DISCONTINUITY_NUMBERS,
            cadence=cadence or (past.cadence if past else None),
        )

    def mirror(self, room: str, rendition: str = "source") -> SegmentStore:
        """A store for a programme that another worker makes, empty until it adopts that one's state."""
        self.close(room, rendition)
        store = self._put(room, rendition, first_msn=0, discontinuity_sequence=0)
        store.is_mirror = True
        return store

    def _put(
        self, room: str, rendition: str, *, first_msn: int, discontinuity_sequence: int, cadence: Cadence | None = None
    ) -> SegmentStore:
        renditions = self._rooms.setdefault(room, {})
        store = renditions[rendition] = SegmentStore(
            room=room,
            rendition=rendition,
            clock=self._clock,
            settings=self._settings,
            first_msn=first_msn,
            discontinuity_sequence=discontinuity_sequence,
            cadence=cadence,
            siblings=lambda: (each for name, each in renditions.items() if name != rendition),
        )
        return store

    def close(self, room: str, rendition: str) -> None:
        """Take a rendition off offer; who waits for it is sent home. Harmless where there is none."""
        store = self._take(room, rendition)
        if store is not None and not store.is_mirror:
            store.finish()

    def withdraw(self, room: str) -> None:
        """Another worker makes the room's programme from now on: it has not ended, it is not ours."""
        for rendition in tuple(self._rooms.get(room, ())):
            store = self._take(room, rendition)
            if store is not None:
                store.withdraw()

    def numbers(self, room: str) -> tuple[int, int]:
        """Media and discontinuity sequence number that the room's next programme may begin with; 0 if nobody knows."""
        known = [store.next_numbers for store in self.renditions(room)]
        past = self._remembered.get((room, "source"))
        if past is not None:
            known.append((past.next_msn, past.next_discontinuity))
        return max(known, default=(0, 0))

    def cadence(self, room: str) -> Cadence | None:
        """What is known of the rhythm of the room's programme."""
        store, past = self.find(room, "source"), self._remembered.get((room, "source"))
        known = store.cadence if store is not None else None
        return known or (past.cadence if past is not None else None)

    def _take(self, room: str, rendition: str) -> SegmentStore | None:
        renditions = self._rooms.get(room, {})
        store = renditions.pop(rendition, None)
        if not renditions:
            self._rooms.pop(room, None)
        if store is None:
            return None
        if store.is_mirror:
            store.withdraw()
        next_msn, next_discontinuity = store.next_numbers
        past = self._remembered.get((room, rendition))
        if past is None or next_msn > past.next_msn:
            self._remember(room, rendition, next_msn, next_discontinuity, store.cadence)
        return store

    def _remember(
        self, room: str, rendition: str, next_msn: int, next_discontinuity: int, cadence: Cadence | None
    ) -> None:
        remembered = self._remembered
        remembered[room, rendition] = _Remembered(
            next_msn=next_msn, next_discontinuity=next_discontinuity, cadence=cadence
        )
        remembered.move_to_end((room, rendition))
        if len(remembered) > _ROOMS_REMEMBERED:
            remembered.popitem(last=False)

    def find(self, room: str, rendition: str) -> SegmentStore | None:
        """The store of a rendition that is on offer: on air, paused, or ended a moment ago."""
        renditions = self._rooms.get(room)
        return renditions.get(rendition) if renditions is not None else None

    def renditions(self, room: str) -> Sequence[SegmentStore]:
        """All stores of a room, in the order they were opened."""
        return tuple(self._rooms.get(room, {}).values())

    def multivariant(self, room: str, *, query: str = "") -> str | None:
        """The playlist of the room's playlists; None until one of them is playable."""
        variants = [variant for store in self.renditions(room) if (variant := store.variant()) is not None]
        return multivariant(variants, query=query) if variants else None

    def sweep(self) -> None:
        """Forget what nobody can be expected to fetch any more. Once in a few seconds is often enough."""
        now_ms = self._clock.now_ms()
        for store in list(self._stores()):
            store.forget_expired()
            if store.last_call_ms is not None and store.last_call_ms <= now_ms:
                self.close(store.room, store.rendition)

    def release_waiting(self) -> None:
        """Answer every waiting viewer with what there is."""
        for store in list(self._stores()):
            store.release_waiting()

    @property
    def resident_bytes(self) -> int:
        """Media held in memory."""
        return sum(store.resident_bytes for store in self._stores())

    @property
    def waiting_count(self) -> int:
        """Viewers whose request is held open."""
        return sum(store.waiting_count for store in self._stores())

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        return (
            GaugeMetricFamily("streamd_hls_resident_bytes", "Segments and parts held in memory", self.resident_bytes),
            GaugeMetricFamily("streamd_hls_waiting_viewers", "Requests held open for what comes", self.waiting_count),
        )

    def _stores(self) -> Iterator[SegmentStore]:
        for renditions in self._rooms.values():
            yield from renditions.values()

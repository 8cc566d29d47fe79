"""What one rendition of one room has on offer: its playlist, the bytes behind it, and the viewers who wait for more.

In: an epoch, segments, parts, from the packager or from the worker that has it (`hls_packager.mirror`). Out: playlists
as bytes, rendered and compressed once a version however many viewers ask; parts and segments, which share their bytes.

Retention: a segment that left the playlist stays for its own duration and that of the longest playlist handed out with
it (RFC 8216bis 6.2.2), and not at all where no playlist was handed out that could still be in use: a stream that nobody
watches holds its window and nothing else. Parts are addressable as long as their segment is. `resident_bytes` counts
all of it.
Not here: cutting (segmenter), HTTP (streamd.delivery.hls), the rooms of a worker (origin).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from hls_packager.bitrate import Bitrate
from hls_packager.errors import AheadOfLiveError
from hls_packager.init_segment import init_number, init_segment
from hls_packager.model import Cadence, Epoch, HlsSettings, TrackSet
from hls_packager.playlist import MediaPlaylist, Report, Variant
from hls_packager.rendering import Rendering
from hls_packager.store_state import StoreState, StoreWatcher
from hls_packager.waiting import WaitingRoom
from streamd.clock import Clock

_QUERIES_CACHED = 64


class SegmentStore:
    """See the module's promise. Made by `Origin.open`."""

    def __init__(
        self,
        *,
        room: str,
        rendition: str,
        clock: Clock,
        settings: HlsSettings,
        first_msn: int,
        discontinuity_sequence: int,
        cadence: Cadence | None = None,
        siblings: Callable[[], Iterable[SegmentStore]] = tuple,
    ) -> None:
        self.room = room
        self.rendition = rendition
        self.cadence = cadence  # of the room's last programme; the packager writes what this one teaches
        self.playlist: MediaPlaylist | None = None
        self.version = 0  # grows with every published change
        self.ended_ms: int | None = None  # when the programme ended, by the monotonic clock
        self.is_mirror = False  # of what another worker makes
        self.is_withdrawn = False
        self.requests = 0  # counted by whoever serves it: a mirror that nobody asks for is given up
        self.resident_bytes = 0
        self.frame_rate = 0.0
        self._clock = clock
        self._settings = settings
        self._first_msn = first_msn
        self._first_discontinuity = discontinuity_sequence
        self._siblings = siblings
        self._tracks = TrackSet()
        self._init_number = 0
        self._media: dict[int, list[bytes]] = {}
        self._inits: dict[int, bytes] = {}
        self._init_of: dict[int, int] = {}
        self._leaving: deque[tuple[int, int]] = deque()  # (when to forget, segment), by the monotonic clock
        self._longest_us = 0  # of all playlists so far
        self._handed_out_ms: int | None = None  # when a viewer last got the playlist, by the monotonic clock
        self._renderings: dict[tuple[bool, str], Rendering] = {}
        self._waiting = WaitingRoom()
        self._bitrate = Bitrate()
        self._window_segments = settings.window_segments
        self._watchers: tuple[StoreWatcher, ...] = ()

    # --- written by the packager ---

    def begin(self, epoch: Epoch) -> None:
        """The promises are made: there is a playlist from now on."""
        self.playlist = MediaPlaylist(
            epoch=epoch,
            first_msn=self._first_msn + 1,  # one is kept for a lead-in
            discontinuity_sequence=self._first_discontinuity,
            window_segments=self._window_segments,
        )
        for watcher in self._watchers:
            watcher.on_begin(epoch)

    def open_segment(self, *, tracks: TrackSet, utc_ms: int, independent: bool, discontinuity: bool) -> None:
        """Parts that follow belong to a new segment whose first frame is presented at `utc_ms`."""
        if tracks is not self._tracks:
            self._tracks = tracks
            data = init_segment(tracks)
            self._init_number = init_number(data)
            self._inits[self._init_number] = data
        msn = self._written.open_segment(
            init_uri=f"init-{self._init_number}.mp4",
            discontinuity=discontinuity,
            utc_ms=utc_ms,
            independent=independent,
        )
        self._init_of[msn] = self._init_number
        for watcher in self._watchers:
            watcher.on_open(tracks, utc_ms=utc_ms, independent=independent, discontinuity=discontinuity)

    def add_part(self, data: bytes, *, duration_us: int, independent: bool) -> None:
        """A complete part of the open segment."""
        msn, _ = self._written.add_part(duration_us=duration_us, independent=independent)
        self._media.setdefault(msn, []).append(data)
        self.resident_bytes += len(data)
        self._bitrate.add(len(data), duration_us)
        for watcher in self._watchers:
            watcher.on_part(data, duration_us=duration_us, independent=independent)

    def close_segment(self) -> None:
        """The open segment is complete; what the window has no room for leaves the playlist."""
        playlist = self._written
        self._longest_us = max(self._longest_us, playlist.duration_us)
        self._bitrate.close()
        now_ms = self._clock.now_ms()
        for segment in playlist.close_segment():
            self._leaving.append((now_ms + self._keep_ms(segment.duration_us, now_ms), segment.msn))
        self.forget_expired()
        for watcher in self._watchers:
            watcher.on_close()

    def publish(self) -> None:
        """Viewers may see what was written since the last time."""
        self.version += 1
        self._renderings.clear()
        if self.playlist is not None:
            self.playlist.lead_in()
        for sibling in self._siblings():
            sibling.refresh()
        for watcher in self._watchers:
            watcher.on_publish(frame_rate=self.frame_rate)
        self._waiting.wake(self._reached)

    def refresh(self) -> None:
        """Another rendition moved on: reports in this one's playlist are out of date."""
        self._renderings.clear()

    def finish(self) -> None:
        """The programme has ended; everybody who waits is told. Idempotent; nothing where it was withdrawn."""
        if self.ended_ms is not None or self.is_withdrawn:
            return
        self.ended_ms = self._clock.now_ms()
        if self.playlist is not None:
            self.playlist.ended = True
        for watcher in self._watchers:
            watcher.on_finish()
        self.publish()

    # --- on its way from and to other workers ---

    def watch(self, watcher: StoreWatcher) -> StoreState:
        """From now on `watcher` hears of every change; what was before it is in the state."""
        self._watchers = (*self._watchers, watcher)
        now_ms, playlist = self._clock.now_ms(), self.playlist
        return StoreState(
            first_msn=self._first_msn,
            first_discontinuity=self._first_discontinuity,
            window_segments=self._window_segments,
            epoch=playlist.epoch if playlist is not None else None,
            playlist=playlist.state if playlist is not None else None,
            tracks=self._tracks,
            init_number=self._init_number,
            inits=dict(self._inits),
            init_of=dict(self._init_of),
            media={msn: list(parts) for msn, parts in self._media.items()},
            leaving=[(until_ms - now_ms, msn) for until_ms, msn in self._leaving],
            longest_us=self._longest_us,
            bitrate=self._bitrate.state,
            frame_rate=self.frame_rate,
            has_ended=self.ended_ms is not None,
        )

    def unwatch(self, watcher: StoreWatcher) -> None:
        """No more. Harmless where it never did."""
        self._watchers = tuple(each for each in self._watchers if each is not watcher)

    def adopt(self, state: StoreState) -> None:
        """Become what another worker's store is. Who waits is answered where that is far enough.

        What an earlier owner made stays on offer until the new one has something, and is fetched to its end.
        """
        now_ms = self._clock.now_ms()
        if state.first_msn != self._first_msn:
            self._retire(now_ms)
        else:
            self._media, self._init_of, self._inits = {}, {}, {}
            self._leaving.clear()
        self._first_msn, self._first_discontinuity = state.first_msn, state.first_discontinuity
        self._window_segments = state.window_segments
        self.ended_ms = now_ms if state.has_ended else None
        if state.epoch is None or state.playlist is None:
            return
        self.begin(state.epoch)
        self._written.restore(state.playlist)
        # `init_segment` is made again when the next segment opens with a TrackSet that is not this very object.
        self._tracks, self._init_number, self.frame_rate = state.tracks, state.init_number, state.frame_rate
        self._inits |= state.inits
        self._init_of |= state.init_of
        self._media |= state.media
        self._leaving.extend((now_ms + left_ms, msn) for left_ms, msn in state.leaving)
        self._longest_us, self._bitrate = state.longest_us, Bitrate(state.bitrate)
        self.resident_bytes = sum(len(part) for parts in self._media.values() for part in parts)
        self.publish()

    def _retire(self, now_ms: int) -> None:
        """All segments leave when the last playlist that listed them may be out of use."""
        leaving = {msn for _, msn in self._leaving}
        until_ms = now_ms + 2 * self._longest_us // 1_000
        self._leaving.extend((until_ms, msn) for msn in sorted(self._media) if msn not in leaving)
        self._bitrate = Bitrate()

    def withdraw(self) -> None:
        """Another worker makes this programme now: whoever holds this store should ask for the room's again."""
        self.is_withdrawn = True
        for watcher in self._watchers:
            watcher.on_withdraw()
        self._watchers = ()
        self.release_waiting()

    # --- housekeeping ---

    def forget_expired(self) -> None:
        """Let go of segments that left the playlist long enough ago."""
        now_ms, leaving = self._clock.now_ms(), self._leaving
        if not leaving or leaving[0][0] > now_ms:
            return
        while leaving and leaving[0][0] <= now_ms:
            msn = leaving.popleft()[1]
            self.resident_bytes -= sum(map(len, self._media.pop(msn, ())))
            self._init_of.pop(msn, None)
        needed = set(self._init_of.values())
        for number in [number for number in self._inits if number not in needed]:
            del self._inits[number]

    @property
    def last_call_ms(self) -> int | None:
        """When nobody can be expected to fetch from an ended programme any more, by the monotonic clock."""
        return None if self.ended_ms is None else self.ended_ms + self._longest_us // 500

    @property
    def next_numbers(self) -> tuple[int, int]:
        """Media and discontinuity sequence number that a following programme may begin with."""
        playlist = self.playlist
        if playlist is None:
            return self._first_msn, self._first_discontinuity
        discontinuities = sum(segment.discontinuity for segment in playlist.segments)
        return playlist.next_msn, playlist.discontinuity_sequence + discontinuities + 1

    def release_waiting(self) -> None:
        """Send everybody home with what there is: the process is shutting down."""
        self._waiting.wake_all()

    @property
    def waiting_count(self) -> int:
        """Viewers who wait for a part or a segment."""
        return len(self._waiting)

    # --- read by viewers ---

    @property
    def playable(self) -> bool:
        """Whether the playlist lists anything."""
        return self.playlist is not None and bool(self.playlist.segments)

    @property
    def has_video(self) -> bool:
        """Whether there are pictures in what is made now."""
        return self._tracks.video is not None

    def rendering(self, *, skip: bool = False, query: str = "") -> Rendering:
        """The newest playlist. `skip`: as a delta update; `query`: goes behind every child URI, with its "?"."""
        self._handed_out_ms = self._clock.now_ms()
        key = (skip, query)
        rendering = self._renderings.get(key)
        if rendering is None:
            if len(self._renderings) >= _QUERIES_CACHED:
                self._renderings.clear()
            text = self._written.render(skip=skip, query=query, reports=self._reports())
            rendering = self._renderings[key] = Rendering(text)
        return rendering

    def variant(self) -> Variant | None:
        """This rendition in the multivariant playlist; None until something is playable."""
        if not self.playable:
            return None
        video, audio = self._tracks.video, self._tracks.audio
        return Variant(
            uri=f"{self.rendition}/media.m3u8",
            bandwidth_bps=self._bitrate.bandwidth_bps,
            average_bandwidth_bps=self._bitrate.average_bps,
            codecs=",".join(track.codec_string for track in (video, audio) if track is not None),
            width=video.width if video is not None else 0,
            height=video.height if video is not None else 0,
            frame_rate=self.frame_rate,
            video_range=video.video_range if video is not None else "SDR",
        )

    async def wait_for(self, *, msn: int, part: int | None = None, timeout_ms: int) -> bool:
        """Wait until the playlist holds segment `msn` whole, or its part. Cancel-safe: yes.

        True when it does or never will because the programme has ended; False when the time is over or
        `release_waiting` was called. Raises AheadOfLiveError (RFC 8216bis 6.2.5.2). The playlist must be playable.
        """
        if self._reached(msn, part):
            return True
        self._refuse_far_ahead(msn, part)
        await self._waiting.wait((msn, part), timeout_ms)
        return self._reached(msn, part)

    async def wait_until_playable(self, *, timeout_ms: int) -> bool:
        """Wait for the first part of a programme that has just begun. Cancel-safe: yes."""
        if not self.playable and self.ended_ms is None:
            await self._waiting.wait((self._first_msn + 1, 0), timeout_ms)
        return self.playable

    def part(self, msn: int, index: int) -> bytes | None:
        """The bytes of a part, if it exists or still does."""
        parts = self._media.get(msn, ())
        return parts[index] if index < len(parts) else None

    async def hinted_part(self, msn: int, index: int, *, timeout_ms: int) -> bytes | None:
        """The bytes of the part that the playlist hints at, once it is complete. Cancel-safe: yes.

        None for any other part that is not there, and where a hinted one did not come: its segment ended before it.
        Raises TimeoutError.
        """
        playlist = self.playlist
        if playlist is None or self.ended_ms is not None or playlist.hint != (msn, index):
            return None
        if not await self.wait_for(msn=msn, part=index, timeout_ms=timeout_ms):
            raise TimeoutError
        return self.part(msn, index)

    def segment(self, msn: int) -> Sequence[bytes] | None:
        """The bytes of a complete segment, part by part."""
        playlist = self.playlist
        if playlist is None or msn > playlist.newest_complete:
            return None
        return self._media.get(msn)

    def init(self, number: int) -> bytes | None:
        """The initialisation segment with that number."""
        return self._inits.get(number)

    # --- inside ---

    @property
    def _written(self) -> MediaPlaylist:
        assert self.playlist is not None, "an epoch begins before anything is written or read"
        return self.playlist

    def _keep_ms(self, duration_us: int, now_ms: int) -> int:
        """How long a segment that leaves the playlist now may still be asked for."""
        if self._watchers:  # who mirrors this hands it out
            self._handed_out_ms = now_ms
        if self._handed_out_ms is None:
            return 0
        in_use_ms = (duration_us + self._longest_us) // 1_000
        last_use_ms = self._handed_out_ms + 1_000 * self._written.epoch.cached_s + in_use_ms
        return min(in_use_ms, max(0, last_use_ms - now_ms))

    def _reached(self, msn: int, part: int | None) -> bool:
        return self.ended_ms is not None or (self.playlist is not None and self.playlist.holds(msn, part))

    def _refuse_far_ahead(self, msn: int, part: int | None) -> None:
        playlist = self._written
        target_ms = playlist.epoch.part_target_ms
        advance_limit = -(-3_000 // target_ms) if target_ms < 1_000 else 3
        last = playlist.last_msn
        if msn > last + 2:
            asked = f"segment {msn}"
        elif part is not None and msn == last and part > playlist.last_part + advance_limit:
            asked = f"part {part} of segment {msn}"
        else:
            return
        raise AheadOfLiveError(
            f"{asked} is too far ahead",
            why=f"the newest part is {playlist.last_part} of segment {last}",
            fix="reload the playlist without _HLS_msn and go on from what it lists",
        )

    def _reports(self) -> list[Report]:
        return [
            Report(
                uri=f"../{sibling.rendition}/media.m3u8",
                last_msn=sibling.playlist.last_msn,
                last_part=sibling.playlist.last_part,
            )
            for sibling in self._siblings()
            if sibling.playlist is not None and sibling.playable
        ]

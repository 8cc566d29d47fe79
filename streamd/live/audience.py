"""The viewers of one stream in one wire format: every byte built once, the same object written to all of them.

In: batches of on-air frames. Out: bytes to each `Viewer`. A group is made for a stream, a format, and a choice of sound
and pictures; what it has written since the last key frame it keeps as it was written, so that a newcomer is given
ready-made bytes too.

A viewer is `live`, `waiting` (for a beginning: a key frame, or tracks that have settled) or `behind`. Its bytes wait in
its own transport, and policies bound them:
- `skip`: more than `skip_ms` of the stream unread: nothing more is written until a key frame finds it drained;
- `drop`: unread for `stuck_ms` although nothing more is written, or above `hard_limit_bytes`: closed as "slow".
A newcomer's first burst is not held against it for `burst_grace_ms`.

Truthful containers: where the format names its kinds of media at the start (`kinds_fixed`), a kind that appears, or
ceases for good, ends the play cleanly; players come back and read a true header. MSE players cannot do otherwise: one
told of sound that never comes stays black, one not told ignores the sound that comes (mpegts.js #191).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamd.live.playable import Playable
from streamd.media.frames import EncodedFrame
from streamd.media.ports import Viewer, WireFormat
from streamd.media.tracks import Track
from streamd.telemetry.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceSettings:
    """How frames are batched, and how far a viewer may fall behind."""

    tick_ms: int = 30  # frames of so long go out together: a write a tick, not a write a frame
    check_ms: int = 250  # how often backlogs are looked at
    skip_ms: int = 2_500
    skip_floor_bytes: int = 256 * 1024  # below it nobody is slow, however thin the stream
    stuck_ms: int = 10_000
    burst_grace_ms: int = 10_000
    hard_limit_bytes: int = 32 * 1024 * 1024
    sound_window_batches: int = 36  # about a second: what a newcomer to a stream without pictures is given
    max_viewers: int = 20_000


class Tally:
    """What one wire format has done, over all streams."""

    __slots__ = ("bytes", "drops", "skips", "viewers", "viewers_total")

    def __init__(self) -> None:
        self.viewers = 0
        self.viewers_total = 0
        self.bytes = 0
        self.skips = 0
        self.drops: Counter[str] = Counter()


class Seat:
    """One viewer's place. `write` is the viewer's own, looked up once."""

    __slots__ = ("burst_bytes", "from_next_key", "headers", "joined_ms", "over_since_ms", "viewer", "write")

    def __init__(self, viewer: Viewer, *, from_next_key: bool, joined_ms: int) -> None:
        self.viewer = viewer
        self.write = viewer.write
        self.from_next_key = from_next_key
        self.joined_ms = joined_ms
        self.burst_bytes = 0
        self.over_since_ms = 0
        self.headers = 0  # which edition of the group's sequence headers it has


class Audience:
    """See the module's promise."""

    def __init__(
        self,
        stream: Playable,
        wire: WireFormat,
        *,
        audio: bool,
        video: bool,
        kinds_fixed: bool,
        settings: AudienceSettings,
        tally: Tally,
        log: Log,
    ) -> None:
        self._stream = stream
        self._wire = wire
        self._audio = audio
        self._video = video
        self._kinds_fixed = kinds_fixed
        self._settings = settings
        self._tally = tally
        self._log = log

        self._begun = False  # the kinds of media are known, and bytes flow
        self._tracks: dict[bool, Track] = {}  # by is_video: what the live viewers have been told
        self._version = -1
        self._headers = 0
        self._chunks: list[tuple[int, bytes]] = []  # since the last key frame: stream time in ms, bytes as written
        self._pictured = False  # whether they hold pictures, and so must begin with a key frame
        self._opening: tuple[int, int, bytes] = (-1, -1, b"")
        self._live: dict[Seat, None] = {}
        self._row: tuple[Seat, ...] = ()  # the live ones, for the loop that writes
        self._waiting: dict[Seat, None] = {}
        self._behind: dict[Seat, None] = {}
        self._bytes = 0
        self._checked = (0, 0)  # bytes and time of the last look at backlogs
        self._bytes_per_s: int | None = None
        self._limit_bytes = settings.skip_floor_bytes

    def __len__(self) -> int:
        return len(self._live) + len(self._waiting) + len(self._behind)

    # --- coming and going ---

    def join(self, seat: Seat) -> None:
        """A viewer comes. Everything that went on air so far must have been delivered."""
        self._tally.viewers += 1
        self._tally.viewers_total += 1
        self._waiting[seat] = None
        if self._begun:
            self._start_from_cache()
        else:
            self._begin()

    def leave(self, seat: Seat) -> bool:
        """A viewer goes. False where it had gone before."""
        for row in (self._live, self._waiting, self._behind):
            if seat in row:
                del row[seat]
                self._row = tuple(self._live)
                self._tally.viewers -= 1
                return True
        return False

    def nothing_to_show(self) -> bool:
        """Whether the stream is known to have nothing of what this group chose."""
        return self._stream.settled() and not self._chosen_tracks()

    def finish(self, reason: str) -> None:
        """Everyone is written the end and sent home."""
        last = self._wire.finish()
        for seat in (*self._live, *self._waiting, *self._behind):
            self._end(seat, last, reason)

    # --- media ---

    def deliver(self, frames: Sequence[EncodedFrame], key_at: int | None) -> None:
        """A batch in the order it went on air. `key_at` is the index of the last video key frame in it."""
        if not self._begun:
            self._begin()  # takes the batch from the stream's cache
            return
        if self._stream.tracks_version != self._version and not self._retrack(frames[0]):
            return
        if not self._stream.has_pictures:
            self._deliver_sound(frames)
            return
        if key_at is None:
            self._write(_ms(frames[0]), frames)
        else:
            if key_at:
                self._write(_ms(frames[0]), frames[:key_at])
            self._restart(_ms(frames[key_at]))
            self._pictured = True
            self._write(_ms(frames[key_at]), frames[key_at:], starts=True)
        if not self._stream.gop.frames:
            self._chunks.clear()  # what the stream holds too large to keep, or no longer fitting, is so here too

    def check(self, now_ms: int) -> None:
        """Look at backlogs: skip the slow, drop the stuck."""
        self._measure(now_ms)
        if self._bytes_per_s is None:
            return
        settings = self._settings
        limit = self._limit_bytes = max(settings.skip_floor_bytes, self._bytes_per_s * settings.skip_ms // 1_000)
        late: list[Seat] = []
        for seat in self._row:
            backlog = seat.viewer.backlog_bytes()
            if backlog > limit and (
                backlog > limit + seat.burst_bytes or now_ms - seat.joined_ms > settings.burst_grace_ms
            ):
                late.append(seat)
        for seat in late:
            del self._live[seat]
            self._behind[seat] = None
            seat.over_since_ms = now_ms
            self._tally.skips += 1
        if late:
            self._row = tuple(self._live)
        for seat in tuple(self._behind):
            backlog = seat.viewer.backlog_bytes()
            if backlog <= limit // 2:
                seat.over_since_ms = now_ms
            elif now_ms - seat.over_since_ms >= settings.stuck_ms or backlog > settings.hard_limit_bytes:
                self._drop(seat, "slow")

    # --- inside ---

    def _measure(self, now_ms: int) -> None:
        """The stream's rate in this format, smoothed over about sixteen looks: key frames come in lumps."""
        size_bytes, at_ms = self._checked
        self._checked = (self._bytes, now_ms)
        if not at_ms or now_ms <= at_ms:
            return
        rate = (self._bytes - size_bytes) * 1_000 // (now_ms - at_ms)
        known = self._bytes_per_s
        self._bytes_per_s = rate if known is None else (15 * known + rate) // 16

    def _chosen_tracks(self) -> dict[bool, Track]:
        return {
            track.is_video: track for track in self._stream.tracks() if (self._video if track.is_video else self._audio)
        }

    def _bytes_of(self, frames: Sequence[EncodedFrame]) -> bytes:
        if not (self._audio and self._video):
            frames = [frame for frame in frames if (self._video if frame.track.is_video else self._audio)]
        return self._wire.frames(frames, origin_ms=self._stream.origin_ms) if frames else b""

    def _begin(self) -> None:
        """As soon as the stream's tracks can be believed: start everyone who waits."""
        tracks = self._chosen_tracks()
        if not tracks or not self._stream.settled():
            return
        self._begun = True
        self._tracks = tracks
        self._version = self._stream.tracks_version
        self._headers += 1
        cached = self._stream.gop.frames
        self._pictured = self._stream.has_pictures
        data = self._bytes_of(cached)
        self._chunks = [(_ms(cached[0]), data)] if data else []
        self._start_from_cache()

    def _start_from_cache(self) -> None:
        if not self._chunks:
            return
        opening = self._opening_at(self._chunks[0][0])
        burst_bytes = sum(len(data) for _, data in self._chunks)
        for seat in [seat for seat in self._waiting if not seat.from_next_key]:
            self._promote(seat, self._waiting, opening)
            seat.burst_bytes = burst_bytes
            for _, data in self._chunks:
                self._give(seat, data)
            self._tally.bytes += burst_bytes

    def _restart(self, at_ms: int) -> None:
        """A place where decoding can start: who waits starts, who was behind and has caught up goes on."""
        self._chunks = []
        if self._waiting:
            opening = self._opening_at(at_ms)
            for seat in tuple(self._waiting):
                self._promote(seat, self._waiting, opening)
        for seat in tuple(self._behind):
            if seat.viewer.backlog_bytes() > self._limit_bytes // 2:
                continue
            changed = seat.headers != self._headers
            headers = self._headers_at(tuple(self._tracks.values()), at_ms) if changed else b""
            self._promote(seat, self._behind, headers)

    def _promote(self, seat: Seat, row: dict[Seat, None], first: bytes) -> None:
        del row[seat]
        self._live[seat] = None
        self._row = tuple(self._live)
        seat.headers = self._headers
        if first:
            self._give(seat, first)

    def _deliver_sound(self, frames: Sequence[EncodedFrame]) -> None:
        """Without pictures every frame is a beginning; the cache slides."""
        at_ms = _ms(frames[0])
        if self._pictured:
            self._chunks = []
            self._pictured = False
        if self._waiting or self._behind:
            chunks = self._chunks
            self._restart(at_ms)
            self._chunks = chunks
        self._write(at_ms, frames, starts=True)
        if len(self._chunks) > 2 * self._settings.sound_window_batches:
            del self._chunks[: -self._settings.sound_window_batches]

    def _write(self, at_ms: int, frames: Sequence[EncodedFrame], *, starts: bool = False) -> None:
        data = self._bytes_of(frames)
        if not data:
            return
        self._send(data)
        if starts or self._chunks:
            self._chunks.append((at_ms, data))

    def _send(self, data: bytes) -> None:
        self._bytes += len(data)
        self._tally.bytes += len(data) * len(self._row)
        for seat in self._row:
            try:
                seat.write(data)
            except Exception:
                self._fail(seat)

    def _give(self, seat: Seat, data: bytes) -> None:
        try:
            seat.write(data)
        except Exception:
            self._fail(seat)

    def _fail(self, seat: Seat) -> None:
        """One viewer's connection must not cost the others their picture. Called where its exception is handled."""
        self._log.exception("live.viewer_failed", room=self._stream.room, wire=self._wire.name)
        self._drop(seat, "failed")

    def _retrack(self, first: EncodedFrame) -> bool:
        """The stream's tracks are not what the viewers were told. False where the play had to end."""
        now = self._chosen_tracks()
        settled = self._stream.settled()
        appeared = now.keys() - self._tracks.keys()
        ceased = self._tracks.keys() - now.keys()
        if self._kinds_fixed and (appeared or (ceased and settled)):
            self._close_book()
            return False
        if ceased and settled:
            self._tracks = {kind: track for kind, track in self._tracks.items() if kind in now}
        changed = [track for kind, track in now.items() if self._tracks.get(kind) != track]
        if changed:
            self._tracks |= now
            self._headers += 1
            data = self._headers_at(changed, _ms(first))
            if self._chunks:
                self._chunks.append((_ms(first), data))
            for seat in self._row:
                seat.headers = self._headers
            self._send(data)
        if settled or not ceased:
            self._version = self._stream.tracks_version
        return True

    def _close_book(self) -> None:
        """End the plays that began under another header; whoever still waits begins under the next one."""
        last = self._wire.finish()
        for seat in (*self._live, *self._behind):
            self._end(seat, last, "tracks_changed")
        self._begun = False
        self._chunks = []

    def _end(self, seat: Seat, last: bytes, reason: str) -> None:
        if last:
            self._give(seat, last)
        if not self.leave(seat):
            return
        self._tally.drops[reason] += 1
        # "ended" whatever the reason: what is queued drains and the player sees a clean end.
        seat.viewer.close("ended")

    def _drop(self, seat: Seat, reason: str) -> None:
        if self.leave(seat):
            self._tally.drops[reason] += 1
            seat.viewer.close(reason)

    def _opening_at(self, at_ms: int) -> bytes:
        """Header, metadata and sequence headers, kept for the next newcomer."""
        edition, built_ms, data = self._opening
        if edition != self._headers or built_ms != at_ms:
            tracks = tuple(self._tracks.values())
            data = self._wire.start(tracks, origin_ms=self._stream.origin_ms, at_ms=at_ms)
            self._opening = (self._headers, at_ms, data)
        return data

    def _headers_at(self, tracks: Sequence[Track], at_ms: int) -> bytes:
        return self._wire.tracks(tracks, origin_ms=self._stream.origin_ms, at_ms=at_ms)


def _ms(frame: EncodedFrame) -> int:
    return frame.dts * 1_000 // frame.track.timescale_hz

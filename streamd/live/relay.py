"""A stream's frames on their way to another worker, as records, and the stream there that viewers watch.

In, at the owner: on-air frames of a `LiveStream`, through a `FrameTap`. Out: records; the first are what a newcomer
needs (tracks, frames since the last key frame). In, at the mirror: those records. Out: a `MirroredStream`, which the
fan-out treats as it treats a stream of its own.

A mirror that lost its connection is told the beginning again; frames that it had are recognised by their time and not
shown twice. Not here: connections, bounds of what waits for a slow mirror (`streamd.internal`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import IntEnum
from struct import Struct
from struct import error as StructError

from streamd.live.gop import GopCache
from streamd.live.stream import LiveStream, StreamSettings
from streamd.media.frames import EncodedFrame
from streamd.media.ports import FrameSink
from streamd.media.records import RecordError, pack_json, record, track_from_json, track_to_json
from streamd.media.tracks import Track


class Kind(IntEnum):
    """What a record says."""

    HELLO = 32
    TRACKS = 33
    FRAME = 34
    PAUSE = 35
    END = 36


_FRAME = Struct(">qiBB")  # dts, cts, whether video, whether a decoder may start here


class FrameTap:
    """Writes a stream's frames as records. A `FrameSink`."""

    def __init__(self, stream: LiveStream, write: Callable[[Iterable[bytes]], None]) -> None:
        self._stream = stream
        self._write = write
        self._version = -1
        self._settled = False

    def open(self) -> None:
        """Write the beginning, and go on with every frame until `close`."""
        stream = self._stream
        self._write(record(Kind.HELLO, pack_json({"origin_ms": stream.origin_ms})))
        self._tell_tracks()
        for frame in stream.gop.frames:
            self._send(frame)
        stream.attach(self)

    def close(self) -> None:
        """No more. Idempotent."""
        self._stream.detach(self)

    def on_track(self, track: Track) -> None:
        """Told with the first frame of it that flows."""

    def on_frame(self, frame: EncodedFrame) -> None:
        """See FrameSink."""
        stream = self._stream
        if stream.tracks_version != self._version or (not self._settled and stream.settled()):
            self._tell_tracks()
        self._send(frame)

    def on_pause(self) -> None:
        """See FrameSink."""
        self._write(record(Kind.PAUSE))

    def on_end(self) -> None:
        """See FrameSink."""
        self._write(record(Kind.END))

    def _send(self, frame: EncodedFrame) -> None:
        track, dts, cts, is_sync, payload = frame
        self._write(record(Kind.FRAME, _FRAME.pack(dts, cts, track.is_video, is_sync), payload))

    def _tell_tracks(self) -> None:
        stream = self._stream
        self._version, self._settled = stream.tracks_version, stream.settled()
        tracks = [track_to_json(track) for track in stream.tracks()]
        self._write(record(Kind.TRACKS, pack_json({"tracks": tracks, "settled": self._settled})))


class MirroredStream:
    """A stream that another worker owns. Implements `Playable`; written by `apply`."""

    def __init__(self, room: str) -> None:
        settings = StreamSettings()
        self.room = room
        self.origin_ms = 0
        self.tracks_version = 0
        self.gop = GopCache(
            limit_bytes=settings.gop_limit_bytes,
            limit_frames=settings.gop_limit_frames,
            audio_frames=settings.sound_window_frames,
        )
        self.has_begun = False
        self.has_ended = False
        self._tracks: dict[bool, Track] = {}  # by is_video
        self._last_dts = {True: -1, False: -1}
        self._settled = False
        self._sinks: tuple[FrameSink, ...] = ()

    # --- Playable ---

    @property
    def has_pictures(self) -> bool:
        return True in self._tracks

    def tracks(self) -> tuple[Track, ...]:
        return tuple(self._tracks[kind] for kind in (True, False) if kind in self._tracks)

    def settled(self) -> bool:
        return self._settled

    def attach(self, sink: FrameSink) -> None:
        for track in self.tracks():
            sink.on_track(track)
        self._sinks = (*self._sinks, sink)

    def detach(self, sink: FrameSink) -> None:
        self._sinks = tuple(each for each in self._sinks if each is not sink)

    @property
    def is_watched(self) -> bool:
        """Whether anybody here wants its frames."""
        return bool(self._sinks)

    # --- written ---

    def apply(self, kind: int, body: bytes) -> None:
        """One record, in order. Raises RecordError."""
        try:
            if kind == Kind.FRAME:
                self._take_frame(body)
            else:
                self._take_news(kind, body)
        except (ValueError, KeyError, TypeError, AssertionError, StructError) as error:
            raise RecordError(f"record {kind} does not fit: {error}") from error

    def end(self) -> None:
        """The programme is over, or goes on in a stream of its own: viewers are sent a clean end. Idempotent."""
        self.has_ended = True
        sinks, self._sinks = self._sinks, ()
        for sink in sinks:
            sink.on_end()

    def _take_frame(self, body: bytes) -> None:
        dts, cts, is_video, is_sync = _FRAME.unpack_from(body)
        kind = bool(is_video)
        track = self._tracks.get(kind)
        if track is None or dts <= self._last_dts[kind]:
            return
        self._last_dts[kind] = dts
        payload = body[_FRAME.size :]
        frame = EncodedFrame(track, dts, cts, bool(is_sync), payload)
        if kind:
            self.gop.add_video(frame, len(payload))
        elif self.has_pictures:
            self.gop.add_audio(frame, len(payload))
        else:
            self.gop.add_sound_alone(frame)
        for sink in self._sinks:
            sink.on_frame(frame)

    def _take_news(self, kind: int, body: bytes) -> None:
        if kind == Kind.HELLO:
            self.origin_ms = json.loads(body)["origin_ms"]
        elif kind == Kind.TRACKS:
            self._take_tracks(json.loads(body))
        elif kind == Kind.PAUSE:
            for sink in self._sinks:
                sink.on_pause()
        elif kind == Kind.END:
            self.end()
        else:
            raise RecordError("a kind that does not exist")

    def _take_tracks(self, told: dict[str, object]) -> None:
        values = told["tracks"]
        assert isinstance(values, list)
        before = self._tracks
        now = {track.is_video: track for track in map(track_from_json, values)}
        # An equal track stays the object that frames point at.
        self._tracks = {kind: before[kind] if before.get(kind) == track else track for kind, track in now.items()}
        changed = [track for kind, track in self._tracks.items() if before.get(kind) is not track]
        if any(before.get(track.is_video) is not None for track in changed):
            self.gop.reset()
        self._settled = bool(told["settled"])
        self.has_begun = True
        if changed or self._tracks.keys() != before.keys():
            self.tracks_version += 1
        for track in changed:
            for sink in self._sinks:
                sink.on_track(track)

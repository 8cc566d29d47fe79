"""One stream's frames into one store: the `FrameSink` that puts a room on HLS.

In: repaired frames, synchronously, from the live stream. Out: parts, segments and playlists in a `SegmentStore`,
visible to viewers in the same call. No tasks, no timers, no I/O; a frame that ends nothing costs 0.3 µs.

Not here: what to cut where (segmenter), bytes of a part (fragment), waiting viewers (store).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import assert_never

from hls_packager.fragment import fragment
from hls_packager.model import (
    EpochDecided,
    Event,
    HlsSettings,
    HostWarning,
    PartClosed,
    SegmentClosed,
    SegmentOpened,
    Warned,
)
from hls_packager.planner import frame_duration
from hls_packager.segmenter import Segmenter
from hls_packager.store import SegmentStore
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track, VideoTrack
from streamd.telemetry.log import Log

_RATE_MEASURED_OVER_US = 1_900_000


class Packager:
    """See the module's promise.

    `utc_ms` gives the wall clock for a moment of the stream's timeline, both in milliseconds: what
    EXT-X-PROGRAM-DATE-TIME says. `warnings` counts what a host can mend at the encoder.
    """

    def __init__(
        self,
        *,
        room: str,
        store: SegmentStore,
        settings: HlsSettings,
        log: Log,
        utc_ms: Callable[[int], int] = lambda stream_ms: stream_ms,
    ) -> None:
        self.room = room
        self.warnings: Counter[HostWarning] = Counter()
        self.parts = 0
        self._store = store
        self._log = log
        self._utc_ms = utc_ms
        self._segmenter = Segmenter(settings=settings, memory=store.cadence)
        self._push = self._segmenter.push
        self._rated: VideoTrack | None = None  # whose FRAME-RATE is known, or being measured
        self._rate_dts: list[int] | None = None  # what it is being measured from

    # --- FrameSink ---

    def on_track(self, track: Track) -> None:
        """A revision was announced; frames may follow."""
        self._segmenter.announce(track)

    def on_frame(self, frame: EncodedFrame) -> None:
        """One repaired frame, on the stream's timeline."""
        events = self._push(frame)
        if events:
            self._apply(events)

    def on_pause(self) -> None:
        """The encoder is gone: viewers get everything there was. It may come back within the grace time."""
        self._apply(self._segmenter.pause())
        self._store.cadence = self._segmenter.cadence

    def on_end(self) -> None:
        """The programme has ended."""
        self._apply(self._segmenter.pause())
        self._store.cadence = self._segmenter.cadence
        self._store.finish()
        self._log.info(
            "hls.programme_ended", room=self.room, parts=self.parts, dropped_frames=self._segmenter.dropped_frames
        )

    # --- inside ---

    def _apply(self, events: Sequence[Event]) -> None:
        store = self._store
        news = False
        for event in events:
            match event:
                case PartClosed():
                    self.parts += 1
                    data = fragment(self.parts, event)
                    store.add_part(data, duration_us=event.duration_us, independent=event.independent)
                    news = True
                    if self._rate_dts is not None:
                        self._measure_rate(self._rate_dts, event)
                case SegmentOpened():
                    self._open(event)
                case SegmentClosed():
                    store.close_segment()
                    news = True
                case EpochDecided():
                    self._begin(event)
                case Warned():
                    self._warn(event)
                case _:
                    assert_never(event)
        if news:
            store.publish()

    def _begin(self, decided: EpochDecided) -> None:
        epoch, cadence = decided.epoch, decided.cadence
        self._store.begin(epoch)
        self._store.cadence = cadence
        if cadence.has_video:
            self._store.frame_rate = float(1 / cadence.frame)
        self._log.info(
            "hls.epoch_decided",
            room=self.room,
            target_duration_s=epoch.target_duration_s,
            part_target_ms=epoch.part_target_ms,
            frame_us=round(cadence.frame * 1_000_000),
            constant_rate=cadence.constant,
            gop_ms=cadence.gop_ms,
            video=cadence.has_video,
            audio=cadence.has_audio,
        )

    def _open(self, opened: SegmentOpened) -> None:
        start_ms = opened.start_us // 1_000
        self._store.open_segment(
            tracks=opened.tracks,
            utc_ms=self._utc_ms(start_ms),
            independent=opened.independent,
            discontinuity=opened.discontinuity,
        )
        video = opened.tracks.video
        if video is not None and video != self._rated:
            # The epoch's first configuration had its rate from the epoch's decision.
            first = self._rated is None and self._store.frame_rate > 0
            self._rated, self._rate_dts = video, None if first else []

    def _measure_rate(self, dts: list[int], part: PartClosed) -> None:
        """FRAME-RATE of a configuration that came in mid-stream."""
        if self._rated is None:
            return
        dts += [picture.dts for picture in part.video]
        hz = self._rated.timescale_hz
        if dts and (dts[-1] - dts[0]) * 1_000_000 >= _RATE_MEASURED_OVER_US * hz:
            self._store.frame_rate = float(1 / frame_duration(dts, hz, self._rated.nominal_fps)[0])
            self._rate_dts = None

    def _warn(self, warned: Warned) -> None:
        self.warnings[warned.warning] += 1
        if self.warnings[warned.warning] == 1:
            self._log.warning(f"hls.{warned.warning.value}", room=self.room, at_ms=warned.at_us // 1_000)

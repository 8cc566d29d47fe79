"""Fills parts and segments of one track set, on the timeline of its lead track.

In: the frames that may end a part (the segmenter appends all others to `pictures` and `sounds` itself). Out: events.
One cutter lives from a discontinuity, a changed configuration or a return of the encoder to the next one.

Rules (RFC 8216bis 4.4.3.7, 4.4.4.9; what players do with them is in the comments)
- A part never lasts longer than the part target. It lasts at least 85 % of it unless it begins with a key frame, ends
  its segment, or a single frame lasts longer than 15 % of the target.
- A part closes when the frame after it arrives: only then is its length known, and whether that frame is a key frame,
  so whatever the playlist hints at next does come. Sound alone needs no such wait: its frames have known lengths.
- A segment begins at a key frame; without one, only where it would otherwise outgrow the target duration.
- Sound goes into the part that covers its time, or, when it came late, into the one that is open.
- A picture that lasts longer than a part (pictures froze and sound went on, or nothing came for less than two seconds)
  stays in its part, and parts of sound alone cover its time: boundaries then lie on the grid of the plan and not on a
  picture. If they come back with a key frame after longer than that, going on at once is worth more to viewers who have
  been waiting than the sound they missed: that is a hole.

Not here: which tracks are on air, key frames that bring new ones, waiting (segmenter, probe), silence (soundtrack).
"""

from __future__ import annotations

from collections import deque

from hls_packager.model import (
    Epoch,
    Event,
    HlsSettings,
    HostWarning,
    PartClosed,
    SegmentClosed,
    SegmentOpened,
    TrackSet,
    Warned,
)
from hls_packager.soundtrack import Soundtrack
from streamd.media.frames import EncodedFrame

_NEVER = 1 << 62
_GOPS_REMEMBERED = 8
_LONGEST_FREEZE_S = 2


class KeyFrames:
    """The distances of the newest key frames. Outlives cutters: an encoder that returns keeps its habits."""

    __slots__ = ("_gops_us", "_last_us")

    def __init__(self) -> None:
        self._gops_us: deque[int] = deque(maxlen=_GOPS_REMEMBERED)
        self._last_us: int | None = None

    def note(self, at_us: int) -> None:
        """A key frame is at `at_us`."""
        if self._last_us is not None and at_us > self._last_us:
            self._gops_us.append(at_us - self._last_us)
        self._last_us = at_us

    def pause(self) -> None:
        """The next key frame is not a group of pictures away from the last one."""
        self._last_us = None

    @property
    def longest_us(self) -> int | None:
        """None until two key frames were seen."""
        return max(self._gops_us, default=None)


class Cutter:
    """See the module's promise.

    Pictures with `dts < picture_cut` that are no key frames, and sounds with `dts < sound_cut`, belong into the open
    part without a question. `at_picture` and `at_sound` are for all others. Once `broken` or `silent` is set the cutter
    has not taken the frame at hand and is of no further use but for `sounds`.
    """

    __slots__ = (
        "_away",
        "_delay_us",
        "_epoch",
        "_floor",
        "_frame",
        "_hz",
        "_independent",
        "_inner_keys",
        "_keys",
        "_last_picture",
        "_part",
        "_part_limit",
        "_part_start",
        "_segment_least_us",
        "_segment_limit",
        "_segment_start_us",
        "_sound",
        "_sound_hz",
        "_sound_step",
        "_target",
        "broken",
        "end_us",
        "picture_cut",
        "pictures",
        "silent",
        "sound_cut",
        "sounds",
        "tracks",
    )

    def __init__(
        self,
        *,
        epoch: Epoch,
        settings: HlsSettings,
        tracks: TrackSet,
        first: EncodedFrame,
        frame_us: int,
        keys: KeyFrames,
    ) -> None:
        """`first`, of the lead track, is where to begin and not taken yet; its kind is expected to last `frame_us`.
        `tracks` has sound."""
        audio = tracks.audio
        assert audio is not None, "where no sound comes, silence stands in"
        self.tracks = tracks
        self.broken = False  # the programme has a hole before the frame at hand; everything before it is out
        self.silent = False  # sound goes on and pictures do not
        hz = self._hz = first.track.timescale_hz
        self._sound_hz = audio.timescale_hz
        self._sound_step = audio.samples_per_frame
        start = (first.dts + max(first.cts, 0)) * self._sound_hz // hz
        self._sound = Soundtrack(audio, start=start, with_pictures=tracks.video is not None)
        self.pictures: list[EncodedFrame] = []
        self.sounds = self._sound.frames
        self._last_picture = first.dts
        self._epoch = epoch
        self._keys = keys
        self._target = epoch.part_target_ms * hz // 1_000
        self._part = epoch.part_us * hz // 1_000_000
        self._floor = -(-self._target * 85 // 100)
        self._frame = max(1, frame_us * hz // 1_000_000)
        self._away = settings.pictures_away_ms * self._sound_hz // 1_000
        self._segment_least_us = settings.segment_ms * 1_000 - frame_us // 2
        self._inner_keys = self._independent = False
        self._delay_us = self._us(first.cts)  # from decoding to presentation, of key frames
        self._segment_limit = first.dts + self._ticks(epoch.segment_limit_us)
        self._open_part(first.dts, independent=True)
        self.end_us = self._segment_start_us = self._us(first.dts)  # where the last closed part ends

    # --- what the segmenter calls ---

    @property
    def heard(self) -> int:
        """When the newest sound that came began; where the cutter did if there was none."""
        return self.sounds[-1].dts if self.sounds else self._sound.heard

    def begin(self, *, discontinuity: bool) -> SegmentOpened:
        """The first segment opens."""
        return self._open_segment(independent=True, discontinuity=discontinuity)

    def at_picture(self, frame: EncodedFrame) -> list[Event]:
        """Take a picture that may end the open part."""
        dts = frame.dts
        events: list[Event] = []
        if not self._make_room(frame, events):
            self.broken = True
            return events + self.finish()
        if frame.is_sync:
            self._at_key(frame, events)
        elif dts >= self.picture_cut:
            self._frame = self._measured_frame(dts)
            was_last = self._part_limit == self._segment_limit
            self._close(dts, dts, events)
            self._end_segment_if_full(events, was_last=was_last)
        self.pictures.append(frame)
        return events

    def at_sound(self, frame: EncodedFrame) -> list[Event]:
        """Take a sound that ends the open part of a programme without pictures, or learn that pictures have ceased."""
        if self.tracks.video is not None:
            self.silent = True
            return self._until_pictures_ceased()
        events: list[Event] = []
        dts, step = frame.dts, self._sound_step
        if dts + step - self._part_start > self._target:
            sound_end = self.sounds[-1].dts + step if self.sounds else self._part_start
            if dts - sound_end > self._target:
                self.broken = True
                return self.finish()
            start = self._part_start
            self._close(dts if dts - start <= self._target else start + self._part, 0, events)
            self._end_sound_segment(events)
        self.sounds.append(frame)
        if dts + 2 * step - self._part_start > self._target:
            self._close(dts + step, 0, events)
            self._end_sound_segment(events)
        return events

    def conclude(self, next_key: EncodedFrame) -> list[Event]:
        """Everything before `next_key`, which begins under another configuration, and the end of the segment."""
        events: list[Event] = []
        dts = next_key.dts
        if next_key.track.is_video and self.tracks.video is not None and self._make_room(next_key, events):
            self._close(dts, dts, events)
            return [*events, SegmentClosed()]
        return events + self.finish()

    def finish(self) -> list[Event]:
        """All that was taken, its last frame with the length expected of it, and the end of the segment."""
        events: list[Event] = []
        video_end = self.pictures[-1].dts + self._frame if self.pictures else 0
        end = max(video_end, self._sound_end())
        self._close(min(end, self._part_limit), video_end, events, sound_end=self._part_limit + self._target)
        events.append(SegmentClosed())
        return events

    # --- pictures ---

    def _make_room(self, frame: EncodedFrame, events: list[Event]) -> bool:
        """Close parts until what is shown until `frame` fits the open one; False where nothing is there to show.

        More than one part only where a picture outlasts the part target.
        """
        dts = frame.dts
        while dts > self._part_limit:
            pictures, start = self.pictures, self._part_start
            grid = min(start + self._part, self._part_limit)
            was_last = self._part_limit == self._segment_limit
            without_last = pictures[-1].dts - start if pictures else 0
            least = self._target // 2 if self._independent else 1 if was_last else self._floor
            whole_enough = without_last >= least
            if not whole_enough and (dts - grid <= self._target or self._covered(grid, frame)):
                if not pictures and not self._sound.fills and not self._sound_before(grid):
                    return False
                self._close(grid, dts, events)
            elif without_last > 0:
                last = pictures.pop()
                self._close(last.dts, last.dts, events)
                pictures.append(last)
                self._independent = last.is_sync
            else:
                return False
            self._end_segment_if_full(events, was_last=was_last)
        return True

    def _covered(self, grid: int, frame: EncodedFrame) -> bool:
        """Whether something is there for the part after `grid`, though no picture is before `frame`."""
        last = self.pictures[-1].dts if self.pictures else self._last_picture
        if frame.dts - last <= _LONGEST_FREEZE_S * self._hz:
            return self._sound.fills or self._sound_end() > grid + self._part
        return not frame.is_sync and self._sound_end() > grid + self._part

    def _at_key(self, frame: EncodedFrame, events: list[Event]) -> None:
        """Where a key frame begins a segment, a part, or neither."""
        dts = frame.dts
        at_us = self._us(dts)
        self._keys.note(at_us)
        elapsed_us = at_us - self._segment_start_us
        elapsed_part = dts - self._part_start
        limit_us = self._epoch.segment_limit_us
        gop_us = self._keys.longest_us or limit_us
        if elapsed_us <= 0:
            return
        if elapsed_us >= self._segment_least_us or elapsed_us + gop_us > limit_us:
            self._next_segment(frame, events)
        elif self._independent and elapsed_part + self._ticks(gop_us) <= self._target:
            self._inner_keys = True  # as many short groups of pictures as fit
        elif elapsed_part >= self._floor or (self._independent and 2 * elapsed_part >= self._target):
            self._close(dts, dts, events)
            self._independent = True
        elif not self.pictures:
            self._independent = True
        elif not self._independent and 2 * elapsed_us >= self._segment_least_us:
            # The part would be too short for anything but the last one of its segment.
            self._next_segment(frame, events)
        else:
            self._inner_keys = True

    def _next_segment(self, key: EncodedFrame, events: list[Event]) -> None:
        self._close(key.dts, key.dts, events)
        self._delay_us = self._us(key.cts)
        events.append(SegmentClosed())
        events.append(self._open_segment(independent=True))

    def _end_segment_if_full(self, events: list[Event], *, was_last: bool) -> None:
        """Begin a segment without a key frame where another picture might outgrow the target duration.

        `was_last`: the part just closed had no more room than its segment.
        """
        if not was_last and self._segment_limit - self._part_start >= self._frame:
            return
        key_in_front = self._independent
        events.append(SegmentClosed())
        events.append(self._open_segment(independent=key_in_front))
        if not key_in_front:
            events.append(Warned(warning=HostWarning.GOP_TOO_LONG, at_us=self.end_us))

    def _until_pictures_ceased(self) -> list[Event]:
        events: list[Event] = []
        end = min(self.pictures[-1].dts + self._frame if self.pictures else 0, self._part_limit)
        if end > self._part_start:
            self._close(end, end, events)
        events.append(SegmentClosed())
        return events

    def _measured_frame(self, dts: int) -> int:
        pictures = self.pictures
        return max(1, (dts - pictures[0].dts) // len(pictures)) if len(pictures) >= 4 else self._frame

    # --- sound ---

    def _end_sound_segment(self, events: list[Event]) -> None:
        self._independent = True
        if self.end_us - self._segment_start_us >= self._segment_least_us:
            events.append(SegmentClosed())
            events.append(self._open_segment(independent=True))

    def _sound_end(self) -> int:
        """Where the sound that came ends, on the lead's timeline."""
        return self._sound.end * self._hz // self._sound_hz

    def _sound_before(self, end: int) -> bool:
        return bool(self.sounds) and self.sounds[0].dts * self._hz < end * self._sound_hz

    # --- parts and segments ---

    def _open_part(self, start: int, *, independent: bool) -> None:
        self._part_start = start
        self._part_limit = min(start + self._target, self._segment_limit)
        self._independent = independent
        self._inner_keys = False
        if self.tracks.video is None:
            self.picture_cut = _NEVER
            self.sound_cut = start + self._target - 2 * self._sound_step + 1
        else:
            # Half a frame before the end, so that no jitter decides; what then proves too long is made room for.
            room = max(self._part_limit - start - self._frame // 2, 1)
            self.picture_cut = start + (max(room, self._floor) if self._part_limit < self._segment_limit else room)
            self.sound_cut = start * self._sound_hz // self._hz + self._away

    def _close(self, end: int, video_end: int, events: list[Event], *, sound_end: int | None = None) -> None:
        """The open part ends at `end`, its last picture at `video_end`; a new one begins. An empty one is not told.

        Sound that begins before `end` goes with it, or what begins before `sound_end`.
        """
        start = self._part_start
        until = -(-(end if sound_end is None else sound_end) * self._sound_hz // self._hz)
        sounds = self._sound.take(until, needed=not self.pictures) if end > start else []
        if self.pictures:
            self._last_picture = self.pictures[-1].dts
        if self.pictures or sounds:
            start_us, self.end_us = self._us(start), self._us(end)
            events.append(
                PartClosed(
                    video=tuple(self.pictures),
                    audio=sounds,
                    video_end=video_end,
                    start_us=start_us,
                    duration_us=self.end_us - start_us,
                    independent=self._independent,
                    inner_keys=self._inner_keys,
                )
            )
            self.pictures.clear()
        self._open_part(max(end, start), independent=False)

    def _open_segment(self, *, independent: bool, discontinuity: bool = False) -> SegmentOpened:
        start_us = self._segment_start_us = self._us(self._part_start)
        self._segment_limit = self._part_start + self._ticks(self._epoch.segment_limit_us)
        self._open_part(self._part_start, independent=independent)
        return SegmentOpened(
            tracks=self.tracks,
            start_us=start_us + self._delay_us,
            independent=independent,
            discontinuity=discontinuity,
        )

    def _ticks(self, us: int) -> int:
        return us * self._hz // 1_000_000

    def _us(self, ticks: int) -> int:
        return ticks * 1_000_000 // self._hz

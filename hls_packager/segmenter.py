"""From a stream's frames to closed parts and segments: the pure heart of the packager.

In: repaired frames on the stream's timeline, in arrival order. Out, from the same call: events, in the order a store
applies them. One segmenter lives as long as its playlist: through pauses, returns of the encoder, changed resolutions.

Invariants
- `EpochDecided` comes first, once, and never changes.
- Every part is decodable under the tracks of its segment.
- Pictures on air always have a sound track, if only of silence (see silence). Only a programme of sound alone has one
  track; it becomes one when pictures cease for long, and ceases to be one when they come.
- One changed configuration gives one discontinuity. Repeated headers, and an encoder that returns with the same ones
  within a part's length, give none.

A changed audio track is taken up at the next key frame of the video; a programme of sound alone changes at once.
Sound that is a little late (made into AAC here, by WHIP) is waited for at key frames, so that a segment begins with
the sound of its own time: hls.js lays its timeline by what comes first in what it loads first, and would play all of
the programme later by as much (passthrough-remuxer.ts, syncOnAudio).
Not here: cutting within one set of tracks (cutter), boxes, playlists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hls_packager.cutter import Cutter, KeyFrames
from hls_packager.model import Cadence, Epoch, EpochDecided, Event, HlsSettings, TrackSet
from hls_packager.planner import plan
from hls_packager.probe import Probe
from hls_packager.silence import STAND_IN, silent_payload, stands_in_for
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Track, VideoTrack

_NOTHING: tuple[Event, ...] = ()
_HELD_SOUNDS = 512
# Sound that is later than this is not waited for; it goes into the part that is open when it comes.
_SOUND_AWAITED_MS = 200
_EARLY_PICTURES = 120  # where the encoder's clock hardly moves
_SOUND_CEASED_US = 5_000_000
# A hostile encoder may advance its clock by one tick a frame; a part never holds more frames than this.
_PART_FRAMES = 2_400


class Segmenter:
    """See the module's promise."""

    __slots__ = (
        "_announced",
        "_audio",
        "_cutter",
        "_early",
        "_end_us",
        "_held",
        "_keys",
        "_memory",
        "_probe",
        "_settings",
        "_sound_cut",
        "_tracks",
        "_video",
        "dropped_frames",
        "epoch",
    )

    def __init__(self, *, settings: HlsSettings, memory: Cadence | None = None) -> None:
        """`memory`: the cadence of the room's last programme, if it is known."""
        self._settings = settings
        self._memory = memory
        self.epoch: Epoch | None = None
        self.dropped_frames = 0  # undecodable, or of a track that waits for a key frame
        self._announced = TrackSet()
        self._probe: Probe | None = Probe(settings=settings, memory=memory, announced=self._announced)
        self._cutter: Cutter | None = None
        self._keys = KeyFrames()
        self._tracks = TrackSet()  # of the last segment before a pause
        self._end_us = 0  # and where that ended
        # The very objects that on-air frames point at: what `push` compares.
        self._video: Track | None = None
        self._audio: Track | None = None
        self._held: list[EncodedFrame] = []  # sounds of a track that waits for a key frame
        self._early: list[EncodedFrame] = []  # a key frame whose sound is on its way, and the pictures after it
        self._sound_cut = 0  # the cutter's, which meanwhile says when that sound is there

    @property
    def cadence(self) -> Cadence | None:
        """What the room's next programme may count on."""
        memory, longest_us = self._memory, self._keys.longest_us
        if memory is None:
            return None
        tracks = self._tracks if self._cutter is None else self._cutter.tracks
        return replace(
            memory,
            gop_ms=memory.gop_ms if longest_us is None else longest_us // 1_000,
            has_video=memory.has_video or tracks.video is not None,
        )

    def announce(self, track: Track) -> None:
        """A configuration arrived; frames may follow."""
        self._announced = self._announced.having(track)
        if self._probe is not None:
            self._probe.announce(track)

    def push(self, frame: EncodedFrame) -> Sequence[Event]:
        """One frame. Nearly always it joins the open part and nothing is said."""
        track = frame[0]
        cutter = self._cutter
        if cutter is not None:
            if track is self._video:
                pictures = cutter.pictures
                if frame[1] < cutter.picture_cut and not frame[3] and len(pictures) < _PART_FRAMES:
                    pictures.append(frame)
                    return _NOTHING
                return self._picture(cutter, frame)
            if track is self._audio:
                if frame[1] < cutter.sound_cut:
                    if len(cutter.sounds) < _PART_FRAMES:
                        cutter.sounds.append(frame)
                    return _NOTHING
                return self._sound(cutter, frame)
        return self._elsewhere(frame)

    def pause(self) -> list[Event]:
        """The encoder is gone: everything taken so far, complete. A later `push` goes on in a new segment."""
        events = self._release()
        if self._cutter is None and self._probe is not None and self._probe.usable:
            events += self._start(self._probe)
        if self._cutter is not None:
            events += self._cutter.finish()
        self._await_return()
        return events

    # --- the slow path of tracks on air ---

    def _picture(self, cutter: Cutter, frame: EncodedFrame) -> Sequence[Event]:
        if frame.is_sync and self._sound_is_near(cutter, frame):
            return _NOTHING
        return self._cut(cutter, frame)

    def _cut(self, cutter: Cutter, frame: EncodedFrame) -> Sequence[Event]:
        """A picture that may end the open part."""
        if frame.is_sync:
            wanted = TrackSet(video=cutter.tracks.video, audio=self._audio_wanted(cutter, frame.track, frame.dts))
            if wanted != cutter.tracks:
                return self._switch(cutter, wanted, frame)
        elif frame.dts < cutter.picture_cut:
            self.dropped_frames += 1
            return _NOTHING
        events = cutter.at_picture(frame)
        return events + self._resume_at(frame) if cutter.broken else events

    def _sound(self, cutter: Cutter, frame: EncodedFrame) -> Sequence[Event]:
        if self._early:
            cutter.sounds.append(frame)
            return self._release()
        events = cutter.at_sound(frame)
        if cutter.broken:
            return events + self._resume_at(frame)
        if cutter.silent:
            rest = [*cutter.sounds, frame]
            events.append(self._begin(TrackSet(audio=cutter.tracks.audio), rest[0], discontinuity=True))
            for sound in rest:
                events += self.push(sound)
        return events

    # --- sound that is a little late ---

    def _sound_is_near(self, cutter: Cutter, key: EncodedFrame) -> bool:
        """Whether the sound before `key` lacks more than a frame and is soon there: then pictures wait from here on."""
        audio = cutter.tracks.audio
        assert audio is not None, "every cutter has sound"
        step, hz = audio.samples_per_frame, audio.timescale_hz
        at = key.dts * hz // key.track.timescale_hz
        if self._audio is None or not step < at - cutter.heard - step <= _SOUND_AWAITED_MS * hz // 1_000:
            return False
        self._early.append(key)
        self._video = None  # what follows comes by `_elsewhere`
        self._sound_cut, cutter.sound_cut = cutter.sound_cut, at - 2 * step
        return True

    def _wait(self, frame: EncodedFrame) -> Sequence[Event]:
        """A picture after a key frame that waits. Later sound than was hoped for ends it."""
        early = self._early
        early.append(frame)
        waited = (frame.dts - early[0].dts) * 1_000 // frame.track.timescale_hz
        return self._release() if waited >= _SOUND_AWAITED_MS or len(early) >= _EARLY_PICTURES else _NOTHING

    def _release(self) -> list[Event]:
        """The pictures that waited, if any do."""
        cutter, early = self._cutter, self._early
        if cutter is None or not early:
            return []
        self._early = []
        self._video, cutter.sound_cut = early[0].track, self._sound_cut
        events = list(self._cut(cutter, early[0]))
        for frame in early[1:]:
            events += self.push(frame)
        return events

    # --- returns ---

    def _resume_at(self, frame: EncodedFrame) -> list[Event]:
        """`frame` lies beyond a hole in the programme."""
        self._await_return()
        return list(self.push(frame))

    def _await_return(self) -> None:
        """Nothing is on air until the tracks that were have shown up again."""
        if self._cutter is not None:
            self._tracks, self._end_us = self._cutter.tracks, self._cutter.end_us
            self._memory = self.cadence
        self._cutter = self._video = self._audio = None
        self._held.clear()
        self._keys.pause()
        self._announced = TrackSet()
        self._probe = Probe(settings=self._settings, memory=self._memory, announced=self._announced)

    # --- frames of tracks that are not on air ---

    def _elsewhere(self, frame: EncodedFrame) -> Sequence[Event]:
        probe, cutter = self._probe, self._cutter
        if probe is not None:
            return self._start(probe) if probe.add(frame) else _NOTHING
        assert cutter is not None, "either probing or on air"
        track = frame.track
        if isinstance(track, VideoTrack):
            if self._early:
                return self._wait(frame) if track is self._early[0].track else [*self._release(), *self.push(frame)]
            if track == cutter.tracks.video:
                self._video = track
                return self.push(frame)
            if frame.is_sync:
                wanted = TrackSet(video=track, audio=self._audio_wanted(cutter, track, frame.dts))
                return self._switch(cutter, wanted, frame)
            self.dropped_frames += 1
            return _NOTHING
        return self._other_sound(cutter, track, frame)

    def _other_sound(self, cutter: Cutter, track: AudioTrack, frame: EncodedFrame) -> Sequence[Event]:
        audio = cutter.tracks.audio
        if track == audio or (audio is STAND_IN and stands_in_for(track)):
            self._audio = track
            self._held.clear()
            return self.push(frame)
        if cutter.tracks.video is None:
            return self._switch(cutter, TrackSet(audio=track), frame)
        self._held.append(frame)
        if len(self._held) > _HELD_SOUNDS:
            del self._held[: _HELD_SOUNDS // 2]
            self.dropped_frames += _HELD_SOUNDS // 2
        return _NOTHING

    def _audio_wanted(self, cutter: Cutter, video: Track, key_dts: int) -> AudioTrack:
        """The sound that goes with a segment beginning at a key frame: the newest that flows."""
        audio = cutter.tracks.audio
        assert audio is not None, "every cutter has sound"
        if self._held and self._held[-1].dts * audio.timescale_hz > cutter.heard * self._held[-1].track.timescale_hz:
            track = self._held[-1].track
            assert isinstance(track, AudioTrack)
            return track
        silence_us = key_dts * 1_000_000 // video.timescale_hz - cutter.heard * 1_000_000 // audio.timescale_hz
        ceased = silence_us > _SOUND_CEASED_US
        return STAND_IN if ceased and silent_payload(audio) is None else audio

    # --- beginnings ---

    def _start(self, probe: Probe) -> list[Event]:
        """Go on air with what the probe has seen."""
        events: list[Event] = []
        tracks, cadence = self._with_sound(probe.tracks()), probe.cadence()
        self._probe = None
        if self.epoch is None:
            self.epoch = plan(cadence, self._settings)
            events.append(EpochDecided(epoch=self.epoch, cadence=cadence))
        self._memory = cadence
        first = next(frame for frame in probe.frames if frame.track.is_video == tracks.lead.is_video)
        events.append(self._begin(tracks, first, discontinuity=self._breaks(tracks, first)))
        for frame in probe.frames:
            if frame.dts * first.track.timescale_hz >= first.dts * frame.track.timescale_hz:
                events += self.push(frame)
        return events

    def _with_sound(self, tracks: TrackSet) -> TrackSet:
        """Where pictures come without sound, the sound there was goes on as silence, or silence stands in."""
        before = self._tracks.audio
        if tracks.video is None:
            return tracks
        if tracks.audio is None:
            keep = before is not None and silent_payload(before) is not None
            return TrackSet(video=tracks.video, audio=before if keep else STAND_IN)
        if before is STAND_IN and stands_in_for(tracks.audio):
            return TrackSet(video=tracks.video, audio=STAND_IN)
        return tracks

    def _breaks(self, tracks: TrackSet, first: EncodedFrame) -> bool:
        """Whether players have to be told that `first` does not go on where the programme stopped.

        A hole longer than a part does break the timeline: told of it hls.js 1.7.4 goes on within a second, untold it
        stands still for twenty, and EXT-X-GAP costs it up to five (gap-controller.ts jumps only over what it buffered).
        A shorter one, a quick takeover, is played over without any of that.
        """
        if self._tracks == TrackSet() or self.epoch is None:
            return False
        hole_us = first.dts * 1_000_000 // first.track.timescale_hz - self._end_us
        return tracks != self._tracks or hole_us > self.epoch.part_target_ms * 1_000

    def _begin(self, tracks: TrackSet, first: EncodedFrame, *, discontinuity: bool) -> Event:
        """A cutter for `tracks` that opens its first segment at `first`."""
        assert self.epoch is not None, "an epoch is decided before anything begins"
        assert self._memory is not None
        frame_us = int(self._memory.frame * 1_000_000)
        if tracks.video is None and tracks.audio is not None:
            frame_us = tracks.audio.samples_per_frame * 1_000_000 // tracks.audio.sample_rate_hz
        self._cutter = Cutter(
            epoch=self.epoch,
            settings=self._settings,
            tracks=tracks,
            first=first,
            frame_us=frame_us,
            keys=self._keys,
        )
        self._video, self._audio = tracks.video, tracks.audio
        return self._cutter.begin(discontinuity=discontinuity)

    def _switch(self, cutter: Cutter, tracks: TrackSet, first: EncodedFrame) -> list[Event]:
        """`first` begins a segment under other tracks."""
        events = cutter.conclude(first)
        held, self._held = self._held, []
        kept = cutter.sounds if tracks.audio == cutter.tracks.audio else held
        events.append(self._begin(tracks, first, discontinuity=True))
        for sound in kept:
            if sound.dts * first.track.timescale_hz >= first.dts * sound.track.timescale_hz:
                events += self.push(sound)
        return events + list(self.push(first))

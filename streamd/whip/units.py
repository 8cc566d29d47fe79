"""From RTP payloads in order to the units of a track: pictures, packets of sound.

In: payloads of one source in sequence, and where some are missing. Out: `Unit`, and track revisions before the first
unit that needs them. What cannot be read is counted under a word and costs its unit; nothing raises.

A picture is complete at its last packet's marker, or when the next timestamp begins. After a loss the picture it fell
into is dropped, and all that follow up to the next key frame: no viewer ever sees a broken one. The first packets after
a loss belong to a picture whose beginning may be missing, so they are passed over unless they can only be a beginning.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from streamd.media import av1, h264, hevc, opus
from streamd.media.access_unit import AccessUnit
from streamd.media.bits import BitstreamError
from streamd.media.tracks import AudioTrack, Codec, VideoTrack
from streamd.whip import opus_rtp
from streamd.whip.av1_rtp import Av1Assembler
from streamd.whip.h264_rtp import H264Assembler
from streamd.whip.hevc_rtp import HevcAssembler


class Unit(NamedTuple):
    """One frame that has no place in time yet."""

    track: VideoTrack | AudioTrack
    rtp: int  # unwrapped
    is_sync: bool
    payload: bytes


Found: TypeAlias = Unit | VideoTrack | AudioTrack


class Assembler(Protocol):
    """What collects the payloads of one access unit."""

    size_bytes: int

    def begins_key_unit(self, payload: bytes) -> bool:
        """Whether this can only be the first packet of a unit."""
        ...

    def add(self, payload: bytes) -> bool:
        """Take the next payload; False when it does not fit."""
        ...

    def take(self) -> bytes:
        """The unit. Raises BitstreamError when it is not complete."""
        ...

    def reset(self) -> None:
        """Forget what was collected."""
        ...


class _Codec(NamedTuple):
    """What a codec does for `VideoUnits`."""

    assembler: Callable[[], Assembler]
    unit: Callable[[bytes], AccessUnit]
    revise: Callable[[VideoTrack | None, Iterable[bytes]], VideoTrack]
    fmtp_sets: tuple[str, ...]


_CODECS = {
    Codec.H264: _Codec(
        H264Assembler, lambda data: h264.access_unit(data, 0, 4), h264.revise, ("sprop-parameter-sets",)
    ),
    Codec.HEVC: _Codec(
        HevcAssembler,
        lambda data: hevc.access_unit(data, 0, 4),
        hevc.revise,
        ("sprop-vps", "sprop-sps", "sprop-pps"),
    ),
    Codec.AV1: _Codec(Av1Assembler, lambda data: av1.temporal_unit(data, 0), av1.revise, ()),
}


class VideoUnits:
    """The pictures of one source."""

    def __init__(self, *, codec: Codec, fmtp: Mapping[str, str], limit_bytes: int, counts: Counter[str]) -> None:
        form = _CODECS[codec]
        self.awaits_key = True
        self._assembler = form.assembler()
        self._unit = form.unit
        self._revise = form.revise
        self._limit_bytes = limit_bytes
        self._counts = counts
        self._track = self._described(fmtp, form.fmtp_sets)
        self._is_announced = False
        self._rtp: int | None = None  # of the unit being collected
        self._passed_over: int | None = None  # timestamp of a unit that is not wanted any more
        self._is_torn = True  # the last packet handed in did not end where the next one begins

    def lost(self) -> None:
        """Packets are missing before the next one."""
        self._assembler.reset()
        self._rtp = self._passed_over = None
        self._is_torn = self.awaits_key = True

    def add(self, payload: bytes, *, rtp: int, marker: bool, found: list[Found]) -> None:
        """The next payload, not empty; append what it completes."""
        if rtp != self._rtp:
            if self._rtp is not None:
                self._finish(found)
            if rtp == self._passed_over:
                if marker:
                    self._passed_over = None
                return
            self._begin(payload, rtp)
            if self._rtp is None:
                return
        assembler = self._assembler
        if not assembler.add(payload):
            self._give_up(rtp, "video_unreadable")
        elif assembler.size_bytes > self._limit_bytes:
            self._give_up(rtp, "video_frame_too_large")
        elif marker:
            self._finish(found)

    def _begin(self, payload: bytes, rtp: int) -> None:
        is_torn, self._is_torn = self._is_torn, False
        if is_torn and not self._assembler.begins_key_unit(payload):
            self._passed_over = rtp
            return
        self._passed_over = None
        self._rtp = rtp

    def _give_up(self, rtp: int, word: str) -> None:
        self._counts[word] += 1
        self._assembler.reset()
        self._rtp = None
        self._passed_over = rtp
        self.awaits_key = True

    def _finish(self, found: list[Found]) -> None:
        rtp, self._rtp = self._rtp, None
        assert rtp is not None
        try:
            payload, is_sync, sets = self._unit(self._assembler.take())
        except BitstreamError:
            self._counts["video_unreadable"] += 1
            self.awaits_key = True
            return
        if sets is not None:
            self._take_sets(sets)
        if not payload:
            return
        track = self._track
        if track is None or (self.awaits_key and not is_sync):
            self._counts["video_before_key_frame"] += 1
            return
        self.awaits_key = False
        if not self._is_announced:
            self._is_announced = True
            found.append(track)
        found.append(Unit(track, rtp, is_sync, payload))

    def _take_sets(self, sets: tuple[bytes, ...]) -> None:
        before = self._track
        try:
            self._track = self._revise(before, sets)
        except BitstreamError:
            self._counts["parameter_sets_unreadable"] += 1
            return
        if self._track is not before:
            self._is_announced = False

    def _described(self, fmtp: Mapping[str, str], names: tuple[str, ...]) -> VideoTrack | None:
        """The track that the session description tells of; most peers send their parameter sets in band alone."""
        sets: list[bytes] = []
        try:
            for name in names:
                sets += (a2b_base64(text) for text in fmtp.get(name, "").split(",") if text)
            return self._revise(None, sets) if sets else None
        except (Base64Error, ValueError):  # BitstreamError is a ValueError
            return None


class OpusUnits:
    """The packets of sound of one source."""

    awaits_key = False

    def __init__(self, *, counts: Counter[str]) -> None:
        self._counts = counts
        self._track = opus_rtp.track()
        self._is_announced = False

    def lost(self) -> None:
        """Nothing to do: the next packet's timestamp tells how much is missing."""

    def add(self, payload: bytes, *, rtp: int, marker: bool, found: list[Found]) -> None:  # noqa: ARG002  # markers of sound say where talk begins
        """The next payload, not empty; append its unit."""
        if not opus.packet_samples(payload):
            self._counts["audio_unreadable"] += 1
            return
        if not self._is_announced:
            self._is_announced = True
            found.append(self._track)
        found.append(Unit(self._track, rtp, True, payload))

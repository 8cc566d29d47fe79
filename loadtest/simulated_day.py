"""One stream for as long as wanted in simulated time: an encoder with its daily troubles, and a witness who compares.

In: a length in simulated seconds and a seed. Out: `Findings`. The encoder's media messages go through the product's own
`FrameReader`, `LiveStream` with its `TimelineRepair`, `Packager` and `SegmentStore`, under a clock that this module
moves; no socket, no sleep, so a day takes minutes. The encoder's clock is 50 ppm fast and the sampling of its sound
another 20 ppm slow, both within what hardware does, and its timestamps begin just below the wrap of RTMP's 32 bits.

The witness knows when each frame was really captured. *Sound against pictures*: how far the two tracks' places on the
timeline part, capture time taken off, between two troubles. *Programme against the wall clock*: what
EXT-X-PROGRAM-DATE-TIME says of a picture, against the hour of its capture.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hls_packager.model import HlsSettings
from hls_packager.origin import Origin
from hls_packager.packager import Packager
from hls_packager.store import SegmentStore
from loadtest.machine import resident_bytes
from rtmp_ingest.frames import Dropped, FrameReader, Output
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import AUDIO, VIDEO, Message
from streamd.live.directory import Claim
from streamd.live.stream import LiveStream, Source, StreamSettings
from streamd.media.frames import EncodedFrame
from streamd.telemetry.log import get_log

MINUTE_S, HOUR_S = 60, 3_600
_FPS, _GOP = 30, 60
_SAMPLE_RATE_HZ, _SAMPLES = 48_000, 1_024
_SOUND_PERIOD_US = _SAMPLES * 1_000_000 / _SAMPLE_RATE_HZ * (1 + 20e-6)
_FAST_PPM = 50
_WRAP_MS = 1 << 32
_FIRST_BASE_MS = _WRAP_MS - 30 * MINUTE_S * 1_000
_START_UTC_MS = 1_800_000_000_000
_CTS_MS = 67
_HEADER_KEY, _HEADER_INTER = b"\x17\x01" + _CTS_MS.to_bytes(3, "big"), b"\x27\x01" + _CTS_MS.to_bytes(3, "big")
_KEY = _HEADER_KEY + (1_500).to_bytes(4, "big") + b"\x65" + b"k" * 1_499
_INTER = _HEADER_INTER + (300).to_bytes(4, "big") + b"\x41" + b"p" * 299
_SOUND = b"\xaf\x01" + b"a" * 160
_AVCC = bytes.fromhex("0142c01effe1000b6742c01ed9005005bb011001000468cb83cb")
_HEADERS = (
    Message(VIDEO, 1, 0, b"\x17\x00\x00\x00\x00" + _AVCC),
    Message(AUDIO, 1, 0, b"\xaf\x00\x11\x90"),
)
_VISIT_EVERY_S = 10
_SETTLING_S = 90  # after a trouble, the hour may be corrected by 5 ms a second


class Trouble(NamedTuple):
    """Something that happens every `every_s` seconds, first at `at_s`, for `lasts_s`."""

    what: str
    every_s: int
    at_s: int
    lasts_s: int = 1


TROUBLES = (
    Trouble("sound 800 ms late", HOUR_S, 10 * MINUTE_S, 30),
    Trouble("no sound", HOUR_S, 25 * MINUTE_S, 20),
    Trouble("network holds all back", HOUR_S, 45 * MINUTE_S, 3),
    Trouble("clock leaps ahead", 2 * HOUR_S, 50 * MINUTE_S),
    Trouble("clock falls back", 2 * HOUR_S, 80 * MINUTE_S),
    Trouble("encoder reconnects", HOUR_S, 35 * MINUTE_S, 4),
)


class _Unit(NamedTuple):
    """One message on its way; sorted by when it is sent."""

    sent_us: int
    captured_us: int
    mapping: int  # which of the source's clocks it was stamped by
    message: Message


@dataclass(slots=True)
class Findings:
    """What the witness saw. Errors in microseconds, the largest of all frames."""

    seconds: int = 0
    pictures: int = 0
    sounds: int = 0
    av_error_us: int = 0
    wall_error_us: int = 0  # outside the time in which the hour settles after a trouble
    settling_error_us: int = 0
    went_back: int = 0  # decode times, and numbers in playlists, that did not grow
    targets: set[str] = field(default_factory=set)  # every target duration and part target that a viewer was told
    segments: int = 0
    wraps: int = 0
    longest_gap_us: int = 0  # between two pictures on the timeline, within a publication
    resident: list[int] = field(default_factory=list)  # bytes of the process, each hour
    held: list[int] = field(default_factory=list)  # bytes of media in the store, each hour
    dropped: int = 0
    troubles: dict[str, int] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)


class _Clock:
    def __init__(self) -> None:
        self.us = 0

    def now_ms(self) -> int:
        return self.us // 1_000

    def utc_ms(self) -> int:
        return _START_UTC_MS + self.us // 1_000


class _Encoder:
    """Messages with the times at which they are sent, a second at a time."""

    def __init__(self) -> None:
        self.base_ms = _FIRST_BASE_MS
        self.base_us = 0
        self.mapping = 0
        self.wraps = 0
        self._waiting: list[_Unit] = []
        self._picture = self._sound = self._sound_sent_us = 0
        self._last_stamp_ms = 0

    def restamp(self, base_ms: int, at_us: int) -> None:
        """From capture time `at_us` on, timestamps begin at `base_ms`."""
        self.base_ms, self.base_us = base_ms, at_us
        self.mapping += 1
        self._last_stamp_ms = base_ms

    def leap(self, ms: int, at_us: int) -> None:
        """Its clock is set."""
        self.restamp(self._stamp_ms(at_us) + ms, at_us)

    def come_back(self, base_ms: int, at_us: int) -> None:
        """A new connection: what was not sent is lost, and the next picture is a key frame."""
        self._waiting.clear()
        self._picture = at_us * _FPS // 1_000_000
        self._picture += -self._picture % _GOP
        self._sound = int(at_us / _SOUND_PERIOD_US) + 1
        self.restamp(base_ms, at_us)

    def second(self, index: int, *, sound_late_us: int, has_sound: bool) -> Iterator[_Unit]:
        """All that is sent before the end of second `index`, in order."""
        end_us = (index + 1) * 1_000_000
        units = self._waiting
        while (captured_us := self._picture * 1_000_000 // _FPS) < end_us:
            payload = _KEY if self._picture % _GOP == 0 else _INTER
            units.append(self._unit(VIDEO, captured_us, captured_us, payload))
            self._picture += 1
        while (captured_us := int(self._sound * _SOUND_PERIOD_US)) < end_us:
            if has_sound:
                # Late sound that is in time again comes in a burst, in order.
                sent_us = self._sound_sent_us = max(self._sound_sent_us, captured_us + sound_late_us)
                units.append(self._unit(AUDIO, captured_us, sent_us, _SOUND))
            self._sound += 1
        units.sort()
        due = sum(unit.sent_us < end_us for unit in units)
        self._waiting = units[due:]
        return iter(units[:due])

    def _stamp_ms(self, captured_us: int) -> int:
        passed_us = captured_us - self.base_us
        return self.base_ms + (passed_us + passed_us * _FAST_PPM // 1_000_000) // 1_000

    def _unit(self, kind: int, captured_us: int, sent_us: int, payload: bytes) -> _Unit:
        stamp_ms = self._stamp_ms(captured_us)
        if kind == VIDEO:
            self.wraps += stamp_ms // _WRAP_MS > self._last_stamp_ms // _WRAP_MS
            self._last_stamp_ms = stamp_ms
        return _Unit(sent_us, captured_us, self.mapping, Message(kind, 1, stamp_ms % _WRAP_MS, payload))


class _Witness:
    """The sink that compares. The driver says of each frame when it was captured, and under which clock."""

    def __init__(self, findings: Findings, utc_ms: Callable[[int], int]) -> None:
        self._findings = findings
        self._utc_ms = utc_ms
        self.captured_us = self.mapping = 0
        self.settled_from_us = _SETTLING_S * 1_000_000
        self._offsets = {False: (-1, 0), True: (-1, 0)}  # is it video: (mapping, timeline minus capture)
        self._last = {False: 0, True: 0}

    def on_track(self, track: object) -> None:
        """Nothing to compare."""

    def on_frame(self, frame: EncodedFrame) -> None:
        findings, is_video = self._findings, frame.track.is_video
        at_us = frame.dts * 1_000_000 // frame.track.timescale_hz
        offset_us = at_us - self.captured_us
        self._offsets[is_video] = (self.mapping, offset_us)
        mapping, other_us = self._offsets[not is_video]
        if mapping == self.mapping:
            findings.av_error_us = max(findings.av_error_us, abs(offset_us - other_us))
        if at_us <= self._last[is_video]:
            findings.went_back += 1
        if not is_video:
            findings.sounds += 1
        else:
            findings.pictures += 1
            if self._last[True]:
                findings.longest_gap_us = max(findings.longest_gap_us, at_us - self._last[True])
            self._compare_hour(at_us)
        self._last[is_video] = at_us

    def _compare_hour(self, at_us: int) -> None:
        findings = self._findings
        said_us = self._utc_ms(at_us // 1_000) * 1_000 + at_us % 1_000
        error_us = abs(said_us - _START_UTC_MS * 1_000 - self.captured_us)
        if self.captured_us >= self.settled_from_us:
            findings.wall_error_us = max(findings.wall_error_us, error_us)
        else:
            findings.settling_error_us = max(findings.settling_error_us, error_us)

    def on_pause(self) -> None:
        """Between publications a gap is no fault."""
        self._last[True] = 0

    def on_end(self) -> None:
        """Nothing outstanding."""


class SimulatedDay:
    """See the module's promise."""

    def __init__(self, *, seed: int = 1, say: Callable[[int], None] = lambda _second: None) -> None:
        self.findings = Findings()
        self._say = say
        self._random = random.Random(seed)
        self._clock = _Clock()
        settings = HlsSettings()
        self._store: SegmentStore = Origin(clock=self._clock, settings=settings).open("day")
        claim = Claim(room="day", worker="here", epoch=1)
        self._stream = LiveStream(claim=claim, clock=self._clock, settings=StreamSettings())
        log = get_log("hls")
        utc_ms = self._stream.timeline.utc_ms
        self._stream.attach(Packager(room="day", store=self._store, settings=settings, log=log, utc_ms=utc_ms))
        self._witness = _Witness(self.findings, utc_ms)
        self._stream.attach(self._witness)
        self._encoder = _Encoder()
        self._held_until_us = 0
        self._last_told = (0, 0)  # media sequence number, discontinuity sequence number

    def run(self, seconds: int) -> Findings:
        """The whole of it."""
        self._publish()
        away_until = 0
        for second in range(seconds):
            active = {trouble.what for trouble in TROUBLES if self._is_active(trouble, second)}
            if "encoder reconnects" in active and second >= away_until:
                away_until = second + 4
                self._stream.pause("peer_eof")
            elif second == away_until and second:
                self._come_back(second)
            if second >= away_until:
                self._second(second, active)
            else:
                self._clock.us = (second + 1) * 1_000_000
            self._stream.watch(self._clock.now_ms())
            if second % _VISIT_EVERY_S == 0 and self._store.playable:
                self._visit()
            if second % HOUR_S == HOUR_S - 1:
                self._take_stock(second)
        findings = self.findings
        findings.seconds, findings.wraps = seconds, self._encoder.wraps
        findings.repairs = {name: count for name, count in self._stream.repairs().items() if count}
        return findings

    def _is_active(self, trouble: Trouble, second: int) -> bool:
        since = (second - trouble.at_s) % trouble.every_s
        if second < trouble.at_s or since >= trouble.lasts_s:
            return False
        if since == 0:
            self.findings.troubles[trouble.what] = self.findings.troubles.get(trouble.what, 0) + 1
            self._witness.settled_from_us = (second + trouble.lasts_s + _SETTLING_S) * 1_000_000
        return True

    def _publish(self) -> None:
        self._reader = FrameReader(limits=RtmpLimits())
        self._stream.begin(Source(protocol="rtmp", encoder="simulated", peer="", principal="day"))
        for header in _HEADERS:
            self._receive(header)

    def _come_back(self, second: int) -> None:
        """By turns with a clock that starts anew, and with one that is about to wrap once more."""
        starts_anew = self.findings.troubles["encoder reconnects"] % 2
        self._encoder.come_back(0 if starts_anew else _FIRST_BASE_MS, second * 1_000_000)
        self._publish()

    def _second(self, second: int, active: set[str]) -> None:
        encoder, clock, witness, at_us = self._encoder, self._clock, self._witness, second * 1_000_000
        if "clock leaps ahead" in active:
            encoder.leap(HOUR_S * 1_000, at_us)
        elif "clock falls back" in active:
            encoder.leap(-20 * MINUTE_S * 1_000, at_us)
        if "network holds all back" in active:
            self._held_until_us = at_us + 1_000_000
        late_us = 800_000 if "sound 800 ms late" in active else 0
        for unit in encoder.second(second, sound_late_us=late_us, has_sound="no sound" not in active):
            delay_us = int(self._random.random() ** 4 * 40_000)
            clock.us = max(clock.us, unit.sent_us + delay_us, self._held_until_us)
            witness.captured_us, witness.mapping = unit.captured_us, unit.mapping
            self._receive(unit.message)

    def _receive(self, message: Message) -> None:
        outputs: list[Output] = []
        self._reader.receive(message, outputs)
        for output in outputs:
            if type(output) is EncodedFrame:
                self._stream.push(output)
            elif isinstance(output, Dropped):
                self.findings.dropped += 1

    def _visit(self) -> None:
        """As a viewer: what does the playlist promise, and did its numbers grow?"""
        findings = self.findings
        told: dict[str, str] = {}
        for line in self._store.rendering().body.decode().splitlines():
            name, _, value = line.partition(":")
            told.setdefault(name, value)
        findings.targets.add(f"{told['#EXT-X-TARGETDURATION']} s, {told['#EXT-X-PART-INF']}")
        numbers = int(told["#EXT-X-MEDIA-SEQUENCE"]), int(told.get("#EXT-X-DISCONTINUITY-SEQUENCE", "0"))
        findings.went_back += any(now < before for now, before in zip(numbers, self._last_told, strict=True))
        if self._last_told[0]:
            findings.segments += numbers[0] - self._last_told[0]
        self._last_told = numbers

    def _take_stock(self, second: int) -> None:
        self.findings.resident.append(resident_bytes([os.getpid()]))
        self.findings.held.append(self._store.resident_bytes)
        self._say(second + 1)

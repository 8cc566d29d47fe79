"""From the RTP packets of one m-line to encoded frames.

In: decrypted packets in the order of their arrival, sender reports, the time. Out: track revisions and frames, each
revision before the first frame that needs it, with `dts` in ticks on the session's timeline (`streamd.whip.timeline`);
and, asked for by `poll`, what the sender should be told.
 - `cts` is 0: WebRTC has no B-frames. A sender that reorders nevertheless gives frames whose `dts` goes back for a
   moment; the stream's timeline moves it and keeps the presentation time.
 - One source (SSRC) at a time. Another one takes its place after a BYE or a second of silence; of several simulcast
   layers the one with the wanted rid is taken.
 - Key frames are asked for after a loss, and where the sender makes none by itself; nothing waits for the request to be
   heeded.
 - Nothing a packet holds raises; what is dropped is counted. What is held is bounded by `IncomingLimits`.
Pure: no socket, no clock. Source: RFC 3550 6.4.1, 8.2, A.3 and A.8; RFC 4588 (retransmission).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from streamd.media.frames import EncodedFrame
from streamd.media.ticks import Unwrapper
from streamd.media.tracks import AudioTrack, Codec, VideoTrack
from streamd.whip.jitter import JitterBuffer, JitterLimits
from streamd.whip.rtcp import ReceptionReport
from streamd.whip.rtp import Packet, PayloadFormat, extension, parse
from streamd.whip.timeline import Timeline, TrackClock
from streamd.whip.units import Found, OpusUnits, Unit, VideoUnits

Output: TypeAlias = EncodedFrame | VideoTrack | AudioTrack

_US = 1_000_000
_REPORT_EVERY_US = 1_000_000
_SILENT_US = 1_000_000
_KEY_REQUEST_EVERY_US = 1_000_000
_FIRST_KEY_PATIENCE_US = 500_000
_REPEATED_HEADER_BYTES = 2  # the original sequence number in front of a payload sent again (RFC 4588 4)

_new = tuple.__new__


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingLimits:
    """What one track may hold, and how it asks for what is missing."""

    unit_bytes: int = 8 << 20
    video: JitterLimits = field(default_factory=JitterLimits)
    # Sound is rarely sent again, and what is missing is concealed: it waits for reordering, and for one repetition.
    audio: JitterLimits = field(default_factory=lambda: JitterLimits(deadline_us=150_000, bytes=1 << 20))
    # Ask a sender that makes no key frames by itself: browsers. A little less than a segment; 0: never.
    key_frame_every_us: int = 1_900_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What `poll` asks the session to do."""

    media_ssrc: int | None  # None before the first packet: nothing can be asked
    nacks: Sequence[int]  # 16-bit sequence numbers, in order
    wants_key_frame: bool  # send one PLI; rate-limited here
    report: ReceptionReport | None  # due about once a second
    counts: Mapping[str, int]  # since the last poll, for `Publication.count`
    next_poll_us: int  # call `poll` again at this time at the latest, or at an earlier `IncomingTrack.poll_due_us`


class _Waiting(NamedTuple):
    """A packet in the jitter buffer."""

    form: PayloadFormat | None  # None: only fills its place in the sequence
    rtp: int
    marker: bool
    payload: bytes


class _Source:
    """One SSRC: everything that begins anew with another."""

    __slots__ = (
        "buffer",
        "clock",
        "expected_before",
        "interarrival",
        "is_gone",
        "last_report",
        "last_report_us",
        "last_us",
        "received_before",
        "restarts_before",
        "rtp",
        "ssrc",
        "timestamp",
        "transit",
        "unwrap",
    )

    def __init__(self, *, ssrc: int, limits: JitterLimits, clock: TrackClock) -> None:
        self.ssrc = ssrc
        self.buffer: JitterBuffer[_Waiting] = JitterBuffer(limits=limits)
        self.clock = clock
        self.unwrap = Unwrapper(32).unwrap
        self.timestamp = -1  # of the last packet
        self.rtp = 0  # the same without wraps
        self.transit: int | None = None
        self.interarrival = 0  # RFC 3550 A.8, times 16
        self.last_us = 0
        self.is_gone = False
        self.last_report = self.last_report_us = 0
        self.expected_before = self.received_before = self.restarts_before = 0

    def time(self, timestamp: int, clock_hz: int, now_us: int) -> None:
        """A packet with another timestamp than the one before it."""
        self.timestamp = timestamp
        self.rtp = rtp = self.unwrap(timestamp)
        transit = now_us * clock_hz // _US - rtp
        if self.transit is not None:
            self.interarrival += abs(transit - self.transit) - ((self.interarrival + 8) >> 4)
        self.transit = transit
        self.clock.observe(rtp, now_us=now_us)

    def reception(self, now_us: int) -> ReceptionReport:
        """The report block of now. RFC 3550 A.3."""
        buffer = self.buffer
        if buffer.restarts != self.restarts_before:
            self.restarts_before = buffer.restarts
            self.expected_before = self.received_before = 0
        expected, received = buffer.expected, buffer.received
        interval = expected - self.expected_before
        lost = interval - (received - self.received_before)
        self.expected_before, self.received_before = expected, received
        since_us = now_us - self.last_report_us
        return ReceptionReport(
            ssrc=self.ssrc,
            fraction_lost=min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0,
            cumulative_lost=max(-(1 << 23), min(expected - received, (1 << 23) - 1)),
            highest_sequence=buffer.highest_sequence & 0xFFFFFFFF,
            jitter=min(self.interarrival >> 4, 0xFFFFFFFF),
            last_report=self.last_report,
            since_last_report=min((since_us << 16) // _US, 0xFFFFFFFF) if self.last_report else 0,
        )


class IncomingTrack:
    """One m-line. `timeline` is shared by the tracks of a session. `formats` are of one kind, at least one.

    `rid_extension_id` and `rid`: take only the simulcast layer with this rid.
    `poll_due_us` may be read at any time: when `poll` has something to say.
    """

    def __init__(
        self,
        *,
        formats: Sequence[PayloadFormat],
        timeline: Timeline,
        limits: IncomingLimits | None = None,
        rid_extension_id: int | None = None,
        rid: str = "",
    ) -> None:
        self.poll_due_us = 0
        self._formats = {each.payload_type: each for each in formats}
        self._repeats = {each.rtx_payload_type: each for each in formats if each.rtx_payload_type is not None}
        self._is_video = formats[0].codec is not Codec.OPUS
        self._timeline = timeline
        self._limits = limits or IncomingLimits()
        self._rid_extension_id = rid_extension_id if rid else None
        self._rid = rid.encode()
        self._counts: Counter[str] = Counter()
        self._source: _Source | None = None
        self._form = formats[0]
        self._units = self._units_of(formats[0])
        self._held: list[Found] = []
        self._held_bytes = 0
        self._last_key_us = self._next_request_us = self._next_report_us = 0
        self._told: dict[str, int] = {}

    def receive(self, packet: bytes, *, now_us: int) -> list[Output]:
        """What this packet completes: usually nothing or one frame. Frames of sound are Opus: see `opus_to_aac`."""
        parsed = parse(packet)
        if parsed is None:
            self._counts["rtp_malformed"] += 1
            return []
        if parsed.payload_type in self._repeats:
            return self._receive_repeat(parsed, now_us)
        source = self._source
        if source is None or parsed.ssrc != source.ssrc:
            source = self._admit(parsed, packet, now_us)
            if source is None:
                return []
        form = self._formats.get(parsed.payload_type)
        source.last_us = now_us
        if form is not None and parsed.payload and parsed.timestamp != source.timestamp:
            source.time(parsed.timestamp, form.clock_hz, now_us)
        payload = parsed.payload
        waiting = _new(_Waiting, (form, source.rtp, parsed.marker, payload))
        released = source.buffer.add(parsed.sequence, waiting, len(payload), now_us=now_us)
        if source.buffer.nack_due_us < self.poll_due_us:
            self.poll_due_us = source.buffer.nack_due_us
        return self._emit(source, released, now_us) if released else []

    def sender_report(self, *, ntp_time: int, rtp_time: int, now_us: int) -> None:
        """The sender information of an SR of this track's source: 64 bits of NTP time, 32 of RTP time."""
        source = self._source
        if source is not None:
            source.last_report = ntp_time >> 16 & 0xFFFFFFFF
            source.last_report_us = now_us
            source.clock.report(ntp_time=ntp_time, rtp_time=rtp_time)

    @property
    def media_ssrc(self) -> int | None:
        """The source that is listened to: whose sender reports to hand in."""
        return self._source.ssrc if self._source is not None else None

    def goodbye(self, ssrc: int) -> None:
        """A BYE named this source: another may take its place at once."""
        if self._source is not None and self._source.ssrc == ssrc:
            self._source.is_gone = True

    def poll(self, *, now_us: int) -> Feedback:
        """What to send now. Call when `poll_due_us` has come, or more often."""
        source = self._source
        if source is None:
            self.poll_due_us = now_us + _REPORT_EVERY_US
            return Feedback(
                media_ssrc=None,
                nacks=(),
                wants_key_frame=False,
                report=None,
                counts=self._news(),
                next_poll_us=self.poll_due_us,
            )
        nacks = source.buffer.nacks(now_us=now_us)
        wants_key_frame = self._wants_key_frame(now_us)
        report = None
        if now_us >= self._next_report_us:
            self._next_report_us = now_us + _REPORT_EVERY_US
            report = source.reception(now_us)
        next_us = min(self._next_report_us, source.buffer.nack_due_us)
        if self._is_video:
            next_us = max(now_us + 1, min(next_us, self._next_request()))
        self.poll_due_us = next_us
        return Feedback(
            media_ssrc=source.ssrc,
            nacks=nacks,
            wants_key_frame=wants_key_frame,
            report=report,
            counts=self._news(),
            next_poll_us=next_us,
        )

    # --- sources ---

    def _admit(self, parsed: Packet, packet: bytes, now_us: int) -> _Source | None:
        """Another SSRC than the one listened to: whether to listen to it from now on."""
        if self._rid_extension_id is not None:
            if extension(packet, self._rid_extension_id) != self._rid:
                return None
        elif (
            self._source is not None and not self._source.is_gone and now_us - self._source.last_us < _SILENT_US
        ) or parsed.payload_type not in self._formats:
            self._counts["rtp_other_source"] += 1
            return None
        if self._source is not None:
            self._counts.update(self._news())  # its figures end here
            self._counts["rtp_source_changed"] += 1
        form = self._formats.get(parsed.payload_type, self._form)
        limits = self._limits.video if self._is_video else self._limits.audio
        clock = self._timeline.join(clock_hz=form.clock_hz, is_video=self._is_video)
        self._source = _Source(ssrc=parsed.ssrc, limits=limits, clock=clock)
        self._told = {}
        self._units.lost()
        self._held = []
        self._held_bytes = 0
        self._last_key_us = now_us
        self._next_request_us = now_us + _FIRST_KEY_PATIENCE_US
        self._next_report_us = self.poll_due_us = now_us
        return self._source

    def _receive_repeat(self, parsed: Packet, now_us: int) -> list[Output]:
        """A packet sent again on a stream of its own. Padding, with which browsers look for bandwidth, is no packet."""
        source, payload = self._source, parsed.payload
        if source is None or len(payload) <= _REPEATED_HEADER_BYTES:
            return []
        sequence = payload[0] << 8 | payload[1]
        behind = (source.rtp - parsed.timestamp) & 0xFFFFFFFF
        rtp = source.rtp - (behind - (1 << 32) if behind >> 31 else behind)
        form = self._repeats[parsed.payload_type]
        waiting = _Waiting(form, rtp, parsed.marker, payload[_REPEATED_HEADER_BYTES:])
        released = source.buffer.add(sequence, waiting, len(payload), now_us=now_us, is_repeat=True)
        return self._emit(source, released, now_us) if released else []

    # --- frames ---

    def _emit(self, source: _Source, released: Sequence[_Waiting | None], now_us: int) -> list[Output]:
        found: list[Found] = []
        for waiting in released:
            if waiting is None:
                self._units.lost()
                continue
            form, rtp, marker, payload = waiting
            if form is None or not payload:
                continue
            if form is not self._form:
                self._use(form)
            self._units.add(payload, rtp=rtp, marker=marker, found=found)
        if self._units.awaits_key and self._next_request_us < self.poll_due_us:
            self.poll_due_us = self._next_request_us
        if self._held or not source.clock.ready(now_us=now_us):
            return self._hold(source, found, now_us)
        return self._placed(source, found, now_us) if found else []

    def _hold(self, source: _Source, found: list[Found], now_us: int) -> list[Output]:
        """The first frames wait until it is known where in time the track begins."""
        self._held += found
        self._held_bytes += sum(len(each.payload) for each in found if isinstance(each, Unit))
        if not source.clock.ready(now_us=now_us) and self._held_bytes < self._limits.unit_bytes:
            return []
        found, self._held = self._held, []
        self._held_bytes = 0
        return self._placed(source, found, now_us)

    def _placed(self, source: _Source, found: list[Found], now_us: int) -> list[Output]:
        outputs: list[Output] = []
        for each in found:
            if not isinstance(each, Unit):
                outputs.append(each)
                continue
            if each.is_sync:
                self._last_key_us = now_us
            dts = source.clock.place(each.rtp, now_us=now_us)
            outputs.append(_new(EncodedFrame, (each.track, dts, 0, each.is_sync, each.payload)))
        return outputs

    def _units_of(self, form: PayloadFormat) -> VideoUnits | OpusUnits:
        if form.codec is Codec.OPUS:
            return OpusUnits(counts=self._counts)
        return VideoUnits(codec=form.codec, fmtp=form.fmtp, limit_bytes=self._limits.unit_bytes, counts=self._counts)

    def _use(self, form: PayloadFormat) -> None:
        """The sender changed to another of its payload types."""
        if form.codec is not self._form.codec:
            self._units = self._units_of(form)
        self._form = form

    # --- feedback ---

    def _next_request(self) -> int:
        """When a key frame will be asked for, if none comes until then."""
        if self._units.awaits_key:
            return self._next_request_us
        if not self._limits.key_frame_every_us:
            return 1 << 62
        return max(self._next_request_us, self._last_key_us + self._limits.key_frame_every_us)

    def _wants_key_frame(self, now_us: int) -> bool:
        if not self._is_video or now_us < self._next_request():
            return False
        self._next_request_us = now_us + _KEY_REQUEST_EVERY_US
        return True

    def _news(self) -> dict[str, int]:
        """What was counted since the last time."""
        news = dict(self._counts)
        self._counts.clear()
        if self._source is not None:
            buffer = self._source.buffer
            totals = {
                "rtp_packets_lost": buffer.given_up,
                "rtp_packets_recovered": buffer.recovered,
                "rtp_packets_late": buffer.late,
                "rtp_restarts": buffer.restarts,
            }
            for word, total in totals.items():
                if total != self._told.get(word, 0):
                    news[word] = total - self._told.get(word, 0)
            self._told = totals
        return news

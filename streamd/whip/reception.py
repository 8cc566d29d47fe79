"""All that comes in on one session's secured channel, and all that is answered.

In: decrypted RTP and RTCP packets, the time. Out: tracks and frames; RTCP for the peer, one datagram at a time; words
and numbers for the host. Packets are told apart by payload type, which no two tracks of a session share.
Pure. Source: RFC 3550 6, RFC 4585, RFC 5506 (reduced size), RFC 8843 9.2 (payload types in a bundle).
Not here: how packets become frames (`incoming`), what RTCP looks like (`rtcp`, `transport_feedback`).
"""

from __future__ import annotations

from collections import Counter

from streamd.errors import ProtocolError
from streamd.whip import rtcp
from streamd.whip.answer import uses_transport_cc
from streamd.whip.incoming import Feedback, IncomingTrack, Output
from streamd.whip.limits import WhipLimits
from streamd.whip.offer import RID, TRANSPORT_CC, Offer, OfferedTrack, parameters_of
from streamd.whip.rtcp import Goodbye, ReceptionReport, SenderReport
from streamd.whip.rtp import PayloadFormat, extension
from streamd.whip.timeline import Timeline
from streamd.whip.transport_feedback import INTERVAL_US, TransportFeedback

_CNAME = "streamd"
_NEVER_US = 1 << 62


class SourcesError(ProtocolError):
    """The peer sends under ever new source numbers, each of which costs memory."""

    code = "too_many_sources"


class _Track:
    """One track, with what RTCP needs to know of it."""

    __slots__ = ("extension_id", "incoming", "is_over")

    def __init__(self, offered: OfferedTrack, timeline: Timeline) -> None:
        self.is_over = False
        self.extension_id = offered.extensions[TRANSPORT_CC] if uses_transport_cc(offered) else 0
        form = offered.format
        self.incoming = IncomingTrack(
            formats=[
                PayloadFormat(
                    payload_type=form.payload_type,
                    codec=offered.codec,
                    clock_hz=form.clock_hz,
                    fmtp=parameters_of(form.fmtp),
                    rtx_payload_type=offered.repeat.payload_type if offered.repeat is not None else None,
                )
            ],
            timeline=timeline,
            rid_extension_id=offered.extensions.get(RID) if offered.layers else None,
            rid=offered.layers[0] if offered.layers else "",
        )


class Reception:
    """See the module's promise. `ssrc` is the number under which we report."""

    def __init__(self, *, offer: Offer, limits: WhipLimits, ssrc: int) -> None:
        self._limits = limits
        self._ssrc = ssrc
        timeline = Timeline(tracks_count=len(offer.tracks))
        self._by_payload_type: dict[int, _Track] = {}
        for offered in offer.tracks:
            track = self._by_payload_type[offered.format.payload_type] = _Track(offered, timeline)
            if offered.repeat is not None:
                self._by_payload_type[offered.repeat.payload_type] = track
        self._tracks = tuple(dict.fromkeys(self._by_payload_type.values()))
        self._reduced_size = all(one.reduced_size for one in offer.tracks)
        self._arrivals: TransportFeedback | None = None
        self._arrivals_due_us = _NEVER_US
        if any(track.extension_id for track in self._tracks):
            self._arrivals = TransportFeedback(sender_ssrc=ssrc)
            self._arrivals_due_us = 0
        limited = any("goog-remb" in one.format.feedback for one in offer.tracks)
        self._limits_bitrate = limited and self._arrivals is None
        self._sources: set[bytes] = set()
        self._counts: Counter[str] = Counter()
        self._due_us = 0
        self.packets_count = 0

    def receive(self, packet: bytes, now_us: int) -> list[Output]:
        """What a packet completes. Raises SourcesError."""
        self.packets_count += 1
        track = self._by_payload_type.get(packet[1] & 127)
        if track is None:
            return []
        source = packet[8:12]
        if source not in self._sources:
            self._admit(source)
        if track.extension_id and self._arrivals is not None:
            number = extension(packet, track.extension_id)
            if number is not None and len(number) == 2:
                self._arrivals.arrived(number[0] << 8 | number[1], now_us)
        outputs = track.incoming.receive(packet, now_us=now_us)
        if track.incoming.poll_due_us < self._due_us:
            self._due_us = track.incoming.poll_due_us
        return outputs

    def receive_control(self, data: bytes, now_us: int) -> bool:
        """Reports of the peer; whether it has said goodbye to everything that it sent."""
        for report in rtcp.parse(data):
            match report:
                case SenderReport(ssrc, ntp_time, rtp_time):
                    for track in self._tracks:
                        if track.incoming.media_ssrc == ssrc:
                            track.incoming.sender_report(ntp_time=ntp_time, rtp_time=rtp_time, now_us=now_us)
                case Goodbye(ssrcs):
                    for track in self._tracks:
                        if track.incoming.media_ssrc in ssrcs:
                            track.is_over = True
                            track.incoming.goodbye(track.incoming.media_ssrc)
        heard = [track for track in self._tracks if track.incoming.media_ssrc is not None]
        return bool(heard) and all(track.is_over for track in heard)

    @property
    def due_us(self) -> int:
        """When `feedback` has something to say. May come earlier after `receive`."""
        return self._due_us

    def feedback(self, now_us: int) -> bytes:
        """All that the peer should hear now, in one datagram; b"" for nothing."""
        polled = [one.incoming.poll(now_us=now_us) for one in self._tracks if now_us >= one.incoming.poll_due_us]
        reports: list[ReceptionReport] = []
        parts: list[bytes] = []
        for one in polled:
            self._counts.update(one.counts)
            parts += self._asked(one)
            if one.report is not None:
                reports.append(one.report)
        if self._arrivals is not None and now_us >= self._arrivals_due_us:
            self._arrivals_due_us = now_us + INTERVAL_US
            parts.append(self._arrivals.message(media_ssrc=next(iter(self._ssrcs()), 0)))
        if reports and self._limits_bitrate:
            most_bps = self._limits.max_bitrate_bps
            parts.append(rtcp.maximum_bitrate(sender_ssrc=self._ssrc, media_ssrcs=self._ssrcs(), bitrate_bps=most_bps))
        self._due_us = min(self._arrivals_due_us, *(one.incoming.poll_due_us for one in self._tracks))
        body = b"".join(parts)
        if reports or (body and not self._reduced_size):
            # A compound packet begins with a report (RFC 3550 6.1) unless smaller ones were agreed on.
            body = rtcp.receiver_report(sender_ssrc=self._ssrc, reports=reports, cname=_CNAME) + body
        return body

    def counts(self) -> dict[str, int]:
        """What was dropped and mended since the last call, for `Publication.count`."""
        news = dict(self._counts)
        self._counts.clear()
        return news

    def _asked(self, feedback: Feedback) -> list[bytes]:
        ssrc = feedback.media_ssrc
        if ssrc is None:
            return []
        asked = [rtcp.nack(sender_ssrc=self._ssrc, media_ssrc=ssrc, sequences=feedback.nacks)]
        if feedback.wants_key_frame:
            asked.append(rtcp.picture_loss(sender_ssrc=self._ssrc, media_ssrc=ssrc))
        return asked

    def _ssrcs(self) -> list[int]:
        return [one.incoming.media_ssrc for one in self._tracks if one.incoming.media_ssrc is not None]

    def _admit(self, source: bytes) -> None:
        if len(self._sources) >= self._limits.sources_count:
            raise SourcesError("too many sources", why=f"more than {self._limits.sources_count} SSRCs in one session")
        self._sources.add(source)

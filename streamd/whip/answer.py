"""What the server says to an offer: one fixed shape.

In: the offer, our ICE credentials, certificate fingerprint and addresses. Out: the text of the answer, or of the
fragment that answers an ICE restart. Payload types, mids and format parameters are the offer's own: OBS compares them.
ICE-lite, DTLS passive, receive only, all addresses inside. Source: RFC 9725 4.2, RFC 8840 9, RFC 8839 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamd.whip.offer import MID, REPAIRED_RID, RID, TRANSPORT_CC, Format, Offer, OfferedTrack

_FEEDBACK = ("nack", "nack pli")
_HOST_PREFERENCE = 126
_START_KBPS = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where and as whom the server waits for one peer."""

    ufrag: str
    password: str
    fingerprint: str  # "sha-256 AA:BB:…"
    addresses: Sequence[tuple[str, int]]  # best first


def uses_transport_cc(track: OfferedTrack) -> bool:
    """Whether the peer numbers its packets for transport-wide congestion control."""
    return "transport-cc" in track.format.feedback and TRANSPORT_CC in track.extensions


def answer(offer: Offer, seat: Seat, *, session_number: int) -> str:
    """The answer. `session_number` is what `o=` calls this session."""
    lines = ["v=0", f"o=- {session_number} 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite"]
    if offer.is_bundled:
        lines.append("a=group:BUNDLE " + " ".join(track.mid for track in offer.tracks))
    if offer.mixed_extensions:
        lines.append("a=extmap-allow-mixed")
    for track in offer.tracks:
        lines += _section(track, seat)
    return "\r\n".join(lines) + "\r\n"


def restart_fragment(offer: Offer, seat: Seat) -> str:
    """The body that answers an ICE restart (RFC 9725 4.3.3)."""
    first = offer.tracks[0]
    lines = [f"a=ice-ufrag:{seat.ufrag}", f"a=ice-pwd:{seat.password}", "a=ice-lite"]
    if offer.is_bundled:
        lines.append("a=group:BUNDLE " + " ".join(track.mid for track in offer.tracks))
    lines += [_media_line(first, seat), f"a=mid:{first.mid}", *_candidates(seat)]
    return "\r\n".join(lines) + "\r\n"


def _media_line(track: OfferedTrack, seat: Seat) -> str:
    formats = " ".join(str(one.payload_type) for one in _formats(track))
    return f"m={track.kind} {seat.addresses[0][1]} UDP/TLS/RTP/SAVPF {formats}"


def _formats(track: OfferedTrack) -> list[Format]:
    return [track.format, track.repeat] if track.repeat is not None else [track.format]


def _section(track: OfferedTrack, seat: Seat) -> Iterator[str]:
    form = track.format
    host = seat.addresses[0][0]
    yield _media_line(track, seat)
    yield f"c=IN {'IP6' if ':' in host else 'IP4'} {host}"
    yield f"a=mid:{track.mid}"
    yield "a=recvonly"
    yield "a=rtcp-mux"
    if track.reduced_size:
        yield "a=rtcp-rsize"
    yield f"a=ice-ufrag:{seat.ufrag}"
    yield f"a=ice-pwd:{seat.password}"
    yield f"a=fingerprint:{seat.fingerprint}"
    yield "a=setup:passive"
    for one in _formats(track):
        channels = f"/{one.channels}" if one.channels else ""
        yield f"a=rtpmap:{one.payload_type} {one.name}/{one.clock_hz}{channels}"
        fmtp = one.fmtp
        if one is form and track.kind == "video" and uses_transport_cc(track):
            # libwebrtc's own word for where to begin: 300 kb/s would be a fifth of the picture's width, then another
            # resolution every second or two. Others pass it over; it goes down from here by the same feedback.
            fmtp += f"{';' if fmtp else ''}x-google-start-bitrate={_START_KBPS}"
        if fmtp:
            yield f"a=fmtp:{one.payload_type} {fmtp}"
    for kind in _feedback(track):
        yield f"a=rtcp-fb:{form.payload_type} {kind}"
    for uri in (MID, RID, REPAIRED_RID, TRANSPORT_CC):
        if uri in track.extensions and (uri != TRANSPORT_CC or uses_transport_cc(track)):
            yield f"a=extmap:{track.extensions[uri]} {uri}"
    if track.layers:
        # OBS gives up unless every layer it offered is taken; only the first is put on air.
        yield from (f"a=rid:{layer} recv" for layer in track.layers)
        yield "a=simulcast:recv " + ";".join(track.layers)
    yield from _candidates(seat)


def _feedback(track: OfferedTrack) -> Iterator[str]:
    offered = track.format.feedback
    yield from (kind for kind in _FEEDBACK if kind in offered)
    if uses_transport_cc(track):
        yield "transport-cc"
    elif "goog-remb" in offered:
        yield "goog-remb"


def _candidates(seat: Seat) -> Iterator[str]:
    for number, (host, port) in enumerate(seat.addresses):
        priority = (_HOST_PREFERENCE << 24) | ((65_535 - number) << 8) | 255  # RFC 8445 5.1.2.1
        yield f"a=candidate:{number + 1} 1 udp {priority} {host} {port} typ host"
    yield "a=end-of-candidates"

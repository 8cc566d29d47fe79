"""A WHIP offer: what the peer wants to send, and how it is reached and recognised.

In: the body of a POST. Out: an `Offer` with one `OfferedTrack` for each media section, each with the one format that
will be received; or the reason why not: MalformedError (the peer's program is wrong), RefusedError (it could be said,
and is not taken here). A section that cannot be taken refuses the whole offer: a publisher whose picture is silently
left out would not find out (RFC 9725 4.2).
Formats are taken in the offer's own order of preference, of H.264's the first one with packetization mode 1.
Source: RFC 8829, RFC 8839 (ICE), RFC 8122 (fingerprints), RFC 8853 (simulcast), RFC 9143 (BUNDLE).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from streamd.errors import InvalidError
from streamd.media.tracks import Codec
from streamd.whip import sdp
from streamd.whip.sdp import Description, MalformedError, Media

TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
_VIDEO = {"h264": Codec.H264, "h265": Codec.HEVC, "av1": Codec.AV1}
_PROTOCOLS = {"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"}
_DIRECTIONS = ("sendonly", "sendrecv", "recvonly", "inactive")
_DIGESTS = {"sha-256", "sha-384", "sha-512"}
_UFRAG = re.compile(r"[A-Za-z0-9+/=_-]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/=_-]{22,256}")
_FINGERPRINT = re.compile(r"([\w-]{3,16}) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63})")
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LAYERS_COUNT = 8


class RefusedError(InvalidError):
    """A description that could be read, of something that is not taken here."""

    code = "offer_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One payload type as the peer described it."""

    payload_type: int
    name: str  # as the peer spelt it: "H264"
    clock_hz: int
    channels: str  # "" or "2"
    fmtp: str  # as it stands, to be mirrored
    feedback: tuple[str, ...]  # "nack", "nack pli", …


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTrack:
    """A media section that will be received."""

    kind: str  # "audio" | "video"
    mid: str
    codec: Codec
    format: Format
    repeat: Format | None  # for packets sent again (RFC 4588)
    extensions: Mapping[str, int]  # URI -> id
    layers: tuple[str, ...]  # simulcast rids, best first; empty without simulcast
    reduced_size: bool  # a=rtcp-rsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the peer offered."""

    tracks: tuple[OfferedTrack, ...]
    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]  # ("sha-256", "AA:BB:…")
    is_bundled: bool  # a=group:BUNDLE was there
    mixed_extensions: bool  # a=extmap-allow-mixed


def read_offer(body: bytes) -> Offer:
    """Raises MalformedError, RefusedError."""
    description = sdp.parse(body)
    media = description.media
    if not media:
        raise RefusedError("the offer has no media", fix="offer a video track, an audio track or both")
    tracks = tuple(_track(description, section) for section in media)
    _refuse_more_than_one(tracks)
    bundle = (description.first("group") or "").split()
    is_bundled = bundle[:1] == ["BUNDLE"] and {track.mid for track in tracks} <= set(bundle[1:])
    if len(tracks) > 1 and not is_bundled:
        raise RefusedError("picture and sound must share one transport", fix="offer all tracks in one BUNDLE group")
    ufrag, password = read_credentials(description)
    return Offer(
        tracks=tracks,
        ufrag=ufrag,
        password=password,
        fingerprints=_fingerprints(description, media[0]),
        is_bundled=is_bundled,
        mixed_extensions=description.has("extmap-allow-mixed"),
    )


def read_credentials(description: Description) -> tuple[str, str]:
    """The peer's ICE user fragment and password, of its first media section or the session. Raises MalformedError."""
    first = description.media[0] if description.media else description
    ufrag = first.first("ice-ufrag") or description.first("ice-ufrag") or ""
    password = first.first("ice-pwd") or description.first("ice-pwd") or ""
    if not _UFRAG.fullmatch(ufrag) or not _PASSWORD.fullmatch(password):
        raise MalformedError("no usable ICE credentials", why="a=ice-ufrag or a=ice-pwd is missing or malformed")
    return ufrag, password


def _refuse_more_than_one(tracks: tuple[OfferedTrack, ...]) -> None:
    kinds = [track.kind for track in tracks]
    mids = [track.mid for track in tracks]
    if len(set(mids)) != len(mids):
        raise MalformedError("two media sections have the same a=mid")
    formats = [one for track in tracks for one in (track.format, track.repeat) if one is not None]
    payload_types = [one.payload_type for one in formats]
    if len(set(payload_types)) != len(payload_types):
        raise MalformedError("two media sections have the same payload type")
    for kind in ("video", "audio"):
        if kinds.count(kind) > 1:
            raise RefusedError(
                f"more than one {kind} track", why="a room shows one programme", fix=f"offer one {kind} track"
            )


def _track(description: Description, media: Media) -> OfferedTrack:
    if media.kind not in ("audio", "video"):
        raise RefusedError(
            f"{media.kind[:20]!r} is not taken", why="WHIP carries sound and picture", fix="leave it out"
        )
    if media.protocol not in _PROTOCOLS:
        raise RefusedError(f"{media.protocol[:40]} is not taken", why="media comes by DTLS-SRTP")
    if not media.has("rtcp-mux"):
        raise RefusedError("RTP and RTCP must share one port", fix="offer a=rtcp-mux")
    if media.port == 0 and not media.has("bundle-only"):
        raise RefusedError(f"the {media.kind} section is disabled", fix="leave it out")
    _check_direction(description, media)
    if (media.first("setup") or description.first("setup") or "actpass") == "passive":
        raise RefusedError("the peer waits for our DTLS handshake", fix="offer a=setup:actpass")
    chosen = _choose(media)
    mid = media.first("mid") or ""
    if not _TOKEN.fullmatch(mid):
        raise MalformedError("a media section without a usable a=mid")
    return OfferedTrack(
        kind=media.kind,
        mid=mid,
        codec=_VIDEO.get(chosen.name.lower(), Codec.OPUS),
        format=chosen,
        repeat=_repeat_of(chosen, media),
        extensions=_extensions(media),
        layers=_layers(media),
        reduced_size=media.has("rtcp-rsize"),
    )


def _check_direction(description: Description, media: Media) -> None:
    said = [name for section in (media, description) for name in _DIRECTIONS if section.has(name)]
    if said and said[0] not in ("sendonly", "sendrecv"):
        raise RefusedError(
            f"the {media.kind} section sends nothing", why=f"its direction is {said[0]}", fix="offer it sendonly"
        )


def _choose(media: Media) -> Format:
    formats = _formats(media)
    wanted = [one for one in formats if _is_taken(media.kind, one)]
    if not wanted:
        offered = ", ".join(dict.fromkeys(one.name[:20] for one in formats)) or "nothing that can be named"
        taken = "H264, H265 or AV1" if media.kind == "video" else "Opus"
        raise RefusedError(
            f"no {media.kind} codec in common",
            why=f"offered: {offered}; taken: {taken}. What viewers' players cannot decode is not put on air",
            fix=f"offer {taken}" + (", in a browser by setCodecPreferences" if media.kind == "video" else ""),
            code=f"no_common_{media.kind}_codec",
        )
    first = wanted[0]
    if first.name.lower() == "h264" and _packetization_mode(first) != "1":
        return next((one for one in wanted if one.name.lower() == "h264" and _packetization_mode(one) == "1"), first)
    return first


def _is_taken(kind: str, one: Format) -> bool:
    if kind == "video":
        return one.name.lower() in _VIDEO and one.clock_hz == 90_000 and _packetization_mode(one) in ("", "0", "1")
    return one.name.lower() == "opus" and one.clock_hz == 48_000 and one.channels == "2"


def parameters_of(fmtp: str) -> dict[str, str]:
    """`a=1;b=2` as names in lower case to values."""
    pairs = (part.strip().partition("=") for part in fmtp.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name}


def _packetization_mode(one: Format) -> str:
    return parameters_of(one.fmtp).get("packetization-mode", "")


def _repeat_of(chosen: Format, media: Media) -> Format | None:
    for one in _formats(media):
        of = parameters_of(one.fmtp).get("apt", "") if one.name.lower() == "rtx" else ""
        if of == str(chosen.payload_type) and one.clock_hz == chosen.clock_hz:
            return one
    return None


def _formats(media: Media) -> list[Format]:
    maps = _by_payload_type(media.all("rtpmap"))
    fmtps = _by_payload_type(media.all("fmtp"))
    feedback = [value.partition(" ") for value in media.all("rtcp-fb")]
    found = []
    for payload_type in dict.fromkeys(media.formats):
        name, _, rest = maps.get(payload_type, "").partition("/")
        clock, _, channels = rest.partition("/")
        if not _is_number(payload_type, 127) or not _is_number(clock, 1_000_000) or not _TOKEN.fullmatch(name):
            continue
        found.append(
            Format(
                payload_type=int(payload_type),
                name=name,
                clock_hz=int(clock),
                channels=channels,
                fmtp=fmtps.get(payload_type, ""),
                feedback=tuple(kind.strip() for who, _, kind in feedback if who in (payload_type, "*")),
            )
        )
    return found


def _by_payload_type(values: list[str]) -> dict[str, str]:
    split = (value.partition(" ") for value in values)
    return {payload_type: rest.strip() for payload_type, _, rest in split}


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= most


def _extensions(media: Media) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in media.all("extmap"):
        number, _, rest = value.partition(" ")
        number = number.partition("/")[0]  # "3/sendonly"
        uri = rest.split(" ")[0]
        # 15 is reserved, and only one-byte headers (RFC 8285 4.2) are read here.
        if _is_number(number, 14) and int(number) and uri:
            found.setdefault(uri, int(number))
    return found


def _layers(media: Media) -> tuple[str, ...]:
    parts = (media.first("simulcast") or "").split()
    if "send" not in parts[:-1]:
        return ()
    alternatives = parts[parts.index("send") + 1].split(";")
    layers = tuple(one.split(",")[0].lstrip("~") for one in alternatives)
    if len(layers) > _LAYERS_COUNT or not all(_TOKEN.fullmatch(layer) for layer in layers):
        raise MalformedError("the simulcast layers cannot be read")
    return layers


def _fingerprints(description: Description, first: Media) -> tuple[tuple[str, str], ...]:
    found = []
    for value in (first.all("fingerprint") or description.all("fingerprint"))[:8]:
        match = _FINGERPRINT.fullmatch(value)
        if match is None:
            raise MalformedError("a certificate fingerprint that cannot be read")
        if match[1].lower() in _DIGESTS:
            found.append((match[1].lower(), match[2].upper()))
    if not found:
        raise MalformedError("no usable certificate fingerprint", why="a=fingerprint with sha-256 or longer is needed")
    return tuple(found)

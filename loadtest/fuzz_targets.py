"""Every parser of ours that reads bytes from strangers, as fuzz targets, with seeds and with laws beside "no crash".

Laws: a stream parser gives the same for the same bytes in slices as for the whole; what was decoded can be shown.
Seeds are written by hand or by the generators' own wire modules; recorded sessions join them where the tests are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

from danmaku.errors import WireError
from danmaku.wire import FrameReader as WebSocketReader
from danmaku.wire import read_packet
from loadtest import rtmp_wire
from loadtest.chatters import frame
from loadtest.fuzzing import Target
from rtmp_ingest import amf0, enhanced
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.events import Event, PlayRequested, PublishRequested
from rtmp_ingest.frames import FrameReader, Output
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import AUDIO, VIDEO, Message
from rtmp_ingest.proxy_protocol import read_header
from rtmp_ingest.session import ServerSession
from streamd.errors import InvalidError, ProtocolError
from streamd.media import opus
from streamd.media.tracks import Codec
from streamd.whip import rtcp, rtp, sdp, stun
from streamd.whip.offer import read_offer
from streamd.whip.units import Found, OpusUnits, VideoUnits

_LIMITS = RtmpLimits()
_RECORDINGS = Path(__file__).parents[1] / "tests"
_PACKET_BYTES = 64 * 1024
_LEAST_SLICE_BYTES, _MOST_SLICES = 7, 100
_AVCC = bytes.fromhex("0142c01effe1000b6742c01ed9005005bb011001000468cb83cb")
_SPS, _PPS = _AVCC[8:19], _AVCC[-4:]
_KEY = b"\x65\x88\x84" + bytes(40)


def targets() -> tuple[Target, ...]:
    """All of them."""
    return (
        _amf0(),
        _chunks(),
        _session(),
        _frames(),
        *_sdp(),
        _stun(),
        _rtp(),
        *_depacketizers(),
        _socketio(),
        _proxy(),
    )


def _recorded(folder: str, pattern: str, most_bytes: int = 4_096) -> tuple[bytes, ...]:
    return tuple(path.read_bytes()[:most_bytes] for path in sorted((_RECORDINGS / folder).glob(pattern)))


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut by lengths of two bytes that stand before each piece; what a fuzzer may put together freely."""
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


def _joined(*pieces: bytes) -> bytes:
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)


def _sliced(data: bytes) -> list[bytes]:
    size = max(_LEAST_SLICE_BYTES, len(data) // _MOST_SLICES)
    return [data[at : at + size] for at in range(0, len(data), size)]


def _outcome(feed: Callable[[bytes], list[object]], pieces: list[bytes]) -> tuple[list[object], str]:
    """What came before the refusal, and the refusal."""
    found: list[object] = []
    try:
        for piece in pieces:
            found += feed(piece)
    except ProtocolError as error:
        return found, type(error).__name__
    return found, ""


def _same_in_slices(make: Callable[[], Callable[[bytes], list[object]]], data: bytes) -> None:
    whole, sliced = _outcome(make(), [data]), _outcome(make(), _sliced(data))
    assert whole[1] == sliced[1], "refused in one way and not in the other"
    # A refusal takes what came before it in the same piece with it.
    assert whole[0] == sliced[0][: len(whole[0])], "slices matter"
    assert whole[1] or len(whole[0]) == len(sliced[0]), "slices matter"


def _amf0() -> Target:
    def run(data: bytes) -> None:
        values, _ = amf0.decode_leniently(data)
        for value in values:
            repr(amf0.plain(value))
        amf0.decode(data)

    about: dict[str, rtmp_wire.Amf] = {"app": "live", "caps": 15.0, "in": {"deep": None, "yes": True}}
    seeds = (
        rtmp_wire.amf0("connect", 1, about),
        b"\x08\0\0\0\x02\0\x01a\0" + bytes(8) + b"\0\x01b\x0a\0\0\0\x02\x05\x06\0\0\x09",
        b"\x0b" + bytes(10) + b"\x07\0\x01\x0c\0\0\0\x02hi\x0f\0\0\0\x01x\x10\0\x01C\0\0\x09\x0d",
    )
    return Target(name="amf0", run=run, refusals=(ProtocolError,), seeds=seeds, modules=("rtmp_ingest.amf0",))


def _chunks() -> Target:
    def run(data: bytes) -> None:
        def made() -> Callable[[bytes], list[object]]:
            reader = ChunkReader(_LIMITS)
            return lambda piece: list(reader.receive(piece))

        _same_in_slices(made, data)

    seeds = (
        rtmp_wire.connect("live", "rtmp://h/live") + rtmp_wire.set_chunk_size(),
        rtmp_wire.message(9, bytes(300), csid=6, stream_id=1, ts_ms=1_000)
        + rtmp_wire.next_header(9, 5, csid=6, delta_ms=33)
        + b"fives"
        + b"\xc6fives",
        b"\x06\xff\xff\xff\0\0\x05\x09\x01\0\0\0\x01\0\0\0fives\xc6\x01\0\0\0fives\x02\0\0\0\0\0\x04\x02\0\0\0\0\0\0\0\x06",
        b"\0\x10\0\0\0\0\0\x01\x08\x01\0\0\0x\x41\x10\0\0\0\x01\0\x01\x08y",
    )
    return Target(
        name="chunks", run=run, refusals=(), seeds=seeds, modules=("rtmp_ingest.chunks", "rtmp_ingest.buffer")
    )


def _session() -> Target:
    hello = rtmp_wire.hello() + bytes(rtmp_wire.HANDSHAKE_BYTES)

    def run(data: bytes) -> None:
        session = ServerSession(limits=_LIMITS, random=bytes(1_528))
        reader = FrameReader(limits=_LIMITS)
        outputs: list[Output] = []
        now_ms = 0
        for piece in (hello, data):
            now_ms += 10
            events: list[Event] = session.receive(piece, now_ms)
            while events:
                again: list[Event] = []
                for event in events:
                    if isinstance(event, Message):
                        reader.receive(event, outputs)
                    elif isinstance(event, PublishRequested):
                        again += session.accept_publish()
                    elif isinstance(event, PlayRequested):
                        again += session.accept_play()
                events = again
            session.data_to_send()

    begin = rtmp_wire.connect("live", "rtmp://h/live") + rtmp_wire.command("createStream", 2, None)
    publish = rtmp_wire.command("publish", 3, None, "demo-key", "live", stream_id=1)
    media = rtmp_wire.message(9, b"\x17\0\0\0\0" + _AVCC, csid=6, stream_id=1)
    play = rtmp_wire.command("play", 3, None, "demo", stream_id=1)
    seeds = (begin + publish + media, begin + play, *_recorded("corpus/rtmp", "*.bin", 8_192))
    words = tuple(rtmp_wire.amf0(name) for name in ("deleteStream", "FCPublish", "pause", "seek", "closeStream"))
    return Target(
        name="rtmp session",
        run=run,
        refusals=(ProtocolError,),
        seeds=tuple(seed.removeprefix(hello) for seed in seeds),
        modules=("rtmp_ingest",),
        words=words,
    )


def _frames() -> Target:
    def run(data: bytes) -> None:
        reader = FrameReader(limits=_LIMITS)
        outputs: list[Output] = []
        for index, piece in enumerate(_pieces(data)):
            kind = VIDEO if piece[:1] == b"v" else AUDIO
            reader.receive(Message(kind, 1, index * 20, piece[1:]), outputs)
        for payload in filter(None, _pieces(data)):
            enhanced.video_packets(payload)

    seeds = (
        _joined(b"v\x17\0\0\0\0" + _AVCC, b"v\x17\x01\0\0\0" + len(_KEY).to_bytes(4, "big") + _KEY),
        _joined(b"a\xaf\0\x11\x90", b"a\xaf\x01" + bytes(20)),
        _joined(
            b"v\x90hvc1" + bytes(60), b"v\x91av01\x12\0\x0a\x0b\0\0\0\x24\xcf\x7f\x0d\xbf\xff\x38\x18", b"a\x91Opus\x01"
        ),
        *(_joined(b"v" + tag, b"a" + tag) for tag in _recorded("vectors/rtmp", "*.flv")),
    )
    return Target(
        name="media messages",
        run=run,
        refusals=(ProtocolError,),
        seeds=seeds,
        modules=("rtmp_ingest.frames", "rtmp_ingest.enhanced", "streamd.media"),
        words=(b"\x90hvc1", b"\x91avc1", b"\x96", b"\x97", b"\x90av01", b"\x90mp4a", b"\x90Opus", b"OpusHead\x01\x02"),
    )


def _sdp() -> tuple[Target, ...]:
    seeds = _recorded("vectors/whip", "*.sdp", 8_192) or (b"v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n",)
    words = (b"\r\na=rid:", b"\r\na=extmap:", b"\r\na=rtpmap:96 ", b"\r\na=fmtp:96 ", b"\r\na=fingerprint:sha-256 ")
    modules = ("streamd.whip.sdp", "streamd.whip.offer")
    return (
        Target(name="SDP offer", run=read_offer, refusals=(InvalidError,), seeds=seeds, modules=modules, words=words),
        Target(
            name="SDP fragment",
            run=sdp.parse_fragment,
            refusals=(InvalidError,),
            seeds=(b"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n",),
            modules=modules,
        ),
    )


def _stun() -> Target:
    def run(data: bytes) -> None:
        stun.parse_request(data)
        # And behind the checks that chance does not pass.
        body = data[20:] + b"\x80\x28\0\x04"
        head = b"\0\x01" + (len(body) + 4).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + data[8:20].ljust(12, b"t")
        checked = head + body
        request = stun.parse_request(checked + (crc32(checked[:-4]) ^ 0x5354554E).to_bytes(4, "big"))
        if request is not None:
            stun.is_authentic(checked, request, b"password")
            stun.success(request, ("127.0.0.1", 9), b"password")

    user = b"\0\x06\0\x09ours:they\0\0\0"
    seeds = (bytes(20) + user + b"\0\x25\0\0\x80\x29\0\x08" + bytes(8) + b"\0\x08\0\x14" + bytes(20),)
    return Target(name="STUN", run=run, refusals=(), seeds=seeds, modules=("streamd.whip.stun",))


def _rtp() -> Target:
    def run(data: bytes) -> None:
        rtp.parse(data)
        for wanted in (1, 3, 15):
            rtp.extension(data, wanted)
        rtcp.parse(data)

    seeds = (
        b"\x80\x60\0\x01" + bytes(8) + b"payload",
        b"\xb0\xe0\0\x01" + bytes(8) + b"\xbe\xde\0\x01\x10x\x31yz\0\x02",
        b"\x90\xe0\0\x01" + bytes(8) + b"\x10\0\0\x01\x03\x01x\0p",
        b"\x81\xc8\0\x0c" + bytes(48) + b"\x81\xcb\0\x01" + bytes(4),
    )
    return Target(
        name="RTP, RTCP", run=run, refusals=(), seeds=seeds, modules=("streamd.whip.rtp", "streamd.whip.rtcp")
    )


def _depacketizers() -> tuple[Target, ...]:
    modules = ("streamd.whip", "streamd.media")
    h264 = (
        _joined(b"\x18\0\x0b" + _SPS + b"\0\x04" + _PPS, _KEY),
        _joined(b"\x67" + _SPS[1:], _PPS, b"\x7c\x85" + _KEY[1:20], b"\x7c\x45" + _KEY[20:]),
    )
    hevc = (_joined(b"\x60\x01\0\x04\x40\x01\x0c\x01\0\x04\x42\x01\x01\x01", b"\x62\x01\x93abc", b"\x62\x01\x53def"),)
    av1 = (_joined(b"\x18\x0b\x0a\0\0\0\x24\xcf\x7f\x0d\xbf\xff\x38\x30abc"), _joined(b"\x28\x02\x30a\x03bcd"))
    made = tuple(
        Target(name=f"RTP {codec.value}", run=_units(codec), refusals=(), seeds=seeds, modules=modules)
        for codec, seeds in ((Codec.H264, h264), (Codec.HEVC, hevc), (Codec.AV1, av1))
    )

    def sound(data: bytes) -> None:
        units = OpusUnits(counts=Counter())
        found: list[Found] = []
        for index, piece in enumerate(_pieces(data)):
            if piece:
                units.add(piece, rtp=index * 960, marker=False, found=found)
        opus.packet_samples(data)

    return (
        *made,
        Target(name="RTP opus", run=sound, refusals=(), seeds=(_joined(b"\xfcabc", b"\x03\x83"),), modules=modules),
    )


def _units(codec: Codec) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        units = VideoUnits(codec=codec, fmtp={}, limit_bytes=1 << 20, counts=Counter())
        found: list[Found] = []
        for index, piece in enumerate(_pieces(data)):
            if piece:
                units.add(piece, rtp=index // 3 * 3_000, marker=piece[-1] & 1 == 1, found=found)
        units.lost()

    return run


def _socketio() -> Target:
    def run(data: bytes) -> None:
        def made() -> Callable[[bytes], list[object]]:
            reader = WebSocketReader(max_bytes=_PACKET_BYTES)
            return lambda piece: list(reader.feed(piece))

        _same_in_slices(made, data)
        for opcode, payload in WebSocketReader(max_bytes=_PACKET_BYTES).feed(data):
            if opcode == 1 and payload[:1] == b"4":
                read_packet(payload[1:])
        read_packet(data)

    seeds = (
        frame('40{"room":"demo"}') + frame('421["danmaku",{"text":"hi"}]') + frame("3"),
        b"\x01\x82\0\0\0\x0042\x80\x85\0\0\0\0[1,2]\x88\x80\0\0\0\0",
        b"2/admin,12[]",
    )
    return Target(name="Socket.IO", run=run, refusals=(WireError,), seeds=seeds, modules=("danmaku.wire",))


def _proxy() -> Target:
    seeds = (
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 1935\r\nrest",
        b"PROXY TCP6 ::1 ::1 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes(36),
    )
    return Target(
        name="PROXY header",
        run=read_header,
        refusals=(ProtocolError,),
        seeds=seeds,
        modules=("rtmp_ingest.proxy_protocol",),
    )

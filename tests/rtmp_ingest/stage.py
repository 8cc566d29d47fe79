"""What the tests of this package stand on: slicing, captures, a second chunk reader, and sessions driven by hand."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rtmp_ingest import amf0, messages
from rtmp_ingest.chunk_writer import ChunkWriter
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.events import Event, MetadataReceived, PlayRequested, PublishRequested
from rtmp_ingest.frames import Dropped, FrameReader, Output
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Message
from rtmp_ingest.session import ServerSession
from streamd.media.frames import EncodedFrame

LIMITS = RtmpLimits()
CAPTURES = Path(__file__).parents[1] / "vectors" / "rtmp"
CORPUS = Path(__file__).parents[1] / "corpus" / "rtmp"
HANDSHAKE = b"\x03" + bytes(1536) + bytes(1536)
SLICES = (1, 2, 3, 7, 128, 1448, 4099, 65_536)


def slices(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in pieces of `size` bytes."""
    return (data[at : at + size] for at in range(0, len(data), size))


def read_chunks(pieces: Iterable[bytes], *, limits: RtmpLimits = LIMITS) -> list[Message]:
    reader = ChunkReader(limits)
    return [message for piece in pieces for message in reader.receive(piece)]


def plain_chunk_reader(data: bytes) -> list[Message]:
    """A reader that does nothing cleverly, for what the real one gives to be held against. Whole streams only."""
    found: list[Message] = []
    state: dict[int, dict[str, int]] = {}
    bodies: dict[int, bytes] = {}
    size = 128
    at = 0

    def number(count: int, order: str = "big") -> int:
        nonlocal at
        at += count
        assert at <= len(data)
        return int.from_bytes(data[at - count : at], order)  # type: ignore[arg-type]

    while at < len(data):
        kind, csid = divmod(number(1), 64)
        if csid == 0:
            csid = 64 + number(1)
        elif csid == 1:
            csid = 64 + number(2, "little")
        stream = state.setdefault(csid, {"time": 0, "delta": 0, "extended": -1})
        if kind == 3:
            if stream["extended"] >= 0 and data[at : at + 4] == stream["extended"].to_bytes(4, "big"):
                at += 4
            if csid not in bodies:
                stream["time"] += stream["delta"]
        else:
            time = number(3)
            if kind < 2:
                stream["length"], stream["type"] = number(3), number(1)
            if kind == 0:
                stream["id"] = number(4, "little")
            stream["extended"] = -1
            if time == 0xFFFFFF:
                time = stream["extended"] = number(4)
            if kind:
                stream["delta"] = time
                time += stream["time"]
            stream["time"] = time % 2**32
            bodies.pop(csid, None)
        stream["time"] %= 2**32
        body = bodies.get(csid, b"")
        take = min(size, stream["length"] - len(body))
        if at + take > len(data):
            return found
        bodies[csid] = body + data[at : at + take]
        at += take
        if len(bodies[csid]) == stream["length"]:
            body = bodies.pop(csid)
            if stream["type"] == 1:
                size = int.from_bytes(body, "big")
            else:
                found.append(Message(stream["type"], stream.get("id", 0), stream["time"], body))
    return found


@dataclass
class Replay:
    """What came out of a session that let everybody publish and play."""

    session: ServerSession
    events: list[Event] = field(default_factory=list)  # without media
    outputs: list[Output] = field(default_factory=list)
    media_count: int = 0

    @property
    def frames(self) -> list[EncodedFrame]:
        return [output for output in self.outputs if isinstance(output, EncodedFrame)]

    @property
    def tracks(self) -> list[Output]:
        return [output for output in self.outputs if not isinstance(output, (EncodedFrame, Dropped))]

    def digest(self) -> str:
        """One word for every frame, its time and its bytes."""
        digest = hashlib.sha256()
        for frame in self.frames:
            digest.update(repr((str(frame.track.codec), frame.dts, frame.cts, frame.is_sync)).encode() + frame.payload)
        return digest.hexdigest()[:16]

    def counts(self) -> Counter[str]:
        """Frames by codec, and what was dropped by word."""
        return Counter(
            str(output.track.codec) if isinstance(output, EncodedFrame) else output.word
            for output in self.outputs
            if isinstance(output, (EncodedFrame, Dropped))
        )


def replay(pieces: Iterable[bytes], *, limits: RtmpLimits = LIMITS) -> Replay:
    """Feed a session; every publish is accepted on the spot, every play likewise."""
    played = Replay(ServerSession(limits=limits, random=bytes(1528)))
    reader = FrameReader(limits=limits)
    for piece in pieces:
        events = played.session.receive(piece, 0)
        while events:
            again: list[Event] = []
            for event in events:
                if isinstance(event, Message):
                    played.media_count += 1
                    reader.receive(event, played.outputs)
                    continue
                played.events.append(event)
                if isinstance(event, PublishRequested):
                    again += played.session.accept_publish()
                elif isinstance(event, PlayRequested):
                    again += played.session.accept_play()
            events = again
    return played


class Peer:
    """An encoder or player by hand: calls in, what the session makes of them out."""

    def __init__(self, *, limits: RtmpLimits = LIMITS) -> None:
        self.session = ServerSession(limits=limits, random=bytes(1528))
        self.writer = ChunkWriter()
        self._reader = ChunkReader(RtmpLimits())
        self.now_ms = 0

    def feed(self, data: bytes) -> list[Event]:
        return self.session.receive(data, self.now_ms)

    def send(self, message: Message, *, csid: int = 3) -> list[Event]:
        return self.feed(self.writer.write(message, csid=csid))

    def call(self, name: str, transaction: float, *arguments: amf0.Value, stream_id: int = 0) -> list[Event]:
        return self.send(messages.command(stream_id, name, transaction, *arguments))

    def heard(self) -> list[Message]:
        """What the session has said since it was last asked."""
        return self._reader.receive(self.session.data_to_send())

    def commands(self) -> list[messages.Command]:
        return [messages.parse_command(message) for message in self.heard() if message.type_id == 20]

    def statuses(self) -> list[tuple[object, object]]:
        """(level, code) of every onStatus since last asked."""
        found: list[tuple[object, object]] = []
        for command in self.commands():
            if command.name == "onStatus":
                values = command.arguments[1]
                assert isinstance(values, dict)
                found.append((values["level"], values["code"]))
        return found

    def connect(self, **properties: amf0.Value) -> None:
        if not self.session.handshaken:
            self.feed(HANDSHAKE)
            assert len(self.session.data_to_send()) == 3073
        self.call("connect", 1, {"app": "live", "flashVer": "test/1", **properties})

    def publish(self, name: str = "demo-key") -> PublishRequested:
        """As far as the request that the shell has to decide."""
        if not self.session.connected:
            self.connect()
        self.call("createStream", 2, None)
        self.heard()
        (event,) = self.call("publish", 3, None, name, "live", stream_id=1)
        assert isinstance(event, PublishRequested)
        return event

    def on_air(self) -> Peer:
        self.publish()
        assert self.session.accept_publish() == []
        self.heard()
        return self


def metadata_events(events: Iterable[Event]) -> list[MetadataReceived]:
    return [event for event in events if isinstance(event, MetadataReceived)]

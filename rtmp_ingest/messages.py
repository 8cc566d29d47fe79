"""RTMP messages: their types, the protocol control messages, commands, and aggregates taken apart.

In: the payload of one whole message. Out: values; and the other way round. Source: Adobe RTMP 1.0, sections 5.4, 6, 7.
Not here: how messages are cut into chunks (`chunks`), what a command makes the session do (`session`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from rtmp_ingest import amf0
from rtmp_ingest.buffer import Cursor
from streamd.errors import ProtocolError

SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
ACKNOWLEDGEMENT: Final = 3
USER_CONTROL: Final = 4
WINDOW_ACK_SIZE: Final = 5
SET_PEER_BANDWIDTH: Final = 6
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
COMMAND_AMF3: Final = 17
DATA_AMF0: Final = 18
COMMAND_AMF0: Final = 20
AGGREGATE: Final = 22


# A second of everything; a message of eight megabytes must not buy a second of our time.
_AGGREGATE_PARTS = 4096


class Message(NamedTuple):
    """One whole message. `timestamp` is in ms modulo 2**32, `stream_id` the message stream (0 is the connection)."""

    type_id: int
    stream_id: int
    timestamp: int
    payload: bytes


class UserEvent(IntEnum):
    """Events of user control messages (7.1.7) that we speak or understand."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    SET_BUFFER_LENGTH = 3
    PING_REQUEST = 6
    PING_RESPONSE = 7


class Command(NamedTuple):
    """A remote call: `arguments[0]` is the command object, None for most commands."""

    name: str
    transaction: float
    arguments: list[amf0.Value]

    def text(self, index: int) -> str:
        """Argument `index` if it is text, else nothing: encoders leave arguments out and mix up their types."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, str) else ""

    def number(self, index: int) -> float | None:
        """Argument `index` as a number; some encoders send numbers as text."""
        value = self.arguments[index] if index < len(self.arguments) else None
        if isinstance(value, str):
            return float(value) if value.isascii() and value.isdecimal() else None
        return float(value) if isinstance(value, (int, float)) else None


def parse_command(message: Message) -> Command:
    """A command of type 20, or of type 17, where a format byte 0 says that AMF0 follows.

    Arguments end at the first one that cannot be read. Raises ProtocolError when not even the name can.
    """
    values, error = amf0.decode_leniently(message.payload, _amf0_start(message, COMMAND_AMF3))
    if not values or not isinstance(values[0], str):
        raise error or ProtocolError("A command without a name", code="amf")
    transaction = values[1] if len(values) > 1 else 0.0
    return Command(
        values[0],
        float(transaction) if isinstance(transaction, (int, float)) else 0.0,
        values[2:],
    )


def parse_metadata(message: Message) -> dict[str, amf0.Value] | None:
    """What onMetaData holds, with "@setDataFrame" taken off; None for every other kind of data.

    Truncated metadata gives what could be read of it.
    """
    values, _ = amf0.decode_leniently(message.payload, _amf0_start(message, DATA_AMF3))
    if values[:1] == ["@setDataFrame"]:
        values = values[1:]
    if len(values) < 2 or values[0] != "onMetaData":
        return None
    found = values[1]
    return found if isinstance(found, dict) else None


def _amf0_start(message: Message, amf3_type: int) -> int:
    # A command or data name is always a string (marker 2), so a leading 0 can only be the format byte.
    return 1 if message.type_id == amf3_type and message.payload[:1] == b"\x00" else 0


def split_aggregate(message: Message) -> list[Message]:
    """The messages inside an aggregate (7.1.6): a run of FLV tags whose times are moved to the aggregate's own.

    A tag that is cut off at the end is left out. Raises ProtocolError for an aggregate inside an aggregate, and for
    more tags than any encoder puts into one.
    """
    cursor = Cursor(message.payload)
    parts: list[Message] = []
    offset = 0
    while cursor.remaining >= 11:
        type_id = cursor.u8()
        length = cursor.u24()
        time = cursor.u24() | cursor.u8() << 24
        cursor.take(3)
        if type_id == AGGREGATE:
            raise ProtocolError("An aggregate message inside an aggregate", code="aggregate_nested")
        if cursor.remaining < length:
            break
        if len(parts) == _AGGREGATE_PARTS:
            raise ProtocolError("Too many tags in an aggregate", code="aggregate_limit")
        if not parts:
            offset = message.timestamp - time
        payload = cursor.take(length)
        parts.append(Message(type_id, message.stream_id, (time + offset) & 0xFFFF_FFFF, payload))
        cursor.take(min(4, cursor.remaining))  # back pointer
    return parts


def control(type_id: int, value: int) -> Message:
    """Set Chunk Size, Abort, Acknowledgement or Window Acknowledgement Size: one 32-bit number."""
    return Message(type_id, 0, 0, value.to_bytes(4, "big"))


def peer_bandwidth(window_bytes: int, limit_type: int = 2) -> Message:
    """Set Peer Bandwidth; limit type 2 is "dynamic"."""
    return Message(SET_PEER_BANDWIDTH, 0, 0, window_bytes.to_bytes(4, "big") + bytes([limit_type]))


def user_control(event: UserEvent, value: int) -> Message:
    """A user control message with one 32-bit number: a stream id, or a ping's time."""
    return Message(USER_CONTROL, 0, 0, event.to_bytes(2, "big") + (value & 0xFFFF_FFFF).to_bytes(4, "big"))


def command(stream_id: int, name: str, transaction: float, *arguments: amf0.Value) -> Message:
    """A command in AMF0."""
    return Message(COMMAND_AMF0, stream_id, 0, amf0.encode(name, transaction, *arguments))


def data(stream_id: int, *values: amf0.Value, timestamp: int = 0) -> Message:
    """A data message in AMF0."""
    return Message(DATA_AMF0, stream_id, timestamp, amf0.encode(*values))


def status(stream_id: int, level: str, code: str, description: str) -> Message:
    """onStatus: how a server tells a stream what became of it."""
    information: dict[str, amf0.Value] = {"level": level, "code": code, "description": description}
    return command(stream_id, "onStatus", 0, None, information)

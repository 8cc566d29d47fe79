"""What a server says on one connection: messages made into bytes, in order, until they are taken away to be sent.

Out: chunks of the size that was announced to the peer, each kind of message on a chunk stream of its own. Source: RTMP
1.0 section 5.3. Not here: what to say, and when (`session`).
"""

from __future__ import annotations

from rtmp_ingest import amf0, messages
from rtmp_ingest.chunk_writer import encode_message
from rtmp_ingest.messages import Command, Message

_CONTROL_CSID = 2
_COMMAND_CSID = 3
_STATUS_CSID = 5


class Replies:
    """See the module's promise."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._chunk_bytes = 128

    def take(self) -> bytes:
        """Everything said since the last time."""
        waiting = self._waiting
        if not waiting:
            return b""
        self._waiting = []
        return b"".join(waiting)

    def raw(self, data: bytes) -> None:
        """Bytes that are no message: the handshake."""
        self._waiting.append(data)

    def announce_chunk_size(self, chunk_bytes: int) -> None:
        """Messages that follow come in chunks of this size."""
        self.say(messages.control(messages.SET_CHUNK_SIZE, chunk_bytes))
        self._chunk_bytes = chunk_bytes

    def say(self, message: Message) -> None:
        """One message."""
        if message.type_id == messages.COMMAND_AMF0:
            csid = _STATUS_CSID if message.stream_id else _COMMAND_CSID
        else:
            csid = _STATUS_CSID if message.type_id == messages.DATA_AMF0 else _CONTROL_CSID
        self._waiting.append(encode_message(message, csid=csid, chunk_bytes=self._chunk_bytes))

    def result(self, command: Command, *arguments: amf0.Value) -> None:
        """The answer to a call, unless its caller wants none: rtmp2sink of GStreamer numbers such calls with 0."""
        if command.transaction:
            self.say(messages.command(0, "_result", command.transaction, *arguments))

    def inform(self, name: str, code: str, description: str, *, level: str = "") -> None:
        """A command of our own about the connection as a whole: onFCPublish, onStatus."""
        information: dict[str, amf0.Value] = {"level": level} if level else {}
        self.say(messages.command(0, name, 0, None, {**information, "code": code, "description": description}))

"""One RTMP connection as the server sees it, without its socket.

In: received bytes and the time (`receive`), and the shell's answers (`accept_publish`, `accept_play`, `end`). Out:
events in order, and bytes to send (`data_to_send`). The session answers by itself what needs no decision: handshake,
control messages, connect, createStream, pings. A publish or play is decided outside: until then nothing is promised to
the peer and what it sends is kept unread (the shell bounds it by `held_bytes`). One connection does one thing at a
time: publish or play. Unknown commands are counted and never answered: an `_error` makes some encoders give up.
Raises ProtocolError when the peer breaks the rules; the session is dead then. Source: RTMP 1.0 section 7.2. Not here:
keys and who may publish (`PublishGate`), media (`frames`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum

from rtmp_ingest import amf0, errors, messages
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.connect import CAPS_RECONNECT, ConnectingPeer, connect_result, parse_connect
from rtmp_ingest.events import Event, MetadataReceived, PlayRequested, PlayStopped, PublishRequested, Unpublished
from rtmp_ingest.handshake import ServerHandshake
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Command, Message, UserEvent
from rtmp_ingest.replies import Replies
from streamd.errors import ProtocolError

WINDOW_BYTES = 2_500_000
# ffmpeg takes the server's chunk size for its own output, so this is what it sends to us: one chunk a message.
CHUNK_BYTES = 60_000
_BUSY = "This connection is already in use"


class Role(Enum):
    """What the connection is doing."""

    IDLE = "idle"
    PUBLISH_PENDING = "publish_pending"
    PUBLISHING = "publishing"
    PLAY_PENDING = "play_pending"
    PLAYING = "playing"


class ServerSession:
    """The state of one connection. `random` is 1528 bytes for the handshake.

    `counts` holds what was odd and survived, by word. `handshaken` and `connected` say how far the peer has come.
    """

    def __init__(self, *, limits: RtmpLimits, random: bytes) -> None:
        self._limits = limits
        self._handshake: ServerHandshake | None = ServerHandshake(random=random)
        self._reader = ChunkReader(limits)
        self._reader.limit_messages(limits.unadmitted_message_bytes)
        self._replies = Replies()
        self._peer = ConnectingPeer(app="", encoder="", enhancements={}, capabilities=0)
        self._stream_ids: set[int] = set()
        self._next_stream_id = 1
        self._stream_id = 0  # of what `role` says
        self._fc_publish = False
        self._held_messages: list[Message] = []
        self._held_data: list[bytes] = []
        self._now_ms = 0
        self._acknowledged_bytes = 0
        self._ack_every_bytes = WINDOW_BYTES // 2
        self._handshake_bytes = 0
        self._window_start_ms = 0
        self._window_cost = 0
        self.connected = False
        self.role = Role.IDLE
        self.held_bytes = 0
        self.pongs_count = 0
        self.counts: Counter[str] = Counter()

    @property
    def handshaken(self) -> bool:
        """Whether both sides have shaken hands."""
        return self._handshake is None

    @property
    def received_bytes(self) -> int:
        """Everything the peer has sent."""
        return self._handshake_bytes + self._reader.received_bytes

    @property
    def repairs(self) -> tuple[tuple[str, int], ...]:
        """How often the chunk stream had to be read with good will, by the words that a host is shown."""
        reader = self._reader
        return (
            ("unfinished_message_dropped", reader.discarded_count),
            ("extended_time_guessed", reader.extended_guesses_count),
        )

    @property
    def encoder(self) -> str:
        """flashVer, as the peer put it."""
        return self._peer.encoder

    def receive(self, data: bytes, now_ms: int) -> list[Event]:
        """Take bytes in. `now_ms` is monotonic and only bounds the rate of commands."""
        if self._handshake is not None:
            answer, rest = self._handshake.receive(data)
            if answer:
                self._replies.raw(answer)
            if rest is None:
                self._handshake_bytes += len(data)
                return []
            self._handshake_bytes += len(data) - len(rest)
            self._handshake = None
            data = rest
        self._now_ms = now_ms
        events: list[Event] = []
        if self.role is Role.PUBLISHING:
            self._receive_on_air(self._reader.receive(data), events)
        else:
            self._receive_stepwise(data, events)
        if self._reader.received_bytes - self._acknowledged_bytes >= self._ack_every_bytes:
            self._acknowledge()
        return events

    def _receive_on_air(self, received: list[Message], events: list[Event]) -> None:
        waiting = iter(received)
        for message in waiting:
            type_id = message[0]
            if type_id == messages.VIDEO or type_id == messages.AUDIO:
                events.append(message)
                continue
            self._dispatch(message, events)
            if self.role is not Role.PUBLISHING:
                break
        for message in waiting:  # behind the end of the publication, in the same bytes
            if self._is_pending():
                self._held_messages.append(message)
            else:
                self._dispatch(message, events)

    def _receive_stepwise(self, data: bytes, events: list[Event]) -> None:
        """Message by message, because any of them may ask for a decision that those behind it have to wait for."""
        while not self._is_pending():
            message, data = self._reader.receive_one(data)
            if message is None:
                return
            self._dispatch(message, events)
        if data:
            self._held_data.append(data)
            self.held_bytes += len(data)

    def _is_pending(self) -> bool:
        return self.role in (Role.PUBLISH_PENDING, Role.PLAY_PENDING)

    def data_to_send(self) -> bytes:
        """What is due to the peer, once."""
        return self._replies.take()

    # What the shell decides

    def accept_publish(self) -> list[Event]:
        """The peer may publish. Gives the events of what it sent meanwhile."""
        assert self.role is Role.PUBLISH_PENDING
        self.role = Role.PUBLISHING
        stream_id = self._stream_id
        if self._fc_publish:  # Flash Media Live Encoder and its descendants wait for this
            self._replies.inform("onFCPublish", errors.PUBLISH_START, "Start publishing")
        self._replies.say(messages.user_control(UserEvent.STREAM_BEGIN, stream_id))
        self._status("status", errors.PUBLISH_START, "Start publishing")
        self._reader.limit_messages(self._limits.message_bytes)
        return self._release()

    def accept_play(self, *, is_reset: bool = True) -> list[Event]:
        """The peer may watch, on the stream that it asked on. Gives the events of what it sent meanwhile."""
        assert self.role is Role.PLAY_PENDING
        self.role = Role.PLAYING
        stream_id = self._stream_id
        self._replies.say(messages.user_control(UserEvent.STREAM_BEGIN, stream_id))
        if is_reset:
            self._status("status", errors.PLAY_RESET, "Playing and resetting")
        self._status("status", errors.PLAY_START, "Started playing")
        self._replies.say(messages.data(stream_id, "|RtmpSampleAccess", True, True))
        return self._release()

    def _release(self) -> list[Event]:
        """Read what was held while the decision was out."""
        held_messages, held_data = self._held_messages, b"".join(self._held_data)
        self._held_messages, self._held_data, self.held_bytes = [], [], 0
        events: list[Event] = []
        self._receive_on_air(held_messages, events)
        events += self.receive(held_data, self._now_ms)
        return events

    def end(self, code: str, description: str) -> None:
        """Refuse what the peer asked for, or tell it that it is over. The shell then closes the connection."""
        if self.role is Role.IDLE:
            return
        good = (errors.UNPUBLISH_SUCCESS, errors.PLAY_UNPUBLISH_NOTIFY)
        self._status("status" if code in good else "error", code, description)
        if self.role is Role.PLAYING:
            self._replies.say(messages.user_control(UserEvent.STREAM_EOF, self._stream_id))
        self._become_idle()

    def request_reconnect(self, description: str) -> bool:
        """Ask a peer that understands it to come back by itself (Enhanced RTMP); says whether it does."""
        if not self._peer.capabilities & CAPS_RECONNECT:
            return False
        self._replies.inform("onStatus", errors.RECONNECT_REQUEST, description, level="status")
        return True

    def ping(self, now_ms: int) -> None:
        """Ask for a sign of life."""
        if self.connected:
            self._replies.say(messages.user_control(UserEvent.PING_REQUEST, now_ms))

    # What the peer says

    def _dispatch(self, message: Message, events: list[Event]) -> None:
        """Everything but media of the accepted publication."""
        self._spend(message)
        match message.type_id:
            case messages.VIDEO | messages.AUDIO:
                self._media(message, events)
            case messages.COMMAND_AMF0 | messages.COMMAND_AMF3:
                self._command(message, events)
            case messages.DATA_AMF0 | messages.DATA_AMF3:
                self._data(message, events)
            case messages.AGGREGATE:
                for part in messages.split_aggregate(message):
                    if part.type_id in (messages.VIDEO, messages.AUDIO):
                        self._media(part, events)
                    elif part.type_id in (messages.DATA_AMF0, messages.DATA_AMF3):
                        self._data(part, events)
            case messages.USER_CONTROL:
                self._user_control(message.payload)
            case messages.WINDOW_ACK_SIZE:
                window = int.from_bytes(message.payload[:4], "big")
                self._ack_every_bytes = max(1, min(window, WINDOW_BYTES) // 2)
            case messages.ACKNOWLEDGEMENT | messages.SET_PEER_BANDWIDTH:
                pass  # we neither throttle by the peer's acknowledgements nor obey its limit: TCP does both
            case _:
                self.counts["unknown_message"] += 1

    def _spend(self, message: Message) -> None:
        if self._now_ms - self._window_start_ms >= 1_000:
            self._window_start_ms = self._now_ms
            self._window_cost = 0
        is_parsed = message.type_id not in (messages.VIDEO, messages.AUDIO, messages.AGGREGATE)
        self._window_cost += 1 + len(message.payload) // 1024 if is_parsed else 1
        if self._window_cost > self._limits.command_cost_per_second:
            raise ProtocolError("Too many commands in a second", code="command_flood")

    def _media(self, message: Message, events: list[Event]) -> None:
        if self.role is Role.PUBLISHING:
            events.append(message)
        else:
            self.counts["media_without_publish"] += 1

    def _data(self, message: Message, events: list[Event]) -> None:
        if len(message.payload) > self._limits.command_bytes:
            self.counts["data_too_long"] += 1
            return
        if self.role is not Role.PUBLISHING:
            return
        values = messages.parse_metadata(message)
        if values is None:
            self.counts["data_ignored"] += 1
            return
        events.append(MetadataReceived(values=values))

    def _user_control(self, payload: bytes) -> None:
        event = int.from_bytes(payload[:2], "big")
        if event == UserEvent.PING_REQUEST and len(payload) >= 6:
            self._replies.say(messages.user_control(UserEvent.PING_RESPONSE, int.from_bytes(payload[2:6], "big")))
        elif event == UserEvent.PING_RESPONSE:
            self.pongs_count += 1

    def _command(self, message: Message, events: list[Event]) -> None:
        if len(message.payload) > self._limits.command_bytes:
            raise ProtocolError("Command too long", why=f"{len(message.payload)} bytes", code="command_limit")
        command = messages.parse_command(message)
        if command.name == "connect":
            self._connect(command, len(message.payload))
            return
        if not self.connected:
            raise ProtocolError("A command before connect", code="not_connected")
        handler = _COMMANDS.get(command.name)
        if handler is None:
            self.counts["unknown_command"] += 1
        else:
            handler(self, command, message.stream_id, events)

    def _connect(self, command: Command, length: int) -> None:
        if self.connected or length > self._limits.connect_bytes:
            raise ProtocolError("A connect that is too long or repeated", code="connect")
        self._peer = parse_connect(command, name_bytes=self._limits.name_bytes)
        self.connected = True
        self._replies.say(messages.control(messages.WINDOW_ACK_SIZE, WINDOW_BYTES))
        self._replies.say(messages.peer_bandwidth(WINDOW_BYTES))
        self._replies.announce_chunk_size(CHUNK_BYTES)
        self._replies.say(connect_result(command.transaction, self._peer))

    def _answer_nothing(self, command: Command, _stream_id: int, _events: list[Event]) -> None:
        """releaseStream, FCPublish, _checkbw: nothing to do, and some encoders wait to hear that."""
        if command.name == "FCPublish":
            self._fc_publish = True
        self._replies.result(command, None, amf0.UNDEFINED)

    def _stream_length(self, command: Command, _stream_id: int, _events: list[Event]) -> None:
        self._replies.result(command, None, 0)

    def _subscribe(self, _command: Command, _stream_id: int, _events: list[Event]) -> None:
        self._replies.inform("onFCSubscribe", errors.PLAY_START, "Subscribed", level="status")

    def _create_stream(self, command: Command, _stream_id: int, _events: list[Event]) -> None:
        if len(self._stream_ids) >= self._limits.message_streams_count:
            raise ProtocolError("Too many message streams on one connection", code="message_streams_limit")
        stream_id = self._next_stream_id
        self._next_stream_id += 1
        self._stream_ids.add(stream_id)
        self._replies.result(command, None, stream_id)

    def _publish(self, command: Command, stream_id: int, events: list[Event]) -> None:
        if self.role is not Role.IDLE:
            self.counts["publish_refused_busy"] += 1
            self._replies.say(messages.status(stream_id, "error", errors.PUBLISH_BAD_NAME, _BUSY))
            return
        self._stream_id = stream_id
        self.role = Role.PUBLISH_PENDING
        name = command.text(1)
        events.append(PublishRequested(stream_id=stream_id, app=self._peer.app, name=name, encoder=self._peer.encoder))

    def _play(self, command: Command, stream_id: int, events: list[Event]) -> None:
        if self.role is not Role.IDLE:
            self._replies.say(
                messages.status(stream_id, "error", errors.PLAY_FAILED, "This connection is already in use")
            )
            return
        self._stream_id = stream_id
        self.role = Role.PLAY_PENDING
        reset = command.arguments[4] if len(command.arguments) > 4 else True
        events.append(
            PlayRequested(
                stream_id=stream_id, app=self._peer.app, name=command.text(1), is_reset=reset not in (False, 0)
            )
        )

    def _fc_unpublish(self, command: Command, _stream_id: int, events: list[Event]) -> None:
        if self.role is Role.PUBLISHING:
            self._stop(events)
        self._replies.result(command, None, amf0.UNDEFINED)

    def _delete_stream(self, command: Command, _stream_id: int, events: list[Event]) -> None:
        # rtmp2sink of GStreamer puts the stream's name where its number belongs: it can only mean the one it uses.
        number = command.number(1)
        self._stream_ids.discard(int(number) if number is not None and abs(number) < 2**32 else self._stream_id)
        if number is None or number == self._stream_id:
            self._stop(events)

    def _close_stream(self, _command: Command, stream_id: int, events: list[Event]) -> None:
        if stream_id in (self._stream_id, 0):
            self._stop(events)

    def _stop(self, events: list[Event]) -> None:
        if self.role is Role.PUBLISHING:
            self._status("status", errors.UNPUBLISH_SUCCESS, "Stop publishing")
            events.append(Unpublished())
            self._become_idle()
        elif self.role is Role.PLAYING:
            events.append(PlayStopped())
            self._become_idle()

    def _become_idle(self) -> None:
        self.role = Role.IDLE
        self._held_messages, self._held_data, self.held_bytes = [], [], 0
        self._reader.limit_messages(self._limits.unadmitted_message_bytes)

    # Out

    def _status(self, level: str, code: str, description: str) -> None:
        self._replies.say(messages.status(self._stream_id, level, code, description))

    def _acknowledge(self) -> None:
        self._acknowledged_bytes = self._reader.received_bytes
        self._replies.say(messages.control(messages.ACKNOWLEDGEMENT, self.received_bytes & 0xFFFF_FFFF))


_COMMANDS: dict[str, Callable[[ServerSession, Command, int, list[Event]], None]] = {
    "releaseStream": ServerSession._answer_nothing,
    "FCPublish": ServerSession._answer_nothing,
    "_checkbw": ServerSession._answer_nothing,
    "getStreamLength": ServerSession._stream_length,
    "FCSubscribe": ServerSession._subscribe,
    "createStream": ServerSession._create_stream,
    "publish": ServerSession._publish,
    "play": ServerSession._play,
    "FCUnpublish": ServerSession._fc_unpublish,
    "deleteStream": ServerSession._delete_stream,
    "closeStream": ServerSession._close_stream,
}

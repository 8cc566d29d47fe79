"""An RTMP publisher: frames in, a live stream on some server out. For the synthetic programme and load tests.

    client = await PublishClient.connect("rtmp://127.0.0.1/live/demo-key", timeout_ms=5_000)
    client.announce(track)
    client.push(frame)                        # dts and cts in the track's ticks, from any origin
    await client.drain()
    await client.close()

Writes what encoders write: deltas on one chunk stream for audio and one for video, chunks of 60 000 bytes unless told
otherwise, H.264 and AAC in the legacy form, the rest as Enhanced RTMP. A refusal is raised as `RtmpRefusedError` with
the server's own code; a server that breaks the protocol as ProtocolError; one that is away as UnavailableError.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from rtmp_ingest import amf0, messages
from rtmp_ingest.chunk_writer import ChunkWriter
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.errors import PUBLISH_START, RtmpRefusedError
from rtmp_ingest.handshake import RANDOM_BYTES, ClientHandshake
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Command, Message, UserEvent
from streamd.errors import InvalidError, ProtocolError, StreamdError, UnavailableError
from streamd.media import flv
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track

_CONTROL_CSID, _COMMAND_CSID, _AUDIO_CSID, _VIDEO_CSID, _DATA_CSID = 2, 3, 4, 6, 5
_DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
_U32 = 0xFFFF_FFFF
_ACK_EVERY_BYTES = 1_000_000


class PublishClient(asyncio.Protocol):
    """One publication on one connection. Make it with `connect`."""

    def __init__(self, *, url: str, chunk_bytes: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise InvalidError("This is not an RTMP address", why=url.partition("?")[0], fix="rtmp://HOST/APP/KEY")
        self.host = parts.hostname
        self.port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self.is_tls = parts.scheme == "rtmps"
        app, _, name = parts.path.lstrip("/").rpartition("/")
        self._app = app
        self._name = f"{name}?{parts.query}" if parts.query else name
        self._tc_url = f"{parts.scheme}://{parts.hostname}:{self.port}/{app}"
        self._handshake: ClientHandshake | None = ClientHandshake(random=os.urandom(RANDOM_BYTES))
        self._reader = ChunkReader(RtmpLimits())
        self._writer = ChunkWriter()
        self._chunk_bytes = chunk_bytes
        self._transport: asyncio.WriteTransport | None = None
        self._answers: dict[float, asyncio.Future[Command]] = {}
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._failure: StreamdError | None = None
        self._transaction = 0
        self._acknowledged_bytes = 0
        self._stream_id = 0
        self.server: Mapping[str, amf0.Value] = {}

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        timeout_ms: int,
        encoder: str = "FMLE/3.0 (compatible; streamd)",
        chunk_bytes: int = 60_000,
        ssl_context: ssl.SSLContext | None = None,
        extras: Mapping[str, amf0.Value] | None = None,
    ) -> PublishClient:
        """A publication that the server has accepted. `extras` join the object of connect (fourCcList and the like).

        Raises RtmpRefusedError, UnavailableError (nobody listens, or no answer within `timeout_ms`), ProtocolError,
        InvalidError (the address). Cancel-safe: yes.
        """
        client = cls(url=url, chunk_bytes=chunk_bytes)
        context = (ssl_context or ssl.create_default_context()) if client.is_tls else None
        loop = asyncio.get_running_loop()
        accepted = False
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await loop.create_connection(lambda: client, client.host, client.port, ssl=context)
                await client._publish(encoder, extras or {})
            accepted = True
        except TimeoutError as error:
            raise UnavailableError("The RTMP server did not answer in time", why=f"{timeout_ms} ms") from error
        except OSError as error:
            raise UnavailableError("The RTMP server cannot be reached", why=str(error)) from error
        finally:
            if not accepted:
                client._abort()
        return client

    async def _publish(self, encoder: str, extras: Mapping[str, amf0.Value]) -> None:
        await self._shaken
        self._send(messages.control(messages.SET_CHUNK_SIZE, self._chunk_bytes), _CONTROL_CSID)
        self._writer.chunk_bytes = self._chunk_bytes
        properties: dict[str, amf0.Value] = {
            "app": self._app,
            "type": "nonprivate",
            "flashVer": encoder,
            "tcUrl": self._tc_url,
            **extras,
        }
        connected = await self._call("connect", properties)
        information = connected.arguments[1] if len(connected.arguments) > 1 else None
        self.server = information if isinstance(information, Mapping) else {}
        self._tell("releaseStream", None, self._name)
        self._tell("FCPublish", None, self._name)
        created = await self._call("createStream", None)
        self._stream_id = int(created.number(1) or 0)
        self._transaction += 1
        publish = messages.command(self._stream_id, "publish", self._transaction, None, self._name, "live")
        self._send(publish, _DATA_CSID)
        await self._started

    # What is sent

    def announce(self, track: Track, *, at_ms: int = 0) -> None:
        """A track's configuration, before its first frame and again when it changes."""
        self._media(track, at_ms, flv.sequence_header_body(track))

    def push(self, frame: EncodedFrame) -> None:
        """A frame. Goes into the connection's buffer; nothing happens once the connection is gone: see `drain`."""
        self._media(frame.track, flv.dts_ms(frame), flv.frame_body(frame))

    def describe(self, tracks: Sequence[Track]) -> None:
        """onMetaData for `tracks`."""
        payload = amf0.encode("@setDataFrame") + flv.metadata_body(tracks)
        self._send(Message(messages.DATA_AMF0, self._stream_id, 0, payload), _DATA_CSID)

    def send_body(self, kind: int, timestamp_ms: int, body: bytes) -> None:
        """A ready-made body of type 8, 9 or 18, for what `push` has no words for."""
        message = Message(kind, self._stream_id, timestamp_ms & _U32, body)
        self._send(message, _VIDEO_CSID if kind == messages.VIDEO else _AUDIO_CSID)

    async def drain(self) -> None:
        """Wait until the kernel takes bytes again. Raises what ended the connection. Cancel-safe: yes."""
        if self._failure is None:
            await self._writable.wait()
        if self._failure is not None:
            raise self._failure

    async def close(self, *, timeout_ms: int = 2_000) -> None:
        """Stop publishing in good order; bytes that the server does not take within `timeout_ms` are lost."""
        if self._transport is not None and self._failure is None:
            self._tell("FCUnpublish", None, self._name)
            self._tell("deleteStream", None, self._stream_id)
            self._transport.close()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._gone.wait()
        except TimeoutError:
            pass  # a server that does not read: its loss is ours too
        finally:
            self._abort()

    def _media(self, track: Track, timestamp_ms: int, body: bytes) -> None:
        self.send_body(flv.tag_type(track), timestamp_ms, body)

    def _tell(self, name: str, *arguments: amf0.Value) -> float:
        self._transaction += 1
        self._send(messages.command(0, name, self._transaction, *arguments), _COMMAND_CSID)
        return self._transaction

    async def _call(self, name: str, *arguments: amf0.Value) -> Command:
        if self._failure is not None:
            raise self._failure
        answer: asyncio.Future[Command] = asyncio.get_running_loop().create_future()
        transaction = self._tell(name, *arguments)
        self._answers[transaction] = answer
        try:
            return await answer
        finally:
            del self._answers[transaction]

    def _send(self, message: Message, csid: int) -> None:
        if self._transport is not None:
            self._transport.write(self._writer.write(message, csid=csid))

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        if self._handshake is not None:
            self._transport.write(self._handshake.hello)

    def data_received(self, data: bytes) -> None:
        try:
            if self._handshake is not None:
                answer, rest = self._handshake.receive(data)
                if rest is None:
                    return
                self._handshake = None
                if self._transport is not None:
                    self._transport.write(answer)
                if not self._shaken.done():
                    self._shaken.set_result(None)
                data = rest
            for message in self._reader.receive(data):
                self._on_message(message)
        except ProtocolError as error:
            self._fail(error)
        if self._reader.received_bytes - self._acknowledged_bytes >= _ACK_EVERY_BYTES:
            self._acknowledged_bytes = self._reader.received_bytes
            received = messages.control(messages.ACKNOWLEDGEMENT, self._acknowledged_bytes & _U32)
            self._send(received, _CONTROL_CSID)

    def connection_lost(self, exc: Exception | None) -> None:
        why = str(exc) if exc is not None else "end of stream"
        self._fail(UnavailableError("The RTMP server closed the connection", why=why))
        self._transport = None
        self._gone.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _on_message(self, message: Message) -> None:
        if message.type_id == messages.USER_CONTROL:
            if message.payload[:2] == UserEvent.PING_REQUEST.to_bytes(2, "big"):
                number = int.from_bytes(message.payload[2:6], "big")
                self._send(messages.user_control(UserEvent.PING_RESPONSE, number), _CONTROL_CSID)
        elif message.type_id in (messages.COMMAND_AMF0, messages.COMMAND_AMF3):
            self._on_command(messages.parse_command(message))

    def _on_command(self, command: Command) -> None:
        information = command.arguments[1] if len(command.arguments) > 1 else None
        values = information if isinstance(information, Mapping) else {}
        code, level = values.get("code"), values.get("level")
        if command.name == "_result":
            answer = self._answers.get(command.transaction)
            if answer is not None and not answer.done():
                answer.set_result(command)
        elif command.name == "_error" or level == "error":
            self._fail(
                RtmpRefusedError(str(values.get("description") or "The RTMP server refused"), status_code=str(code))
            )
        elif command.name == "onStatus" and code == PUBLISH_START and not self._started.done():
            self._started.set_result(None)

    def _fail(self, error: StreamdError) -> None:
        """The first failure is the one that is told."""
        if self._failure is not None:
            return
        self._failure = error
        self._writable.set()
        waiting: list[asyncio.Future[Any]] = [self._shaken, self._started, *self._answers.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever awaits it is still told; nobody may

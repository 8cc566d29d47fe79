"""One peer's socket: moves bytes between the transport and a `ServerSession`, and carries out what its events ask.

The session decides nothing and this decides little: who may publish is the `PublishGate`'s word, who may watch the
`PlayGate`'s. A peer can end its own connection and nothing else: whatever goes wrong while its bytes are handled is
caught in `_contain`. There is no timer here: the server calls `sweep` once a second.

How a connection ends: `_end` closes the publication or playback at once, tells the peer why, and leaves the socket open
for `linger_ms` in which what the peer still sends is read and thrown away. A close before that could reset the
connection and destroy the status that tells OBS to stop.
"""

from __future__ import annotations

import asyncio
import os
from typing import cast

from rtmp_ingest import amf0, errors
from rtmp_ingest.events import Event, MetadataReceived, PlayRequested, PlayStopped, PublishRequested, Unpublished
from rtmp_ingest.frames import Dropped, FrameReader, Hint, Output
from rtmp_ingest.handshake import RANDOM_BYTES
from rtmp_ingest.messages import Message
from rtmp_ingest.play import RtmpViewer, RtmpWire
from rtmp_ingest.read_holds import ReadHolds, Why
from rtmp_ingest.session import Role, ServerSession
from rtmp_ingest.socket_options import notice_dead_peers, wake_for_messages
from rtmp_ingest.stream_name import play_request, publish_request
from rtmp_ingest.surroundings import Surroundings
from rtmp_ingest.turn import Turn
from streamd.errors import LimitedError, ProtocolError, StreamdError
from streamd.media.frames import EncodedFrame
from streamd.media.ports import Playback, Publication

# uvloop reads up to 256 000 bytes at once and goes on at once when its buffer was full: others get their turn first.
_READ_BUDGET_BYTES = 200 * 1024
_ABORT_AFTER_MS = 5_000


class Connection(asyncio.Protocol):
    """One peer. Implements `Publisher`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._clock = surroundings.clock
        self._limits = surroundings.settings.limits
        self._turn = Turn(surroundings.rounds, self._receive)  # of a publisher
        self._session: ServerSession  # made when the connection is admitted
        self._transport: asyncio.Transport | None = None
        self._frame_reader: FrameReader | None = None
        self._publication: Publication | None = None
        self._playback: Playback | None = None
        self._viewer: RtmpViewer | None = None
        self._decision: asyncio.Task[None] | None = None
        self._end_reason = ""
        self._farewell = ""  # the peer has said goodbye, and may still close by itself
        self._holds: ReadHolds  # likewise
        self._warned: set[str] = set()
        self._told_repairs: tuple[tuple[str, int], ...] = ()
        self._opened_ms = self._phase_ms = self._ping_ms = self._clock.now_ms()
        self._frames_count = 0
        self._swept_frames_count = 0
        self._room = ""
        # Who a load balancer said it is, where there is one.
        self.announced_peer: tuple[str, int] | None = None
        self.address = ""
        self.peer = ""
        self.is_admitted = False
        self._is_news = True  # whether the closing line is worth everyone's log

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = self.announced_peer or transport.get_extra_info("peername") or ("", 0)
        self.address, self.peer = str(peer[0]), f"{peer[0]}:{peer[1]}"
        self.is_admitted = self._around.opened(self)
        if not self.is_admitted:
            self._end_reason = "turned_away"
            self._transport.abort()
            return
        self._session = ServerSession(limits=self._limits, random=os.urandom(RANDOM_BYTES))
        self._holds = ReadHolds(self._transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_backlog_bytes)
        notice_dead_peers(transport)

    def data_received(self, data: bytes) -> None:
        if self._frame_reader is not None:
            if self._turn.add(data) >= _READ_BUDGET_BYTES:
                self._holds.hold(Why.TURN)
                self._around.rounds.hurry()
            return
        self._receive(data)
        if len(data) >= _READ_BUDGET_BYTES and not self._end_reason:
            self._holds.hold(Why.TURN)
            asyncio.get_running_loop().call_soon(self._holds.release, Why.TURN)

    def _receive(self, data: bytes) -> None:
        if self._end_reason:
            return
        try:
            events = self._session.receive(data, self._clock.now_ms())
            if events:
                self._handle(events)
        except Exception as error:
            self._contain(error)
        self._flush()
        if self._session.held_bytes > self._limits.held_bytes:
            self._holds.hold(Why.HELD)
        self._holds.release(Why.TURN)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_admitted:
            return
        self._turn.take()
        self._end_reason = self._end_reason or self._farewell or ("peer_reset" if exc is not None else "peer_eof")
        self._transport = None
        self._let_go()
        if self._decision is not None:
            self._decision.cancel()
        self._around.closed(self)
        self._around.metrics.rtmp_sessions.labels(self._end_reason).inc()
        # Port scanners and health checks of load balancers are not worth a line in everyone's log.
        say = self._around.log.info if self._session.connected and self._is_news else self._around.log.debug
        say(
            "rtmp.session_closed",
            stream=self._room,
            peer=self.peer,
            encoder=self._session.encoder,
            seconds=(self._clock.now_ms() - self._opened_ms) // 1000,
            frames=self._frames_count,
            bytes=self._session.received_bytes,
            odd={**self._session.counts, **{word: count for word, count in self._session.repairs if count}},
            reason=self._end_reason,
        )

    def pause_writing(self) -> None:
        # A player's backlog is the fan-out's business. A publisher that does not read our answers is not read from.
        if self._viewer is None:
            self._holds.hold(Why.BACKLOG)

    def resume_writing(self) -> None:
        self._holds.release(Why.BACKLOG)

    # The server's and the gate's calls

    def evict(self, reason: str) -> None:
        """See `Publisher.evict`."""
        code, description = errors.eviction(reason)
        if reason == "shutdown":
            self._session.request_reconnect(description)
        self._end(reason, code, description)

    def shut_down(self, reason: str) -> None:
        """The server is about to stop."""
        description = "The server is shutting down; connect again"
        self._session.request_reconnect(description)
        is_player = self._viewer is not None
        self._end(reason, errors.PLAY_UNPUBLISH_NOTIFY if is_player else errors.UNPUBLISH_SUCCESS, description)

    def abort(self) -> None:
        """Close without another byte."""
        if self._transport is not None:
            self._transport.abort()

    def sweep(self, now_ms: int) -> None:
        """Look after time: called about once a second."""
        if self._end_reason:
            if now_ms - self._phase_ms >= _ABORT_AFTER_MS:
                self.abort()
            return
        if self._frames_count != self._swept_frames_count:
            self._swept_frames_count = self._frames_count
            self._phase_ms = now_ms
            self._tell_repairs()
        phase, allowed_ms = self._phase()
        if allowed_ms and now_ms - self._phase_ms >= allowed_ms:
            self._end(f"{phase}_timeout", errors.PUBLISH_REJECTED, "Nothing was received for too long")
        elif now_ms - self._ping_ms >= self._limits.ping_ms:
            self._ping_ms = now_ms
            self._session.ping(now_ms)
            self._flush()

    def _tell_repairs(self) -> None:
        repairs = self._session.repairs
        if repairs == self._told_repairs or self._publication is None:
            return
        told = dict(self._told_repairs)
        for word, count in repairs:
            if count > told.get(word, 0):
                self._publication.count(word, count - told.get(word, 0))
        self._told_repairs = repairs

    def _phase(self) -> tuple[str, int]:
        """What we are waiting for, and how long it may take in all; 0 is for ever."""
        session, limits = self._session, self._limits
        if not session.handshaken:
            return "handshake", limits.handshake_ms
        if not session.connected:
            return "connect", limits.connect_ms
        if session.role is Role.IDLE:
            return "publish", limits.publish_ms
        if session.role is Role.PUBLISHING:
            return "media", limits.idle_media_ms if self._frames_count else limits.first_media_ms
        if session.role is Role.PLAYING:
            return "play", 0
        return "decision", limits.decision_ms

    # Events

    def _handle(self, events: list[Event]) -> None:
        outputs: list[Output] = []
        reader = self._frame_reader
        for event in events:
            if type(event) is Message:
                if reader is not None:
                    reader.receive(event, outputs)
                continue
            if outputs:
                self._deliver(outputs)
                outputs = []
            self._on_event(event)
            reader = self._frame_reader
        if outputs:
            self._deliver(outputs)

    def _deliver(self, outputs: list[Output]) -> None:
        publication = self._publication
        if publication is None:
            return
        push = publication.push
        for output in outputs:
            if type(output) is EncodedFrame:
                self._frames_count += 1
                push(output)
            elif type(output) is Dropped:
                publication.count(output.word)
                self._warn(output.word)
            elif type(output) is Hint:
                publication.hint(output.values)
            else:
                publication.announce(output)  # type: ignore[arg-type]  # `type is` does not narrow a NamedTuple union

    def _warn(self, word: str) -> None:
        """Once for each word: a host who sends MP3 should find that in the log without drowning it."""
        if word not in self._warned and len(self._warned) < 32:
            self._warned.add(word)
            self._around.log.warning("rtmp.media_dropped", stream=self._room, peer=self.peer, what=word)

    def _on_event(self, event: Event) -> None:
        match event:
            case PublishRequested():
                self._phase_ms = self._clock.now_ms()
                self._decision = self._around.spawn(self._decide_publish(event))
            case PlayRequested():
                self._phase_ms = self._clock.now_ms()
                self._decision = self._around.spawn(self._decide_play(event))
            case MetadataReceived(values=values):
                if self._publication is not None:
                    self._publication.hint({key: amf0.plain(value) for key, value in values.items()})
            case Unpublished():
                self._farewell = "unpublish"
                self._let_go(self._farewell)
            case PlayStopped():
                self._end("play_stopped")
            case Message():
                raise AssertionError("media goes the short way")

    def _let_go(self, reason: str = "") -> None:
        """Give back what the connection held of the outside."""
        publication, self._publication = self._publication, None
        playback, self._playback = self._playback, None
        self._frame_reader = None
        self._phase_ms = self._clock.now_ms()
        if publication is not None:
            self._around.rounds.leave()
            publication.close(reason or self._end_reason)
            if self._transport is not None:
                wake_for_messages(self._transport, False)
        if playback is not None:
            playback.close()

    # Decisions

    async def _decide_publish(self, event: PublishRequested) -> None:
        try:
            self._require_patience()
            request = publish_request(event, peer=self.peer, name_bytes=self._limits.name_bytes)
            publication = await self._around.gate.open(request, self)
        except StreamdError as error:
            self._refuse_publish(error)
        except Exception as error:
            self._contain(error)
        else:
            if self._end_reason:
                publication.close(self._end_reason)
            else:
                self._accept_publish(publication)

    def _require_patience(self) -> None:
        """Raises LimitedError for an address that has been refused too often."""
        retry_after_ms = self._around.addresses.retry_after_ms(self.address, self._clock.now_ms())
        if retry_after_ms:
            raise LimitedError(
                "Too many refused attempts from this address",
                retry_after_ms=retry_after_ms,
                fix=f"correct the stream key and wait {retry_after_ms // 1000 + 1} s",
                code="address_limited",
            )

    def _accept_publish(self, publication: Publication) -> None:
        self._publication = publication
        self._around.rounds.enter()
        self._frame_reader = FrameReader(limits=self._limits)
        self._room = publication.room
        self._farewell = ""
        self._phase_ms = self._clock.now_ms()
        self._frames_count = self._swept_frames_count = 0
        self._around.metrics.publications.labels("rtmp").inc()
        if self._transport is not None:
            wake_for_messages(self._transport, True)
        try:
            self._handle(self._session.accept_publish())
        except Exception as error:
            self._contain(error)
        self._flush()
        self._holds.release(Why.HELD)

    def _refuse_publish(self, error: StreamdError) -> None:
        if self._end_reason:
            return
        refusal = errors.publish_refusal(error)
        self._around.metrics.publish_refused.labels(error.code).inc()
        if refusal.code == errors.PUBLISH_DENIED:
            self._around.addresses.fail(self.address, self._clock.now_ms())
        # A stand-in asks every few seconds whether the real encoder has gone: that is no news.
        self._is_news = error.code != "encoder_on_air"
        say = self._around.log.info if self._is_news else self._around.log.debug
        say("rtmp.publish_refused", peer=self.peer, code=error.code, why=error.why)
        self._end(f"refused_{error.code}", refusal.code, refusal.description)

    async def _decide_play(self, event: PlayRequested) -> None:
        viewer = RtmpViewer(
            sink=cast(asyncio.Transport, self._transport),
            begin=lambda: self._accept_play(is_reset=event.is_reset),
            end=self._end_play,
        )
        self._viewer = viewer
        try:
            request = play_request(
                event, peer=self.peer, app=self._around.settings.app, name_bytes=self._limits.name_bytes
            )
            playback = await self._around.play_gate.play(request, RtmpWire(stream_id=event.stream_id), viewer)
        except StreamdError as error:
            refusal = errors.play_refusal(error)
            self._end(f"refused_{error.code}", refusal.code, refusal.description)
        except Exception as error:
            self._contain(error)
        else:
            self._playback = playback
            if self._end_reason:
                self._let_go()
            else:
                self._room = request.room
                viewer.begin()

    def _accept_play(self, *, is_reset: bool) -> None:
        try:
            self._handle(self._session.accept_play(is_reset=is_reset))
        except Exception as error:
            self._contain(error)
        self._flush()
        self._holds.release(Why.HELD)

    def _end_play(self, reason: str) -> None:
        self._end(reason, is_abrupt=reason != "ended")

    # Ending

    def _contain(self, error: Exception) -> None:
        """The one place where a peer's failure stops."""
        if isinstance(error, ProtocolError):
            self._around.log.info("rtmp.protocol_error", stream=self._room, peer=self.peer, what=error.one_line())
            self._end(error.code)
        else:
            self._around.log.exception("rtmp.session_failed", stream=self._room, peer=self.peer)
            self._end("internal", errors.PUBLISH_REJECTED, "Internal error")

    def _end(self, reason: str, code: str = "", description: str = "", *, is_abrupt: bool = False) -> None:
        """Say goodbye. Idempotent: the first reason counts."""
        self._turn.take()
        if self._end_reason:
            return
        self._end_reason = reason
        self._let_go(reason)
        if self._transport is None:
            return
        if is_abrupt:
            self._transport.abort()
            return
        if code:
            self._session.end(code, description)
        self._flush()
        self._holds.release_all()
        asyncio.get_running_loop().call_later(self._limits.linger_ms / 1000, self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

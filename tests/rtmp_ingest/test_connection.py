"""A connection under a clock that a test owns: timeouts, pings, back-pressure, turns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

import pytest

from rtmp_ingest import messages
from rtmp_ingest.address_limits import AddressLimits
from rtmp_ingest.chunk_writer import ChunkWriter
from rtmp_ingest.connection import Connection, Surroundings
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Message
from streamd.rounds import Rounds
from streamd.telemetry.metrics import Metrics
from tests.rtmp_ingest.gates import KEY, LOOPBACK, FilmGate, OneKeyGate, RecordedLog
from tests.rtmp_ingest.stage import HANDSHAKE
from tests.support.clock import FakeClock

LIMITS = RtmpLimits(linger_ms=0)


class Wire(asyncio.Transport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(extra={"peername": ("192.0.2.1", 4000)})
        self.sent = b""
        self.state = "open"
        self.is_reading_now = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True

    def is_closing(self) -> bool:
        return self.state != "open"

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"


class Line:
    """One connection on a fake wire."""

    def __init__(self, limits: RtmpLimits = LIMITS, *, metrics: Metrics | None = None, is_full: bool = False) -> None:
        self.clock = FakeClock()
        self.gate, self.film, self.log = OneKeyGate(), FilmGate(), RecordedLog()
        self.film.is_endless = True
        self.decisions: list[asyncio.Task[None]] = []
        settings = replace(LOOPBACK, limits=limits)
        self.rounds = Rounds(each_ms=2.5, longest_ms=50)
        self.connection = Connection(
            Surroundings(
                gate=self.gate,
                play_gate=self.film,
                clock=self.clock,
                log=self.log,
                metrics=metrics or Metrics(),
                settings=settings,
                addresses=AddressLimits(limits=limits, trusted=frozenset()),
                rounds=self.rounds,
                spawn=self._spawn,
                opened=lambda _: not is_full,
                closed=lambda _: None,
            )
        )
        self.wire = Wire()
        self.writer = ChunkWriter()
        self.connection.connection_made(self.wire)

    def _spawn(self, decision: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(decision)
        self.decisions.append(task)
        return task

    def say(self, *sent: Message) -> None:
        self.connection.data_received(b"".join(self.writer.write(message, csid=3) for message in sent))

    def connect(self) -> None:
        self.connection.data_received(HANDSHAKE)
        self.say(messages.command(0, "connect", 1, {"app": "live"}), messages.command(0, "createStream", 2, None))

    async def publish(self, name: str = KEY) -> None:
        self.connect()
        self.say(messages.command(1, "publish", 3, None, name, "live"))
        await self.decisions[-1]

    async def play(self) -> None:
        self.connect()
        self.say(messages.command(1, "play", 0, None, "demo"))
        await self.decisions[-1]

    def wait(self, ms: int) -> str:
        """Let time pass, swept every second; the reason why the connection ended, if it did."""
        self.rounds.begin()
        for _ in range(0, ms, 1000):
            self.clock.advance(1000)
            self.connection.sweep(self.clock.now_ms())
        return self.connection._end_reason

    def frame(self, time_ms: int) -> None:
        self.say(Message(8, 1, 0, b"\xaf\x00\x11\x90"), Message(8, 1, time_ms, b"\xaf\x01sound"))


async def test_a_peer_that_never_speaks_is_sent_away() -> None:
    line = Line()
    assert line.wait(4_000) == ""
    assert line.wait(1_000) == "handshake_timeout"


async def test_a_peer_that_never_connects_is_sent_away() -> None:
    line = Line()
    line.connection.data_received(HANDSHAKE)
    assert line.wait(9_000) == ""
    assert line.wait(1_000) == "connect_timeout"


async def test_crumbs_do_not_prolong_a_handshake() -> None:
    line = Line()
    for byte in HANDSHAKE[:4]:
        line.connection.data_received(bytes([byte]))
        assert line.wait(1_000) == ""
    line.connection.data_received(b"\x00")
    assert line.wait(1_000) == "handshake_timeout"


async def test_a_peer_that_neither_publishes_nor_plays_is_sent_away() -> None:
    line = Line()
    line.connect()
    assert line.wait(14_000) == ""
    assert line.wait(1_000) == "publish_timeout"


async def test_a_decision_that_never_comes_is_not_waited_for_for_ever() -> None:
    line = Line()
    line.gate.decided.clear()
    line.connect()
    line.wait(14_000)
    line.say(messages.command(1, "publish", 3, None, KEY, "live"))
    await asyncio.sleep(0)
    assert line.wait(29_000) == ""
    assert line.wait(1_000) == "decision_timeout"
    assert b"NetStream.Publish.Rejected" in line.wire.sent
    line.connection.connection_lost(None)
    with pytest.raises(asyncio.CancelledError):
        await line.decisions[-1]
    assert line.gate.cancelled == 1


async def test_a_connection_that_is_turned_away_hears_nothing_and_is_not_read() -> None:
    line = Line(is_full=True)
    line.connection.data_received(HANDSHAKE)
    line.connection.connection_lost(None)
    assert (line.wire.state, line.wire.sent, line.log.lines) == ("aborted", b"", [])


async def test_an_encoder_that_sends_no_media_is_sent_away_and_told() -> None:
    line = Line()
    await line.publish()
    assert line.wait(19_000) == ""
    assert line.wait(1_000) == "media_timeout"
    assert b"NetStream.Publish.Rejected" in line.wire.sent
    assert line.gate.publications[0].reasons == ["media_timeout"]


async def test_media_keeps_a_publication_alive_and_its_absence_ends_it() -> None:
    line = Line(replace(LIMITS, first_media_ms=5_000, idle_media_ms=10_000))
    await line.publish()
    for second in range(30):
        line.frame(second * 1000)
        assert line.wait(1_000) == ""
    assert line.wait(8_000) == ""
    assert line.wait(3_000) == "media_timeout"


async def test_a_chunk_stream_read_with_good_will_is_shown_to_the_host_once() -> None:
    line = Line()
    await line.publish()
    for _ in range(2):
        unfinished = line.writer.chunks(Message(9, 1, 0, bytes(300)), csid=9)[0]
        line.connection.data_received(unfinished)
        line.frame(0)
        line.connection.data_received(bytes([9]) + bytes(3) + (5).to_bytes(3, "big") + b"\x09\x01" + bytes(3 + 5))
        line.wait(1_000)
        line.writer = ChunkWriter()
    line.wait(3_000)
    assert line.gate.publications[0].counts["unfinished_message_dropped"] == 2
    line.connection.connection_lost(None)
    assert line.log.fields("rtmp.session_closed")["odd"] == {"unfinished_message_dropped": 2}


async def test_commands_are_no_media() -> None:
    line = Line(replace(LIMITS, first_media_ms=5_000))
    await line.publish()
    for _ in range(4):
        line.say(messages.command(0, "_checkbw", 9, None))
        line.wait(1_000)
    assert line.wait(1_000) == "media_timeout"


async def test_a_player_may_wait_for_ever_and_is_pinged() -> None:
    line = Line()
    await line.play()
    assert line.wait(3_600_000) == ""
    pings = line.wire.sent.count(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x06")
    assert pings == 120


async def test_after_the_end_bytes_are_thrown_away_and_the_socket_is_closed() -> None:
    line = Line()
    await line.publish("wrong")
    sent = line.wire.sent
    assert b"NetStream.Publish.Denied" in sent
    line.connection.data_received(b"anything at all")
    assert line.wire.sent == sent
    await asyncio.sleep(0.01)
    assert line.wire.state == "closed"


async def test_a_peer_that_does_not_take_the_end_is_cut_off() -> None:
    line = Line()
    await line.publish("wrong")
    line.wait(5_000)
    assert line.wire.state == "aborted"


async def test_a_peer_that_does_not_read_its_answers_is_not_read_from() -> None:
    line = Line()
    await line.publish()
    line.connection.pause_writing()
    assert not line.wire.is_reading_now
    line.connection.resume_writing()
    assert line.wire.is_reading_now


async def test_a_players_backlog_does_not_stop_us_from_reading_it() -> None:
    line = Line()
    await line.play()
    line.connection.pause_writing()
    assert line.wire.is_reading_now


async def test_reading_stops_while_a_decision_is_out_and_goes_on_after_it() -> None:
    line = Line()
    line.connect()
    line.gate.decided.clear()
    line.say(messages.command(1, "publish", 3, None, KEY, "live"))
    await asyncio.sleep(0)
    line.connection.data_received(bytes(200_000))
    assert line.wire.is_reading_now
    line.connection.data_received(bytes(100_000))
    assert not line.wire.is_reading_now
    line.decisions[-1].cancel()


async def test_a_greedy_peer_gives_others_a_turn() -> None:
    line = Line()
    await line.publish()
    line.say(Message(9, 1, 0, bytes(250_000)))
    assert not line.wire.is_reading_now
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.wire.is_reading_now


@pytest.mark.parametrize("end", ["lost", "shut down"])
async def test_what_was_sent_before_an_end_goes_on_air(end: str) -> None:
    line = Line()
    await line.publish()
    for number in range(3):
        line.frame(number * 20)
    publication = line.gate.publications[0]
    assert publication.frames == []  # they wait for their round
    if end == "lost":
        line.connection.connection_lost(None)
    else:
        line.connection.shut_down("shutdown")
    assert len(publication.frames) == 3
    assert len(publication.reasons) == 1
    line.rounds.begin()
    assert len(publication.frames) == 3


async def test_reading_goes_on_only_when_every_reason_to_stop_is_gone() -> None:
    line = Line()
    await line.publish()
    line.connection.pause_writing()
    line.say(Message(9, 1, 0, bytes(250_000)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not line.wire.is_reading_now
    line.connection.resume_writing()
    assert line.wire.is_reading_now


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("replaced", b"NetStream.Publish.BadName"),
        ("cut", b"NetStream.Publish.Denied"),
        ("shutdown", b"NetStream.Unpublish.Success"),
    ],
)
async def test_an_eviction_says_why(reason: str, code: bytes) -> None:
    line = Line()
    await line.publish()
    line.connection.evict(reason)
    line.connection.evict("again")
    assert code in line.wire.sent
    assert line.gate.publications[0].reasons == [reason]


async def test_an_eviction_before_the_decision_came_gives_the_room_back() -> None:
    line = Line()
    line.connect()
    line.gate.decided.clear()
    line.say(messages.command(1, "publish", 3, None, KEY, "live"))
    await asyncio.sleep(0)
    line.connection.evict("replaced")
    line.gate.decided.set()
    await line.decisions[-1]
    assert line.gate.publications[0].reasons == ["replaced"]


async def test_garbage_ends_the_connection_with_its_reason() -> None:
    line = Line()
    line.connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    line.connection.connection_lost(None)
    assert line.log.fields("rtmp.session_closed")["reason"] == "handshake_version"
    assert [level for level, event, _ in line.log.lines if event == "rtmp.session_closed"] == ["debug"]


async def test_one_closing_line_says_it_all() -> None:
    line = Line()
    await line.publish()
    line.frame(0)
    line.say(messages.command(0, "unheardOf", 9, None))
    line.clock.advance(318_000)
    line.connection.connection_lost(ConnectionResetError())
    fields = line.log.fields("rtmp.session_closed")
    assert {name: fields[name] for name in ("stream", "seconds", "frames", "reason", "peer", "odd")} == {
        "stream": "demo",
        "seconds": 318,
        "frames": 1,
        "reason": "peer_reset",
        "peer": "192.0.2.1:4000",
        "odd": {"unknown_command": 1},
    }

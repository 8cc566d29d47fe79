"""The same bytes to everybody, in order; what slow readers miss is counted, told, and bounded."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danmaku import wire
from danmaku.conduct import Identity
from danmaku.fanout import ABORT_BYTES, SHED_B_BYTES, SHED_C_BYTES, SLICE, STALL_MS, Audience, Member
from danmaku.room import TickPacket
from streamd.cluster.bus import A, B, C, D
from tests.support.clock import FakeClock

WHO = Identity(id="u", name="u")


class FakeLink:
    """A WebSocket whose reader takes what the test lets it take."""

    def __init__(self, *, takes: int = 1 << 60) -> None:
        self.sink = self
        self.takes = takes
        self.written = b""
        self.waiting = 0
        self.aborted = ""
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.written += data
        taken = min(self.takes, len(data))
        self.takes -= taken
        self.waiting += len(data) - taken

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def read(self, size: int) -> None:
        self.waiting -= size

    def send(self, packet: bytes) -> None:
        self.write(wire.frame(packet))

    def backlog_bytes(self) -> int:
        return self.waiting

    def abort(self, reason: str) -> None:
        self.aborted = reason


class PolledLink(FakeLink):
    def __init__(self) -> None:
        super().__init__()
        self.sink = None  # type: ignore[assignment]
        self.sent: list[bytes] = []

    def send(self, packet: bytes) -> None:
        self.sent.append(packet)


def packets_of(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        size, head = data[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
        found.append(data[at + head : at + head + size])
        at += head + size
    return found


def tick(*classes: int, size: int = 10, mark: str = "x") -> list[TickPacket]:
    return [TickPacket(cls, b"42" + mark.encode() * size, 3 if cls == C else 1) for cls in classes]


def room(
    count: int, clock: FakeClock, work: list[Coroutine[None, None, None]] | None = None, **kwargs: int
) -> tuple[Audience, list[FakeLink], list[Member]]:
    audience = Audience(now_ms=clock.now_ms, spawn=(work if work is not None else []).append)
    links = [FakeLink(**kwargs) for _ in range(count)]
    members = [Member(link, WHO, "1.2.3.4") for link in links]
    for member in members:
        audience.add(member)
    return audience, links, members


def test_every_member_is_written_the_same_object_once_a_tick() -> None:
    audience, links, _ = room(5, FakeClock())
    audience.deliver(tick(A, B, C), first=1, last=5)
    assert all(len(link.writes) == 1 for link in links)
    assert len({id(link.writes[0]) for link in links}) == 1
    assert len(packets_of(links[0].written)) == 3
    assert audience.delivered == 15


def test_slow_reader_loses_danmaku_first_then_all_but_the_precious_and_hears_how_many() -> None:
    clock = FakeClock()
    audience, [link], _ = room(1, clock, takes=0)
    audience.deliver(tick(B, size=SHED_C_BYTES), first=1, last=1)
    assert audience.lagging_count == 1
    link.written = b""
    audience.deliver(tick(A, B, C, D, mark="1"), first=2, last=6)
    assert len(packets_of(link.written)) == 2
    link.waiting = SHED_B_BYTES
    link.written = b""
    audience.deliver(tick(A, B, C, mark="2"), first=7, last=11)
    assert len(packets_of(link.written)) == 1
    link.read(link.waiting)
    link.written = b""
    link.takes = 1 << 60
    audience.deliver(tick(C, mark="3"), first=12, last=14)
    gap, danmaku = packets_of(link.written)
    assert json.loads(gap[2:]) == ["gap", {"from_seq": 2, "to_seq": 11, "dropped": {"B": 1, "C": 6, "D": 1}}]
    assert danmaku == b"42" + b"3" * 10
    assert audience.shed == [0, 1, 6, 1]


def test_reader_that_caught_up_is_written_each_tick_once_again() -> None:
    clock = FakeClock()
    audience, [link], _ = room(1, clock, takes=5)
    audience.deliver(tick(A), first=1, last=1)
    assert audience.lagging_count == 1
    link.read(link.waiting)
    link.takes = 1 << 60
    for seq in (2, 3, 4):
        link.writes.clear()
        audience.deliver(tick(A), first=seq, last=seq)
        assert len(link.writes) == 1
    assert audience.lagging_count == 0


def test_reader_that_caught_up_in_silence_is_told_its_gap_by_the_sweep() -> None:
    clock = FakeClock()
    audience, [link], _ = room(1, clock, takes=0)
    audience.deliver(tick(B, size=SHED_C_BYTES), first=1, last=1)
    audience.deliver(tick(C), first=2, last=4)
    link.read(link.waiting)
    link.takes = 1 << 60
    link.written = b""
    audience.sweep(seq=4)
    assert json.loads(packets_of(link.written)[0][2:])[1] == {"from_seq": 2, "to_seq": 4, "dropped": {"C": 3}}


def test_a_mebibyte_of_backlog_aborts_the_connection() -> None:
    clock = FakeClock()
    audience, [link], [member] = room(1, clock, takes=0)
    audience.deliver(tick(A, size=ABORT_BYTES), first=1, last=1)
    audience.deliver(tick(A), first=2, last=2)
    assert link.aborted == "slow"
    assert len(audience) == 0
    audience.remove(member)
    assert audience.aborted == {"slow": 1}


def test_ten_seconds_without_a_byte_taken_abort_the_connection_and_a_trickle_does_not() -> None:
    clock = FakeClock()
    audience, [stalled, trickling], _ = room(2, clock, takes=0)
    audience.deliver(tick(A, size=1_000), first=1, last=1)
    for _ in range(STALL_MS // 1_000):
        clock.advance(1_000)
        trickling.read(10)
        audience.sweep(seq=1)
    assert stalled.aborted == "stalled"
    assert trickling.aborted == ""
    assert len(audience) == 1


def test_polled_member_gets_packets_and_not_frames() -> None:
    audience = Audience(now_ms=FakeClock().now_ms, spawn=[].append)
    link = PolledLink()
    member = Member(link, WHO, "")
    audience.add(member)
    audience.deliver(tick(A, C), first=1, last=4)
    assert link.sent == [b"42xxxxxxxxxx", b"42xxxxxxxxxx"]
    socket = FakeLink()
    audience.move(member, socket)
    audience.deliver(tick(A), first=5, last=5)
    assert len(link.sent) == 2
    assert packets_of(socket.written) == [b"42xxxxxxxxxx"]


def test_single_send_never_overtakes_a_tick_that_is_being_written() -> None:
    work: list[Coroutine[None, None, None]] = []
    audience, links, members = room(SLICE * 2 + 5, FakeClock(), work)
    audience.deliver(tick(A, mark="1"), first=1, last=1)
    [slices] = work
    slices.send(None)
    assert links[0].written
    assert links[-1].written == b""
    audience.send(members[-1], b"43ack")
    late, gone = Member(FakeLink(), WHO, ""), Member(FakeLink(), WHO, "")
    audience.add(late)
    audience.add(gone)
    audience.remove(gone)
    audience.deliver(tick(A, mark="2"), first=2, last=2)
    audience.remove(members[-2])
    with pytest.raises(StopIteration):
        exhaust(slices)
    one, two = b"42" + b"1" * 10, b"42" + b"2" * 10
    assert packets_of(links[-1].written) == [one, b"43ack", two]
    assert packets_of(late.link.written) == [two]  # type: ignore[attr-defined]
    assert gone.link.written == links[-2].written == b""  # type: ignore[attr-defined]
    assert packets_of(links[0].written) == [one, two]
    audience.send(members[0], b"43now")
    assert packets_of(links[0].written) == [one, two, b"43now"]


def exhaust(work: Coroutine[None, None, None]) -> None:
    while True:
        work.send(None)


@settings(max_examples=40)
@given(st.data())
def test_whatever_readers_do_class_a_arrives_in_order_once_until_the_abort(data: st.DataObject) -> None:
    clock = FakeClock()
    audience, links, _ = room(4, clock, takes=100)
    for seq in range(1, 40):
        kinds = data.draw(st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3))
        size = data.draw(st.sampled_from([5, 500, 30_000]))
        packets = [TickPacket(A, b"42[%d]" % seq, 1)] + [TickPacket(k, b"42" + b"z" * size, 1) for k in kinds]
        audience.deliver(packets, first=seq, last=seq)
        clock.advance(data.draw(st.sampled_from([10, 2_000])))
        for link in links:
            link.read(min(link.waiting, data.draw(st.sampled_from([0, 100, 200_000]))))
            link.takes = data.draw(st.sampled_from([0, 1_000])) if not link.waiting else 0
    for link in links:
        numbers = [json.loads(p[2:])[0] for p in packets_of(link.written) if p.startswith(b"42[") and p[3:4] != b'"']
        assert numbers == list(range(1, len(numbers) + 1))
        assert link.aborted or len(numbers) == 39
        gaps = [json.loads(p[2:])[1] for p in packets_of(link.written) if p.startswith(b'42["gap"')]
        assert all(one["to_seq"] <= two["from_seq"] for one, two in pairwise(gaps))


def test_leaving_costs_the_same_whoever_leaves() -> None:
    audience, _, members = room(1_000, FakeClock())
    for member in members[::2] + members[1::2]:
        audience.remove(member)
        audience.remove(member)
    assert len(audience) == 0

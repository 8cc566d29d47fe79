"""Many members of a room in one process: `python -m loadtest.chatters '{"ports": [...], "members": 1000, ...}'`.

WebSocket only, as little as a member can do: frames are not taken apart but searched, so that one process carries
thousands and none of it is the server's cost. Some speak, some like, some read slowly or stop, some leave while others
come; a line `count` on standard input tells in between. Times are read from marks
(`@microseconds@`, the machine's own monotonic clock) in what was said.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
import time
from array import array
from contextlib import suppress
from typing import Any, cast

import uvloop

from loadtest.histogram import Histogram
from loadtest.machine import allow_many_files

_MARK = re.compile(rb"@(\d{6,})@")
# A card of the whole server: its version instead of a mark, its time is the pinner's business.
_PINNED = re.compile(rb'42\["card",\{.{1,80}?"version":(\d+)')
_CARD = re.compile(rb'42\["card".{1,200}?"n":(\d+),"mark":"@(\d+)@')
HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_PING = b"\x81\x012"
_PROBES = 50


def frame(text: str) -> bytes:
    """A client's frame; the mask is zero, which is a mask."""
    payload = text.encode()
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Member(asyncio.Protocol):
    """One connection."""

    def __init__(self, crowd: Crowd, token: str, *, is_probe: bool) -> None:
        self._crowd = crowd
        self._token = token
        self._is_probe = is_probe
        self._rest = self._end = b""
        self._has_asked = False
        self._has_joined = False
        self.is_slow = False
        self.is_stalled = False
        self.is_leaving = False
        self.was_first = False
        self.cards: list[int] = []
        self._card_version = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        crowd = self._crowd
        if not self._has_joined:
            data = self._join(data)
        crowd.received_bytes += len(data)
        # A ping may stand anywhere between other frames, and be cut in two; no text holds these bytes.
        if _PING in data or _PING in self._end + data[:2]:
            self.transport.write(frame("3"))
        self._end = data[-2:]
        if self._rest:
            data = self._rest + data
        # Counted where a mark begins; the last bytes are kept, for a mark may be cut in two.
        marks = data.count(b'"@') + data.count(b"x@")
        crowd.marks += marks
        if self._is_probe and marks:
            now_us = time.monotonic_ns() // 1_000
            for each in _MARK.findall(data):
                crowd.delays.record(now_us - int(each))
        if b'["card"' in data:
            self._card(data)
        if self.is_slow:
            self.transport.pause_reading()
        self._rest = data[-1:] if data[-1:] in (b'"', b"x") else b""

    def _join(self, data: bytes) -> bytes:
        self._rest += data
        if not self._has_asked and b"\r\n\r\n" in self._rest:
            self._has_asked = True
            auth = {"room": self._crowd.room, **({"token": self._token} if self._token else {})}
            self.transport.write(frame("40" + json.dumps(auth)))
        if b'"welcome"' in self._rest:
            self._rest = b""
            self._has_joined = True
            self._crowd.join(self)
        return b""

    def _card(self, data: bytes) -> None:
        for found in () if self.is_slow else _PINNED.findall(data):
            if (version := int(found)) > self._card_version:  # a card is said again when its price or stock changes
                self._card_version = version
                self._crowd.pinned_us.setdefault(version, array("q")).append(time.monotonic_ns() // 1_000)
        for number, mark in _CARD.findall(data):
            self.cards.append(int(number))
            self._crowd.card_delays.record(time.monotonic_ns() // 1_000 - int(mark))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        if self.is_slow or self.is_stalled:
            self._crowd.laggards_lost += 1
        else:
            self._crowd.lost += not self.is_leaving


def _address(index: int) -> tuple[str, int]:
    """Members come from many addresses, as in life: a thousand from each, other ones for each process."""
    return f"127.{1 + os.getpid() % 250}.{index // 1_000}.1", 0


class Crowd:
    """All members of this process."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self.room = job.get("room", "show")
        self.members: list[Member] = []
        self.joined = 0
        self.lost = 0
        self.laggards_lost = 0
        self.marks = 0
        self.received_bytes = 0
        self.delays = Histogram()
        self.card_delays = Histogram()
        self.pinned_us: dict[int, array[int]] = {}  # when members saw a card, by its version
        self.said = 0
        self.liked = 0
        self.changed = 0
        self._all_in = asyncio.Event()

    def join(self, member: Member) -> None:
        """It has its welcome."""
        member.was_first = not self._all_in.is_set()
        self.joined += 1
        if self.joined == self._job["members"]:
            self._all_in.set()

    async def connect(self) -> float:
        """Everybody in; gives the seconds it took."""
        loop = asyncio.get_running_loop()
        ports = itertools.cycle(self._job["ports"])
        speakers = self._job.get("speakers", 0)
        tokens = self._job.get("tokens") or [f"speaker-{index}" for index in range(speakers)]
        per_s = self._job.get("join_per_s", 0)  # 0: as fast as they are let in
        began = time.monotonic()
        gate = asyncio.Semaphore(self._job.get("at_once", 200))

        async def one(index: int) -> None:
            if per_s:
                await asyncio.sleep(index / per_s)
            async with gate:
                token = tokens[index] if index < speakers else ""
                port = next(ports)
                made = lambda: Member(self, token, is_probe=speakers <= index < speakers + _PROBES)  # noqa: E731
                _, member = await loop.create_connection(made, "127.0.0.1", port, local_addr=_address(index))
                self.members.append(member)

        async with asyncio.TaskGroup() as group:
            for index in range(self._job["members"]):
                group.create_task(one(index))
        await asyncio.wait_for(self._all_in.wait(), 60 + (self._job["members"] / per_s if per_s else 0))
        return time.monotonic() - began

    async def speak(self) -> None:
        """Speakers in turn, at the rate of the job."""
        speakers = [each for each in self.members if each._token][: self._job["speakers"]]
        numbers = itertools.count()
        filler = "x" * max(0, self._job.get("size", 200) - 150)
        due = time.monotonic()
        for speaker in itertools.cycle(speakers):
            due += 1 / self._job["say_per_s"]
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            text = f"{filler}@{int(due * 1e6)}@"  # when it was due: being late ourselves is part of the delay
            said = {"id": f"m{next(numbers)}", "text": text}
            speaker.transport.write(frame(f"42{next(numbers)}" + json.dumps(["danmaku", said])))
            self.said += 1

    async def like(self) -> None:
        """Likers all at once, every twentieth of a second."""
        likers = self.members[-self._job["likers"] :]
        tap = frame('42["like",{"count":1}]')
        while True:
            for liker in likers:
                liker.transport.write(tap)
            self.liked += len(likers)
            await asyncio.sleep(0.05)

    async def dawdle(self) -> None:
        """Slow members take one read of what is there every few seconds."""
        first = self._job.get("speakers", 0) + _PROBES
        slow = self.members[first : first + self._job["slow"]]
        for member in slow:
            member.is_slow = True
        while True:
            await asyncio.sleep(self._job.get("slow_every_s", 2.0))
            for member in slow:
                if not member.transport.is_closing():
                    member.transport.resume_reading()

    async def change(self) -> None:
        """One without a part leaves and another comes, so many times a second."""
        loop = asyncio.get_running_loop()
        ports = itertools.cycle(self._job["ports"])
        reserved = self._job.get("likers", 0) + self._job.get("stalled", 0)
        first = self._job.get("speakers", 0) + _PROBES + self._job.get("slow", 0)
        places = range(first, max(first + 1, len(self.members) - reserved))
        for place in itertools.cycle(places):
            await asyncio.sleep(1 / self._job["change_per_s"])
            leaving = self.members[place]
            leaving.is_leaving = True
            leaving.transport.close()
            made = lambda: Member(self, "", is_probe=False)  # noqa: E731
            with suppress(OSError):
                _, self.members[place] = await loop.create_connection(
                    made, "127.0.0.1", next(ports), local_addr=_address(place)
                )
                self.changed += 1

    def stall(self) -> None:
        """Some stop reading, for good."""
        for member in self.members[-self._job.get("likers", 0) - self._job["stalled"] :][: self._job["stalled"]]:
            member.is_stalled = True
            member.transport.pause_reading()

    def counts(self) -> dict[str, Any]:
        """In between."""
        return {
            "marks": self.marks,
            "said": self.said,
            "lost": self.lost,
            "laggards_lost": self.laggards_lost,
            "pinned_us": {version: list(times) for version, times in list(self.pinned_us.items())[-3:]},
            "changed": self.changed,
            "delays": self.delays.as_json(),
            "card_delays": self.card_delays.as_json(),
        }

    def totals(self) -> dict[str, Any]:
        """What it came to."""
        ledgers = {
            tuple(each.cards)
            for each in self.members
            if each.was_first and not (each.is_slow or each.is_stalled or each.transport.is_closing())
        }
        return {
            "marks": self.marks,
            "received_bytes": self.received_bytes,
            "lost": self.lost,
            "said": self.said,
            "liked": self.liked,
            "delays": self.delays.as_json(),
            "card_delays": self.card_delays.as_json(),
            "pinned_us": {version: list(times) for version, times in self.pinned_us.items()},
            "card_ledgers": len(ledgers),
            "cards": len(next(iter(ledgers), ())),
            "cpu_ms": time.process_time() * 1_000,
        }


async def run(job: dict[str, Any]) -> None:
    """Connect, say so, work until standard input ends, tell. A line `count` on standard input tells in between."""
    crowd = Crowd(job)
    seconds = await crowd.connect()
    print(json.dumps({"joined": crowd.joined, "seconds": seconds}), flush=True)
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin.fileno(), lambda: lines.put_nowait(sys.stdin.readline()))
    async with asyncio.TaskGroup() as group:
        tasks = []
        if job.get("say_per_s"):
            tasks.append(group.create_task(crowd.speak()))
        if job.get("likers"):
            tasks.append(group.create_task(crowd.like()))
        if job.get("slow"):
            tasks.append(group.create_task(crowd.dawdle()))
        if job.get("change_per_s"):
            tasks.append(group.create_task(crowd.change()))
        if job.get("stalled"):
            crowd.stall()
        while await lines.get():
            print(json.dumps(crowd.counts()), flush=True)
        for task in tasks:
            task.cancel()
    print(json.dumps(crowd.totals()), flush=True)
    loop.remove_reader(sys.stdin.fileno())


def main() -> None:
    """One job, from the command line."""
    allow_many_files()
    uvloop.run(run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()

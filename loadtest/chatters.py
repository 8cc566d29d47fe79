"""Many members of a room in one process: `python -m loadtest.chatters '{"ports": [...], "members": 1000, ...}'`.

WebSocket only, as little as a member can do: frames are not taken apart but searched, so that one process carries
thousands and none of it is the server's cost. Some speak, some like, some stop reading. Times are read from marks
(`@microseconds@`, the machine's own monotonic clock) in what was said.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import resource
import sys
import time
from array import array
from typing import Any, cast

import uvloop

_MARK = re.compile(rb"@(\d{6,})@")
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
        self._rest = b""
        self._has_asked = False
        self._has_joined = False
        self.cards: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        crowd = self._crowd
        if not self._has_joined:
            data = self._join(data)
        crowd.received_bytes += len(data)
        if data[:3] == _PING or data[-3:] == _PING:
            self.transport.write(frame("3"))
        if self._rest:
            data = self._rest + data
        # Counted where a mark begins; the last bytes are kept, for a mark may be cut in two.
        marks = data.count(b'"@') + data.count(b"x@")
        crowd.marks += marks
        if self._is_probe and marks:
            now_us = time.monotonic_ns() // 1_000
            crowd.delays_us.extend(now_us - int(each) for each in _MARK.findall(data))
        if b'["card"' in data:
            self._card(data)
        self._rest = data[-1:] if data[-1:] in (b'"', b"x") else b""

    def _join(self, data: bytes) -> bytes:
        self._rest += data
        if not self._has_asked and b"\r\n\r\n" in self._rest:
            self._has_asked = True
            auth = {"room": "show", **({"token": self._token} if self._token else {})}
            self.transport.write(frame("40" + json.dumps(auth)))
        if b'"welcome"' in self._rest:
            self._rest = b""
            self._has_joined = True
            self._crowd.join(self)
        return b""

    def _card(self, data: bytes) -> None:
        for number, mark in _CARD.findall(data):
            self.cards.append(int(number))
            self._crowd.card_delays_us.append(time.monotonic_ns() // 1_000 - int(mark))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        self._crowd.lost += 1


class Crowd:
    """All members of this process."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self.members: list[Member] = []
        self.joined = 0
        self.lost = 0
        self.marks = 0
        self.received_bytes = 0
        self.delays_us = array("q")
        self.card_delays_us = array("q")
        self.said = 0
        self.liked = 0
        self._all_in = asyncio.Event()

    def join(self, member: Member) -> None:
        """It has its welcome."""
        del member
        self.joined += 1
        if self.joined == self._job["members"]:
            self._all_in.set()

    async def connect(self) -> float:
        """Everybody in; gives the seconds it took."""
        loop = asyncio.get_running_loop()
        ports = itertools.cycle(self._job["ports"])
        speakers = self._job.get("speakers", 0)
        began = time.monotonic()
        gate = asyncio.Semaphore(self._job.get("at_once", 200))

        async def one(index: int) -> None:
            async with gate:
                token = f"speaker-{index}" if index < speakers else ""
                port = next(ports)
                made = lambda: Member(self, token, is_probe=speakers <= index < speakers + _PROBES)  # noqa: E731
                _, member = await loop.create_connection(made, "127.0.0.1", port)
                self.members.append(member)

        async with asyncio.TaskGroup() as group:
            for index in range(self._job["members"]):
                group.create_task(one(index))
        await asyncio.wait_for(self._all_in.wait(), 60)
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
            text = f"{filler}@{time.monotonic_ns() // 1_000}@"
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

    def stall(self) -> None:
        """Some stop reading, for good."""
        for member in self.members[-self._job.get("likers", 0) - self._job["stalled"] :][: self._job["stalled"]]:
            member.transport.pause_reading()

    def totals(self) -> dict[str, Any]:
        """What it came to."""
        stalled = {id(each) for each in self.members if not each.transport.is_reading()}
        ledgers = {
            tuple(each.cards) for each in self.members if id(each) not in stalled and not each.transport.is_closing()
        }
        return {
            "marks": self.marks,
            "received_bytes": self.received_bytes,
            "lost": self.lost,
            "said": self.said,
            "liked": self.liked,
            "delays_us": sorted(self.delays_us),
            "card_delays_us": sorted(self.card_delays_us),
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
        if job.get("stalled"):
            crowd.stall()
        while await lines.get():
            print(json.dumps({"marks": crowd.marks, "said": crowd.said, "lost": crowd.lost}), flush=True)
        for task in tasks:
            task.cancel()
    print(json.dumps(crowd.totals()), flush=True)
    loop.remove_reader(sys.stdin.fileno())


def main() -> None:
    """One job, from the command line."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()

"""What a node's, a worker's or Redis' death costs those who are there: one fault after the other, with a table.

Two nodes of one installation, an encoder that goes to the other node when its own is gone, a viewer on each who does
the same. For every fault: how long the encoder was not on air, the longest time in which a viewer saw no new part, and
what the numbers of the playlists did.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest import clips
from loadtest.databases import MariaDb
from loadtest.enclave import INTERNAL_IN, INTERNAL_OUT, PUBLIC_IN, Enclave
from loadtest.nodes import Encoder, Node, Redis, Watcher
from loadtest.report import Figure, Report, Table
from loadtest.shop_floor import ROOM, set_up
from loadtest.stage import Stage, open_stage
from loadtest.witnesses import Testimony, Witnesses

SUMMARY = "Faults: nodes, Redis and the database die, in turn: what each interrupts, for how long, and what is lost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about two minutes."""
    parser.add_argument("--redis-away-s", type=float, default=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One fault. Seconds; `off_air_s` is the encoder's, counted from its reconnect where it had to."""

    fault: str
    off_air_s: float
    stalls_s: tuple[float, ...]  # of the viewers
    went_back: int
    discontinuities: int  # the most that a viewer met
    errors: int  # answers that were not playlists, connections that broke
    objections: tuple[str, ...] = ()
    testimony: Testimony | None = None  # of the room and the shop


class Theatre:
    """Two nodes, an encoder, two viewers who watch one node each for as long as it is there, a room and a shop."""

    def __init__(
        self,
        stage: Stage,
        clip: Path,
        *,
        read: Callable[[], Callable[[str], object]] | None = None,
        database: MariaDb | None = None,
    ) -> None:
        """`database`: where the shop is; without one, SQLite."""
        self._stage = stage
        self._database = database
        self.redis = Redis(stage.folder)
        stage.ends_with(self.redis.stop)
        data = stage.folder / "data"
        url = database.url if database else f"sqlite+aiosqlite:///{data}/streamd.db"
        floor = set_up(url, data_dir=data, buyers=2, goods=1)
        own = {"STREAMD_DATABASE_URL": url, "STREAMD_API_WRITES_PER_S": "1000"}
        self.first = Node(stage.folder / "first", data=data, redis=self.redis, settings=own)
        stage.ends_with(self.first.stop)
        self.second = Node(stage.folder / "second", data=data, redis=self.redis, workers=2, settings=own)
        stage.ends_with(self.second.stop)
        self._witnesses = Witnesses([self.first.url, self.second.url], floor, database_url=url)
        stage.ends_with(self._witnesses.stop)
        self._read = read or (lambda: lambda _text: None)
        self.encoder = Encoder([f"{node.rtmp_url}/{ROOM}" for node in (self.first, self.second)], clip)
        stage.ends_with(self.encoder.stop)

    def watcher(self, *nodes: Node) -> Watcher:
        """A viewer, with something to see."""
        watcher = Watcher([node.url for node in nodes], ROOM, read=self._read())
        self._stage.ends_with(watcher.stop)
        watcher.wait_for(3, seconds=40)
        return watcher

    def on_air(self, node: Node) -> bool:
        """Whether a node believes that somebody is on air."""
        try:
            with urllib.request.urlopen(f"{node.url}/api/v1/rooms/{ROOM}/stream", timeout=2) as answer:
                return bool(json.load(answer)["on_air"])
        except OSError:
            return False

    def wait_on_air(self, node: Node, *, seconds: float = 20) -> float:
        """When it was, by the monotonic clock. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not self.on_air(node):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody is on air on {node.name}")
            time.sleep(0.02)
        return time.monotonic()

    def watched(
        self, fault: str, during: Callable[[], float], *, parts: int = 6, on: Sequence[Node] | None = None
    ) -> Outcome:
        """Viewers while `during` does harm and returns how long the encoder was off air; then they watch on."""
        others = {self.first: self.second, self.second: self.first}
        viewers = [self.watcher(node, others[node]) for node in on or others]
        before = [set(viewer.discontinuities) for viewer in viewers]
        began_s = time.monotonic()
        self._witnesses.begin()
        off_air_s = during()
        for viewer in viewers:
            viewer.wait_for(parts, seconds=40)
            viewer.stop()
        return Outcome(
            fault=fault,
            off_air_s=off_air_s,
            testimony=self._witnesses.testify(),
            stalls_s=tuple(viewer.stall_s(began_s) for viewer in viewers),
            went_back=sum(viewer.went_back for viewer in viewers),
            discontinuities=max(
                len(viewer.discontinuities - known) for viewer, known in zip(viewers, before, strict=True)
            ),
            errors=sum(viewer.failures for viewer in viewers),
            objections=tuple(text for viewer in viewers for text in viewer.objections),
        )

    # --- the faults ---

    def owner_killed(self) -> Outcome:
        """kill -9 of the node that the encoder is connected to; it comes to the other one."""

        def during() -> float:
            came_s = self.encoder.next_start(self.first.kill)
            return self.wait_on_air(self.second) - came_s

        self.encoder.go_to(f"{self.first.rtmp_url}/{ROOM}")
        self.wait_on_air(self.first)
        return self.watched("kill -9 of the owning node", during)

    def frozen(self) -> Outcome:
        """The owner stands still, as a machine that swaps; its encoder goes elsewhere; then it wakes up."""

        def during() -> float:
            moves = _moves(self.first)
            self.first.send_all(signal.SIGSTOP)
            try:
                time.sleep(1)
                came_s = self.encoder.next_start(self.encoder.break_off)
                off_air_s = self.wait_on_air(self.second) - came_s
            finally:
                self.first.send_all(signal.SIGCONT)
            _gives_up(self.first, moves)
            return off_air_s

        self.encoder.go_to(f"{self.first.rtmp_url}/{ROOM}")
        self.wait_on_air(self.first)
        # A viewer of the frozen node waits for as long as its own patience lasts.
        return self.watched("owning node frozen, awake again", during, on=[self.second])

    def drained(self) -> Outcome:
        """SIGTERM to a node that is watched and may own the stream."""

        def during() -> float:
            began_s = time.monotonic()
            self.first.send(signal.SIGTERM)
            self.first.child.popen.wait(15)
            return self.wait_on_air(self.second) - began_s

        return self.watched("SIGTERM to a node", during)

    def redis_restarted(self) -> Outcome:
        """Redis forgets everything."""

        def during() -> float:
            self.redis.stop()
            self.redis.start()
            time.sleep(3)
            return 0.0 if self.on_air(self.first) and self.on_air(self.second) else 99.0

        return self.watched("Redis restarted, empty", during)

    def redis_gone(self, seconds: float) -> Outcome:
        """Redis is away; meanwhile the encoder breaks off and comes to whichever node."""

        def during() -> float:
            self.redis.stop()
            try:
                time.sleep(seconds / 2)
                came_s = self.encoder.next_start(self.encoder.break_off)
                nodes = (self.first, self.second)
                while not any(self.on_air(node) for node in nodes):
                    time.sleep(0.02)
                off_air_s = time.monotonic() - came_s
                time.sleep(seconds / 2)
            finally:
                self.redis.start()
            time.sleep(3)
            return off_air_s

        return self.watched(f"Redis gone for {seconds:.0f} s, encoder reconnects meanwhile", during)

    def database_restarted(self) -> Outcome:
        """MariaDB crashes, and is back a while later."""

        def during() -> float:
            assert self._database is not None
            self._database.kill()
            time.sleep(2)
            self._database.start()
            time.sleep(2)
            return 0.0 if self.on_air(self.first) and self.on_air(self.second) else 99.0

        return self.watched("MariaDB killed, back after 2 s", during)

    def reloaded(self) -> Outcome:
        """SIGHUP to the node with two workers: both are replaced."""

        def during() -> float:
            self.second.send(signal.SIGHUP)
            deadline = time.monotonic() + 60
            while "supervisor.reloaded" not in self.second.log_path.read_text(encoding="utf-8"):
                if time.monotonic() > deadline:
                    raise TimeoutError("the reload did not end")
                time.sleep(0.05)
            began_s = time.monotonic()
            return self.wait_on_air(self.second) - began_s

        return self.watched("SIGHUP: two workers replaced", during)


def _moves(node: Node) -> int:
    """How often a node has said that a programme of its moved."""
    return node.log_path.read_text(encoding="utf-8").count('"reason": "moved"')


def _gives_up(node: Node, moves: int) -> float:
    """Seconds until a late owner says so once more than `moves` times. Raises TimeoutError."""
    began_s = time.monotonic()
    while _moves(node) <= moves:
        if time.monotonic() > began_s + 15:
            raise TimeoutError("the late owner did not give up")
        time.sleep(0.02)
    return time.monotonic() - began_s


def partitioned(stage: Stage, clip: Path) -> Outcome:
    """A node loses Redis and the other node, and keeps its encoder and its viewers; another encoder comes to the other.

    Both are on air for their own viewers until they see each other again; then the older claim gives up.
    """
    enclave = Enclave()
    stage.ends_with(enclave.close)
    folder = stage.folder / "partition"
    folder.mkdir()
    redis = Redis(folder, host=INTERNAL_OUT)
    stage.ends_with(redis.stop)
    data = folder / "data"
    cut_off = Node(
        folder / "cut_off",
        data=data,
        redis=redis,
        rooms=[ROOM],
        host=PUBLIC_IN,
        node_host=INTERNAL_IN,
        prefix=enclave.prefix,
    )
    stage.ends_with(cut_off.stop)
    other = Node(folder / "other", data=data, redis=redis, node_host=INTERNAL_OUT)
    stage.ends_with(other.stop)
    first = Encoder([f"{cut_off.rtmp_url}/{ROOM}"], clip, retry_s=600)
    stage.ends_with(first.stop)
    viewers = _seated(stage, cut_off, other)
    known = [set(viewer.discontinuities) for viewer in viewers]
    began_s = time.monotonic()
    enclave.cut()
    time.sleep(2)
    second = Encoder([f"{other.rtmp_url}/{ROOM}"], clip)
    stage.ends_with(second.stop)
    viewers[1].wait_for(6, seconds=30)
    viewers[0].wait_for(2, seconds=10)
    enclave.heal()
    late_s = _gives_up(cut_off, 0)
    for viewer in viewers:
        viewer.wait_for(6, seconds=30)
        viewer.stop()
    return Outcome(
        fault=f"node cut off from the others; gives up {late_s:.1f} s after it hears of them again",
        off_air_s=0.0,
        stalls_s=tuple(viewer.stall_s(began_s) for viewer in viewers),
        went_back=sum(viewer.went_back for viewer in viewers),
        discontinuities=max(len(viewer.discontinuities - had) for viewer, had in zip(viewers, known, strict=True)),
        errors=sum(viewer.failures for viewer in viewers),
    )


def _seated(stage: Stage, *nodes: Node) -> list[Watcher]:
    """One viewer at each node, playing."""
    viewers = [Watcher([node.url], ROOM) for node in nodes]
    for viewer in viewers:
        stage.ends_with(viewer.stop)
        viewer.wait_for(4, seconds=40)
    return viewers


def run(arguments: argparse.Namespace) -> Report:
    """All of them, one after the other."""
    with open_stage() as stage:
        database = MariaDb(stage.folder / "mariadb")
        stage.ends_with(database.stop)
        theatre = Theatre(stage, clips.source_clip(), database=database)
        outcomes = [theatre.database_restarted(), theatre.redis_restarted()]
        outcomes += [theatre.redis_gone(arguments.redis_away_s), theatre.owner_killed()]
        theatre.first.start()
        outcomes += [theatre.reloaded(), theatre.drained()]
        theatre.first.start()
        outcomes.append(theatre.frozen())
        if Enclave.is_possible():
            outcomes.append(partitioned(stage, clips.source_clip()))
    killed = next(one for one in outcomes if one.fault.startswith("kill"))
    heard = [one.testimony for one in outcomes if one.testimony]
    return Report(
        scenario="faults",
        title="Faults: what each interrupts, and for how long",
        command="",
        figures=(
            Figure(name="encoder on air again after its reconnect", value=killed.off_air_s, unit="s", most=3.0),
            Figure(name="viewers' stall when the owner is killed", value=max(killed.stalls_s), unit="s", most=5.0),
            Figure(name="most discontinuities in one fault", value=float(max(one.discontinuities for one in outcomes))),
            Figure(name="orders lost or placed twice", value=_sum(heard, "orders_lost", "orders_doubled"), most=0.0),
            Figure(name="facts of the room lost", value=_sum(heard, "missed"), most=0.0),
        ),
        tables=(
            Table(
                title="Pictures",
                columns=("fault", "off air, s", "longest wait for a part, s", "discontinuities", "lost", "retries"),
                rows=tuple(_pictures(one) for one in outcomes),
            ),
            Table(
                title="Room and shop",
                columns=("fault", "facts said", "members cut off", "orders placed", "longest wait, s", "lost"),
                rows=tuple(_people(one.fault, one.testimony) for one in outcomes if one.testimony),
            ),
        ),
        errors=tuple(text for one in outcomes for text in one.objections),
        notes=(
            "Two nodes on loopback, one of them of two workers; MariaDB and Redis shared. The encoder is ffmpeg, "
            "started again 0.3 s after it ended; viewers make blocked requests and go to the other node after errors.",
            "The wait for a part holds the usual half second, the encoder's way back and its first part.",
            "A member at each node resumes at the other; a host announces twice a second; two buyers order, and ask "
            "again with the same Idempotency-Key until they are answered.",
        ),
    )


def _sum(heard: Sequence[Testimony], *names: str) -> float:
    return float(sum(getattr(one, name) for one in heard for name in names))


def _pictures(one: Outcome) -> tuple[object, ...]:
    stalls = " / ".join(f"{stall:.1f}" for stall in one.stalls_s)
    lost = "numbers went back" if one.went_back else "nothing"
    return one.fault, one.off_air_s, stalls, one.discontinuities, lost, one.errors


def _people(fault: str, said: Testimony) -> tuple[object, ...]:
    return fault, said.said, said.breaks, said.placed, said.order_wait_s, said.lost

"""The supervisor, with small scripts as workers that write down what happens to them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamd.errors import SettingsError, StreamdError
from streamd.supervisor import Supervisor, SupervisorSettings, WorkerPlace
from streamd.telemetry.log import get_log

# Serves at once, ends at SIGTERM or when its standard input closes, and leaves a line for both.
GOOD = """
import os, signal, sys, threading
book, slot = sys.argv[1], sys.argv[2].rpartition(":")[2]
def note(word):
    with open(book, "a") as file: file.write(f"{word} {slot} {os.getpid()}\\n")
def leave(*_):
    note("left"); os._exit(0)
signal.signal(signal.SIGTERM, leave)
note("began"); os.write(0, b"ready\\n")
os.read(0, 1); note("orphaned"); os._exit(0)
"""
BAD = "import sys; sys.exit(3)"


class Stage:
    def __init__(self, folder: Path) -> None:
        self.book = folder / "book"
        self.book.touch()
        self.scripts: dict[int, str] = {}
        self.ready = asyncio.Event()

    def command(self, place: WorkerPlace) -> list[str]:
        return [sys.executable, "-c", self.scripts.get(place.slot, GOOD), str(self.book), str(place)]

    def lines(self, word: str) -> list[tuple[int, int]]:
        """Slot and process of each line that begins with `word`."""
        found = [line.split() for line in self.book.read_text(encoding="ascii").splitlines()]
        return [(int(slot), int(pid)) for said, slot, pid in found if said == word]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110  # other processes write
                await asyncio.sleep(0.01)


@asynccontextmanager
async def supervised(folder: Path, workers: int = 2) -> AsyncIterator[tuple[Stage, Supervisor, asyncio.Task[None]]]:
    stage = Stage(folder)
    supervisor = Supervisor(
        command=stage.command,
        settings=SupervisorSettings(workers=workers, shutdown_ms=2_000, first_wait_ms=10),
        log=get_log("test"),
        on_ready=stage.ready.set,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(supervisor.run())
        yield stage, supervisor, running
        supervisor.stop()


async def test_every_worker_serves_and_all_are_drained_at_the_end(tmp_path: Path) -> None:
    async with supervised(tmp_path, 3) as (stage, supervisor, running):
        await asyncio.wait_for(stage.ready.wait(), 30)
        assert {slot for slot, _ in stage.lines("began")} == {0, 1, 2}
        supervisor.stop()
        await running
    assert sorted(stage.lines("left")) == sorted(stage.lines("began"))


async def test_worker_that_dies_is_started_again_at_its_place(tmp_path: Path) -> None:
    async with supervised(tmp_path) as (stage, _, _running):
        await asyncio.wait_for(stage.ready.wait(), 30)
        victim = next(pid for slot, pid in stage.lines("began") if slot == 1)
        os.kill(victim, signal.SIGKILL)
        await stage.until(lambda: sum(slot == 1 for slot, _ in stage.lines("began")) == 2)
        assert sum(slot == 0 for slot, _ in stage.lines("began")) == 1


async def test_worker_that_never_serves_ends_the_node_with_a_clear_line(tmp_path: Path) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(StreamdError, match="Worker 1 ended 4 times before it could serve")):
        async with supervised(tmp_path) as (stage, _, running):
            stage.scripts[1] = BAD
            await running
    assert stage.lines("left") == stage.lines("began"), "the good worker was drained"


async def test_reload_replaces_one_by_one_and_the_successor_serves_first(tmp_path: Path) -> None:
    async with supervised(tmp_path) as (stage, supervisor, _):
        await asyncio.wait_for(stage.ready.wait(), 30)
        before = stage.lines("began")
        supervisor.reload()
        await stage.until(lambda: len(stage.lines("left")) == 2)
        assert sorted(stage.lines("left")) == sorted(before)
        order = [line.split()[0] for line in stage.book.read_text(encoding="ascii").splitlines()]
        assert order == ["began", "began", "began", "left", "began", "left"]


async def test_reload_whose_successor_does_not_come_up_leaves_everybody_serving(tmp_path: Path) -> None:
    async with supervised(tmp_path) as (stage, supervisor, _):
        await asyncio.wait_for(stage.ready.wait(), 30)
        stage.scripts = {0: BAD, 1: BAD}
        supervisor.reload()
        await asyncio.sleep(0.3)
        assert stage.lines("left") == []
        stage.scripts = {}
        supervisor.reload()
        await stage.until(lambda: len(stage.lines("left")) == 2)


async def test_workers_notice_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    book = tmp_path / "book"
    book.touch()
    parent = """
import asyncio, sys
from streamd.supervisor import Supervisor, SupervisorSettings
from streamd.telemetry.log import get_log
command = lambda place: [sys.executable, "-c", sys.argv[1], sys.argv[2], str(place)]
settings = SupervisorSettings(workers=2, shutdown_ms=1000)
asyncio.run(Supervisor(command=command, settings=settings, log=get_log("test"), on_ready=lambda: print("up")).run())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-uc",
        parent,
        GOOD,
        str(book),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert b"up" in await asyncio.wait_for(process.stdout.readline(), 30) + await process.stdout.readline()
    process.kill()
    await process.wait()
    async with asyncio.timeout(30):
        while book.read_text(encoding="ascii").count("orphaned") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_place_is_read_as_it_is_written() -> None:
    place = WorkerPlace("ab12", 3)
    assert WorkerPlace.parse(str(place)) == place
    for nonsense in ("", "3", ":3", "ab:", "ab:x", "a b:1"):
        with pytest.raises(SettingsError):
            WorkerPlace.parse(nonsense)

"""The demo's room, and the child process that keeps the programme on air."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from streamd import demo
from streamd.db.engine import open_engine
from streamd.db.migrate import upgrade
from streamd.telemetry.log import get_log
from tests.support.accounts import accounts_over
from tests.support.clock import FakeClock
from tests.support.web import eventually

ROOT = Path(__file__).parents[1]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


async def test_room_of_the_demo_is_made_once_and_a_rotated_key_stays(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/streamd.db"
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    clock = FakeClock()
    accounts = accounts_over(engine, clock=clock, data_dir=tmp_path)
    await demo.seed(accounts)
    assert (await accounts.keys.check("demo-key")).room == "demo"
    key = await accounts.keys.rotate("demo")
    await accounts.members.put("demo", "assistant", "moderator")
    await demo.seed(accounts)
    assert (await accounts.keys.check(key)).room == "demo"
    assert {one.name: one.role for one in await accounts.members.of_room("demo")} == {
        "host": "host",
        "assistant": "moderator",
    }
    for name in ("host", "assistant", "alice", "bob"):
        assert (await accounts.sessions.sign_in(name, "demo-password", address="::1")).user.name == name
    await engine.dispose()


async def test_programme_that_ends_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_FIRST_WAIT_S", 0.01)
    runs = tmp_path / "runs"
    command = (sys.executable, "-c", f"open({str(runs)!r}, 'a').write('x')")
    with suppress(TimeoutError):
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = group.create_task(demo.keep_programme(log=get_log("test"), command=command))
            await asyncio.to_thread(eventually, lambda: read(runs), lambda text: len(text) >= 3)
            task.cancel()
    assert len(runs.read_text()) >= 3


async def test_programme_ends_with_the_server(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    script = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(demo.keep_programme(log=get_log("test"), command=(sys.executable, "-c", script)))
        await asyncio.to_thread(eventually, lambda: read(started), bool)
        task.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_child_notices_that_its_parent_was_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, signal\n"
        "from streamd.demo import end_when_stdin_closes\n"
        "async def main():\n"
        "    ended = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)\n"
        "    end_when_stdin_closes()\n"
        "    print('ready', flush=True)\n"
        "    await ended.wait()\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.close()
    try:
        assert eventually(child.poll, lambda code: code is not None, seconds=10) == 0
    finally:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()

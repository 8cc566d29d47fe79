"""A profile: what a real py-spy says of a real process, and how its lines are read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loadtest.hottest import Profile, look
from loadtest.processes import ChildFailedError
from loadtest.stage import open_stage

RAW = """<module> (streamd/__main__.py:1);Runner.run (asyncio/runners.py:86);Stream.push (streamd/live/stream.py:9) 30
<module> (streamd/__main__.py:1);Runner.run (asyncio/runners.py:86) 10
Runner.run (asyncio/runners.py:86);C.receive (rtmp_ingest/chunks.py:80);<lambda> (aiohttp/web.py:7) 40
Runner.run (asyncio/runners.py:86);C.receive (rtmp_ingest/chunks.py:80) 15
Thread.run (threading.py:1);Stream.push (streamd/live/stream.py:9) 5
 2
"""
BUSY = """
def spins():
    total = 0
    for number in range(200_000):
        total += number * number

while True:
    spins()
"""


def test_functions_stand_in_the_order_in_which_they_were_seen() -> None:
    table = Profile(RAW).table(title="Path", count=3)
    assert table.rows == (
        ("<lambda> aiohttp/web.py:7", 40.0),
        ("Stream.push streamd/live/stream.py:9", 35.0),
        ("C.receive rtmp_ingest/chunks.py:80", 15.0),
    )


def test_time_is_shared_out_to_its_packages_without_rest() -> None:
    found = Profile(RAW).shares()
    assert found == {"libraries": 40.0, "streamd": 35.0, "rtmp_ingest": 15.0, "event loop": 10.0}
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_share_of_time_is_by_the_looks_that_found_somebody() -> None:
    assert Profile(RAW).percent_of(2.0) == 10.0


def test_nothing_seen_is_nothing() -> None:
    assert Profile("").shares() == {}
    assert Profile("").table(title="Path", count=3).rows == ()


def test_what_is_no_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="not a line"):
        Profile("Error: no such process")


def test_busy_function_of_a_real_process_is_found(tmp_path: Path) -> None:
    program = tmp_path / "busy.py"
    program.write_text(BUSY)
    with open_stage() as stage:
        child = stage.child("busy", [sys.executable, str(program)])
        seen, busy_ms = look(stage, [child.pid], 2, "busy")
    (first, percent), *_ = seen.table(title="busy", count=1).rows
    assert str(first).startswith("spins ")
    assert float(str(percent)) > 90
    assert busy_ms > 100


def test_process_that_cannot_be_looked_into_is_said() -> None:
    with open_stage() as stage:
        child = stage.child("other", ["sleep", "60"])
        with pytest.raises(ChildFailedError, match="py-spy ended"):
            look(stage, [child.pid], 1, "other")

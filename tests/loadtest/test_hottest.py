"""A profile read: what counts, what is left out, and whose it is."""

from __future__ import annotations

import cProfile
import json
from pathlib import Path

import pytest

from loadtest.hottest import hottest, shares
from rtmp_ingest import amf0


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "profile"
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(500):
        amf0.encode([1.0, "publish", {"level": "status"}])
        json.dumps({"not": "ours"}, indent=1)
    exec(compile("1 + 1", "starting up", "eval"))
    profiler.disable()
    profiler.dump_stats(str(path))
    return path


def test_functions_stand_in_the_order_of_their_own_time(profile: Path) -> None:
    rows = hottest(profile, count=8).rows
    seconds = [float(str(row[2])) for row in rows]
    assert len(rows) == 8
    assert seconds == sorted(seconds, reverse=True)
    assert any("rtmp_ingest/amf0.py" in str(row[0]) for row in rows)
    assert all("builtins.exec" not in str(row[0]) for row in hottest(profile, count=10_000).rows)


def test_time_is_shared_out_to_its_packages_without_rest(profile: Path) -> None:
    found = shares(profile)
    assert set(found) >= {"rtmp_ingest", "libraries", "built-in"}
    assert sum(found.values()) == pytest.approx(100)
    assert list(found.values()) == sorted(found.values(), reverse=True)

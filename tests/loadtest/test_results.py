"""RESULTS.md is renewed section by section; a scenario that fails costs its own section only."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from loadtest import results, suite
from loadtest.report import Figure, Report

NAMES = ("ingest", "rooms", "day")


def section(name: str, value: float, *, measured: str = "2026-11-20 10:00") -> results.Section:
    figure = Figure(name="ratio", value=value, most=0.9)
    report = Report(scenario=name, title=f"About {name}", command=f"python -m loadtest {name}", figures=(figure,))
    return results.Section.of(report, measured=measured)


def test_a_new_section_takes_the_place_of_the_old_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    results.refresh(path, [section("rooms", 0.5), section("ingest", 0.8)], NAMES)
    before = path.read_text(encoding="utf-8")
    results.refresh(path, [section("rooms", 1.5, measured="2026-11-21 11:00")], NAMES)
    after = path.read_text(encoding="utf-8")
    assert [one.name for one in results.read(after)] == ["ingest", "rooms"]
    assert "| ratio | 1.500 |  | ≤ 0.900 | MISSED |" in after
    assert "| ratio | 0.500 |" not in after
    assert results.read(after)[0] == results.read(before)[0]
    assert "| rooms | About rooms | 2026-11-21 11:00 | 0 of 1 |" in after


def test_what_was_never_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    results.refresh(path, [section("rooms", 0.5)], NAMES)
    text = path.read_text(encoding="utf-8")
    assert "| day | not run yet | | |" in text
    assert "| rooms | About rooms | 2026-11-20 10:00 | 1 of 1 |" in text


def test_a_run_that_fails_is_said_above_what_the_last_one_found(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    results.refresh(path, [section("rooms", 0.5)], NAMES)
    failed = results.Section.of(suite.failure("rooms", "the port\nwas taken"), measured="2026-11-22 12:00")
    results.refresh(path, [failed], NAMES)
    text = path.read_text(encoding="utf-8")
    assert "**Run again at 2026-11-22 12:00 UTC, which failed.** **Error:** the port was taken" in text
    assert "| ratio | 0.500 |" in text
    results.refresh(path, [section("rooms", 0.7)], NAMES)
    assert "which failed" not in path.read_text(encoding="utf-8")


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    results.refresh(path, [section("rooms", 0.5), section("day", 0.5)], NAMES)
    before = path.read_text(encoding="utf-8")
    results.refresh(path, [], NAMES)
    assert path.read_text(encoding="utf-8") == before


def test_a_scenario_that_does_not_exist_fails_alone_with_its_last_words() -> None:
    report = suite.one("no_such_scenario", seconds=30)
    assert report.figures == ()
    assert "invalid choice" in report.errors[0]


def test_a_scenario_that_hangs_is_stopped_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    endless = tmp_path / "python"
    endless.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {pid}.new\nmv {pid}.new {pid}\nwait\n", encoding="utf-8")
    endless.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(endless))
    report = suite.one("ingest", seconds=2)
    assert "not finished after 2 s" in report.errors[0]
    gone = Path(f"/proc/{int(pid.read_text())}/stat")
    until = time.monotonic() + 30
    while gone.exists() and gone.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < until:
        os.sched_yield()
    assert not gone.exists() or gone.read_text().rpartition(")")[2].split()[0] == "Z"


def test_when_all_the_time_is_used_up_the_rest_is_said_to_be_left_out() -> None:
    said: list[str] = []
    reports = list(suite.run(["ingest", "day"], each_s=10, all_s=0.5, say=said.append))
    assert [report.scenario for report in reports] == ["ingest", "day"]
    assert all("left out" in report.errors[0] for report in reports)
    assert said == []

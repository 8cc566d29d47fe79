"""Load goes to this machine and nowhere else; what processes used is read from the kernel."""

from __future__ import annotations

import os
import time

import pytest

from loadtest.machine import cpu_ms, describe, family, require_loopback, resident_bytes


@pytest.mark.parametrize(
    "url", ["rtmp://127.0.0.1:1935/live/a", "http://localhost:8080/", "http://[::1]:8080/x", "http://127.8.9.1/"]
)
def test_loopback_is_accepted(url: str) -> None:
    assert require_loopback(url) == url


@pytest.mark.parametrize(
    "url", ["rtmp://10.0.0.1/live/a", "http://example.com/", "http://127.0.0.1.example.com/", "/just/a/path", ""]
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        require_loopback(url)


def test_cpu_time_and_memory_of_this_process_are_seen() -> None:
    before = cpu_ms([os.getpid()])
    until = time.process_time() + 0.08
    while time.process_time() < until:
        pass
    assert 60 <= cpu_ms([os.getpid()]) - before <= 400
    assert resident_bytes([os.getpid()]) > 10_000_000
    assert family(os.getpid())[0] == os.getpid()


def test_the_machine_is_named_in_one_line() -> None:
    line = describe().one_line()
    assert "cores of" in line
    assert "ffmpeg" in line

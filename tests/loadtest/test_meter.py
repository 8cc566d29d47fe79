"""What a process used stands under its name, from when it was first watched until it ended."""

from __future__ import annotations

import subprocess
import sys
import time

from loadtest.meter import Meter


def test_a_busy_process_is_charged_and_one_that_ended_keeps_what_it_had_used() -> None:
    program = "import sys, time\nwhile time.process_time() < 0.3: pass\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        meter = Meter()
        meter.watch("busy", lambda: [process.pid])
        meter.watch("gone", lambda: (_ for _ in ()).throw(RuntimeError("it has ended")))
        until = time.monotonic() + 20
        while "busy" not in meter.usages or meter.usages["busy"].cpu_s < 0.2:
            assert time.monotonic() < until
            time.sleep(0.05)
            meter.read(at_once=True)
        process.communicate(b"")
    meter.read(at_once=True)
    used = meter.usages["busy"]
    assert used.cpu_s < 2
    assert max(used.resident_mib) > 1
    assert max(used.descriptors) >= 3
    assert [row[0] for row in meter.table().rows] == ["busy"]
    assert len(meter.charts()) == 2


def test_a_reading_is_taken_about_once_a_second() -> None:
    now = [0.0]
    meter = Meter(now_s=lambda: now[0])
    meter.watch("self", lambda: [1])
    for tenth in range(1, 31):
        now[0] = tenth / 10
        meter.read()
    assert len(meter.usages["self"].at_s) == 3

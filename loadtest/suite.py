"""Scenarios one after the other, each in a process of its own with a limit of time.

One that fails, hangs or is killed costs its own section and nothing else: everything it started dies with it. The whole
is bounded too; what does not fit any more is said to be left out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from loadtest.report import Report

_FAREWELL_S = 15.0
_LAST_LINES = 6


def run(names: Sequence[str], *, each_s: float, all_s: float, say: Callable[[str], None]) -> Iterator[Report]:
    """A report for each name, in order; one that failed has an error and no figures."""
    ends = time.monotonic() + all_s
    for index, name in enumerate(names, 1):
        left_s = ends - time.monotonic()
        if left_s < 1:
            yield failure(name, f"left out: the {all_s / 60:.0f} minutes for all scenarios were used up")
            continue
        say(f"{index}/{len(names)} {name}, at most {min(each_s, left_s) / 60:.1f} min")
        began = time.monotonic()
        report = one(name, seconds=min(each_s, left_s))
        say(f"{index}/{len(names)} {name}: {_verdict(report)} after {time.monotonic() - began:.0f} s")
        yield report


def one(name: str, *, seconds: float) -> Report:
    """One scenario with its defaults."""
    argv = [sys.executable, "-m", "loadtest", name, "--json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return failure(name, f"not finished after {seconds:.0f} s: stopped")
    except BaseException:
        _end(process)
        raise
    try:
        return Report.from_dict(json.loads(said)[0])
    except (ValueError, LookupError, TypeError) as error:
        last = "\n".join((complaint.strip() or said.strip()).splitlines()[-_LAST_LINES:])
        return failure(name, f"ended with {process.returncode} and no report ({error}): {last}")


def failure(name: str, why: str) -> Report:
    """A report that only says what went wrong."""
    return Report(
        scenario=name, title=f"{name}: no result", command=f"python -m loadtest {name}", figures=(), errors=(why,)
    )


def _verdict(report: Report) -> str:
    if report.errors and not report.figures:
        return "FAILED"
    return f"{report.targets - report.missed} of {report.targets} targets met" if report.targets else "done"


def _end(process: subprocess.Popen[str]) -> None:
    """SIGTERM stops a scenario's servers in order; what is left of its group is killed."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_FAREWELL_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()  # closes the pipes

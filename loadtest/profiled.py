"""Runs streamd's command line under cProfile: `python -m loadtest.profiled OUTPUT serve …`.

Time is this thread's CPU time, so that a loop asleep costs nothing. The findings are written when the command ends.
"""

from __future__ import annotations

import cProfile
import sys
import time

from streamd.__main__ import main


def run(output: str) -> None:
    """Profile `main`, whatever way it ends."""
    profile = cProfile.Profile(time.thread_time)
    try:
        profile.runcall(main)
    finally:
        profile.dump_stats(output)


if __name__ == "__main__":
    target = sys.argv.pop(1)
    run(target)

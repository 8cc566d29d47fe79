"""Where a running server's time goes, function by function: py-spy looks at its stack from outside, 500 times a second.

The server runs as it always does, and only the seconds asked for are seen. A look counts for the Python function that
has the interpreter (its lock), with what that called and is written in C. What is done without the interpreter is not
seen: uvloop on sockets, codecs, waiting.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from loadtest.processes import ChildFailedError
from loadtest.report import Table
from loadtest.stage import Stage

_RATE_HZ = 500
_PATIENCE_S = 30.0
_LINE = re.compile(r"(?P<stack>.*) (?P<count>\d+)")
_FRAME = re.compile(r"(?P<name>.+) \((?P<file>[^()]+):(?P<line>\d+)\)")
_OURS = ("rtmp_ingest", "hls_packager", "danmaku", "streamd")


class Profile:
    """How often each function was seen at work."""

    def __init__(self, raw: str) -> None:
        """`raw`: py-spy's format of that name, a line for each stack: outermost frame first, and how often it was seen.

        Raises ValueError.
        """
        self._seen: Counter[tuple[str, str]] = Counter()  # (part, function)
        for line in raw.splitlines():
            found = _LINE.fullmatch(line)
            if found is None:
                raise ValueError(f"not a line of py-spy's: {line[:80]!r}")
            if found["stack"]:
                self._seen[_innermost(found["stack"])] += int(found["count"])

    def percent_of(self, seconds: float) -> float:
        """The share of that time in which any was seen."""
        return 100 * self._seen.total() / (_RATE_HZ * seconds)

    def table(self, *, title: str, count: int) -> Table:
        """The `count` functions that were seen most."""
        whole = self._seen.total() or 1
        rows = tuple((name, 100 * seen / whole) for (_, name), seen in self._seen.most_common(count))
        return Table(title=title, columns=("function", "%"), rows=rows)

    def shares(self) -> dict[str, float]:
        """By package of ours, `event loop` and `libraries`: per cent, the largest first."""
        whole = self._seen.total() or 1
        parts: Counter[str] = Counter()
        for (part, _), seen in self._seen.items():
            parts[part] += seen
        return {part: 100 * seen / whole for part, seen in parts.most_common()}


def look(stage: Stage, pids: Sequence[int], seconds: int, what: str) -> tuple[Profile, float]:
    """Watch the first of `pids` for so long; also the CPU milliseconds a second of all of them meanwhile.

    Raises ChildFailedError where the system does not let one process look into another.
    """
    path = stage.folder / f"{what}.txt"
    how = ["--gil", "--function", "--format", "raw", "--rate", str(_RATE_HZ), "--duration", str(seconds)]
    spy = str(Path(sys.executable).with_name("py-spy"))
    child = stage.child("py-spy", [spy, "record", *how, "--output", str(path), "--pid", str(pids[0])])
    busy_ms = stage.cpu_of({what: pids}, seconds, what)[what]
    if child.popen.wait(_PATIENCE_S):
        hint = "to look into another process may take root, or the sysctl kernel.yama.ptrace_scope=0"
        raise ChildFailedError(f"py-spy ended with {child.popen.returncode} ({hint}):\n{child.log_tail()}")
    return Profile(path.read_text(encoding="utf-8")), busy_ms


def _innermost(stack: str) -> tuple[str, str]:
    """Whose the last frame is, and how one looks for it."""
    last = stack.rpartition(";")[2]
    frame = _FRAME.fullmatch(last)
    if frame is None:
        return "libraries", last
    file, function = frame["file"], f"{frame['name']} {frame['file']}:{frame['line']}"
    if file == "asyncio/runners.py":
        return "event loop", "the loop itself"
    package = Path(file).parts[0]
    return (package if package in _OURS else "libraries"), function

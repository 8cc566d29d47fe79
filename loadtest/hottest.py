"""What a profile says: the functions that take most time of their own, and the share of each part of the program.

In: a file that cProfile wrote, by `loadtest.profiled`. Starting up, mostly imports, is left out by name.
"""

from __future__ import annotations

import pstats
import re
from collections import defaultdict
from io import StringIO
from pathlib import Path

from loadtest.report import Table

_STARTING_UP = re.compile(r"builtins\.(compile|exec|__build_class__)|marshal|_imp\.|_bootstrap|dataclasses|pydantic")
_OURS = ("rtmp_ingest", "hls_packager", "danmaku", "streamd")

# Function as (file, line, name); calls without recursion, calls, own seconds, seconds with all it calls, callers.
_Entry = tuple[tuple[str, int, str], tuple[int, int, float, float, object]]


def hottest(profile: Path, *, title: str = "Where streamd's time goes (cProfile, own time)", count: int = 30) -> Table:
    """The `count` first functions by own time."""
    busy, whole = _entries(profile)
    rows = tuple(
        (f"{_place(place)} {place[2]}", timing[1], timing[2], 100 * timing[2] / whole)
        for place, timing in sorted(busy, key=lambda item: item[1][2], reverse=True)[:count]
    )
    return Table(title=title, columns=("function", "calls", "s", "%"), rows=rows)


def shares(profile: Path) -> dict[str, float]:
    """Own time by package of ours, `built-in` for what has no file, and `libraries`: per cent, the largest first."""
    busy, whole = _entries(profile)
    found: defaultdict[str, float] = defaultdict(float)
    for (file, _, _), timing in busy:
        parts = Path(file).parts
        package = next((part for part in parts if part in _OURS), None) if "site-packages" not in parts else None
        found[package or ("built-in" if file == "~" else "libraries")] += timing[2]
    ordered = sorted(found.items(), key=lambda item: item[1], reverse=True)
    return {name: 100 * seconds / whole for name, seconds in ordered}


def _entries(profile: Path) -> tuple[list[_Entry], float]:
    stats = pstats.Stats(str(profile), stream=StringIO())
    every: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = stats.stats  # type: ignore[attr-defined]
    busy = [item for item in every.items() if not _STARTING_UP.search(f"{item[0][0]} {item[0][2]}")]
    return busy, sum(timing[2] for _, timing in busy) or 1.0


def _place(place: tuple[str, int, str]) -> str:
    """The file as one looks for it: its folder and its name."""
    file, line, _ = place
    return "built-in" if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line}"

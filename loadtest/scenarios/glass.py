"""Glass to glass: the age of the clock in the picture, read in Chromium from the watch page, and the time to a picture.

Where a player begins is chance within 200 ms, and it stays there; so the page is opened several times, and each time
gives one latency.

The clock is drawn at the moment that it shows and read at the moment that the browser shows it, on one machine's
clock: the figure holds everything, encoder, server, player buffer, decoder and compositor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table, percentile, sampled
from loadtest.stage import Stage, open_stage

SUMMARY = "latency from the clock in the picture, first frame, stalls, in Chromium: FLV, LL-HLS, LL-HLS of WHIP"
_CHROMIUM = "/usr/bin/chromium"
_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
_SCRIPTS = [Path(__file__).parents[1] / name for name in ("strip.js", "glass.js")]
_ROOM, _KEY = "demo", "demo-key"
_ON_AIR_S = 8.0
_SETTLE_MS = 5_000  # the player's start is not its steady state
_READ_MS = 4_000  # then, of each opening
_PAGE_SAYS = (
    "(({ mode, latencyMs, lastFailure }) => ({ mode, latencyMs, failure: JSON.stringify(lastFailure) }))"
    "(window.__streamd.player)"
)
_FIRST_FRAME_PATIENCE_MS = 20_000
_COLUMNS = (
    "way",
    "played by",
    "latency min",
    "median",
    "p95",
    "max",
    "page says (ms)",
    "pictures",
    "dropped",
    "waiting",
    "slow screen",
    "unread",
)
_AFRESH = "Object.assign(window.__glass, { samples: [], stalls: [], slow: [], waits: 0, unread: 0, frames: 0 })"
_PROGRAMME = (
    "import sys, uvloop; from streamd.programme import run_programme; "
    "uvloop.run(run_programme(url=sys.argv[1], gop_s=int(sys.argv[2])))"
)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to watch."""

    name: str
    mode: str  # of the watch page
    settings: tuple[tuple[str, str], ...]
    gop_s: int
    latency_most_ms: float
    first_frame_most_ms: float | None
    is_whip: bool = False  # how the programme comes in


@dataclass(frozen=True, slots=True)
class _Opening:
    """One visit of the page."""

    first_frame_ms: float
    latency_ms: float  # median of its readings


_FAST = (("STREAMD_HLS_SEGMENT_MS", "1000"), ("STREAMD_HLS_PART_MS", "200"))
CASES = (
    Case("FLV", "flv", (), 2, 1_000, 1_000),
    Case("LL-HLS", "hls", (), 2, 2_000, 1_500),
    Case("LL-HLS 1 s / 200 ms", "hls", _FAST, 1, 1_000, None),
    Case("LL-HLS of WHIP", "hls", (), 2, 2_000, 1_500, is_whip=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about eight minutes."""
    parser.add_argument("--minutes", type=float, default=1.0, help="how long each way is watched")
    parser.add_argument("--opens", type=int, default=5, help="how often the page is opened")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one way only")


def run(arguments: argparse.Namespace) -> Report:
    """Every case on a server of its own settings."""
    figures: list[Figure] = []
    rows: list[tuple[object, ...]] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        for case in CASES:
            if arguments.only in (None, case.name):
                openings, seen = _watch(browser, case, arguments)
                figures += _figures(case, openings, seen, arguments.minutes)
                rows.append(_row(case, seen))
                if seen["mode"] != case.mode:
                    errors.append(f"{case.name}: the page fell back to {seen['mode']}: {seen['failure']}")
        browser.close()
    return Report(
        scenario="glass",
        title="Glass to glass in Chromium",
        command="",
        figures=tuple(figures),
        tables=(
            Table(
                title="While watching",
                columns=_COLUMNS,
                rows=tuple(rows),
            ),
        ),
        errors=tuple(errors),
        notes=(
            "The synthetic programme (1280×720 at 30 fps, no B-frames, key frame every 2 s, every 1 s for the fast "
            "setting) over RTMP or, where it says so, WHIP; headless Chromium decodes and draws in software, on the "
            "same two cores.",
            f"Latency: the median of {arguments.opens} openings; of each, {_READ_MS // 1000} s from "
            f"{_SETTLE_MS // 1000} s after the first picture, four readings a second. The table is the last opening's. "
            "A stall: half a second "
            "without a new picture while the film stood still; had it gone on, it counts as a slow screen.",
            f"First frame: from the navigation's start, empty cache, median of {arguments.opens} openings.",
        ),
    )


def _watch(browser: Browser, case: Case, arguments: argparse.Namespace) -> tuple[list[_Opening], dict[str, Any]]:
    """Open the page a few times, stay on the last one."""
    with open_stage() as stage:
        server = stage.server(
            Streamd(stage.folder / "streamd", options=["--demo", "--no-programme"], settings=dict(case.settings))
        )
        _put_on_air(stage, server, case)
        url = server.http_url(f"/watch/{_ROOM}?mode={case.mode}")
        openings: list[_Opening] = []
        for index in range(arguments.opens):
            stage.say(f"{case.name}: opening {index + 1} of {arguments.opens}")
            page = _open(browser, url, case.mode)
            first_frame_ms = float(page.evaluate("window.__glass.firstFrameMs"))
            page.wait_for_timeout(_SETTLE_MS)
            page.evaluate(_AFRESH)
            page.wait_for_timeout(_READ_MS)
            latencies = [latency for _, latency in page.evaluate("window.__glass.samples")]
            openings.append(_Opening(first_frame_ms, median(latencies)))
            if index < arguments.opens - 1:
                page.wait_for_timeout(700)  # another phase of the group of pictures next time
                page.context.close()
        page.evaluate(_AFRESH)
        for left_s in range(round(arguments.minutes * 60), 0, -1):
            stage.say(f"{case.name}: watching, {left_s} s")
            page.wait_for_timeout(1_000)
        seen: dict[str, Any] = page.evaluate("window.__glass")
        seen.update(page.evaluate(_PAGE_SAYS))
        page.context.close()
        stage.say("")
        return openings, seen


def _put_on_air(stage: Stage, server: Streamd, case: Case) -> None:
    how = ["-c", _PROGRAMME, server.publish_url(_KEY)]
    if case.is_whip:
        how = ["-m", "loadtest.whip_programme", server.http_url(f"/whip/{_ROOM}"), _KEY]
    stage.child("programme", [sys.executable, *how, str(case.gop_s)])
    stage.wait(_ON_AIR_S, "programme on air")


def _open(browser: Browser, url: str, mode: str) -> Page:
    """A page in a context of its own, from its opening to its first picture."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.add_init_script(f"localStorage.setItem('streamd.page', JSON.stringify({{ mode: '{mode}' }}));")
    # One script: each is a scope of its own.
    context.add_init_script("\n".join(path.read_text(encoding="utf-8") for path in _SCRIPTS))
    page = context.new_page()
    page.goto(url, wait_until="commit")
    # Not wait_for_function: its polling uses eval, which the page's content security policy forbids.
    for _ in range(_FIRST_FRAME_PATIENCE_MS // 100):
        if page.evaluate("window.__glass?.firstFrameMs ?? null") is not None:
            return page
        page.wait_for_timeout(100)
    raise RuntimeError(f"{url} shows no picture after {_FIRST_FRAME_PATIENCE_MS} ms")


def _figures(case: Case, openings: list[_Opening], seen: dict[str, Any], minutes: float) -> Iterator[Figure]:
    latencies = [opening.latency_ms for opening in openings]
    first_frames = [opening.first_frame_ms for opening in openings]
    yield sampled(f"{case.name}: latency", latencies, unit="ms", most=case.latency_most_ms)
    yield sampled(f"{case.name}: first frame", first_frames, unit="ms", most=case.first_frame_most_ms)
    stalled_ms = sum(stall["ms"] for stall in seen["stalls"])
    yield Figure(
        name=f"{case.name}: stalls in {minutes:g} min ({stalled_ms:.0f} ms)", value=len(seen["stalls"]), most=0
    )


def _row(case: Case, seen: dict[str, Any]) -> tuple[object, ...]:
    latencies = [latency for _, latency in seen["samples"]]
    return (
        case.name,
        seen["mode"],
        min(latencies),
        percentile(latencies, 0.5),
        percentile(latencies, 0.95),
        max(latencies),
        seen["latencyMs"],
        seen["frames"],
        seen["dropped"],
        seen["waits"],
        len(seen["slow"]),
        seen["unread"],
    )

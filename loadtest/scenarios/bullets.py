"""Eighty danmaku over a playing video: what a frame costs the page's main thread, in Chromium, by its own trace.

The page is the real one, the danmaku are said by two of the staff through the real server, at a pace that keeps the
screen full. A frame is from one animation frame to the next; its work is the processor time of all tasks that the
page's main thread ran in between, so that other processes on the machine do not count. A measuring script asks for
every animation frame: without it the compositor moves bullets by itself, and the main thread has less to do.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table, percentile
from loadtest.stage import Stage, open_stage

SUMMARY = "main-thread work a frame with 80 danmaku over the video, in Chromium"
_CHROMIUM = "/usr/bin/chromium"
_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
_CATEGORIES = ["toplevel", "devtools.timeline", "devtools.timeline.frame", "disabled-by-default-devtools.timeline"]
_ROOM, _KEY = "demo", "demo-key"
_PER_S = 14  # a bullet crosses in seven seconds: enough that the cap of the screen is what holds
_FRAME_MOST_MS = 8.0
_PROGRAMME = (
    "import sys, uvloop; from streamd.programme import run_programme; uvloop.run(run_programme(url=sys.argv[1]))"
)
_REMEMBERED = {"mode": "flv", "danmaku": {"density": "many", "area": 1, "speed": "normal", "size": "normal"}}
_MEASURE = """(() => {
  const found = (window.__bullets = { intervals: [] });
  let last = 0;
  function frame(nowMs) {
    if (last) found.intervals.push(nowMs - last);
    last = nowMs;
    requestAnimationFrame(frame);
  }
  requestAnimationFrame(frame);
})();"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about a minute."""
    parser.add_argument("--window-s", type=float, default=10.0)


def run(arguments: argparse.Namespace) -> Report:
    """With bullets, and before them without any."""
    with open_stage() as stage, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        server = stage.server(Streamd(stage.folder / "streamd", options=["--demo", "--no-programme"]))
        stage.child("programme", [sys.executable, "-c", _PROGRAMME, server.publish_url(_KEY)])
        stage.wait(8.0, "programme on air")
        page = _open(browser, server)
        without = _measure(stage, browser, page, arguments.window_s, "no danmaku")
        _speak(stage, server)
        stage.wait(12.0, "the screen fills")
        full = _measure(stage, browser, page, arguments.window_s, "80 danmaku")
        browser.close()
    return Report(
        scenario="bullets",
        title="Eighty danmaku over the video, in Chromium",
        command="",
        figures=(
            Figure(
                name="main-thread work a frame, p95",
                value=percentile(full["work_ms"], 0.95),
                unit="ms",
                most=_FRAME_MOST_MS,
            ),
            Figure(name="danmaku on screen, median", value=float(median(full["on_screen"])), least=75),
        ),
        tables=(
            Table(
                title="Frames",
                columns=(
                    "danmaku (min to max)",
                    "frames/s",
                    "work p50 (ms)",
                    "p95",
                    "p99",
                    "animation frames p50 (ms)",
                    "p95",
                ),
                rows=(_row(without), _row(full)),
            ),
        ),
        notes=(
            "1280×720 viewport, the synthetic programme by HTTP-FLV, density 'many', whole picture; headless Chromium "
            "decodes and draws in software on the same cores as server and programme.",
            "Work: thread time of the main thread's tasks from one animation frame to the next. Intervals are wall "
            "time and suffer from whatever else the machine does.",
        ),
    )


def _open(browser: Browser, server: Streamd) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    remembered = json.dumps(json.dumps(_REMEMBERED))
    context.add_init_script(f"localStorage.setItem('streamd.page', {remembered});\n{_MEASURE}")
    page = context.new_page()
    page.goto(server.http_url(f"/watch/{_ROOM}?mode=flv"), wait_until="commit")
    for _ in range(200):
        if page.evaluate("(document.querySelector('video')?.currentTime ?? 0) > 1"):
            return page
        page.wait_for_timeout(100)
    raise RuntimeError("the watch page does not play")


def _speak(stage: Stage, server: Streamd) -> None:
    """Two of the staff, who may say ten a second each."""
    tokens = [_sign_in(server, name) for name in ("host", "assistant")]
    job = {"ports": [server.http_port], "room": _ROOM, "members": 2, "tokens": tokens, "speakers": 2}
    stage.generator("chatters", {**job, "say_per_s": _PER_S, "size": 150})


def _sign_in(server: Streamd, name: str) -> str:
    body = json.dumps({"name": name, "password": "demo-password"}).encode()
    request = urllib.request.Request(server.http_url("/api/v1/sessions"), data=body, method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        token: str = json.load(answer)["access_token"]
        return token


def _measure(stage: Stage, browser: Browser, page: Page, seconds: float, what: str) -> dict[str, list[float]]:
    page.evaluate("window.__bullets.intervals.length = 0")
    trace = stage.folder / "trace.json"
    browser.start_tracing(page=page, path=trace, categories=_CATEGORIES)
    on_screen = []
    for left_s in range(round(seconds), 0, -1):
        stage.say(f"{what}: {left_s} s")
        page.wait_for_timeout(1_000)
        on_screen.append(float(page.evaluate("document.querySelectorAll('.bullet').length")))
    browser.stop_tracing()
    stage.say("")
    intervals = [float(each) for each in page.evaluate("window.__bullets.intervals")]
    return {"work_ms": _work_of_frames(trace, page.url), "intervals": intervals, "on_screen": on_screen}


def _work_of_frames(trace: Path, url: str) -> list[float]:
    """Thread milliseconds of each frame on the main thread of the process that shows the page."""
    events: list[dict[str, Any]] = json.loads(trace.read_bytes())["traceEvents"]
    begins: dict[tuple[int, int], list[float]] = {}
    tasks: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events:
        thread = (event.get("pid", 0), event.get("tid", 0))
        if event["name"] == "FireAnimationFrame":
            begins.setdefault(thread, []).append(event["ts"])
        elif event["name"] == "RunTask" and event.get("ph") == "X":
            tasks.setdefault(thread, []).append((event["ts"], event.get("tdur", event["dur"])))
    if not begins:
        raise RuntimeError(f"the trace of {url} holds no animation frames")
    thread = max(begins, key=lambda each: len(begins[each]))
    return _per_frame(sorted(begins[thread]), sorted(tasks.get(thread, ())))


def _per_frame(begins: list[float], tasks: list[tuple[float, float]]) -> list[float]:
    """A task belongs to the frame that it draws, else to the one in which it began."""
    work = [0.0] * (len(begins) - 1)
    frame = -1
    for at_us, spent_us in tasks:
        while frame + 1 < len(begins) and begins[frame + 1] <= at_us + spent_us:
            frame += 1
        if 0 <= frame < len(work):
            work[frame] += spent_us / 1_000
    return work


def _row(seen: dict[str, list[float]]) -> tuple[object, ...]:
    work, intervals, on_screen = seen["work_ms"], seen["intervals"], seen["on_screen"]
    return (
        f"{min(on_screen):.0f} to {max(on_screen):.0f}",
        len(work) / len(on_screen),
        percentile(work, 0.5),
        percentile(work, 0.95),
        percentile(work, 0.99),
        percentile(intervals, 0.5),
        percentile(intervals, 0.95),
    )

"""A node as its operator sees it: what it prints, what it refuses, how it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.interop.live import stream, wait_on_air, wait_playlist
from tests.support.encoder import clip, pushing
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get


def events(server: RunningServer) -> list[str]:
    return [json.loads(line)["event"] for line in server.log.splitlines() if line.startswith("{")]


def test_demo_prints_where_to_look_and_what_to_put_into_obs(tmp_path: Path) -> None:
    with start_server(tmp_path, args=["--demo", "--no-programme"]) as server:
        assert f"watch page    {server.http_url}/watch/demo" in server.stdout
        assert f"studio page   {server.http_url}/studio/demo" in server.stdout
        assert f"server      {server.rtmp_url}" in server.stdout
        assert "stream key  demo-key" in server.stdout
        assert server.log.count("demo-key") == 0


def test_synthetic_programme_is_on_air_and_gives_way_to_an_encoder_and_comes_back(tmp_path: Path) -> None:
    with start_server(tmp_path, args=["--demo"]) as server:
        assert wait_on_air(server.http_url, seconds=20)["encoder"].startswith("streamd-programme")
        wait_playlist(server.http_url)
        with pushing(f"{server.rtmp_url}/demo-key", clip()):
            eventually(
                lambda: stream(server.http_url)["encoder"],
                lambda encoder: not encoder.startswith("streamd-programme"),
                what="the encoder has taken over",
            )
            time.sleep(3)  # longer than the programme waits between its attempts
            assert not stream(server.http_url)["encoder"].startswith("streamd-programme")
        eventually(
            lambda: stream(server.http_url),
            lambda health: health["on_air"] and health["encoder"].startswith("streamd-programme"),
            what="the programme is back",
        )
        began = time.monotonic()
        server.terminate()
        assert server.wait(8) == 0
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_a_quiet_node_at_once_and_a_restart_finds_everything(
    tmp_path: Path, number: signal.Signals
) -> None:
    with start_server(tmp_path, args=[]) as server:
        made = server.create_room("summer")
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.wait(5) == 0
        assert time.monotonic() - began < 2
        assert events(server)[-1] == "node.stopped"
        with start_server(tmp_path, args=[], like=server) as again:
            assert get(f"{again.http_url}/api/v1/rooms/summer").status == 200
            with pushing(f"{again.rtmp_url}/{made['stream_key']}", clip()):
                wait_on_air(again.http_url, "summer")


def test_second_signal_does_not_wait_for_anybody(tmp_path: Path) -> None:
    with start_server(tmp_path) as server, pushing(f"{server.rtmp_url}/demo-key", clip()):
        wait_on_air(server.http_url)
        server.process.send_signal(signal.SIGSTOP)  # so that both arrive before either is handled
        server.terminate()
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGCONT)
        assert server.wait(3) in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def test_room_made_beside_a_running_node_can_be_published_to_at_once(tmp_path: Path) -> None:
    with start_server(tmp_path, args=[]) as server:
        made = server.create_room("summer")
        assert made["rtmp_url"] == server.rtmp_url
        with pushing(f"{made['rtmp_url']}/summer?key={made['stream_key']}", clip()):
            wait_on_air(server.http_url, "summer")
        rotated = json.loads(server.run("room", "rotate-key", "summer", "--json").stdout)
        with pushing(f"{made['rtmp_url']}/{made['stream_key']}", clip()) as old:
            old.wait(10)
        with pushing(f"{made['rtmp_url']}/{rotated['stream_key']}", clip()):
            wait_on_air(server.http_url, "summer")


def test_programme_is_put_on_air_in_any_room_of_this_machine_without_a_key(tmp_path: Path) -> None:
    with start_server(tmp_path, args=[]) as server:
        server.create_room("summer")
        server.run("programme", "summer", "--seconds", "5")
        assert stream(server.http_url, "summer")["publications"] == 1
        refused = server.run("programme", "nowhere", "--seconds", "5", check=False)
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr


def test_second_node_on_the_same_ports_is_refused_in_one_line_a_port(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        second = server.run("serve", check=False)
        assert second.returncode == 2
        lines = second.stderr.splitlines()
        assert len(lines) == 2
        assert all(f"(pid {server.pid})" in line and "Fix: " in line for line in lines)


def test_metrics_speak_of_the_stream(tmp_path: Path) -> None:
    with start_server(tmp_path) as server, pushing(f"{server.rtmp_url}/demo-key", clip()):
        wait_on_air(server.http_url)
        page = eventually(
            lambda: get(f"{server.http_url}/metrics").text,
            lambda text: 'streamd_live_streams{state="on_air"} 1' in text,
            what="the stream is counted",
        )
        assert "streamd_loop_lag_seconds_count" in page
        tasks = re.search(r"^streamd_tasks(?:\{.*\})? ([\d.]+)$", page, re.MULTILINE)
        assert tasks is not None
        assert float(tasks.group(1)) >= 5
        assert page.endswith("# EOF\n")


def test_descriptor_limit_is_raised_to_what_is_allowed(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text(encoding="ascii")
        soft, hard = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3:5]
        assert soft == hard


def test_killed_node_takes_programme_and_sandbox_with_it(tmp_path: Path) -> None:
    with start_server(tmp_path, args=["--demo"]) as server:
        wait_on_air(server.http_url, seconds=20)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii").split()
        assert len(children) == 2
        server.kill()
        for child in children:
            eventually(partial(_is_running, int(child)), lambda running: not running, what="the child has ended")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

"""What the server survives: its own end, and peers that mean harm."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.interop.live import playlist, stream, wait_on_air, wait_playlist
from tests.support.encoder import clip, pushing
from tests.support.server import RunningServer, start_server
from tests.support.web import Answer, eventually, get

DEMO = ["--demo", "--no-programme"]


def test_server_killed_and_restarted_never_goes_back_in_its_numbers(tmp_path: Path) -> None:
    source = clip()
    with start_server(tmp_path, args=DEMO) as first:
        with pushing(f"{first.rtmp_url}/demo-key", source):
            wait_on_air(first.http_url)
            before = wait_playlist(first.http_url, segments=2)
            first.kill()
        with start_server(tmp_path, args=DEMO, like=first) as second, pushing(f"{second.rtmp_url}/demo-key", source):
            wait_on_air(second.http_url)
            after = wait_playlist(second.http_url, segments=2)
    assert after.media_sequence > before.last_msn
    assert after.discontinuity_sequence >= before.discontinuity_sequence
    assert set(after.maps) == set(before.maps), "the same configuration has the same address"


def test_sigterm_answers_waiting_viewers_and_ends_within_five_seconds(tmp_path: Path) -> None:
    with start_server(tmp_path, args=DEMO) as server, pushing(f"{server.rtmp_url}/demo-key", clip()) as encoder:
        wait_on_air(server.http_url)
        now = wait_playlist(server.http_url, segments=2)
        answers: list[Answer] = []
        query = f"?_HLS_msn={now.last_msn + 2}"
        waiting = threading.Thread(
            target=lambda: answers.append(get(f"{server.http_url}/live/demo/source/media.m3u8{query}", timeout=20))
        )
        waiting.start()
        time.sleep(0.3)
        started = time.monotonic()
        server.terminate()
        assert server.wait(8) == 0
        assert time.monotonic() - started < 5
        waiting.join(5)
        assert len(answers) == 1, "a waiting viewer was answered, not cut off"
        assert encoder.wait(30) is not None


def test_replayed_capture_of_obs_goes_on_air(tmp_path: Path) -> None:
    capture = Path(__file__).parents[1] / "vectors" / "rtmp" / "obs-29.0.2.c2s.bin"
    with start_server(tmp_path, args=DEMO) as server:
        address = urlsplit(server.rtmp_url)
        assert address.hostname is not None
        with socket.create_connection((address.hostname, address.port)) as encoder:
            reader = threading.Thread(target=_drain, args=(encoder,), daemon=True)
            reader.start()
            encoder.sendall(capture.read_bytes())
            health = wait_on_air(server.http_url)
            assert (health["video"]["codec"], health["video"]["width"], health["video"]["height"]) == ("h264", 640, 360)
            assert health["audio"]["codec"] == "aac"


def _drain(connection: socket.socket) -> None:
    try:
        while connection.recv(65536):
            pass
    except OSError:
        return


def test_hostile_connections_cost_nothing_lasting_and_harm_no_stream(tmp_path: Path) -> None:
    with start_server(tmp_path, args=DEMO) as server, pushing(f"{server.rtmp_url}/demo-key", clip()):
        wait_on_air(server.http_url)
        wait_playlist(server.http_url, segments=2)
        rtmp, http = urlsplit(server.rtmp_url), urlsplit(server.http_url)
        assert rtmp.hostname is not None
        assert http.hostname is not None
        wait_until_painted(server)
        _round(rtmp.hostname, rtmp.port, count=200)  # what is allocated once is allocated now
        before_rss = resident_bytes(server.pid)
        before_msn = playlist(server.http_url)
        assert before_msn is not None
        for _ in range(5):
            _round(rtmp.hostname, rtmp.port, count=400)
            _round(http.hostname, http.port, count=100)
        after_msn = eventually(
            lambda: playlist(server.http_url),
            lambda p: p is not None and p.last_msn > before_msn.last_msn + 1,
            what="the stream goes on",
        )
        assert after_msn is not None
        assert stream(server.http_url)["on_air"]
        assert resident_bytes(server.pid) - before_rss < 24 * 1024 * 1024
        eventually(lambda: open_descriptors(server.pid), lambda n: n < 60, seconds=20, what="descriptors given back")


GARBAGE = (
    b"",  # never speaks
    b"\x03",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x03" + bytes(1536) + bytes(1536) + b"\xff" * 4096,
    b"\x03" + bytes(3072) + b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\xff\xff\xff\xff",
    os.urandom(8192),
)


def _round(host: str, port: int, *, count: int) -> None:
    """`count` connections at once, each with one of the bad manners, then all dropped without a word."""
    connections = []
    for index in range(count):
        connection = socket.create_connection((host, port), timeout=5)
        connections.append(connection)
        try:
            connection.sendall(GARBAGE[index % len(GARBAGE)])
        except OSError:
            continue
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()


def wait_until_painted(server: RunningServer) -> None:
    """The demo draws its goods' pictures in the first seconds, which takes memory of its own."""
    address = f"{server.http_url}/api/v1/rooms/demo/products"
    eventually(lambda: get(address).json()["items"], lambda items: all(each["image"] for each in items), seconds=40)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_ten_thousand_connections_that_never_speak_cost_little_and_harm_no_stream(tmp_path: Path) -> None:
    with start_server(tmp_path, args=DEMO) as server, pushing(f"{server.rtmp_url}/demo-key", clip()):
        wait_on_air(server.http_url)
        before_msn = wait_playlist(server.http_url, segments=2).last_msn
        wait_until_painted(server)
        port = urlsplit(server.rtmp_url).port
        descriptors = open_descriptors(server.pid)
        before_rss = resident_bytes(server.pid)
        # From a hundred addresses: what one address may hold is bounded far below.
        silent = [
            socket.create_connection(("127.0.0.1", port), 5, (f"127.0.1.{i % 100 + 1}", 0)) for i in range(10_000)
        ]
        try:
            held = open_descriptors(server.pid) - descriptors
            assert held < 5_000, "the rest was turned away"
            assert resident_bytes(server.pid) - before_rss < 48 * 1024 * 1024
            eventually(
                lambda: playlist(server.http_url),
                lambda p: p is not None and p.last_msn > before_msn + 1,
                what="the stream goes on",
            )
        finally:
            for connection in silent:
                connection.close()
        eventually(lambda: open_descriptors(server.pid), lambda n: n < 60, seconds=20, what="descriptors given back")


def test_ten_thousand_stream_names_are_refused_and_forgotten(tmp_path: Path) -> None:
    with start_server(tmp_path, args=DEMO) as server:
        wait_until_painted(server)
        for index in range(200):
            get(f"{server.http_url}/live/warm-up-{index}.flv")
        before = resident_bytes(server.pid)
        asker = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=20)
        with contextlib.closing(asker):
            for index in range(10_000):
                asker.request("GET", f"/live/nobody-{index}/index.m3u8")
                with asker.getresponse() as answer:
                    answer.read()
                assert answer.status == 404
        assert resident_bytes(server.pid) - before < 12 * 1024 * 1024
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(8) == 0

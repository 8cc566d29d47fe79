"""Nodes and workers in peace: whoever is asked, the answer is the owner's."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator

import pytest

from loadtest.nodes import Node
from loadtest.scenarios.faults import ROOM, Theatre
from tests.interop.theatre import open_theatre
from tests.support.encoder import decode_errors, probe
from tests.support.web import Answer, eventually, get


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    with open_theatre() as opened:
        yield opened


def media(node: Node, name: str) -> Answer:
    return get(f"{node.url}/live/{ROOM}/source/{name}")


def settled(node: Node) -> str:
    """A media playlist with a few segments."""
    return eventually(
        lambda: media(node, "media.m3u8"), lambda a: a.status == 200 and a.text.count("#EXTINF") >= 3, what="segments"
    ).text


def test_playlists_and_media_of_a_mirror_are_the_owners_to_the_byte(theatre: Theatre) -> None:
    settled(theatre.second)
    for _ in range(4):
        msn = int(re.findall(r"seg-(\d+)", settled(theatre.first))[-1])
        query = f"media.m3u8?_HLS_msn={msn + 1}"
        here, there = media(theatre.first, query), media(theatre.second, query)
        assert here.status == there.status == 200
        # Between the two answers another part may have come: what both list must be the same.
        shorter, longer = sorted((here.text.splitlines(), there.text.splitlines()), key=len)
        assert longer[: len(shorter) - 1] == shorter[:-1]
        for name in (f"seg-{msn}.m4s", f"part-{msn}.0.m4s", re.findall(r"init-\d+\.mp4", here.text)[0]):
            assert media(theatre.first, name).body == media(theatre.second, name).body
    index = f"/live/{ROOM}/index.m3u8"
    assert get(theatre.first.url + index).body == get(theatre.second.url + index).body


def test_a_blocked_request_on_a_mirror_is_answered_within_20_ms_of_the_owners(theatre: Theatre) -> None:
    here, there = theatre.watcher(theatre.first), theatre.watcher(theatre.second)
    there.wait_for(14)
    for viewer in (here, there):
        viewer.stop()
        assert viewer.objections == []
        assert viewer.failures == 0
    seen = {(each.msn, each.part): each.at_s for each in here.arrivals}
    late_ms = sorted(1_000 * (e.at_s - seen[e.msn, e.part]) for e in there.arrivals[3:] if (e.msn, e.part) in seen)
    assert len(late_ms) >= 8
    # The median, because a test may share its machine; `python -m loadtest relay` has the tail.
    assert late_ms[len(late_ms) // 2] <= 20


def test_flv_and_rtmp_play_from_a_node_that_does_not_own_the_stream(theatre: Theatre) -> None:
    streams = probe(f"{theatre.second.url}/live/{ROOM}.flv")
    assert {stream["codec_name"] for stream in streams.values()} == {"h264", "aac"}
    assert decode_errors(f"{theatre.second.rtmp_url}/{ROOM}", seconds=2) == ""


def test_health_and_what_is_on_air_are_known_everywhere(theatre: Theatre) -> None:
    for node in (theatre.first, theatre.second):
        health = get(f"{node.url}/api/v1/rooms/{ROOM}/stream").json()
        assert (health["on_air"], health["video"]["codec"], health["protocol"]) == (True, "h264", "rtmp")
        rooms = eventually(
            lambda node=node: get(f"{node.url}/api/v1/rooms?on_air=true").json()["items"], bool, what="on air"
        )
        assert [room["room"] for room in rooms] == [ROOM]
    assert get(f"{theatre.second.url}/api/v1/rooms/nobody/stream").status == 404


def test_cover_of_a_show_is_served_by_nodes_that_do_not_own_it(theatre: Theatre) -> None:
    for node in (theatre.first, theatre.second):
        cover = get(f"{node.url}/live/{ROOM}/cover.jpg")
        assert (cover.status, cover.body[:3]) == (200, b"\xff\xd8\xff"), node.name


def test_metrics_of_all_workers_of_a_node_are_on_one_page(theatre: Theatre) -> None:
    page = eventually(
        lambda: get(f"{theatre.second.url}/metrics").text, lambda text: 'worker="1"' in text, what="both workers"
    )
    assert re.search(r'streamd_rtmp_connections\{worker="0"\}', page)
    assert re.search(r'streamd_rtmp_connections\{worker="1"\}', page)
    assert page.count("# TYPE streamd_rtmp_connections gauge") == 1
    assert "worker=" not in get(f"{theatre.first.url}/metrics").text


def test_internal_address_answers_nobody_without_the_bearer(theatre: Theatre) -> None:
    ports = _listening_ports(theatre.first.pids()) - {theatre.first.http_port, theatre.first.rtmp_port}
    answers = []
    for port in ports:
        try:
            answers.append(get(f"http://127.0.0.1:{port}/internal/streams/{ROOM}/store", timeout=3).status)
        except OSError:
            continue  # not HTTP
    assert answers
    assert set(answers) == {404}
    assert get(f"{theatre.first.url}/internal/streams/{ROOM}/store").status == 404


def _listening_ports(pids: list[int]) -> set[int]:
    import subprocess

    shown = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


def test_polling_session_works_whichever_worker_each_request_reaches(theatre: Theatre) -> None:
    """Every request on a connection of its own: the kernel deals them out to both workers."""
    path = "/socket.io/?EIO=4&transport=polling"

    def ask(method: str, query: str = "", body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", theatre.second.http_port, timeout=15)
        try:
            connection.request(method, path + query, body=body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    status, text = ask("GET")
    assert status == 200
    sid = f"&sid={json.loads(text[1:])['sid']}"
    assert ask("POST", sid, f'40{{"room":"{ROOM}"}}') == (200, "ok")
    heard = ""
    deadline = time.monotonic() + 40
    while "welcome" not in heard and time.monotonic() < deadline:
        status, text = ask("GET", sid)
        assert status == 200
        heard += text
    assert "welcome" in heard
    for number in range(12):
        assert ask("POST", sid, f'42{number}["like",{{"count":1}}]') == (200, "ok")
    heard = ""
    while '"ok":true' not in heard and time.monotonic() < deadline + 10:  # a poll may bring a ping alone
        status, text = ask("GET", sid)
        assert status == 200
        heard += text
    assert '"ok":true' in heard
    forwarded = get(f"{theatre.second.url}/metrics").text
    assert re.search(r"streamd_forwarded_requests_total\{[^}]*\} [1-9]", forwarded), "some came to the wrong worker"

"""The nginx configuration of this project: accepted by a real nginx, and doing what its README says."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.live import wait_on_air, wait_playlist
from tests.support.encoder import clip, probe, pushing
from tests.support.nginx import NGINX, Front, nginx_before, render
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get

PROXIED = {"STREAMD_HTTP_BEHIND_PROXY": "true", "STREAMD_RTMP_BEHIND_PROXY": "true"}
UNVERIFIED = ssl._create_unverified_context()  # the certificate is the test's own


class Place(NamedTuple):
    server: RunningServer
    front: Front


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server behind nginx, with an encoder that pushes through nginx."""
    with (
        start_server(tmp_path_factory.mktemp("server"), env=PROXIED) as server,
        nginx_before(server, tmp_path_factory.mktemp("nginx")) as front,
        pushing(f"{front.rtmp_url}/demo-key", clip()),
    ):
        wait_on_air(server.http_url)
        wait_playlist(server.http_url, segments=3)
        yield Place(server, front)


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


def ask(url: str, **headers: str) -> Answer:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=15, context=UNVERIFIED) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def answered(server: RunningServer, kind: str) -> float:
    """How many of a kind the origin has answered."""
    text = get(f"{server.http_url}/metrics").text
    found = re.findall(rf'streamd_hls_answers_total{{kind="{kind}",status="200"[^}}]*}} ([0-9.e+]+)', text)
    return sum(map(float, found))


def newest_parts(front: Front) -> list[str]:
    playlist = ask(f"{front.https_url}/live/demo/source/media.m3u8").body.decode()
    return re.findall(r'#EXT-X-PART:.*URI="(part-[0-9.]+m4s)"', playlist)


@pytest.mark.parametrize("nodes", [1, 3])
def test_rendered_configuration_is_accepted(tmp_path: Path, nodes: int) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(render(tmp_path, [f"10.0.0.{number + 1}" for number in range(nodes)]), encoding="utf-8")
    tested = subprocess.run([NGINX, "-t", "-c", str(path)], capture_output=True, text=True, timeout=20, check=False)
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


@pytest.mark.parametrize("node", ["10.0.0.1; return 200", "a b", "http://10.0.0.1", ":8080"])
def test_what_is_not_a_node_is_refused_in_one_line(tmp_path: Path, node: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render(tmp_path, [node])
    assert refused.value.returncode == 2
    assert "is not a node. Fix:" in refused.value.stderr


def test_encoder_through_nginx_is_known_by_its_own_address(place: Place) -> None:
    opened = [line for line in place.server.log.splitlines() if "live.publication_opened" in line]
    assert json.loads(opened[-1])["peer"].startswith("127.0.0.1:")
    # Without the header that nginx sends, the address would be followed by the port that nginx itself connects from.
    assert "rtmp.proxy_header_refused" not in place.server.log


def test_rtmp_and_rtmps_play_through_nginx(place: Place) -> None:
    for address in (f"{place.front.rtmp_url}/demo", f"rtmps://127.0.0.1:{place.front.rtmps_port}/live/demo"):
        assert probe(address, seconds=2)["video"]["codec_name"] == "h264"


def test_pages_and_api_come_by_https_with_hsts_and_http_is_sent_there(place: Place) -> None:
    page = ask(f"{place.front.https_url}/watch/demo", Accept="text/html")
    assert page.status == 200
    assert "max-age=31536000" in page.headers["Strict-Transport-Security"]
    assert "nginx/" not in page.headers["Server"]
    rooms = ask(f"{place.front.https_url}/api/v1/rooms")
    assert json.loads(rooms.body)["items"][0]["room"] == "demo"
    plain = HTTPConnection("localhost", place.front.http_port, timeout=5)
    plain.request("GET", "/watch/demo?x=1")
    sent = plain.getresponse()
    assert sent.status == 308
    assert sent.headers["Location"] == f"{place.front.https_url}/watch/demo?x=1"
    plain.close()


def test_http2_is_spoken(place: Place) -> None:
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", place.front.https_port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"


def test_a_part_is_fetched_from_the_origin_once_for_all_viewers(place: Place) -> None:
    before = answered(place.server, "part")
    part = newest_parts(place.front)[-1]
    url = f"{place.front.https_url}/live/demo/source/{part}"
    first = ask(url)
    with ThreadPoolExecutor(40) as crowd:
        answers = [first, *crowd.map(lambda _: ask(url), range(200))]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert answered(place.server, "part") - before == 1


def test_blocked_playlists_and_gzip_pass_nginx(place: Place) -> None:
    playlist = ask(f"{place.front.https_url}/live/demo/source/media.m3u8", Accept_Encoding="gzip")
    assert playlist.headers["Content-Encoding"] == "gzip"
    plain = ask(f"{place.front.https_url}/live/demo/source/media.m3u8").body.decode()
    first = int(re.findall(r"MEDIA-SEQUENCE:(\d+)", plain)[0])
    last = first + plain.count("#EXTINF")
    waited = ask(f"{place.front.https_url}/live/demo/source/media.m3u8?_HLS_msn={last}")
    assert waited.status == 200
    assert f"seg-{last}.m4s" in waited.body.decode()
    assert ask(f"{place.front.https_url}/live/demo/source/media.m3u8?_HLS_msn={last + 500}").status == 400


def test_tokens_are_checked_at_the_edge_and_do_not_split_the_cache(place: Place) -> None:
    made = json.loads(place.server.run("room", "create", "signed", "--owner", "host", "--json").stdout)
    with pushing(f"{place.front.rtmp_url}/{made['stream_key']}", clip()):
        wait_on_air(place.server.http_url, "signed")
        wait_playlist(place.server.http_url, "signed", segments=2)
        host = _sign_in(place.front, "host")
        _call(place.front, host, "PUT", "/api/v1/rooms/signed/playback", {"access": "signed"})
        tokens = [
            _call(place.front, host, "POST", "/api/v1/rooms/signed/playback-tokens", {"expires_in_s": 600})["token"]
            for _ in range(2)
        ]
        base = f"{place.front.https_url}/live/signed/source"
        eventually(lambda: ask(f"{base}/media.m3u8").status, lambda status: status == 403, seconds=15)
        playlist = ask(f"{base}/media.m3u8?token={tokens[0]}").body.decode()
        part = re.findall(r'#EXT-X-PART:.*URI="(part-[0-9.]+m4s)\?token=', playlist)[-1]
        before = answered(place.server, "part")
        assert ask(f"{base}/{part}").status == 403
        assert ask(f"{base}/{part}?token=forged").status == 403
        for token in tokens:
            assert ask(f"{base}/{part}?token={token}").status == 200
        assert answered(place.server, "part") - before == 1


def _sign_in(front: Front, name: str) -> str:
    body = {"name": name, "password": "demo-password"}
    token: str = _call(front, "", "POST", "/api/v1/sessions", body)["access_token"]
    return token


def _call(front: Front, token: str, method: str, path: str, body: object) -> dict[str, str]:
    request = urllib.request.Request(
        front.https_url + path,
        method=method,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    with urllib.request.urlopen(request, timeout=10, context=UNVERIFIED) as answer:
        made: dict[str, str] = json.loads(answer.read() or b"{}")
        return made


def test_flv_streams_and_operations_stay_inside(place: Place) -> None:
    with urllib.request.urlopen(f"{place.front.https_url}/live/demo.flv", timeout=10, context=UNVERIFIED) as stream:
        assert stream.read(3) == b"FLV"
    assert ask(f"{place.front.https_url}/healthz").status == 200
    assert ask(f"{place.front.https_url}/metrics").status == 200, "from this machine; nobody else"


def test_credentials_are_slowed_down(place: Place) -> None:
    statuses = [ask(f"{place.front.https_url}/api/v1/sessions").status for _ in range(40)]
    assert 429 in statuses

"""A signed room on a real server: nothing of it without a token, all of it with one, nothing any more once revoked."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

from tests.interop.live import wait_on_air, wait_playlist
from tests.interop.test_api_contract import access_token
from tests.support.encoder import clip, pushing
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get


def ask(server: RunningServer, method: str, path: str, token: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.http_url}{path}", data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def test_signed_room_is_watched_with_its_token_only_and_the_token_goes_down_to_every_part(tmp_path: Path) -> None:
    with (
        start_server(tmp_path, args=["--demo", "--no-programme"]) as server,
        pushing(f"{server.rtmp_url}/demo-key", clip()),
    ):
        wait_on_air(server.http_url)
        open_list = wait_playlist(server.http_url, segments=2)
        host = access_token(server, "host", "demo-password")
        live = f"{server.http_url}/live/demo"
        ask(server, "PUT", "/api/v1/rooms/demo/playback", host, {"access": "signed"})
        closed = ["/index.m3u8", "/source/media.m3u8", f"/source/{open_list.segments[-1]}", ".flv"]
        assert [get(live + path).status for path in closed] == [403] * 4

        token = ask(server, "POST", "/api/v1/rooms/demo/playback-tokens", host, {})["token"]
        index = get(f"{live}/index.m3u8?token={token}")
        assert (index.status, f"?token={token}" in index.text) == (200, True)
        media = get(f"{live}/source/media.m3u8?token={token}").text
        children = re.findall(r'(?:^|URI=")((?:seg|part|init)-[^"\s]+)', media, re.M)
        assert children
        assert all(child.endswith(f"?token={token}") for child in children)
        assert get(f"{live}/source/{children[0]}").status == 200
        assert get(f"{live}/source/{children[0].partition('?')[0]}").status == 403

        ask(server, "DELETE", "/api/v1/rooms/demo/playback-tokens", host)
        assert get(f"{live}/source/media.m3u8?token={token}").status == 403
        ask(server, "PUT", "/api/v1/rooms/demo/playback", host, {"access": "public"})
        assert get(f"{live}/source/media.m3u8").status == 200


def test_cut_takes_the_room_off_air_and_keeps_its_encoder_out_until_it_is_over(tmp_path: Path) -> None:
    with start_server(tmp_path, args=["--demo", "--no-programme"]) as server:
        host = access_token(server, "host", "demo-password")
        with pushing(f"{server.rtmp_url}/demo-key", clip()) as encoder:
            wait_on_air(server.http_url)
            ask(server, "POST", "/api/v1/rooms/demo/cut", host, {"for_s": 600})
            assert encoder.wait(30) is not None
        state = get(f"{server.http_url}/api/v1/rooms/demo/stream").json()["state"]
        assert state == "offline", "a cut has no grace time"
        with pushing(f"{server.rtmp_url}/demo-key", clip()) as refused:
            assert refused.wait(30) != 0
        ask(server, "DELETE", "/api/v1/rooms/demo/cut", host)
        with pushing(f"{server.rtmp_url}/demo-key", clip()):
            eventually(lambda: get(f"{server.http_url}/live/demo/index.m3u8").status, lambda status: status == 200)

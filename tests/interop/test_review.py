"""A service of the operator's is asked about every danmaku: real server, real HTTP service, stock client."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_moderation import Member, call, sign_in
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually

SECRET = "what the server and the service share"


class Service(ThreadingHTTPServer):
    """It answers as it is told to, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.mood = "fair"
        self.asked: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/review"


class _Answering(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seconds, _, signed = self.headers["Streamd-Signature"].removeprefix("t=").partition(",v1=")
        right = hmac.new(SECRET.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
        said = json.loads(body)
        self.server.asked.append({**said, "signed": hmac.compare_digest(signed, right)})
        if self.server.mood == "slow":
            time.sleep(2)
        verdict = {"verdict": "deny", "reason": "no prices here"} if "price" in said["text"] else {"verdict": "allow"}
        answer = b"<html>" if self.server.mood == "wrong" else json.dumps(verdict).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    yield service
    service.shutdown()
    service.server_close()
    thread.join(5)


@pytest.fixture(scope="module")
def server(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("review")
    (folder / "secret").write_text(SECRET + "\n")
    env = {"STREAMD_REVIEW_URL": service.url, "STREAMD_REVIEW_SECRET_FILE": str(folder / "secret")}
    with start_server(folder, env=env) as running:
        yield running


def set_policy(server: RunningServer, host: str, policy: str) -> None:
    status, chat = call(server, "PATCH", "/rooms/demo/chat", body={"on_silence": policy}, token=host)
    assert (status, chat["on_silence"]) == (200, policy)


async def test_verdict_counts_and_silence_is_the_rooms_to_decide(server: RunningServer, service: Service) -> None:
    host = sign_in(server, "host")
    assert call(server, "PATCH", "/rooms/demo/chat", body={"on_silence": "perhaps"}, token=host)[0] == 400
    alice = Member()
    me = (await alice.join(server, sign_in(server, "alice")))["me"]
    try:
        assert (await alice.say("1", "lovely mug"))["ok"]
        assert service.asked[-1] == {
            "room": "demo",
            "id": "1",
            "user": {"id": me["id"], "name": me["name"], "role": "viewer"},
            "text": "lovely mug",
            "signed": True,
        }
        denied = await alice.say("2", "price elsewhere")
        assert (denied["code"], denied["message"]) == ("reviewed", "no prices here")

        service.mood = "slow"
        began = time.monotonic()
        assert (await alice.say("3", "allowed by silence"))["ok"]
        assert time.monotonic() - began < 1.5  # the service takes 2 s

        service.mood = "wrong"
        set_policy(server, host, "block")
        assert (await alice.say("4", "blocked by silence"))["code"] == "review_silent"

        service.shutdown()
        service.server_close()  # dead: nobody listens there any more
        set_policy(server, host, "hold")
        assert (await alice.say("5", "held by silence"))["code"] == "held"
        waiting = eventually(
            lambda: call(server, "GET", "/rooms/demo/held", token=host)[1]["items"],
            bool,
            what="it waits for a moderator",
        )
        assert [(each["id"], each["text"]) for each in waiting] == [("5", "held by silence")]
        assert call(server, "POST", "/rooms/demo/held/5", body={"show": True}, token=host)[0] == 204
        while (await alice.next("danmaku"))[0]["id"] != "5":
            pass
        assert call(server, "POST", "/rooms/demo/held/5", body={"show": False}, token=host)[0] == 404
    finally:
        await alice.client.disconnect()

"""Requests that nginx and the server behind it could understand differently: nothing gets past nginx unseen."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import pytest

from loadtest.attack_kit import exchange
from loadtest.attacks import ambiguous
from tests.support.nginx import Front, nginx_before
from tests.support.server import RunningServer, start_server
from tests.support.web import get

PROXIED = {"STREAMD_HTTP_BEHIND_PROXY": "true", "STREAMD_RTMP_BEHIND_PROXY": "true"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Front]]:
    with (
        start_server(tmp_path_factory.mktemp("server"), env=PROXIED) as server,
        nginx_before(server, tmp_path_factory.mktemp("nginx")) as front,
    ):
        yield server, front


def requests_seen(server: RunningServer) -> int:
    """By the server behind, the one for the metrics left out."""
    counted = re.findall(
        r'(?m)^streamd_http_requests_total\{area="(?:api|pages)".* (\d+)', get(f"{server.http_url}/metrics").text
    )
    return int(sum(map(float, counted)))


def test_requests_are_counted(place: tuple[RunningServer, Front]) -> None:
    server, _ = place
    before = requests_seen(server)
    assert get(f"{server.http_url}/api/v1/rooms/demo").status == 200
    assert requests_seen(server) == before + 1


@pytest.mark.parametrize("request_bytes", ambiguous(), ids=range(len(ambiguous())))
def test_server_behind_sees_no_request_that_nginx_did_not(
    place: tuple[RunningServer, Front], request_bytes: bytes
) -> None:
    server, front = place
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    before = requests_seen(server)
    said, _ = exchange(front.https_port, request_bytes, wait_s=1.0, tls=tls)
    statuses = re.findall(rb"HTTP/1\.1 (\d{3})", said)
    # nginx answers every request that it has read, and closes where it cannot read on.
    assert requests_seen(server) - before <= len(statuses)
    assert statuses[:1] != [b"200"]
    assert len(statuses) <= 1 or b"Transfer-Encoding: chunked\r\n" in request_bytes


@pytest.mark.parametrize("request_bytes", ambiguous(), ids=range(len(ambiguous())))
def test_server_alone_refuses_it_and_reads_no_further(place: tuple[RunningServer, Front], request_bytes: bytes) -> None:
    server, _ = place
    said, is_closed = exchange(server.http_port, request_bytes, wait_s=2.0)
    assert re.findall(rb"HTTP/1\.[01] (\d{3})", said) == [b"400"]
    assert is_closed

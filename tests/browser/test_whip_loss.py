"""A browser that publishes over a bad network: what is lost is asked for again, and the programme goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.publishing import publish
from tests.interop.live import stream, wait_on_air, wait_playlist
from tests.support.encoder import decode_errors
from tests.support.lossy_udp import lossy_relay
from tests.support.ports import free_port
from tests.support.server import RunningServer, start_server

UDP_PORT = free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("loss")
    with start_server(folder, env={"STREAMD_WEBRTC_UDP_PORTS": f"{UDP_PORT}-{UDP_PORT}"}) as running:
        yield running


def test_programme_goes_on_while_a_twentieth_is_lost_and_a_tenth_overtaken(
    server: RunningServer, browser: Browser
) -> None:
    room = server.create_room("loss")
    context = browser.new_context()
    with lossy_relay(UDP_PORT, lost=0.05, delayed=0.1, delay_s=0.03) as network:
        publish(context.new_page(), server, room, udp_port=network.port, busy=True)
        wait_on_air(server.http_url, "loss", seconds=30)
        found = wait_playlist(server.http_url, "loss", segments=7, seconds=60)
        health = stream(server.http_url, "loss")
        repairs = health["repairs"]
        print(network.relayed, network.dropped, network.overtaken, health["video"]["fps"], repairs)
        assert network.dropped > 30
        assert repairs["rtp_packets_recovered"] > 20
        # What was not mended in time costs pictures up to the next key frame: seldom.
        assert repairs.get("rtp_packets_lost", 0) < repairs["rtp_packets_recovered"] / 5
        assert health["video"]["fps"] > 20
        lengths = [float(each) for each in re.findall(r"#EXTINF:([\d.]+)", found.text)]
        assert max(lengths) <= 4
        assert decode_errors(f"{server.http_url}/live/loss/index.m3u8", seconds=4) == ""
    context.close()

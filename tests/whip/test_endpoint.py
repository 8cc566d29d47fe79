"""WHIP over HTTP: every status and header that RFC 9725 and OBS ask for."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import ClientResponse, web

from loadtest.whip_peer import Answer, Offering
from streamd.whip.limits import IceServer, WhipLimits, WhipSettings
from tests.rtmp_ingest.gates import KEY, until
from tests.whip.house import FRAGMENT, open_house
from tests.whip.offers import CHROMIUM, OBS, changed, section


async def problem(response: ClientResponse) -> dict[str, object]:
    assert response.content_type == "application/problem+json"
    said: dict[str, object] = json.loads(await response.text())
    assert said["status"] == response.status
    return said


@pytest.mark.parametrize("offer", [OBS, CHROMIUM])
async def test_an_offer_is_answered_by_201_with_a_location_that_obs_can_use(offer: bytes) -> None:
    async with open_house() as house:
        response = await house.post(offer)
        assert response.status == 201
        assert response.content_type == "application/sdp"
        location = response.headers["Location"]
        assert location.startswith("/whip/demo/")
        assert len(location.removeprefix("/whip/demo/")) >= 32
        assert response.headers["ETag"].startswith('"')
        assert response.headers["Accept-Patch"] == FRAGMENT
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert {"Location", "Link", "ETag"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert (await response.text()).startswith("v=0")


async def test_the_answer_names_the_operators_addresses_and_ice_servers() -> None:
    servers = (
        IceServer(url="stun:stun.example.com:3478"),
        IceServer(url="turn:turn.example.com?transport=udp", username="anna", credential="secret"),
    )
    settings = WhipSettings(host="127.0.0.1", public_ips=("203.0.113.7", "2001:db8::7"), ice_servers=servers)
    async with open_house(settings) as house:
        response = await house.post(OBS)
        text = await response.text()
        assert f"203.0.113.7 {house.server.port} typ host" in text
        assert f"2001:db8::7 {house.server.port} typ host" in text
        assert "127.0.0.1 " not in text
        assert response.headers["Link"] == (
            '<stun:stun.example.com:3478>; rel="ice-server", '
            '<turn:turn.example.com?transport=udp>; rel="ice-server"; '
            'username="anna"; credential="secret"; credential-type="password"'
        )


async def test_no_ice_server_is_named_that_nobody_configured() -> None:
    async with open_house() as house:
        response = await house.post(OBS)
        assert "Link" not in response.headers
        assert "stun" not in await response.text()


async def test_a_wildcard_address_is_answered_with_the_one_that_was_reached() -> None:
    async with open_house(WhipSettings(host="0.0.0.0")) as house:
        text = await (await house.post(OBS)).text()
        assert f"127.0.0.1 {house.server.port} typ host" in text
        assert "0.0.0.0 " not in text.split("a=candidate", 1)[1]


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Authorization": ""}, OBS, 401, "unauthenticated"),
        ({"Authorization": "Bearer wrong"}, OBS, 401, "unauthenticated"),
        ({"Authorization": f"Basic {KEY}"}, OBS, 401, "unauthenticated"),
        ({"Content_Type": "text/plain"}, OBS, 415, "media_type"),
        ({}, b"", 400, "sdp_malformed"),
        ({}, b"x" * 70_000, 413, "too_large"),
        ({}, changed(OBS, ("rtpmap:96 H264", "rtpmap:96 VP8")), 422, "no_common_video_codec"),
        ({}, changed(OBS, ("m=video", "m=application")), 422, "offer_refused"),
    ],
)
async def test_refusals_are_problems_with_their_status(
    headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    async with open_house() as house:
        response = await house.post(body, **headers)
        assert (response.status, (await problem(response))["code"]) == (status, code)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert ("WWW-Authenticate" in response.headers) == (status == 401)
        assert house.server.sessions_count == 0


async def test_a_body_without_length_is_bounded_too() -> None:
    async def endless() -> object:
        while True:
            yield b"x" * 10_000

    async with open_house() as house:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {KEY}"}
        async with house.http.post(house.door, data=endless(), headers=headers) as response:
            assert response.status == 413


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_405(method: str) -> None:
    async with open_house() as house, house.http.request(method, house.door) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST, OPTIONS"


async def test_browsers_may_ask_before_they_post() -> None:
    async with open_house() as house:
        async with house.http.options(house.door) as response:
            assert response.status == 204
            assert response.headers["Accept-Post"] == "application/sdp"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
            allowed = set(response.headers["Access-Control-Allow-Headers"].split(", "))
            assert allowed == {"Content-Type", "Authorization", "If-Match"}
        async with house.http.options(f"{house.door}/any") as response:
            assert response.headers["Access-Control-Allow-Methods"] == "PATCH, DELETE, OPTIONS"


async def test_all_sessions_taken_is_503_with_retry_after() -> None:
    limits = WhipLimits(sessions_count=2)
    async with open_house(WhipSettings(host="127.0.0.1", limits=limits)) as house:
        assert [(await house.post(OBS)).status for _ in range(3)] == [201, 201, 503]
        response = await house.post(OBS)
        assert int(response.headers["Retry-After"]) > 0
        assert (await problem(response))["code"] == "sessions_taken"


async def test_one_address_gets_so_many_sessions() -> None:
    limits = WhipLimits(sessions_per_address_count=1)
    settings = WhipSettings(host="127.0.0.1", limits=limits, trusted_addresses=frozenset())
    async with open_house(settings) as house:
        assert [(await house.post(OBS)).status for _ in range(2)] == [201, 429]


async def test_delete_is_200_and_then_404() -> None:
    async with open_house() as house:
        location = house.url + (await house.post(OBS)).headers["Location"]
        async with house.http.delete(location, headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401
        async with house.http.delete(location, headers={"Authorization": f"Bearer {KEY}"}) as response:
            assert response.status == 200
        await until(lambda: not house.server.sessions_count)
        async with house.http.delete(location) as response:
            assert response.status == 404
            await problem(response)


async def test_a_session_is_not_found_under_another_room() -> None:
    async with open_house() as house:
        location = (await house.post(OBS)).headers["Location"]
        async with house.http.delete(f"{house.url}{location.replace('/demo/', '/other/')}") as response:
            assert response.status == 404


def fragment(ufrag: str, password: str, *, candidate: bool = True) -> bytes:
    lines = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"]
    if candidate:
        lines.append("a=candidate:1 1 UDP 2130706431 198.51.100.1 39132 typ host")
    return ("\r\n".join(lines) + "\r\n").encode()


async def test_trickled_candidates_are_204_without_etag() -> None:
    offering = Offering()
    async with open_house() as house:
        created = await house.post(offering.sdp())
        address = house.url + created.headers["Location"]
        headers = {"Content-Type": FRAGMENT, "If-Match": created.headers["ETag"]}
        bodies = [
            fragment(offering.ufrag, offering.password),
            b"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates\r\n",
        ]
        for body in bodies:
            async with house.http.patch(address, data=body, headers=headers) as response:
                assert (response.status, "ETag" in response.headers) == (204, False)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"If-Match": ""}, fragment("abcd", "x" * 24), 428),
        ({"If-Match": '"old"'}, fragment("abcd", "x" * 24), 412),
        ({"Content-Type": "application/sdp"}, fragment("abcd", "x" * 24), 415),
        ({}, b"nonsense", 400),
        ({}, fragment("a", "b"), 400),
        ({}, b"a=x\r\n" * 5_000, 413),
    ],
)
async def test_patches_that_cannot_be_meant_are_refused(headers: dict[str, str], body: bytes, status: int) -> None:
    async with open_house() as house:
        created = await house.post(OBS)
        sent = {"Content-Type": FRAGMENT, "If-Match": "*", **headers}
        async with house.http.patch(
            house.url + created.headers["Location"],
            data=body,
            headers={name: value for name, value in sent.items() if value},
        ) as response:
            assert response.status == status
            await problem(response)


async def test_an_ice_restart_moves_a_running_session_to_new_credentials() -> None:
    async with open_house() as house:
        publishing = await house.publish()
        await publishing.play(2_000)
        publication = await house.gate.publication()
        await publication.has(20)
        renewed = Offering()
        headers = {"Content-Type": FRAGMENT, "If-Match": '"*"'}
        body = fragment(renewed.ufrag, renewed.password, candidate=False)
        async with house.http.patch(publishing.location, data=body, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == FRAGMENT
            etag, answer = response.headers["ETag"], Answer.read(await response.text())
        assert answer.ufrag != publishing.answer.ufrag
        assert etag == f'"{answer.ufrag}"'
        await asyncio.to_thread(publishing.peer.reach, answer)
        before = len(publication.frames)
        await publishing.play(2_000)
        await publication.has(before + 40)
        assert publication.reasons == []
        publishing.peer.close()


async def test_audio_alone_is_a_programme() -> None:
    async with open_house() as house:
        alone = changed(section(OBS, "audio"), ("BUNDLE 0 1", "BUNDLE 0"))
        assert (await house.post(alone)).status == 201
        peer = house.peer(Offering(video=""))
        answer, _ = await house.offer(peer)
        await asyncio.to_thread(peer.connect, answer)
        peer.close()


async def test_a_session_of_another_worker_is_asked_for_there() -> None:
    asked: list[tuple[str, str]] = []

    async def forward(request: web.Request, worker: str) -> web.StreamResponse:
        asked.append((request.method, worker))
        return web.Response(status=299)

    async with open_house(worker="node-0", forward=forward) as house:
        location = (await house.post(OBS)).headers["Location"]
        assert location.startswith("/whip/demo/node-0.")
        elsewhere = location.replace("node-0.", "node-1.")
        async with house.http.delete(house.url + elsewhere) as response:
            assert response.status == 299
        async with house.http.patch(house.url + elsewhere) as response:
            assert response.status == 299
        async with house.http.delete(house.url + location) as response:
            assert response.status == 200
    assert asked == [("DELETE", "node-1"), ("PATCH", "node-1")]

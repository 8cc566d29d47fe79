from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from hls_packager.model import Epoch, HlsSettings, TrackSet
from hls_packager.origin import Origin
from hls_packager.store import SegmentStore
from streamd.clock import SystemClock
from streamd.delivery.hls import HlsDelivery, HlsDeliverySettings, read_query, shield_ms
from streamd.errors import InvalidError
from tests.support.hls_media import AUDIO, START_MS, VIDEO
from tests.support.hls_reader import parse

EPOCH = Epoch(target_duration_s=1, part_target_ms=201, part_us=200_000)
PLAYLIST = "/live/shop/source/media.m3u8"


class Rooms:
    async def exists(self, room: str) -> bool:
        return room in ("shop", "quiet")


class Site:
    """A delivery with one room on air, cut by hand."""

    def __init__(self, settings: HlsDeliverySettings) -> None:
        self.origin = Origin(clock=SystemClock(), settings=HlsSettings())
        self.store: SegmentStore = self.origin.open("shop")
        self.hls = HlsDelivery(origin=self.origin, rooms=Rooms(), clock=SystemClock(), settings=settings)
        self.client: TestClient[web.Request, web.Application]

    def begin(self) -> Site:
        self.store.begin(EPOCH)
        return self

    def part(self, *, opens: bool = False, closes: bool = False, size: int = 500) -> None:
        if opens:
            tracks = TrackSet(video=VIDEO, audio=AUDIO)
            self.store.open_segment(tracks=tracks, utc_ms=START_MS, independent=True, discontinuity=False)
        self.store.add_part(b"p" * size, duration_us=200_000, independent=opens)
        if closes:
            self.store.close_segment()
        self.store.publish()

    def segments(self, count: int) -> Site:
        for _ in range(count):
            for index in range(5):
                self.part(opens=index == 0, closes=index == 4)
        return self

    @property
    def last(self) -> int:
        """The newest segment with a part."""
        assert self.store.playlist is not None
        return self.store.playlist.last_msn

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self.client.get(path, headers={"Accept-Encoding": "identity", **headers})

    async def held(self, count: int = 1) -> None:
        """Until so many requests are being held."""
        async with asyncio.timeout(30):
            while self.origin.waiting_count < count:  # noqa: ASYNC110  # nobody but this test wants to know
                await asyncio.sleep(0.005)


async def opened(settings: HlsDeliverySettings) -> AsyncIterator[Site]:
    site = Site(settings)
    application = web.Application()
    application.add_routes(site.hls.routes())
    async with TestClient(TestServer(application)) as client:
        site.client = client
        yield site
        site.hls.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async for site in opened(HlsDeliverySettings(starting_ms=300)):
        yield site


@pytest.fixture
async def unshielded() -> AsyncIterator[Site]:
    async for site in opened(HlsDeliverySettings(stall_shield=False)):
        yield site


# --- playlists at once ---


async def test_the_multivariant_playlist_leads_to_the_rendition(site: Site) -> None:
    site.begin().segments(2)
    answer = await site.get("/live/shop/index.m3u8")
    assert answer.status == 200
    assert answer.content_type == "application/vnd.apple.mpegurl"
    assert answer.headers["Cache-Control"] == "public, max-age=30"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "source/media.m3u8" in (await answer.text()).splitlines()


async def test_a_plain_request_gets_the_newest_playlist_for_half_a_target_duration(site: Site) -> None:
    site.begin().segments(3)
    answer = await site.get(PLAYLIST)
    assert answer.status == 200
    assert answer.content_type == "application/vnd.apple.mpegurl"
    assert answer.headers["Cache-Control"] == "public, max-age=1"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert "Date" in answer.headers
    assert (await answer.read()) == site.store.rendering().body


@pytest.mark.parametrize("path", ["/live/shop/index.m3u8", PLAYLIST])
async def test_playlists_are_compressed_for_who_takes_it(site: Site, path: str) -> None:
    site.begin().segments(3)
    site.client.session._auto_decompress = False
    plain = await site.get(path)
    packed = await site.get(path, **{"Accept-Encoding": "br, GZIP;q=0.8"})
    refused = await site.get(path, **{"Accept-Encoding": "gzip;q=0, br"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await packed.read()) == await plain.read() == await refused.read()
    assert "Content-Encoding" not in refused.headers


async def test_head_tells_length_and_type_without_a_body(site: Site) -> None:
    site.begin().segments(2)
    for path in (PLAYLIST, f"/live/shop/source/seg-{site.last}.m4s"):
        whole = await site.get(path)
        head = await site.client.head(path, headers={"Accept-Encoding": "identity"})
        assert head.status == 200
        assert head.headers["Content-Length"] == str(len(await whole.read()))
        assert await head.read() == b""


async def test_delta_updates_are_given_to_who_asks(site: Site) -> None:
    site.begin().segments(12)
    for value in ("YES", "v2"):
        listed = parse(await (await site.get(f"{PLAYLIST}?_HLS_skip={value}")).text())
        assert listed.skipped == 4
    assert parse(await (await site.get(f"{PLAYLIST}?_HLS_skip=no")).text()).skipped == 0


# --- blocking reload ---


async def test_a_request_for_the_next_part_is_held_until_it_is_there(site: Site) -> None:
    site.begin().segments(2)
    site.part(opens=True)
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(site.get(f"{PLAYLIST}?_HLS_msn={site.last}&_HLS_part=1"))
        await site.held()
        site.part()
        answer = await request
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=6"
    assert f"part-{site.last}.1.m4s" in await answer.text()


async def test_a_request_for_a_segment_is_held_until_it_is_whole(site: Site) -> None:
    site.begin().segments(2)
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(site.get(f"{PLAYLIST}?_HLS_msn={site.last + 1}"))
        await site.held()
        site.part(opens=True)
        await asyncio.sleep(0.02)
        assert not request.done()
        site.part(closes=True)
        assert f"seg-{site.last}.m4s" in await (await request).text()


async def test_the_answer_is_the_newest_playlist_not_the_one_asked_for(site: Site) -> None:
    site.begin().segments(4)
    answer = await site.get(f"{PLAYLIST}?_HLS_msn={site.last - 2}&_HLS_part=1")
    assert await answer.read() == site.store.rendering().body
    older_than_the_window = await site.get(f"{PLAYLIST}?_HLS_msn=1")
    assert older_than_the_window.status == 200


async def test_a_part_beyond_the_end_of_a_segment_means_the_first_of_the_next(site: Site) -> None:
    site.begin().segments(2)
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(site.get(f"{PLAYLIST}?_HLS_msn={site.last}&_HLS_part=5"))
        await site.held()
        site.part(opens=True)
        assert (await request).status == 200


@pytest.mark.parametrize(
    "query", ["_HLS_part=1", "_HLS_msn=x", "_HLS_msn=", "_HLS_msn=-1", "_HLS_msn=1&_HLS_part=1.5", "_HLS_msn=9e9"]
)
async def test_malformed_directives_are_bad_requests(site: Site, query: str) -> None:
    site.begin().segments(1)
    assert (await site.get(f"{PLAYLIST}?{query}")).status == 400


async def test_what_lies_too_far_ahead_is_a_bad_request(site: Site) -> None:
    site.begin().segments(1)
    site.part(opens=True)
    answer = await site.get(f"{PLAYLIST}?_HLS_msn={site.last + 3}")
    assert answer.status == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert "too far ahead" in await answer.text()
    assert (await site.get(f"{PLAYLIST}?_HLS_msn={site.last}&_HLS_part=40")).status == 400


async def test_unknown_directives_are_ignored(site: Site) -> None:
    site.begin().segments(1)
    answer = await site.get(f"{PLAYLIST}?_HLS_report=x&_HLS_pretend=1")
    assert answer.status == 200
    assert "?" not in await answer.text()


async def test_a_stall_is_answered_before_hls_js_gives_up(site: Site) -> None:
    site.begin().segments(2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await site.get(f"{PLAYLIST}?_HLS_msn={site.last + 1}&_HLS_part=0")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.read() == site.store.rendering().body
    assert 0.55 < loop.time() - began < 0.8, "three quarters of max(3 parts, 0.8 target durations)"


@pytest.mark.parametrize(
    ("target_s", "part_ms", "ms"), [(2, 501, 1_200), (1, 201, 600), (10, 501, 6_000), (2, 1_001, 2_252)]
)
def test_the_shield_follows_the_timer_of_hls_js(target_s: int, part_ms: int, ms: int) -> None:
    assert shield_ms(Epoch(target_duration_s=target_s, part_target_ms=part_ms, part_us=0)) == ms


async def test_without_the_shield_three_target_durations_are_the_limit(unshielded: Site) -> None:
    unshielded.begin().segments(2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    last = unshielded.last
    answers = await asyncio.gather(
        unshielded.get(f"{PLAYLIST}?_HLS_msn={last + 1}&_HLS_part=0"), unshielded.get(f"{PLAYLIST}?_HLS_msn={last + 1}")
    )
    assert 2.9 < loop.time() - began < 3.5
    for answer in answers:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_the_end_of_the_programme_answers_who_waits(site: Site) -> None:
    site.begin().segments(2)
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(site.get(f"{PLAYLIST}?_HLS_msn={site.last + 1}&_HLS_part=0"))
        await site.held()
        site.store.finish()
        assert parse(await (await request).text()).ended
    later = await site.get(f"{PLAYLIST}?_HLS_msn={site.last + 50}&_HLS_part=3")
    assert later.status == 200, "directives are not honoured after the end"


async def test_a_crowd_is_answered_together_and_who_leaves_harms_nobody(site: Site) -> None:
    site.begin().segments(2)
    address = f"{PLAYLIST}?_HLS_msn={site.last + 1}&_HLS_part=0"
    async with asyncio.TaskGroup() as tasks:
        crowd = [tasks.create_task(site.get(address)) for _ in range(80)]
        await site.held(80)
        for leaver in crowd[::4]:
            leaver.cancel()
        await asyncio.sleep(0.01)
        site.part(opens=True)
        stayed = [request for index, request in enumerate(crowd) if index % 4]
        bodies = {await (await request).read() for request in stayed}
    assert bodies == {site.store.rendering().body}


# --- parts, segments, initialisation ---


async def test_media_is_immutable(site: Site) -> None:
    site.begin().segments(2)
    segment = await site.get(f"/live/shop/source/seg-{site.last}.m4s")
    part = await site.get(f"/live/shop/source/part-{site.last}.0.m4s")
    listed = parse(site.store.rendering().body.decode()).segments[0]
    init = await site.get(f"/live/shop/source/{listed.map_uri}")
    for answer in (segment, part, init):
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.content_type == "video/mp4"
        assert "Content-Encoding" not in answer.headers
    assert len(await segment.read()) == 2_500
    assert len(await part.read()) == 500
    assert (await init.read())[4:8] == b"ftyp"


async def test_a_segment_of_megabytes_arrives_whole(site: Site) -> None:
    site.begin()
    for index in range(5):
        site.part(opens=index == 0, closes=index == 4, size=1_000_000)
    answer = await site.get(f"/live/shop/source/seg-{site.last}.m4s")
    assert await answer.read() == b"p" * 5_000_000


async def test_the_hinted_part_is_held_until_it_is_complete(site: Site) -> None:
    site.begin().segments(2)
    hint = parse(site.store.rendering().body.decode()).hint
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(site.get(f"/live/shop/source/{hint}"))
        await site.held()
        site.part(opens=True, size=77)
        assert len(await (await request).read()) == 77


async def test_a_hinted_part_that_never_comes_is_not_found(site: Site) -> None:
    site.begin().segments(2)
    site.part(opens=True)
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(site.get(f"/live/shop/source/part-{site.last}.1.m4s"))
        await site.held()
        site.store.close_segment()
        site.part(opens=True)
        assert (await request).status == 404


@pytest.mark.parametrize("ahead", ["part-{next}.1.m4s", "part-{far}.0.m4s", "seg-{next}.m4s", "init-5.mp4"])
async def test_media_that_does_not_exist_is_not_found_at_once(site: Site, ahead: str) -> None:
    site.begin().segments(2)
    name = ahead.format(next=site.last + 1, far=site.last + 2)
    answer = await site.get(f"/live/shop/source/{name}")
    assert answer.status == 404
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("name", ["seg-x.m4s", "seg-1.ts", "part-1.m4s", "..%2Fsecret", "seg-1.m4s.bak", "media.mpd"])
async def test_other_names_are_not_found(site: Site, name: str) -> None:
    site.begin().segments(1)
    assert (await site.get(f"/live/shop/source/{name}")).status == 404


# --- rooms that are not on air ---


@pytest.mark.parametrize("path", ["index.m3u8", "source/media.m3u8", "source/seg-1.m4s"])
async def test_an_unknown_room_is_not_found(site: Site, path: str) -> None:
    answer = await site.get(f"/live/nowhere/{path}")
    assert answer.status == 404
    assert "Retry-After" not in answer.headers
    assert "there is no room nowhere" in await answer.text()


@pytest.mark.parametrize("path", ["index.m3u8", "source/media.m3u8"])
async def test_a_room_that_is_not_live_is_not_found_yet(site: Site, path: str) -> None:
    answer = await site.get(f"/live/quiet/{path}")
    assert answer.status == 404
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "not live" in await answer.text()


async def test_a_rendition_that_does_not_exist_is_not_found(site: Site) -> None:
    site.begin().segments(1)
    answer = await site.get("/live/shop/4320p/media.m3u8")
    assert answer.status == 404
    assert "index.m3u8" in await answer.text()


@pytest.mark.parametrize("path", ["/live/shop/index.m3u8", PLAYLIST])
async def test_a_viewer_who_is_early_waits_for_the_first_part(site: Site, path: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(site.get(path))
        await site.held()
        site.begin()
        site.part(opens=True)
        assert (await request).status == 200


async def test_a_viewer_who_is_too_early_is_told_to_come_back(site: Site) -> None:
    answer = await site.get(PLAYLIST)
    assert answer.status == 404
    assert answer.headers["Retry-After"] == "2"
    assert "just begun" in await answer.text()


async def test_an_ended_programme_is_over_for_newcomers_and_told_to_those_who_watch(site: Site) -> None:
    site.begin().segments(2)
    site.store.finish()
    assert (await site.get("/live/shop/index.m3u8")).status == 404
    assert parse(await (await site.get(PLAYLIST)).text()).ended
    assert (await site.get(f"/live/shop/source/seg-{site.last}.m4s")).status == 200


async def test_an_encoder_that_came_and_sent_nothing_leaves_a_room_that_is_not_live(site: Site) -> None:
    site.store.finish()
    for path in ("/live/shop/index.m3u8", PLAYLIST):
        answer = await site.get(path)
        assert answer.status == 404
        assert "no encoder" in await answer.text()


# --- tokens ---


async def test_tokens_are_carried_to_every_child_address(site: Site) -> None:
    site.begin().segments(2)
    index = await (await site.get("/live/shop/index.m3u8?token=a.b-c&room=1")).text()
    assert "source/media.m3u8?token=a.b-c&room=1" in index
    playlist = parse(await (await site.get(f"{PLAYLIST}?_HLS_msn={site.last}&token=a.b-c&_HLS_skip=YES&room=1")).text())
    addresses = [
        playlist.segments[0].map_uri,
        playlist.hint,
        *(part.uri for s in playlist.segments for part in s.parts),
    ]
    assert all(address is not None and address.endswith("?token=a.b-c&room=1") for address in addresses)
    assert (await site.get(f"/live/shop/source/{playlist.segments[0].parts[0].uri}")).status == 200


@pytest.mark.parametrize("raw", ['token="x"', "token=a\nb", "token=<x>", "t=" + "x" * 3_000, "t=é"])
def test_a_query_that_could_leave_its_place_in_a_playlist_is_refused(raw: str) -> None:
    with pytest.raises(InvalidError):
        read_query(raw)


def test_a_query_is_taken_apart() -> None:
    assert read_query("") == (None, None, False, "")
    assert read_query("_HLS_msn=7&a=b&_HLS_part=2&_HLS_skip=YES&c") == (7, 2, True, "?a=b&c")


# --- connections and shutdown ---


async def raw_answer(site: Site, request: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port)
    writer.write(request.encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_connection_that_is_to_be_closed_is_closed(site: Site, version: str) -> None:
    site.begin().segments(1)
    answer = await raw_answer(site, f"GET {PLAYLIST} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    assert body == site.store.rendering().body


async def test_a_connection_serves_one_request_after_the_other(site: Site) -> None:
    site.begin().segments(1)
    once = f"GET {PLAYLIST} HTTP/1.1\r\nHost: x\r\n\r\n"
    last = f"GET {PLAYLIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await raw_answer(site, once + once + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(site.store.rendering().body) == 3


async def test_a_viewer_who_takes_nothing_is_cut_off() -> None:
    async for site in opened(HlsDeliverySettings(slow_reader_ms=50)):
        site.begin()
        for index in range(5):
            site.part(opens=index == 0, closes=index == 4, size=4_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port)
        writer.write(f"GET /live/shop/source/seg-{site.last}.m4s HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await asyncio.sleep(0.2)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(20_000_000)
        writer.close()


async def test_shutting_down_answers_who_waits_and_holds_nobody_any_more(site: Site) -> None:
    site.begin().segments(2)
    hint = parse(site.store.rendering().body.decode()).hint
    async with asyncio.TaskGroup() as tasks:
        playlist = tasks.create_task(site.get(f"{PLAYLIST}?_HLS_msn={site.last + 1}&_HLS_part=0"))
        part = tasks.create_task(site.get(f"/live/shop/source/{hint}"))
        await site.held(2)
        site.hls.close()
        answer = await playlist
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert answer.headers["Connection"] == "close"
        assert (await part).status == 503
    began = asyncio.get_running_loop().time()
    assert (await site.get(f"{PLAYLIST}?_HLS_msn={site.last + 1}&_HLS_part=0")).status == 200
    assert asyncio.get_running_loop().time() - began < 0.3


async def test_answers_are_counted(site: Site) -> None:
    site.begin().segments(1)
    await site.get(PLAYLIST)
    await site.get(PLAYLIST + "?_HLS_part=1")
    assert site.hls.answers == {("playlist", 200): 1, ("playlist", 400): 1}

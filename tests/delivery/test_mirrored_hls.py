"""HLS of programmes that another worker makes, and of one that another worker takes over in mid-request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hls_packager.mirror import StoreJournal
from hls_packager.model import Epoch, HlsSettings, TrackSet
from hls_packager.origin import Origin
from hls_packager.store import SegmentStore
from streamd.clock import SystemClock
from streamd.delivery.hls import HlsDelivery
from tests.support.hls_media import AUDIO, START_MS, VIDEO
from tests.support.hls_reader import parse

EPOCH = Epoch(target_duration_s=1, part_target_ms=201, part_us=200_000)
PLAYLIST = "/live/shop/source/media.m3u8"


class Rooms:
    async def exists(self, room: str) -> bool:
        return True


class Site:
    """A worker whose mirrors are filled by hand: each room of `elsewhere` can be mirrored."""

    def __init__(self) -> None:
        self.origin = Origin(clock=SystemClock(), settings=HlsSettings())
        self.elsewhere: set[str] = set()
        self.asked = 0
        self.hls_delivery = HlsDelivery(origin=self.origin, rooms=Rooms(), clock=SystemClock(), mirrors=self)
        self.client: TestClient[web.Request, web.Application]

    async def hls(self, room: str) -> bool:
        self.asked += 1
        if room not in self.elsewhere:
            return False
        owner = Origin(clock=SystemClock(), settings=HlsSettings()).open(room, least_msn=10**10)
        fill(owner, segments=3)
        self.origin.mirror(room).adopt(owner.watch(StoreJournal(lambda _pieces: None)))
        return True


def fill(store: SegmentStore, *, segments: int) -> None:
    store.begin(EPOCH)
    tracks = TrackSet(video=VIDEO, audio=AUDIO)
    for _ in range(segments):
        store.open_segment(tracks=tracks, utc_ms=START_MS, independent=True, discontinuity=False)
        for _ in range(5):
            store.add_part(b"part", duration_us=200_000, independent=True)
        store.close_segment()
    store.publish()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    application = web.Application()
    application.add_routes(made.hls_delivery.routes())
    async with TestClient(TestServer(application)) as client:
        made.client = client
        yield made
        made.hls_delivery.close()


async def test_room_of_another_worker_is_mirrored_when_it_is_asked_for(site: Site) -> None:
    site.elsewhere.add("shop")
    for path in ("/live/shop/index.m3u8", PLAYLIST):
        async with site.client.get(path) as answer:
            assert answer.status == 200
    assert site.asked == 1
    store = site.origin.find("shop", "source")
    assert store is not None
    assert store.requests >= 2, "who mirrors it can see that it is wanted"


async def test_room_that_nobody_has_is_not_live(site: Site) -> None:
    async with site.client.get(PLAYLIST) as answer:
        assert answer.status == 404
        assert "Retry-After" in answer.headers


async def test_programme_that_ended_here_and_began_elsewhere_is_found_there(site: Site) -> None:
    own = site.origin.open("shop")
    fill(own, segments=2)
    own.finish()
    site.elsewhere.add("shop")
    async with site.client.get("/live/shop/index.m3u8") as answer:
        assert answer.status == 200
    assert site.asked == 1


async def test_request_that_waits_goes_on_in_the_mirror_of_the_new_owner(site: Site) -> None:
    own = site.origin.open("shop")
    fill(own, segments=2)
    assert own.playlist is not None
    msn = own.playlist.last_msn

    async def wait() -> tuple[int, str]:
        async with site.client.get(f"{PLAYLIST}?_HLS_msn={msn + 1}&_HLS_part=0") as answer:
            return answer.status, await answer.text()

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wait())
        async with asyncio.timeout(30):
            while not own.waiting_count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        site.elsewhere.add("shop")
        site.origin.withdraw("shop")
        status, text = await waiting
    assert status == 200
    playlist = parse(text)
    assert not playlist.ended
    assert site.asked == 1

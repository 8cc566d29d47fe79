from __future__ import annotations

import asyncio
import gzip

import pytest

from hls_packager.errors import AheadOfLiveError
from hls_packager.model import Epoch, HlsSettings, TrackSet
from hls_packager.origin import Origin
from hls_packager.store import SegmentStore
from tests.support.clock import FakeClock
from tests.support.hls_media import AUDIO, OTHER_VIDEO, START_MS, VIDEO
from tests.support.hls_reader import parse

EPOCH = Epoch(target_duration_s=2, part_target_ms=501, part_us=500_000)
TRACKS = TrackSet(video=VIDEO, audio=AUDIO)


class Offer:
    """An origin with one store, written by hand."""

    def __init__(self, *, settings: HlsSettings | None = None) -> None:
        self.clock = FakeClock(utc_ms=START_MS)
        self.origin = Origin(clock=self.clock, settings=settings or HlsSettings())
        self.store = self.origin.open("room")
        self.store.begin(EPOCH)
        self.written = 0

    def part(self, *, size: int = 1_000, opens: bool = False, closes: bool = False, tracks: TrackSet = TRACKS) -> None:
        store = self.store
        if opens:
            store.open_segment(tracks=tracks, utc_ms=self.clock.utc_ms(), independent=True, discontinuity=False)
        store.add_part(bytes([self.written % 256]) * size, duration_us=500_000, independent=opens)
        self.written += 1
        if closes:
            store.close_segment()
        store.publish()
        self.clock.advance(500)

    def segments(self, count: int, *, size: int = 1_000, tracks: TrackSet = TRACKS) -> None:
        for index in range(4 * count):
            self.part(size=size, opens=index % 4 == 0, closes=index % 4 == 3, tracks=tracks)

    @property
    def first(self) -> int:
        """The number of the first segment."""
        return START_MS // 500 + 1


@pytest.fixture
def offer() -> Offer:
    return Offer()


def names(store: SegmentStore) -> list[str | None]:
    return [segment.uri for segment in parse(store.rendering().body.decode()).segments]


def test_a_playlist_is_rendered_and_compressed_once_a_version(offer: Offer) -> None:
    offer.segments(2)
    rendering = offer.store.rendering()
    assert offer.store.rendering() is rendering
    assert rendering.gzipped is rendering.gzipped
    assert gzip.decompress(rendering.gzipped) == rendering.body
    version = offer.store.version
    offer.part(opens=True)
    assert offer.store.version == version + 1
    assert offer.store.rendering() is not rendering


def test_queries_and_delta_updates_have_renderings_of_their_own(offer: Offer) -> None:
    offer.segments(9)
    store = offer.store
    plain, token, delta = store.rendering(), store.rendering(query="?token=1"), store.rendering(skip=True)
    assert len({plain.body, token.body, delta.body}) == 3
    assert store.rendering(query="?token=1") is token
    for index in range(500):
        store.rendering(query=f"?token={index}")
    assert len(store._renderings) <= 64


def test_parts_and_their_segment_share_their_bytes(offer: Offer) -> None:
    offer.segments(1)
    parts = [offer.store.part(offer.first, index) for index in range(4)]
    segment = offer.store.segment(offer.first)
    assert segment is not None
    assert all(whole is part for whole, part in zip(segment, parts, strict=True))


def test_what_does_not_exist_is_not_there(offer: Offer) -> None:
    offer.segments(1)
    offer.part(opens=True)
    assert offer.store.segment(offer.first + 1) is None, "still open"
    assert offer.store.segment(offer.first + 2) is None
    assert offer.store.part(offer.first, 4) is None
    assert offer.store.part(offer.first + 9, 0) is None
    assert offer.store.init(1) is None


def test_removed_segments_stay_as_long_as_the_longest_playlist_that_listed_them(offer: Offer) -> None:
    offer.segments(10)
    offer.store.rendering()
    offer.segments(1)
    assert names(offer.store)[0] == f"seg-{offer.first + 1}.m4s"
    assert offer.store.segment(offer.first) is not None
    offer.segments(10)
    assert offer.store.segment(offer.first) is not None, "22 s listed and 2 s long: kept for 24 s"
    offer.segments(3)
    assert offer.store.segment(offer.first) is None
    assert offer.store.part(offer.first, 0) is None


def test_a_stream_that_nobody_watches_holds_nothing_but_its_window(offer: Offer) -> None:
    offer.segments(11)
    assert offer.store.segment(offer.first) is None
    assert offer.store.segment(offer.first + 1) is not None, "listed"


def test_once_no_playlist_can_be_in_use_any_more_removed_segments_go_at_once(offer: Offer) -> None:
    offer.segments(10)
    offer.store.rendering()
    offer.segments(18)  # 36 s: a cache may have handed the playlist out for 12 of them, and it is used for 24 more
    assert offer.store._leaving, "just so"
    offer.segments(1)
    assert not offer.store._leaving


def test_memory_is_accounted_and_bounded(offer: Offer) -> None:
    offer.segments(30, size=10_000)
    after = offer.store.resident_bytes
    assert after == sum(len(part) for parts in offer.store._media.values() for part in parts)
    offer.segments(30, size=10_000)
    assert offer.store.resident_bytes == after
    assert offer.origin.resident_bytes == after


def test_initialisation_segments_go_with_the_last_segment_that_needs_them(offer: Offer) -> None:
    offer.segments(2)
    number = int(parse(offer.store.rendering().body.decode()).segments[0].map_uri[5:-4])
    changed = TrackSet(video=OTHER_VIDEO, audio=AUDIO)
    offer.segments(5, tracks=changed)
    assert offer.store.init(number) is not None
    offer.segments(40, tracks=changed)
    assert offer.store.init(number) is None
    assert len(offer.store._inits) == 1


def test_bandwidth_is_a_measured_peak_with_a_tenth_on_top_and_only_grows(offer: Offer) -> None:
    offer.segments(3, size=62_500)  # 1 Mb/s
    variant = offer.store.variant()
    assert variant is not None
    assert (variant.bandwidth_bps, variant.average_bandwidth_bps) == (1_100_000, 1_000_000)
    offer.segments(1, size=125_000)
    offer.segments(3, size=1_000)
    variant = offer.store.variant()
    assert variant is not None
    assert variant.bandwidth_bps == 2_200_000
    assert variant.average_bandwidth_bps < 1_000_000


def test_a_variant_is_described_from_its_tracks(offer: Offer) -> None:
    assert offer.store.variant() is None
    offer.segments(1)
    variant = offer.store.variant()
    assert variant is not None
    assert (variant.codecs, variant.width, variant.height) == ("avc1.42c01e,mp4a.40.2", 1280, 720)
    assert variant.uri == "source/media.m3u8"


async def test_a_viewer_waits_for_a_part(offer: Offer) -> None:
    offer.segments(1)
    offer.part(opens=True)
    async with asyncio.TaskGroup() as tasks:
        waiter = tasks.create_task(offer.store.wait_for(msn=offer.first + 1, part=1, timeout_ms=5_000))
        await asyncio.sleep(0)
        assert not waiter.done()
        assert offer.origin.waiting_count == 1
        offer.part()
        assert await waiter


async def test_a_viewer_waits_for_a_whole_segment(offer: Offer) -> None:
    offer.segments(1)
    async with asyncio.TaskGroup() as tasks:
        waiter = tasks.create_task(offer.store.wait_for(msn=offer.first + 1, timeout_ms=5_000))
        for index in range(3):
            offer.part(opens=index == 0)
            await asyncio.sleep(0)
        assert not waiter.done()
        offer.part(closes=True)
        assert await waiter


async def test_what_is_there_is_not_waited_for(offer: Offer) -> None:
    offer.segments(2)
    assert await offer.store.wait_for(msn=1, timeout_ms=0)
    assert await offer.store.wait_for(msn=offer.first + 1, part=3, timeout_ms=0)


async def test_waiting_ends_when_the_time_is_over(offer: Offer) -> None:
    offer.segments(1)
    assert not await offer.store.wait_for(msn=offer.first + 1, part=0, timeout_ms=10)


@pytest.mark.parametrize(("msn", "part"), [(3, None), (3, 0), (0, 8)])
async def test_what_lies_too_far_ahead_is_refused(offer: Offer, msn: int, part: int | None) -> None:
    offer.segments(1)
    offer.part(opens=True)  # now the newest is part 0 of the second segment
    last = offer.first + 1
    with pytest.raises(AheadOfLiveError, match="too far ahead"):
        await offer.store.wait_for(msn=last + msn, part=part, timeout_ms=10)


@pytest.mark.parametrize(("msn", "part"), [(2, None), (2, 5), (1, 30), (0, 6), (-1, 99)])
async def test_what_lies_a_little_ahead_is_waited_for(offer: Offer, msn: int, part: int | None) -> None:
    offer.segments(1)
    offer.part(opens=True)
    await offer.store.wait_for(msn=offer.first + 1 + msn, part=part, timeout_ms=1)


async def test_the_end_of_the_programme_answers_everybody(offer: Offer) -> None:
    offer.segments(1)
    async with asyncio.TaskGroup() as tasks:
        waiters = [
            tasks.create_task(offer.store.wait_for(msn=offer.first + 1, part=part, timeout_ms=5_000))
            for part in range(3)
        ]
        await asyncio.sleep(0)
        offer.store.finish()
        assert await asyncio.gather(*waiters) == [True] * 3
    assert parse(offer.store.rendering().body.decode()).ended
    assert await offer.store.wait_for(msn=offer.first + 99, timeout_ms=0)


async def test_shutting_down_sends_everybody_home(offer: Offer) -> None:
    offer.segments(1)
    async with asyncio.TaskGroup() as tasks:
        waiter = tasks.create_task(offer.store.wait_for(msn=offer.first + 1, part=0, timeout_ms=5_000))
        await asyncio.sleep(0)
        offer.origin.release_waiting()
        assert await waiter is False


async def test_a_hinted_part_is_held_until_it_is_whole(offer: Offer) -> None:
    offer.segments(1)
    async with asyncio.TaskGroup() as tasks:
        hinted = tasks.create_task(offer.store.hinted_part(offer.first + 1, 0, timeout_ms=5_000))
        await asyncio.sleep(0)
        offer.part(opens=True, size=77)
        assert len(await hinted or b"") == 77


async def test_a_part_that_is_not_the_hinted_one_does_not_exist(offer: Offer) -> None:
    offer.segments(1)
    assert await offer.store.hinted_part(offer.first + 1, 1, timeout_ms=5_000) is None
    assert await offer.store.hinted_part(offer.first, 4, timeout_ms=5_000) is None


async def test_a_hinted_part_whose_segment_ended_before_it_does_not_exist(offer: Offer) -> None:
    offer.part(opens=True)
    async with asyncio.TaskGroup() as tasks:
        hinted = tasks.create_task(offer.store.hinted_part(offer.first, 1, timeout_ms=5_000))
        await asyncio.sleep(0)
        offer.store.close_segment()
        offer.part(opens=True)
        assert await hinted is None


async def test_a_hinted_part_that_does_not_come_times_out(offer: Offer) -> None:
    offer.segments(1)
    with pytest.raises(TimeoutError):
        await offer.store.hinted_part(offer.first + 1, 0, timeout_ms=10)


async def test_a_viewer_who_is_early_waits_for_the_first_part() -> None:
    clock = FakeClock(utc_ms=START_MS)
    offer = Offer()
    store = Origin(clock=clock, settings=HlsSettings()).open("early")
    assert not await store.wait_until_playable(timeout_ms=10)
    async with asyncio.TaskGroup() as tasks:
        waiter = tasks.create_task(offer.store.wait_until_playable(timeout_ms=5_000))
        await asyncio.sleep(0)
        assert not waiter.done()
        offer.part(opens=True)
        assert await waiter


def test_renditions_report_each_other(offer: Offer) -> None:
    offer.segments(1)
    assert parse(offer.store.rendering().body.decode()).reports == []
    audio = offer.origin.open("room", "audio")
    audio.begin(EPOCH)
    audio.open_segment(tracks=TrackSet(audio=AUDIO), utc_ms=START_MS, independent=True, discontinuity=False)
    audio.add_part(b"x", duration_us=500_000, independent=True)
    audio.publish()
    first = audio.playlist.last_msn if audio.playlist is not None else 0
    reports = parse(offer.store.rendering().body.decode()).reports
    assert reports == [{"URI": "../audio/media.m3u8", "LAST-MSN": str(first), "LAST-PART": "0"}]
    audio.add_part(b"x", duration_us=500_000, independent=True)
    audio.publish()
    assert parse(offer.store.rendering().body.decode()).reports[0]["LAST-PART"] == "1"
    other = parse(audio.rendering().body.decode()).reports
    assert other == [{"URI": "../source/media.m3u8", "LAST-MSN": str(offer.first), "LAST-PART": "3"}]

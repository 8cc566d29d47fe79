"""The streams of a worker: their beginnings, their ends, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter

import pytest

from streamd.live.hub import Turn
from streamd.live.stream import LiveStream
from streamd.media.ports import FrameSink
from streamd.telemetry.metrics import Metrics
from tests.live.stage import PaperSink, Stage


async def test_room_is_told_of_start_pause_return_and_end() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(1_000)
    encoder.publication.close("peer_eof")
    stage.seconds(10)
    encoder = await stage.encoder()
    encoder.publication.close("unpublish")
    stage.seconds(46)
    assert [(fact.turn, fact.reason) for fact in stage.facts] == [
        (Turn.STARTED, ""),
        (Turn.PAUSED, "peer_eof"),
        (Turn.RESUMED, ""),
        (Turn.PAUSED, "unpublish"),
        (Turn.ENDED, "unpublish"),
    ]


async def test_programme_survives_44_seconds_without_its_encoder_and_not_46() -> None:
    stage = Stage()
    (await stage.encoder()).publication.close("peer_eof")
    stage.seconds(44)
    assert stage.hub.find("demo") is not None
    stage.seconds(2)
    assert stage.hub.find("demo") is None


async def test_listener_that_fails_does_not_stop_the_programme() -> None:
    stage = Stage()

    def fail(_fact: object) -> None:
        raise RuntimeError("no")

    stage.hub._on_fact = fail
    encoder = await stage.encoder()
    encoder.picture()
    assert len(stage.sinks[0].frames) == 1
    assert stage.log.exceptions == ["live.fact_failed"]


class Failing(PaperSink):
    def on_pause(self) -> None:
        raise RuntimeError("no")

    def on_end(self) -> None:
        raise RuntimeError("no")


async def test_sink_that_fails_keeps_neither_other_sinks_nor_other_streams_from_their_end() -> None:
    others: list[PaperSink] = []

    def sinks(_stream: LiveStream) -> list[FrameSink]:
        others.append(PaperSink())
        return [Failing(), others[-1]]

    stage = Stage(sinks=sinks)
    for room in ("one", "two"):
        (await stage.encoder(room)).publication.close("peer_eof")
    stage.seconds(46)
    assert stage.hub.streams() == ()
    assert [sink.turns for sink in others] == [["pause", "end"], ["pause", "end"]]
    assert stage.log.exceptions == ["live.sink_failed"] * 4
    assert [fact.turn for fact in stage.facts].count(Turn.ENDED) == 2


async def test_sink_that_fails_does_not_keep_a_cut_encoder_on_its_connection() -> None:
    stage = Stage(sinks=lambda _stream: [Failing()])
    encoder = await stage.encoder()
    stage.gate.cut("demo")
    assert encoder.publisher.evicted == ["cut"]


async def test_claims_are_given_back_when_programmes_end() -> None:
    stage = Stage()
    (await stage.encoder()).publication.close("peer_eof")
    assert await stage.directory.owner("demo") is not None
    stage.seconds(46)
    await stage.hub.release_ended()
    assert await stage.directory.owner("demo") is None


async def test_closing_pauses_programmes_and_ends_none_so_that_players_go_on_after_a_restart() -> None:
    stage = Stage()
    (await stage.encoder()).run(1_000)
    await stage.hub.close()
    assert stage.sinks[0].turns == ["pause"]
    assert await stage.directory.owner("demo") is None


async def test_sweeping_goes_on_until_it_is_cancelled() -> None:
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.hub.run())
        await asyncio.sleep(0)
        running.cancel()
    assert running.cancelled()


async def test_metrics_count_what_went_on_air_also_of_streams_that_are_gone() -> None:
    stage = Stage()
    metrics = Metrics()
    metrics.collect_from(stage.hub.collect)
    metrics.collect_from(stage.fanout.collect)
    encoder = await stage.encoder("one")
    encoder.picture(key=False)
    encoder.pictures = 0
    encoder.run(1_000)
    await stage.viewer("one")
    page = metrics.render().decode()
    assert 'streamd_live_streams{state="on_air"} 1.0' in page
    assert 'streamd_live_frames_total{kind="video"} 25.0' in page
    assert 'streamd_live_bytes_total{kind="video"} 25000.0' in page
    assert 'streamd_live_repairs_total{kind="video_before_key_frame"}' in page
    assert 'streamd_live_viewers{protocol="readable"} 1.0' in page
    stage.gate.cut("one")
    page = metrics.render().decode()
    assert 'streamd_live_streams{state="on_air"} 0.0' in page
    assert 'streamd_live_frames_total{kind="video"} 25.0' in page
    assert 'streamd_live_viewer_drops_total{protocol="readable",reason="ended"} 1.0' in page
    assert 'streamd_live_viewers{protocol="readable"} 0.0' in page


@pytest.mark.timeout(60)
async def test_ten_thousand_stream_names_leave_memory_flat() -> None:
    stage = Stage(sinks=lambda _stream: (PaperSink(),))
    stage.facts = []
    stage.hub._on_fact = lambda _fact: None

    async def open_and_close(names: range) -> None:
        for number in names:
            encoder = await stage.encoder(f"room{number}")
            encoder.announce()
            encoder.picture(payload=b"x" * 10_000)
            encoder.sound()
            viewer = await stage.viewer(f"room{number}")
            if number % 2:
                encoder.publication.close("peer_eof")
                stage.clock.advance(50_000)
                stage.hub.sweep()
            else:
                stage.gate.cut(f"room{number}")
            assert viewer.closed == "ended"
            stage.log.events.clear()
            await stage.hub.release_ended()

    def census() -> Counter[str]:
        gc.collect()
        return Counter(
            type(each).__name__ for each in gc.get_objects() if str(type(each).__module__).startswith("streamd")
        )

    await open_and_close(range(100))
    before = census()
    tracemalloc.start()
    bytes_before, _ = tracemalloc.get_traced_memory()
    await open_and_close(range(100, 10_100))
    gc.collect()
    bytes_after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert census() == before
    assert bytes_after - bytes_before < 100_000
    assert stage.hub.streams() == ()
    assert stage.timers.armed == []

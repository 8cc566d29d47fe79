"""Continuous streams to many viewers. `ReadableWire` writes K for key frames, v for pictures, a for sound."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import InvalidError, LimitedError, NotFoundError, UnavailableError
from streamd.live.audience import AudienceSettings
from streamd.live.hub import HubSettings
from streamd.live.stream import StreamSettings
from streamd.media.frames import EncodedFrame
from streamd.media.ports import Playback, PlayRequest
from tests.live.stage import AUDIO, VIDEO, PaperEncoder, PaperViewer, ReadableWire, Stage, letter


def shape(text: str) -> str:
    """Letters and brackets without times: "[start va]Kavaav"."""
    return re.sub(r" (?=[Kva]-?\d)|(?<=[Kva])-?\d+|(?<=[va]) -?\d+(?=\])", "", text)


def times(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"[Kva](-?\d+)", text)]


async def on_air(ms: int = 3_000, **settings: object) -> tuple[Stage, PaperEncoder]:
    stage = Stage(**settings)  # type: ignore[arg-type]  # passed on as given
    encoder = await stage.encoder()
    encoder.announce()
    encoder.run(ms)
    return stage, encoder


# --- beginnings ---


async def test_newcomer_is_given_the_start_and_everything_since_the_last_key_frame_at_once() -> None:
    stage, _ = await on_air(2_200)
    viewer = await stage.viewer()
    text = viewer.take()
    assert shape(text).startswith("[start va]K")
    assert shape(text).count("K") == 1
    assert shape(text).count("v", 12) == 4
    assert re.match(r"\[start va (\d+)\] K\1 ", text)


async def test_second_newcomer_is_given_the_same_bytes_objects() -> None:
    stage, encoder = await on_air(2_200)
    wire = ReadableWire()
    first = await stage.viewer(wire=wire)
    encoder.run(200)
    built = wire.built
    second, third = await stage.viewer(wire=wire), await stage.viewer(wire=wire)
    assert wire.built == built
    assert b"".join(first.writes) == b"".join(second.writes)
    assert all(one is other for one, other in zip(second.writes, third.writes, strict=True))


async def test_frames_are_built_once_for_all_viewers_of_a_format() -> None:
    stage, encoder = await on_air()
    wire = ReadableWire()
    viewers = [await stage.viewer(wire=wire) for _ in range(50)]
    built = wire.built
    encoder.run(1_000)
    assert wire.built - built == 25 + 47
    written = viewers[0].writes[-1]
    assert all(viewer.writes[-1] is written for viewer in viewers)


async def test_formats_do_not_share_bytes() -> None:
    stage, encoder = await on_air()
    flv, rtmp = ReadableWire("flv"), ReadableWire("rtmp")
    one, other = await stage.viewer(wire=flv), await stage.viewer(wire=rtmp)
    encoder.run(200)
    assert one.text == other.text
    assert flv.built == rtmp.built


async def test_frames_of_a_tick_are_written_together() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer()
    viewer.take()
    encoder.run(60, tick=False)
    assert viewer.writes == []
    assert len(stage.timers.armed) == 1
    stage.timers.fire()
    [data] = viewer.writes
    assert len(times(data.decode())) in (4, 5)


async def test_viewer_who_comes_between_two_ticks_misses_nothing_and_sees_nothing_twice() -> None:
    stage, encoder = await on_air()
    early = await stage.viewer()
    encoder.run(100, tick=False)
    late = await stage.viewer()
    encoder.run(100, tick=False)
    stage.timers.fire()
    assert times(early.text)[-len(times(late.text)) :] == times(late.text)
    seen = re.findall(r"[Kva]-?\d+", late.text.split("]")[1])
    assert len(seen) == len(set(seen))


async def test_viewer_who_wants_no_cache_starts_at_the_next_key_frame() -> None:
    stage, encoder = await on_air(2_200)
    viewer = await stage.viewer(from_next_key=True)
    encoder.run(1_700)
    assert viewer.text == ""
    encoder.run(300)
    assert re.match(r"\[start va (\d+)\] K\1", viewer.text)


async def test_no_cache_wanted_and_cache_wanted_share_their_bytes() -> None:
    stage, encoder = await on_air(2_200)
    wire = ReadableWire()
    patient = await stage.viewer(wire=wire, from_next_key=True)
    hasty = await stage.viewer(wire=wire)
    encoder.run(2_500)
    assert patient.writes[-1] is hasty.writes[-1]


async def test_too_large_a_group_of_pictures_makes_newcomers_wait_for_the_next() -> None:
    stage, encoder = await on_air(3_000, hub=HubSettings(stream=StreamSettings(gop_limit_bytes=20_000)))
    watching = await stage.viewer()
    assert watching.text == ""
    encoder.run(1_100)
    assert shape(watching.text).startswith("[start va]K")
    encoder.run(1_000)
    late = await stage.viewer()
    assert late.text == ""
    encoder.run(1_100)
    assert shape(late.text).startswith("[start va]K")


async def test_sound_alone_starts_within_the_last_second_or_two() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(AUDIO)
    encoder.run(60_000, video=False)
    first = await stage.viewer()
    assert shape(first.text).startswith("[start a]aaa")
    assert 48 <= shape(first.take()).count("a") - 1 <= 97
    encoder.run(60_000, video=False)
    second = await stage.viewer()
    count = len(times(second.text))
    assert 30 <= count <= 200
    assert re.match(r"\[start a (\d+)\] a\1 ", second.text)


async def test_sound_alone_without_cache_starts_with_the_next_packet() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(AUDIO)
    encoder.run(3_000, video=False)
    viewer = await stage.viewer(from_next_key=True)
    assert viewer.text == ""
    encoder.run(40, video=False)
    assert shape(viewer.text).startswith("[start a]a")


async def test_pictures_or_sound_can_be_left_out() -> None:
    stage, encoder = await on_air()
    silent, blind = await stage.viewer(audio=False), await stage.viewer(video=False)
    encoder.run(1_000)
    assert set(shape(silent.text)) == set("[start v]K")
    assert set(shape(blind.text)) == set("[start a]")
    assert shape(silent.text).startswith("[start v]K")
    assert shape(blind.text).startswith("[start a]a")


async def test_leaving_everything_out_is_refused() -> None:
    stage, _ = await on_air()
    with pytest.raises(InvalidError):
        await stage.viewer(audio=False, video=False)


async def test_asking_for_what_the_stream_has_not_is_refused() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(VIDEO)
    encoder.run(3_000, audio=False)
    with pytest.raises(NotFoundError) as refused:
        await stage.viewer(video=False)
    assert refused.value.code == "no_such_track"


async def test_unknown_room_and_room_that_is_not_live_differ_by_when_to_come_back() -> None:
    stage = Stage()
    stage.rooms.unknown.add("nowhere")
    with pytest.raises(NotFoundError) as unknown:
        await stage.viewer("nowhere")
    with pytest.raises(NotFoundError) as not_live:
        await stage.viewer("demo")
    assert unknown.value.retry_after_ms is None
    assert not_live.value.retry_after_ms == 2_000


async def test_number_of_viewers_is_bounded() -> None:
    stage, _ = await on_air(3_000, audience=AudienceSettings(max_viewers=2))
    await stage.viewer(wire=ReadableWire("flv"))
    await stage.viewer(wire=ReadableWire("rtmp"))
    with pytest.raises(LimitedError):
        await stage.viewer()


# --- truthful containers ---


async def test_viewer_who_comes_with_the_first_picture_is_told_of_the_sound_that_follows() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.picture()
    viewer = await stage.viewer(kinds_fixed=True)
    assert viewer.text == ""
    encoder.run(100)
    assert shape(viewer.text).startswith("[start va]K")
    assert viewer.closed is None


async def test_announced_sound_that_never_comes_is_not_promised() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.run(100, audio=False)
    viewer = await stage.viewer(kinds_fixed=True)
    encoder.run(1_000, audio=False)
    assert viewer.text == ""
    encoder.run(1_000, audio=False)
    assert shape(viewer.text).startswith("[start v]Kv")


async def test_late_sound_ends_plays_that_promised_none_and_the_next_one_has_it() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(VIDEO)
    encoder.run(10_000, audio=False)
    viewer = await stage.viewer(kinds_fixed=True)
    encoder.announce(AUDIO)
    encoder.run(100)
    assert viewer.closed == "ended"
    assert shape(viewer.text).endswith("[end]")
    assert "a" not in shape(viewer.text).split("]")[1]
    again = await stage.viewer(kinds_fixed=True)
    encoder.run(100)
    assert shape(again.text).startswith("[start va]K")


async def test_late_sound_is_added_where_the_format_can() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(VIDEO)
    encoder.run(10_000, audio=False)
    viewer = await stage.viewer()
    encoder.announce(AUDIO)
    encoder.run(100)
    assert viewer.closed is None
    assert "[tracks a]" in shape(viewer.text)


async def test_sound_that_ceases_ends_plays_that_promised_it() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer(kinds_fixed=True)
    encoder.run(7_000, audio=False)
    assert viewer.closed == "ended"
    again = await stage.viewer(kinds_fixed=True)
    assert shape(again.text).startswith("[start v]K")


async def test_changed_configuration_is_written_before_its_first_frame() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer(kinds_fixed=True)
    viewer.take()
    encoder.run(20, tick=False)
    encoder.video = replace(VIDEO, config=b"avcC-2", width=640)
    encoder.announce()
    encoder.picture(key=True)
    stage.timers.fire()
    assert re.fullmatch(r"[av]+(\[tracks v\])K", shape(viewer.text))
    assert viewer.closed is None


async def test_newcomer_after_a_changed_configuration_starts_with_the_new_one_only() -> None:
    stage, encoder = await on_air()
    wire = ReadableWire()
    watching = await stage.viewer(wire=wire)
    encoder.run(500)
    encoder.video = replace(VIDEO, config=b"avcC-2", width=640)
    encoder.picture(key=True)
    encoder.run(200)
    newcomer = await stage.viewer(wire=wire)
    assert times(newcomer.text)[0] > times(watching.text)[0]
    assert "[tracks" not in newcomer.text


async def test_changed_sound_in_mid_group_makes_newcomers_wait_and_nobody_else() -> None:
    stage, encoder = await on_air(2_200)
    watching = await stage.viewer()
    encoder.audio = replace(AUDIO, config=b"\x12\x10", channel_count=1)
    encoder.announce()
    encoder.run(200)
    assert "[tracks a]" in watching.text
    newcomer = await stage.viewer()
    assert newcomer.text == ""
    encoder.run(2_000)
    assert shape(newcomer.text).startswith("[start va]K")


# --- pauses, ends ---


async def test_viewers_wait_while_the_encoder_is_away_and_go_on_with_it() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer(kinds_fixed=True)
    encoder.publication.close("peer_eof")
    stage.seconds(20)
    viewer.take()
    again = await stage.encoder()
    again.announce()
    again.run(1_000)
    assert viewer.closed is None
    assert shape(viewer.text).startswith("K")
    assert "[tracks" not in viewer.text
    assert times(viewer.text)[0] >= 20_000


async def test_replaced_encoder_with_another_configuration_keeps_its_viewers() -> None:
    stage, _ = await on_air()
    viewer = await stage.viewer(kinds_fixed=True)
    viewer.take()
    other = await stage.encoder()
    other.video = replace(VIDEO, config=b"other", width=1920)
    other.announce()
    other.run(1_000)
    assert viewer.closed is None
    assert shape(viewer.text).startswith("[tracks v]K")
    assert times(viewer.text) == sorted(times(viewer.text))


async def test_replacement_without_sound_ends_plays_only_after_it_had_time_to_send_some() -> None:
    stage, _ = await on_air()
    viewer = await stage.viewer(kinds_fixed=True)
    other = await stage.encoder()
    other.announce(VIDEO)
    other.run(1_400, audio=False)
    assert viewer.closed is None
    other.run(400, audio=False)
    assert viewer.closed == "ended"


async def test_newcomer_is_shown_the_last_pictures_of_a_paused_programme() -> None:
    stage, encoder = await on_air()
    encoder.publication.close("peer_eof")
    stage.seconds(10)
    viewer = await stage.viewer()
    assert shape(viewer.text).startswith("[start va]K")


async def test_end_of_the_programme_is_written_and_closes_everyone() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer()
    waiting = await stage.viewer(from_next_key=True)
    encoder.publication.close("unpublish")
    stage.seconds(46)
    assert viewer.closed == waiting.closed == "ended"
    assert viewer.text.endswith("[end]")
    assert stage.fanout._streams == {}


async def test_frames_of_the_last_tick_are_not_lost_at_a_pause() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer()
    viewer.take()
    encoder.run(60, tick=False)
    encoder.publication.close("unpublish")
    assert viewer.writes != []
    assert stage.timers.armed == []


async def test_shutdown_ends_every_play_and_admits_nobody() -> None:
    stage, _ = await on_air()
    viewer = await stage.viewer()
    stage.fanout.close()
    stage.fanout.close()
    assert viewer.closed == "ended"
    with pytest.raises(UnavailableError):
        await stage.viewer()


async def test_stream_that_nobody_watches_costs_no_timer_and_no_serialising() -> None:
    stage, encoder = await on_air()
    wire = ReadableWire()
    viewer = PaperViewer()
    playback = await stage.fanout.play(PlayRequest(room="demo"), wire, viewer)
    encoder.run(60, tick=False)
    playback.close()
    playback.close()
    built = wire.built
    assert stage.timers.armed == []
    encoder.run(1_000)
    assert wire.built == built
    assert stage.timers.armed == []
    assert stage.fanout.viewers("demo") == 0


async def test_viewer_whose_connection_fails_does_not_cost_the_others_a_frame() -> None:
    stage, encoder = await on_air()

    class Broken(PaperViewer):
        def write(self, data: bytes) -> None:
            if self.writes:
                raise RuntimeError("handle is closed")
            super().write(data)

    wire = ReadableWire()
    before = await stage.viewer(wire=wire)
    broken = Broken()
    await stage.fanout.play(PlayRequest(room="demo"), wire, broken)
    after = await stage.viewer(wire=wire)
    encoder.run(1_000)
    assert broken.closed == "failed"
    assert times(before.text)[-20:] == times(after.text)[-20:]
    assert stage.fanout.viewers("demo") == 2


# --- slow viewers ---


def slow(encoder: PaperEncoder, viewer: PaperViewer, *, backlog: int, ms: int) -> None:
    """The stream runs on while `viewer` has so much unread."""
    viewer.backlog = backlog
    encoder.run(ms)


class HeavyWire(ReadableWire):
    """The same, and as heavy as the payloads."""

    def frames(self, frames: Sequence[EncodedFrame], *, origin_ms: int) -> bytes:
        return super().frames(frames, origin_ms=origin_ms) + b" " * sum(len(frame.payload) for frame in frames)


FAT = b"p" * 20_000  # 25 of them a second: 4 Mb/s, so 2.5 s are 1.25 MB


async def fat_stream() -> tuple[Stage, PaperEncoder, PaperViewer, PaperViewer]:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.payload = FAT
    encoder.announce()
    encoder.run(4_000)
    wire = HeavyWire()
    quick, sluggish = await stage.viewer(wire=wire), await stage.viewer(wire=wire)
    encoder.run(12_000)
    quick.take()
    sluggish.take()
    return stage, encoder, quick, sluggish


async def test_viewer_two_seconds_behind_is_left_alone() -> None:
    _, encoder, quick, sluggish = await fat_stream()
    slow(encoder, sluggish, backlog=1_000_000, ms=3_000)
    assert sluggish.writes == quick.writes


async def test_viewer_three_seconds_behind_goes_on_at_a_key_frame_once_it_has_caught_up() -> None:
    stage, encoder, quick, sluggish = await fat_stream()
    slow(encoder, sluggish, backlog=1_600_000, ms=3_000)
    skipped = len(sluggish.writes)
    assert 0 < skipped < 20
    assert sluggish.closed is None
    slow(encoder, sluggish, backlog=0, ms=100)
    sluggish.take()
    slow(encoder, sluggish, backlog=0, ms=2_000)
    assert shape(sluggish.text).startswith("K")
    assert "[start" not in sluggish.text
    tally = stage.fanout._tallies["readable"]
    assert (tally.skips, tally.drops) == (1, {})
    assert quick.closed is None


async def test_skipped_viewer_is_told_of_a_configuration_that_changed_meanwhile() -> None:
    _, encoder, _, sluggish = await fat_stream()
    slow(encoder, sluggish, backlog=1_600_000, ms=1_000)
    encoder.video = replace(VIDEO, config=b"avcC-2", width=640)
    encoder.picture(key=True)
    slow(encoder, sluggish, backlog=1_600_000, ms=200)
    sluggish.take()
    slow(encoder, sluggish, backlog=0, ms=2_100)
    assert shape(sluggish.text.replace(" ", "")).startswith("[tracksva]")


async def test_viewer_that_takes_nothing_for_ten_seconds_is_dropped() -> None:
    stage, encoder, quick, sluggish = await fat_stream()
    slow(encoder, sluggish, backlog=1_600_000, ms=10_000)
    assert sluggish.closed is None
    slow(encoder, sluggish, backlog=1_600_000, ms=1_000)
    assert sluggish.closed == "slow"
    assert stage.fanout.viewers("demo") == 1
    assert quick.closed is None
    assert stage.fanout._tallies["readable"].drops == {"slow": 1}


async def test_viewer_above_the_hard_limit_is_dropped_at_once() -> None:
    _, encoder, _, sluggish = await fat_stream()
    slow(encoder, sluggish, backlog=40_000_000, ms=600)
    assert sluggish.closed == "slow"


async def test_first_burst_is_not_held_against_a_newcomer() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.gop = 250
    encoder.payload = FAT
    encoder.announce()
    encoder.run(9_500)
    wire = HeavyWire()
    newcomer = await stage.viewer(wire=wire)
    burst = sum(map(len, newcomer.writes))
    assert burst > 4_500_000
    newcomer.take()
    for left in range(20):
        slow(encoder, newcomer, backlog=burst * (19 - left) // 20, ms=400)
    assert newcomer.closed is None
    assert stage.fanout._tallies["readable"].skips == 0


async def test_thin_streams_have_a_floor_below_which_nobody_is_slow() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer()
    slow(encoder, viewer, backlog=250_000, ms=12_000)
    assert viewer.closed is None
    assert stage.fanout._tallies["readable"].skips == 0


async def test_times_on_the_wire_never_go_back_for_a_kind_across_republishes() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer()
    for _ in range(5):
        encoder.run(1_300)
        encoder = await stage.encoder()
        encoder.announce()
    for kinds in ("Kv", "a"):
        seen = [int(ms) for ms in re.findall(rf"[{kinds}](-?\d+)", viewer.text.split("]", 1)[1])]
        assert seen == sorted(set(seen))
        assert seen[0] >= 0


async def test_frame_without_a_payload_harms_nobody() -> None:
    stage, encoder = await on_air()
    viewer = await stage.viewer()
    encoder.publication.push(EncodedFrame(AUDIO, encoder.packets * 1_024, 0, True, b""))
    encoder.run(100)
    assert viewer.closed is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["run", "run", "run", "join", "join_late", "leave", "stall", "recover", "replace", "revise"]),
        st.integers(0, 6),
    ),
    min_size=15,
    max_size=60,
)


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_any_crowd_sees_whole_runs_from_key_frames_in_order_and_nothing_twice(
    steps: list[tuple[str, int]],
) -> None:
    asyncio.run(_crowd(steps))


async def _crowd(steps: list[tuple[str, int]]) -> None:
    stage = Stage(audience=AudienceSettings(skip_floor_bytes=1_000, skip_ms=1, stuck_ms=3_000))
    encoder = await stage.encoder()
    encoder.gop = 10
    encoder.announce()
    encoder.run(500)
    wires, seats = (ReadableWire("flv"), ReadableWire("rtmp")), list[tuple[PaperViewer, Playback]]()
    aired = stage.sinks[0].frames
    for what, number in steps:
        match what:
            case "run":
                encoder.run(20 + number * 260, tick=number % 2 == 0)
            case "join" | "join_late":
                viewer = PaperViewer()
                request = PlayRequest(room="demo", from_next_key=what == "join_late")
                seats.append((viewer, await stage.fanout.play(request, wires[number % 2], viewer)))
            case "leave" if seats:
                seats[number % len(seats)][1].close()
            case "stall" | "recover" if seats:
                seats[number % len(seats)][0].backlog = 50_000 if what == "stall" else 0
            case "replace":
                encoder.publication.close("peer_eof")
                encoder = await stage.encoder()
                encoder.gop = 10
                encoder.announce()
            case "revise":
                encoder.video = replace(VIDEO, config=b"avcC-%d" % number)
                encoder.pictures = -(-encoder.pictures // encoder.gop) * encoder.gop
                encoder.elapsed_ms = encoder.pictures * 40
                encoder.packets = encoder.elapsed_ms * 48 // 1_024
                encoder.announce()
    stage.timers.fire()
    origin_ms = stage.stream().origin_ms
    on_air = [f"{letter(f)}{f.dts * 1_000 // f.track.timescale_hz - origin_ms}" for f in aired]
    for viewer, _ in seats:
        _check_view(viewer.text, on_air)


def _check_view(text: str, on_air: list[str]) -> None:
    """Starts once, then runs of what was on air, each from a key frame unless it follows the one before."""
    assert text == "" or text.startswith("[start ")
    assert text.count("[start ") <= 1
    seen = re.findall(r"[Kva]\d+", re.sub(r"\[[^]]*\]", "", text))
    at = -1
    for frame in seen:
        place = on_air.index(frame, at + 1)
        assert (place == at + 1 and at >= 0) or frame[0] == "K", frame
        at = place

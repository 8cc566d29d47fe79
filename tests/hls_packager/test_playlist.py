from __future__ import annotations

from collections.abc import Sequence

import pytest

from hls_packager.model import Epoch
from hls_packager.playlist import MediaPlaylist, Report, Variant, date_time, multivariant
from tests.support.hls_media import START_MS
from tests.support.hls_reader import StrictReader, parse

EPOCH = Epoch(target_duration_s=2, part_target_ms=501, part_us=500_000)


def new_playlist(*, window_segments: int = 10, epoch: Epoch = EPOCH) -> MediaPlaylist:
    return MediaPlaylist(epoch=epoch, first_msn=100, discontinuity_sequence=7, window_segments=window_segments)


def fill(
    playlist: MediaPlaylist,
    segments: int,
    *,
    parts: int = 4,
    init: str = "init-1.mp4",
    discontinuity_first: bool = False,
    independent: bool = True,
) -> None:
    for index in range(segments):
        playlist.open_segment(
            init_uri=init,
            discontinuity=discontinuity_first and index == 0,
            utc_ms=START_MS + 2_000 * (playlist.next_msn - 100),
            independent=independent,
        )
        for part in range(parts):
            playlist.add_part(duration_us=500_000, independent=part == 0 and independent)
        playlist.close_segment()


def open_with(playlist: MediaPlaylist, parts: int) -> None:
    playlist.open_segment(init_uri="init-1.mp4", discontinuity=False, utc_ms=START_MS, independent=True)
    for part in range(parts):
        playlist.add_part(duration_us=500_000, independent=part == 0)


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_a_whole_playlist_letter_by_letter() -> None:
    playlist = new_playlist()
    fill(playlist, 1, parts=2)
    open_with(playlist, 1)
    assert playlist.render() == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:9\n"
        "#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.503,CAN-SKIP-UNTIL=12.000,HOLD-BACK=6.000\n"
        "#EXT-X-PART-INF:PART-TARGET=0.501\n"
        "#EXT-X-MEDIA-SEQUENCE:100\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:7\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MAP:URI="init-1.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:00:00.000Z\n"
        '#EXT-X-PART:DURATION=0.500000,URI="part-100.0.m4s",INDEPENDENT=YES\n'
        '#EXT-X-PART:DURATION=0.500000,URI="part-100.1.m4s"\n'
        "#EXTINF:1.000000,\n"
        "seg-100.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:00:00.000Z\n"
        '#EXT-X-PART:DURATION=0.500000,URI="part-101.0.m4s",INDEPENDENT=YES\n'
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="part-101.1.m4s"\n'
    )


def test_parts_are_listed_for_three_target_durations() -> None:
    playlist = new_playlist()
    fill(playlist, 8)
    with_parts = [segment.msn for segment in parse(playlist.render()).segments if segment.parts_listed]
    assert with_parts == [105, 106, 107]
    open_with(playlist, 1)
    with_parts = [segment.msn for segment in parse(playlist.render()).segments if segment.parts_listed]
    assert with_parts == [105, 106, 107, 108]
    playlist.add_part(duration_us=500_000, independent=False)
    StrictReader().read(playlist.render())


def test_the_window_slides_at_the_front() -> None:
    playlist = new_playlist()
    fill(playlist, 25)
    listed = parse(playlist.render())
    assert listed.media_sequence == 115
    assert len(listed.segments) == 10


def test_short_segments_are_kept_until_a_delta_update_has_something_to_skip() -> None:
    playlist = new_playlist(window_segments=4)
    fill(playlist, 40, parts=1)
    assert sum(segment.length for segment in parse(playlist.render()).segments) >= 18


def test_a_delta_update_skips_what_is_older_than_the_boundary_from_the_end() -> None:
    playlist = new_playlist()
    fill(playlist, 10)
    open_with(playlist, 2)
    full, delta = parse(playlist.render()), parse(playlist.render(skip=True))
    assert full.skipped == 0
    assert delta.skipped == 4  # 21 s listed; 12 s from the end is 9 s from the start
    assert [segment.msn for segment in delta.segments] == [segment.msn for segment in full.segments[4:]]
    assert delta.segments[0].map_uri == "init-1.mp4"
    assert delta.media_sequence == full.media_sequence
    assert delta.discontinuity_sequence == full.discontinuity_sequence


def test_a_short_playlist_is_never_a_delta_update() -> None:
    playlist = new_playlist()
    fill(playlist, 6)
    assert playlist.render(skip=True) == playlist.render()
    fill(playlist, 1)
    assert parse(playlist.render(skip=True)).skipped == 1


def test_a_changed_configuration_gets_its_map_behind_a_discontinuity() -> None:
    playlist = new_playlist()
    fill(playlist, 2)
    fill(playlist, 2, init="init-2.mp4", discontinuity_first=True)
    listed = parse(playlist.render())
    assert [(s.map_uri, s.discontinuity_sequence) for s in listed.segments] == [
        ("init-1.mp4", 7),
        ("init-1.mp4", 7),
        ("init-2.mp4", 8),
        ("init-2.mp4", 8),
    ]
    assert len(lines(playlist.render(), "#EXT-X-MAP")) == 2


def test_discontinuities_that_leave_the_window_are_counted() -> None:
    playlist = new_playlist()
    fill(playlist, 2)
    fill(playlist, 1, discontinuity_first=True)
    reader = StrictReader()
    for _ in range(20):
        fill(playlist, 1)
        reader.read(playlist.render())
    assert playlist.discontinuity_sequence == 8
    assert lines(playlist.render(), "#EXT-X-DISCONTINUITY\n") == []


def test_the_first_listed_segment_says_its_map_and_keeps_its_discontinuity() -> None:
    playlist = new_playlist()
    fill(playlist, 1)
    fill(playlist, 10, discontinuity_first=True)
    text = playlist.render()
    listed = parse(text)
    assert listed.media_sequence == 101
    assert listed.discontinuity_sequence == 7
    assert listed.segments[0].discontinuity_sequence == 8
    assert len(lines(text, "#EXT-X-MAP")) == 1


def test_a_segment_without_parts_is_forgotten_and_its_number_used_again() -> None:
    playlist = new_playlist()
    fill(playlist, 1)
    playlist.open_segment(init_uri="init-1.mp4", discontinuity=True, utc_ms=START_MS, independent=True)
    playlist.close_segment()
    fill(playlist, 1)
    segments = parse(playlist.render()).segments
    assert [segment.msn for segment in segments] == [100, 101]
    assert segments[1].discontinuity_sequence == 8


def test_independent_segments_is_said_only_while_it_is_true() -> None:
    playlist = new_playlist(window_segments=4)
    fill(playlist, 1)
    assert parse(playlist.render()).independent_segments
    fill(playlist, 1, independent=False)
    assert not parse(playlist.render()).independent_segments
    fill(playlist, 12)
    assert parse(playlist.render()).independent_segments


def test_an_open_first_segment_is_preceded_by_a_gap_until_one_is_complete() -> None:
    playlist = new_playlist()
    open_with(playlist, 3)
    playlist.lead_in()
    listed = parse(playlist.render())
    assert [(segment.msn, segment.gap) for segment in listed.segments] == [(99, True), (100, False)]
    assert [(part.gap, part.duration) for part in listed.segments[0].parts] == [(True, listed.segments[0].length)]
    playlist.close_segment()
    playlist.lead_in()
    listed = parse(playlist.render())
    assert [(segment.msn, segment.gap) for segment in listed.segments] == [(100, False)]


def test_queries_are_carried_to_every_address() -> None:
    playlist = new_playlist()
    fill(playlist, 1, parts=1)
    open_with(playlist, 1)
    report = Report(uri="../audio/media.m3u8", last_msn=100, last_part=0)
    text = playlist.render(query="?token=a%20b&x=1", reports=[report])
    addresses = [line for line in text.splitlines() if "m4s" in line or "mp4" in line or "m3u8" in line]
    assert len(addresses) == 6
    assert all("?token=a%20b&x=1" in address for address in addresses)
    assert playlist.render().count("?") == 0


def test_other_renditions_are_reported() -> None:
    playlist = new_playlist()
    fill(playlist, 1)
    reports = [Report(uri="../audio/media.m3u8", last_msn=104, last_part=2)]
    assert parse(playlist.render(reports=reports)).reports == [
        {"URI": "../audio/media.m3u8", "LAST-MSN": "104", "LAST-PART": "2"}
    ]


def test_an_ended_programme_lists_segments_and_nothing_else() -> None:
    playlist = new_playlist()
    fill(playlist, 9)
    playlist.ended = True
    for skip in (False, True):
        listed = parse(playlist.render(skip=skip))
        assert listed.ended
        assert listed.skipped == 0
        assert listed.hint is None
        assert not any(segment.parts_listed for segment in listed.segments)


@pytest.mark.parametrize(
    ("msn", "part", "held"),
    [
        (99, None, True),
        (101, None, True),
        (102, None, False),
        (101, 9, True),  # beyond the last part of a complete segment: the first of the next
        (102, 1, True),
        (102, 2, False),
        (103, 0, False),
    ],
)
def test_what_a_blocking_request_can_be_answered_with(msn: int, part: int | None, held: bool) -> None:
    playlist = new_playlist()
    fill(playlist, 2)
    open_with(playlist, 2)
    assert playlist.holds(msn, part) is held


def test_a_part_beyond_the_last_segment_waits_for_the_next_one() -> None:
    playlist = new_playlist()
    fill(playlist, 2)
    assert playlist.holds(101, 3)
    assert not playlist.holds(101, 4)
    open_with(playlist, 1)
    assert playlist.holds(101, 4)


def test_nothing_is_held_before_the_first_part() -> None:
    playlist = new_playlist()
    assert (playlist.last_msn, playlist.last_part, playlist.newest_complete, playlist.hint) == (99, -1, 99, (100, 0))
    assert not playlist.holds(100, 0)


def variants(*renditions: str) -> Sequence[Variant]:
    return [
        Variant(
            uri=f"{name}/media.m3u8",
            bandwidth_bps=2_200_000,
            average_bandwidth_bps=2_000_000,
            codecs="avc1.640028,mp4a.40.2",
            width=1920,
            height=1080,
            frame_rate=30_000 / 1_001,
        )
        for name in renditions
    ]


def test_the_multivariant_playlist_says_what_a_player_chooses_by() -> None:
    assert multivariant(variants("source"), query="?t=1") == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:9\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=2200000,AVERAGE-BANDWIDTH=2000000,CODECS="avc1.640028,mp4a.40.2",'
        "RESOLUTION=1920x1080,FRAME-RATE=29.970,VIDEO-RANGE=SDR\n"
        "source/media.m3u8?t=1\n"
    )


def test_sound_alone_has_no_resolution() -> None:
    sound = Variant(uri="audio/media.m3u8", bandwidth_bps=100_000, average_bandwidth_bps=90_000, codecs="mp4a.40.2")
    text = multivariant([*variants("source"), sound])
    assert "RESOLUTION" not in text.splitlines()[-2]
    assert len(lines(text, "#EXT-X-STREAM-INF")) == 2


def test_date_times_carry_milliseconds() -> None:
    assert date_time(1_800_000_000_007) == "2027-01-15T08:00:00.007Z"

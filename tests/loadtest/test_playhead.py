"""A viewer stands still while media is missing, and is as far behind ever after."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from loadtest.hls_crowd import Crowd, Viewer
from loadtest.hls_playlist import read_edge
from loadtest.playhead import Playhead


def test_parts_in_time_are_played_without_a_stall() -> None:
    head = Playhead(100.0, enough_s=100.5)
    for index in range(10):
        head.take(100 + index / 2, 100.5 + index / 2, now_s=101.5 + index / 2)
    assert (head.stalls, head.stalled_s) == (0, 0.0)
    assert head.latency_s == pytest.approx(1.5)
    assert head.buffered_s(106.0) == pytest.approx(0.5)


def test_a_part_that_comes_too_late_is_a_stall_and_stays_as_latency() -> None:
    head = Playhead(100.0, enough_s=100.5)
    head.take(100, 100.5, now_s=101.5)
    head.take(100.5, 101.0, now_s=102.75)  # played to its end at 102.0
    head.take(101.0, 101.5, now_s=102.8)
    assert (head.stalls, head.stalled_s) == (1, pytest.approx(0.75))
    assert head.latency_s == pytest.approx(2.25)


def test_parts_before_the_first_moment_are_fetched_and_not_seen() -> None:
    head = Playhead(100.7, enough_s=101.0)
    head.take(100.0, 100.5, now_s=102.0)
    assert head.latency_s is None
    head.take(100.5, 101.0, now_s=102.1)
    assert head.latency_s == pytest.approx(1.4)


def test_it_does_not_begin_before_it_has_what_was_there_when_it_came() -> None:
    head = Playhead(100.0, enough_s=101.5)
    for index in range(3):
        assert head.latency_s is None
        head.take(100 + index / 2, 100.5 + index / 2, now_s=102.0 + index / 10)
    assert head.latency_s == pytest.approx(2.2)


def test_it_cannot_begin_before_the_first_part_there_is() -> None:
    head = Playhead(98.0, enough_s=100.5)
    head.take(100.0, 100.5, now_s=101.0)
    assert head.latency_s == pytest.approx(1.0)


def test_a_wait_that_lasts_until_the_end_counts() -> None:
    head = Playhead(100.0, enough_s=101)
    head.finish(now_s=500.0)
    assert head.stalls == 0
    head.take(100, 101, now_s=101)
    head.finish(now_s=105)
    assert (head.stalls, head.stalled_s) == (1, pytest.approx(3.0))


def test_a_player_begins_with_an_independent_part_no_nearer_than_the_hold_back() -> None:
    edge = read_edge(
        "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-MEDIA-SEQUENCE:7\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T12:00:00.000Z\n"
        '#EXT-X-PART:DURATION=1.0,URI="a",INDEPENDENT=YES\n#EXT-X-PART:DURATION=1.0,URI="b"\n#EXTINF:2.0,\nseg-7.m4s\n'
        '#EXT-X-PART:DURATION=1.0,URI="c",INDEPENDENT=YES\n'
    )
    assert edge.hold_back_s == 1.5
    assert edge.first_to_play().uri == "a"
    assert [part.uri for part in edge.after(edge.first_to_play().place)] == ["b", "c"]
    assert edge.ask_next == (8, 1)


PLAYLIST = (
    "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-MEDIA-SEQUENCE:7\n"
    '#EXT-X-PROGRAM-DATE-TIME:2026-11-20T12:00:00.000Z\n#EXT-X-PART:DURATION=1.0,URI="a",INDEPENDENT=YES\n'
)
LATER = PLAYLIST + '#EXT-X-PART:DURATION=1.0,URI="b"\n'


@pytest.fixture
def watching() -> Iterator[tuple[Crowd, Viewer, socket.socket]]:
    """A viewer who has asked for the second part, and the server's end of the connection."""
    crowd = Crowd("http://127.0.0.1/live/demo/source/media.m3u8", media=False)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        viewer = Viewer(ours, crowd, read_edge(PLAYLIST))
        assert b"_HLS_msn=7&_HLS_part=1" in theirs.recv(65_536)
        yield crowd, viewer, theirs


def answered(viewer: Viewer, theirs: socket.socket, playlist: str) -> bytes:
    """What the viewer asks next."""
    body = playlist.encode()
    theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    viewer.read(memoryview(bytearray(65_536)), 2.0)
    assert viewer.ended == ""
    return theirs.recv(65_536)


def test_an_answer_that_was_on_its_way_when_counting_began_is_followed_and_not_counted(
    watching: tuple[Crowd, Viewer, socket.socket],
) -> None:
    """Found by a soak, in its 36th minute."""
    crowd, viewer, theirs = watching
    crowd.edge((7, 1), b"HTTP/1.1 200 OK", LATER.encode(), 1.0)
    crowd.moments.clear()
    assert b"_HLS_msn=7&_HLS_part=2" in answered(viewer, theirs, LATER)
    assert crowd.moments == {}


def test_a_server_that_let_go_before_the_part_came_is_asked_again_and_then_believed(
    watching: tuple[Crowd, Viewer, socket.socket],
) -> None:
    """Found by a soak, in its 21st minute: a crowd that kept the first answer asked for it 14 000 times a second."""
    crowd, viewer, theirs = watching
    assert b"_HLS_msn=7&_HLS_part=1" in answered(viewer, theirs, PLAYLIST)
    assert crowd.moments == {}
    assert b"_HLS_msn=7&_HLS_part=2" in answered(viewer, theirs, LATER)
    assert crowd.moments[7, 1].count == 1

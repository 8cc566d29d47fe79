"""FLV as it goes over HTTP and over WebSockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.delivery.flv_wire import HTTP_FLV, HTTP_FLV_PLAIN, WS_FLV
from streamd.media.frames import EncodedFrame
from tests.live.stage import AUDIO, VIDEO
from tests.support.coded import messages

ORIGIN_MS = 1_800_000_000_000


def frame(at_ms: int, payload: bytes = b"payload", *, key: bool = False) -> EncodedFrame:
    return EncodedFrame(VIDEO, (ORIGIN_MS + at_ms) * 90, 0, key, payload)


def sound(at_ms: int) -> EncodedFrame:
    return EncodedFrame(AUDIO, (ORIGIN_MS + at_ms) * 48, 0, True, b"sound")


def unchunked(data: bytes) -> bytes:
    """The body of a sequence of HTTP chunks."""
    body = b""
    while data:
        size_text, _, rest = data.partition(b"\r\n")
        size = int(size_text, 16)
        assert rest[size : size + 2] == b"\r\n"
        body += rest[:size]
        data = rest[size + 2 :]
    return body


def unwrapped(data: bytes) -> bytes:
    """The payload of a sequence of unmasked, whole binary messages."""
    body = b""
    while data:
        assert data[0] == 0x82
        size, at = data[1], 2
        assert not size & 0x80, "a server does not mask"
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
            assert size >= (126 if at == 4 else 65_536), "RFC 6455 5.2: the shortest form"
        body += data[at : at + size]
        data = data[at + size :]
    return body


def test_start_is_header_metadata_and_sequence_headers_in_one_piece() -> None:
    data = HTTP_FLV_PLAIN.start((VIDEO, AUDIO), origin_ms=ORIGIN_MS, at_ms=ORIGIN_MS + 7_000)
    assert data[:13] == b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
    script, video, audio = messages(data)
    assert (script.kind, video.kind, audio.kind) == (18, 9, 8)
    assert (video.timestamp_ms, audio.timestamp_ms) == (7_000, 7_000)
    assert video.body == b"\x17\x00\x00\x00\x00avcC-1"
    assert audio.body == b"\xaf\x00\x11\x90"


@pytest.mark.parametrize(
    ("tracks", "flags", "has_video", "has_audio"),
    [((VIDEO,), 1, True, False), ((AUDIO,), 4, False, True), ((VIDEO, AUDIO), 5, True, True)],
)
def test_flags_and_metadata_name_the_tracks_there_are_and_no_others(
    tracks: tuple[object, ...], flags: int, has_video: bool, has_audio: bool
) -> None:
    data = HTTP_FLV_PLAIN.start(tracks, origin_ms=0, at_ms=0)  # type: ignore[arg-type]
    assert data[4] == flags
    assert b"\x00\x08hasVideo\x01" + bytes([has_video]) in data
    assert b"\x00\x08hasAudio\x01" + bytes([has_audio]) in data


def test_metadata_is_at_time_zero_because_ffmpeg_takes_a_later_one_for_subtitles() -> None:
    data = HTTP_FLV_PLAIN.start((VIDEO, AUDIO), origin_ms=ORIGIN_MS, at_ms=ORIGIN_MS + 7_000)
    script, *_ = messages(data)
    assert (script.kind, script.timestamp_ms) == (18, 0)


def test_frames_become_tags_in_order_with_times_since_the_origin() -> None:
    header = HTTP_FLV_PLAIN.start((VIDEO, AUDIO), origin_ms=ORIGIN_MS, at_ms=ORIGIN_MS)
    data = HTTP_FLV_PLAIN.frames([frame(40, key=True), sound(41), frame(80)], origin_ms=ORIGIN_MS)
    tags = list(messages(header + data))[3:]
    assert [(tag.kind, tag.timestamp_ms) for tag in tags] == [(9, 40), (8, 41), (9, 80)]
    assert tags[0].body == b"\x17\x01\x00\x00\x00payload"
    assert tags[1].body == b"\xaf\x01sound"
    assert tags[2].body == b"\x27\x01\x00\x00\x00payload"


def test_time_before_the_origin_is_the_origin() -> None:
    header = HTTP_FLV_PLAIN.start((VIDEO,), origin_ms=ORIGIN_MS, at_ms=ORIGIN_MS - 5)
    data = HTTP_FLV_PLAIN.frames([frame(-20, key=True)], origin_ms=ORIGIN_MS)
    assert {tag.timestamp_ms for tag in messages(header + data)} == {0}


def test_times_beyond_24_bits_use_the_extension() -> None:
    header = HTTP_FLV_PLAIN.start((VIDEO,), origin_ms=ORIGIN_MS, at_ms=ORIGIN_MS)
    month_ms = 30 * 86_400_000
    data = HTTP_FLV_PLAIN.frames([frame(month_ms)], origin_ms=ORIGIN_MS)
    assert list(messages(header + data))[-1].timestamp_ms == month_ms


def test_changed_configuration_is_sequence_headers_alone() -> None:
    data = HTTP_FLV_PLAIN.tracks((AUDIO,), origin_ms=ORIGIN_MS, at_ms=ORIGIN_MS + 50)
    assert data[0] == 8
    assert data[11:-4] == b"\xaf\x00\x11\x90"


@given(sizes=st.lists(st.integers(0, 70_000), min_size=1, max_size=4))
def test_framings_carry_the_same_flv(sizes: list[int]) -> None:
    frames = [frame(40 * n, bytes(size)) for n, size in enumerate(sizes)]
    plain = HTTP_FLV_PLAIN.frames(frames, origin_ms=ORIGIN_MS)
    assert unchunked(HTTP_FLV.frames(frames, origin_ms=ORIGIN_MS)) == plain
    assert unwrapped(WS_FLV.frames(frames, origin_ms=ORIGIN_MS)) == plain
    joined = b"".join(WS_FLV.frames([each], origin_ms=ORIGIN_MS) for each in frames)
    assert unwrapped(joined) == plain


@pytest.mark.parametrize("size", [0, 109, 110, 111, 65_519, 65_520, 65_521])
def test_websocket_lengths_are_in_their_shortest_form(size: int) -> None:
    """A video tag is 20 bytes longer than its payload: the limits 125 and 65 535 lie among these."""
    data = WS_FLV.frames([frame(0, bytes(size))], origin_ms=ORIGIN_MS)
    assert len(unwrapped(data)) == size + 20


def test_end_is_left_to_the_connection() -> None:
    assert HTTP_FLV.finish() == HTTP_FLV_PLAIN.finish() == WS_FLV.finish() == b""

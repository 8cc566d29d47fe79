"""From RTP to frames: real streams of ffmpeg and of our own packetizers, whole, torn and hostile."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.live.timeline import TimelineRepair
from streamd.media import h264, hevc
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Codec, VideoTrack
from streamd.whip.incoming import IncomingLimits, IncomingTrack
from streamd.whip.rtp import PayloadFormat, parse
from streamd.whip.timeline import Timeline
from tests.support import coded, rtp
from tests.support.hls_media import real_frames
from tests.whip.replay import MS, Replay, format_of, replay, track_of

PICTURES = 60


@cache
def caught(codec: Codec, *options: str) -> tuple[bytes, ...]:
    """Two seconds by ffmpeg at 640x360, 2 Mb/s, a key frame each second; or two seconds of a tone."""
    if codec is Codec.OPUS:
        source = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "2", "-c:a", "libopus"]
    else:
        encoder = {Codec.H264: "libx264", Codec.HEVC: "libx265"}[codec]
        source = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30", "-t", "2", "-c:v", encoder, "-bf", "0"]
        source += ["-preset", "ultrafast", "-b:v", "2M", "-g", "30", "-pix_fmt", "yuv420p"]
        source += ["-x265-params", "log-level=none"] if codec is Codec.HEVC else ["-x264-params", "slices=3"]
    return tuple(each for each in rtp.caught_from_ffmpeg([*source, *options]) if not rtp.is_rtcp(each))


def form(codec: Codec, **fmtp: str) -> PayloadFormat:
    return format_of(codec, payload_type=97 if codec is Codec.OPUS else 96, **fmtp)


@cache
def whole(codec: Codec) -> Replay:
    return replay(track_of(form(codec)), caught(codec))


def decoded_pictures(frames: Sequence[EncodedFrame]) -> int:
    """How many pictures a decoder makes of these frames; it may complain of nothing."""
    track = frames[0].track
    assert isinstance(track, VideoTrack)
    decoder = av.CodecContext.create({Codec.H264: "h264", Codec.HEVC: "hevc"}[track.codec], "r")
    decoder.extradata = track.config
    decoder.options = {"err_detect": "explode"}
    count = 0
    for frame in frames:
        packet = av.Packet(frame.payload)
        packet.dts, packet.pts = frame.dts, frame.dts + frame.cts
        count += len(decoder.decode(packet))
    return count + len(decoder.decode(None))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
def test_stream_of_ffmpeg_comes_out_whole(codec: Codec) -> None:
    found = whole(codec)
    assert len(found.frames) == PICTURES == decoded_pictures(found.frames)
    assert [index for index, frame in enumerate(found.frames) if frame.is_sync] == [0, 30]
    assert {b.dts - a.dts for a, b in pairwise(found.frames)} == {3_000}
    (track,) = found.tracks
    assert isinstance(track, VideoTrack)
    assert (track.codec, track.width, track.height, track.nominal_fps) == (codec, 640, 360, 30.0)
    assert found.outputs[0] is track
    assert all(frame.track is track for frame in found.frames)
    assert found.key_requests() == []


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=10, deadline=None)
def test_reordered_and_doubled_packets_give_the_same_frames(codec: Codec, seed: int) -> None:
    found = replay(track_of(form(codec)), caught(codec), doubled=0.1, jitter_us=30 * MS, seed=seed)
    assert [frame.payload for frame in found.frames] == [frame.payload for frame in whole(codec).frames]


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=10, deadline=None)
def test_lost_packets_that_are_sent_again_give_the_same_frames(seed: int) -> None:
    track = track_of(form(Codec.H264))
    found = replay(track, caught(Codec.H264), lost=0.05, jitter_us=5 * MS, answers_after_us=30 * MS, seed=seed)
    got = {frame.payload for frame in found.frames}
    # What was lost at the very end is not asked for, or not often enough: no packet behind it shows the hole.
    assert got >= {frame.payload for frame in whole(Codec.H264).frames[:-8]}
    assert found.counted("rtp_packets_recovered") > 5
    assert found.counted("rtp_packets_lost") == 0


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=15, deadline=None)
def test_lost_packets_that_never_come_cost_pictures_but_never_break_one(codec: Codec, seed: int) -> None:
    limits = IncomingLimits()
    found = replay(track_of(form(codec), limits=limits), caught(codec), lost=0.01, keeps=60, seed=seed)
    order = {frame.payload: index for index, frame in enumerate(whole(codec).frames)}
    places = [order[frame.payload] for frame in found.frames]
    assert places == sorted(places)
    for before, place, frame in zip([-1, *places], places, found.frames, strict=False):
        assert place == before + 1 or frame.is_sync
    if found.frames:
        assert decoded_pictures(found.frames) == len(found.frames)


def test_opus_comes_out_packet_by_packet_and_a_loss_is_a_gap_in_time() -> None:
    packets = caught(Codec.OPUS)
    found = whole(Codec.OPUS)
    assert [frame.payload for frame in found.frames] == [packet[12:] for packet in packets]
    (track,) = found.tracks
    assert isinstance(track, AudioTrack)
    torn = replay(track_of(form(Codec.OPUS)), packets, lost=0.1, jitter_us=50 * MS, step_us=20 * MS, keeps=5)
    times = {frame.payload: frame.dts for frame in torn.frames}
    zero = torn.frames[0].dts - found.frames[0].dts
    assert 60 < len(torn.frames) < len(found.frames)
    assert all(times[frame.payload] - frame.dts == zero for frame in found.frames if frame.payload in times)


def test_parameter_sets_of_the_description_serve_a_stream_that_has_none_in_band() -> None:
    reference = whole(Codec.H264).frames[0].track
    assert isinstance(reference, VideoTrack)
    sps, pps = h264.parameter_sets(reference)
    text = ",".join(base64.b64encode(each).decode() for each in (*sps, *pps))
    packets = [each for each in caught(Codec.H264) if each[12] & 31 != 24]  # the STAP-A that holds them
    numbered = [each[:2] + (index & 0xFFFF).to_bytes(2, "big") + each[4:] for index, each in enumerate(packets)]
    found = replay(track_of(form(Codec.H264, sprop_parameter_sets=text)), numbered)
    # The first picture's beginning cannot be told from its middle: the stream starts with the next key frame.
    assert len(found.frames) == 30
    assert found.tracks == [reference]
    assert replay(track_of(form(Codec.H264, sprop_parameter_sets="!!,AAAA")), numbered).frames == []


def test_parameter_sets_of_an_hevc_description_are_read() -> None:
    reference = whole(Codec.HEVC).frames[0].track
    assert isinstance(reference, VideoTrack)
    names = ("sprop_vps", "sprop_sps", "sprop_pps")
    fmtp = {
        name: ",".join(base64.b64encode(each).decode() for each in group)
        for name, group in zip(names, hevc.parameter_sets(reference), strict=True)
    }
    pictures = [[n for n in rtp.nals_of(f.payload) if n[0] >> 1 & 63 < 32] for f in whole(Codec.HEVC).frames[:3]]
    sender = rtp.Sender()
    packets = [sender.unit([b"\x46\x01\x50", *rtp.hevc_payloads(n)], 3_000 * i) for i, n in enumerate(pictures)]
    found = replay(track_of(form(Codec.HEVC, **fmtp)), [each for unit in packets for each in unit])
    assert len(found.frames) == 3
    assert found.tracks == [reference]


@pytest.mark.parametrize("counted", [True, False])
def test_av1_comes_out_as_temporal_units(counted: bool) -> None:
    frames = [frame for frame in real_frames(coded.flv_of("libsvtav1", options=(("g", "10"),))) if frame.track.is_video]
    assert len(frames) > 20
    sender = rtp.Sender()
    packets = []
    for index, frame in enumerate(frames):
        obus = rtp.obus_of(frame.payload)
        payloads = rtp.av1_payloads(obus, most=300, counted=counted, starts=frame.is_sync)
        packets += sender.unit(payloads, 3_000 * index)
    for options in ({}, {"jitter_us": 20 * MS, "doubled": 0.2}):
        found = replay(track_of(form(Codec.AV1)), packets, **options)  # type: ignore[arg-type]
        assert [(each.payload, each.is_sync) for each in found.frames] == [
            (each.payload, each.is_sync) for each in frames
        ]
        assert found.tracks == [frames[0].track]


def test_frames_that_are_not_in_order_of_presentation_keep_their_presentation_time() -> None:
    options = (("bf", "2"), ("b_strategy", "0"))
    frames = [frame for frame in real_frames(coded.flv_of("libx264", options=options)) if frame.track.is_video]
    assert any(frame.cts for frame in frames)
    track = frames[0].track
    assert isinstance(track, VideoTrack)
    sender = rtp.Sender()
    zero = frames[0].dts
    packets = []
    for frame in frames:
        sets = h264.parameter_sets(track) if frame.is_sync else ([], [])
        nals = [*sets[0], *sets[1], *rtp.nals_of(frame.payload)]
        packets += sender.unit(rtp.h264_payloads(nals), frame.dts + frame.cts - zero)
    found = replay(track_of(form(Codec.H264)), packets, step_us=10 * MS)
    assert [each.payload for each in found.frames] == [each.payload for each in frames]
    repair = TimelineRepair()
    repair.begin(1_000_000)
    mended = [repair.repair(each, 1_000_000 + index * 33) for index, each in enumerate(found.frames)]
    kept = [each for each in mended if each is not None]
    assert len(kept) == len(frames)
    assert all(before.dts < after.dts for before, after in pairwise(kept))
    shown = [each.dts + each.cts - kept[0].dts - kept[0].cts for each in kept]
    meant = [each.dts + each.cts - frames[0].dts - frames[0].cts for each in frames]
    assert max(abs(a - b) for a, b in zip(shown, meant, strict=True)) <= 90


def key_unit(size_bytes: int = 4_000) -> list[bytes]:
    """The NAL units of a key frame whose slice is as large as wanted."""
    return [*parameter_sets(), b"\x65" + bytes((index * 7 + 1) & 255 | 1 for index in range(size_bytes))]


def parameter_sets() -> list[bytes]:
    track = whole(Codec.H264).frames[0].track
    assert isinstance(track, VideoTrack)
    sps, pps = h264.parameter_sets(track)
    return [*sps, *pps]


@pytest.mark.parametrize("jitter_us", [0, 40 * MS])
def test_key_frame_of_two_megabytes_is_taken(jitter_us: int) -> None:
    nals = key_unit(2 << 20)
    packets = rtp.Sender(sequence=65_000).unit(rtp.h264_payloads(nals), 0)
    assert len(packets) > 1_700
    found = replay(track_of(form(Codec.H264)), packets, step_us=100, jitter_us=jitter_us)
    (frame,) = found.frames
    assert frame.payload == len(nals[-1]).to_bytes(4, "big") + nals[-1]


def test_frame_without_marker_is_complete_when_the_next_one_begins() -> None:
    sender = rtp.Sender()
    packets = sender.unit(rtp.h264_payloads(key_unit()), 0, marker=False)
    assert replay(track_of(form(Codec.H264)), packets).frames == []
    packets += sender.unit([b"\x41next"], 3_000)
    assert len(replay(track_of(form(Codec.H264)), packets).frames) == 2


def test_frame_is_given_out_with_its_last_packet() -> None:
    track = track_of(form(Codec.H264))
    packets = rtp.Sender().unit(rtp.h264_payloads(key_unit()), 0)
    assert [len(track.receive(each, now_us=0)) for each in packets] == [0] * (len(packets) - 1) + [2]


def test_changed_parameter_sets_make_a_new_track_before_the_frame_that_needs_it() -> None:
    other = next(f for f in real_frames(coded.flv_of("libx264", size=(480, 272))) if f.track.is_video)
    assert isinstance(other.track, VideoTrack)
    sps, pps = h264.parameter_sets(other.track)
    sender = rtp.Sender()
    packets = sender.unit(rtp.h264_payloads(key_unit()), 0)
    packets += sender.unit(rtp.h264_payloads([*sps, *pps, b"\x65key"]), 3_000)
    packets += sender.unit(rtp.h264_payloads([*sps, *pps, b"\x65key again"]), 6_000)
    found = replay(track_of(form(Codec.H264)), packets)
    kinds = [type(each).__name__ for each in found.outputs]
    assert kinds == ["VideoTrack", "EncodedFrame", "VideoTrack", "EncodedFrame", "EncodedFrame"]
    second = found.tracks[1]
    assert isinstance(second, VideoTrack)
    assert (second.width, second.height) == (480, 272)


def test_pictures_before_the_first_key_frame_are_left_out() -> None:
    sender = rtp.Sender()
    packets = [*sender.unit([b"\x41middle"], 0), *sender.unit([b"\x41pic"], 3_000)]
    packets += sender.unit(rtp.h264_payloads(key_unit()), 6_000)
    found = replay(track_of(form(Codec.H264)), packets)
    assert [frame.is_sync for frame in found.frames] == [True]
    assert found.counted("video_before_key_frame") == 1


# --- what is sent again ---


def repeated(packet: bytes, *, payload_type: int = 97) -> bytes:
    """RFC 4588: the original sequence number in front."""
    original = parse(packet)
    assert original is not None
    return rtp.packet(
        original.sequence.to_bytes(2, "big") + original.payload,
        sequence=7,
        timestamp=original.timestamp,
        marker=original.marker,
        payload_type=payload_type,
        ssrc=999,
    )


def test_packet_sent_again_on_its_own_stream_fills_the_hole() -> None:
    track = track_of(format_of(Codec.H264, rtx=97))
    first, *rest = rtp.Sender().unit(rtp.h264_payloads(key_unit(60_000)), 0)
    lost = rest.pop(10)
    outputs = [each for packet in (first, *rest) for each in track.receive(packet, now_us=0)]
    assert outputs == []
    assert track.poll_due_us <= 10 * MS
    assert track.poll(now_us=10 * MS).nacks == [int.from_bytes(lost[2:4], "big")]
    assert track.receive(rtp.packet(b"", sequence=8, timestamp=0, payload_type=97, padding=200), now_us=0) == []
    assert len(track.receive(repeated(lost), now_us=40 * MS)) == 2


def test_key_frame_is_asked_for_at_once_after_a_loss_and_then_once_a_second() -> None:
    sender = rtp.Sender(sequence=0)
    packets = sender.unit(rtp.h264_payloads(key_unit()), 0)
    sender.sequence += 1  # lost for good
    for index in range(1, 120):
        packets += sender.unit([b"\x41pic"], 3_000 * index)
    found = replay(track_of(form(Codec.H264)), packets, step_us=33 * MS)
    requests = found.key_requests()
    # The hole's deadline is half a second; the sender never heeds.
    assert 500 * MS < requests[0] < 800 * MS
    assert len(requests) in (3, 4)
    assert all(1_000 * MS <= b - a <= 1_200 * MS for a, b in pairwise(requests))


def test_sender_that_makes_key_frames_by_itself_is_never_asked() -> None:
    sender = rtp.Sender()
    packets = []
    for index in range(150):
        nals = key_unit(500) if index % 45 == 0 else [b"\x41pic"]
        packets.append(sender.unit([rtp.h264_aggregate(nals)], 3_000 * index)[0])
    assert replay(track_of(form(Codec.H264)), packets, step_us=33 * MS).key_requests() == []


def test_sender_without_key_frames_is_asked_for_one_in_time_for_each_segment() -> None:
    sender = rtp.Sender()
    packets = sender.unit([rtp.h264_aggregate(key_unit(500))], 0)
    for index in range(1, 90):
        packets += sender.unit([b"\x41pic"], 3_000 * index)
    track = track_of(form(Codec.H264))
    requests = replay(track, packets, step_us=33 * MS).key_requests()
    assert 1_900 * MS <= requests[0] <= 2_000 * MS
    calm = track_of(form(Codec.H264), limits=IncomingLimits(key_frame_every_us=0))
    assert replay(calm, packets, step_us=33 * MS).key_requests() == []


# --- sources ---


def test_second_source_is_taken_only_when_the_first_is_gone() -> None:
    track = track_of(form(Codec.H264))
    first, second = rtp.Sender(ssrc=1), rtp.Sender(ssrc=2, sequence=5)
    unit = [rtp.h264_aggregate(key_unit(500))]
    assert len(track.receive(first.unit(unit, 0)[0], now_us=0)) == 2
    assert track.receive(second.unit(unit, 77)[0], now_us=500 * MS) == []
    assert track.media_ssrc == 1
    assert track.poll(now_us=500 * MS).counts == {"rtp_other_source": 1}
    assert len(track.receive(second.unit(unit, 77)[0], now_us=1_000 * MS)) == 1
    assert track.media_ssrc == 2
    track.goodbye(2)
    assert len(track.receive(first.unit(unit, 90_000)[0], now_us=1_001 * MS)) == 1


def test_only_the_wanted_layer_is_taken() -> None:
    track = IncomingTrack(formats=[form(Codec.H264)], timeline=Timeline(), rid_extension_id=2, rid="0")
    payload = rtp.h264_aggregate(key_unit(500))

    def layer(rid: bytes, ssrc: int) -> bytes:
        return rtp.packet(
            payload, sequence=1, timestamp=0, marker=True, ssrc=ssrc, extension=(0xBEDE, bytes((0x20,)) + rid + b"\0\0")
        )

    track.receive(layer(b"1", 11), now_us=0)
    assert track.media_ssrc is None
    track.receive(layer(b"0", 10), now_us=0)
    track.receive(layer(b"2", 12), now_us=2_000 * MS)
    assert track.media_ssrc == 10


def test_report_tells_loss_jitter_and_the_last_sender_report() -> None:
    track = track_of(form(Codec.H264))
    sender = rtp.Sender(sequence=65_530)
    for index in range(20):
        for packet in sender.unit([b"\x41pic"], 3_000 * index):
            if index not in (5, 6, 7, 8, 9):
                track.receive(packet, now_us=index * 33_333 + (index % 2) * 10 * MS)
    track.sender_report(ntp_time=0x1111_2222_3333_4444, rtp_time=0, now_us=700 * MS)
    report = track.poll(now_us=1_200 * MS).report
    assert report is not None
    assert (report.ssrc, report.cumulative_lost, report.fraction_lost) == (0x1234, 5, 5 * 256 // 20)
    assert report.highest_sequence == 65_549
    assert 500 <= report.jitter <= 900  # 10 ms to and fro are 900 ticks
    assert (report.last_report, report.since_last_report) == (0x2222_3333, 32_768)
    assert track.poll(now_us=1_300 * MS).report is None


# --- hostile ---


@given(
    spoiled=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["cut", "flip", "swap"]), st.integers(0, 1 << 16)), max_size=60
    ),
    codec=st.sampled_from([Codec.H264, Codec.HEVC, Codec.AV1, Codec.OPUS]),
)
@settings(max_examples=60, deadline=None)
def test_spoiled_packets_never_raise_and_are_counted(spoiled: list[tuple[int, str, int]], codec: Codec) -> None:
    packets = [bytes(each) for each in caught(Codec.H264 if codec is not Codec.OPUS else Codec.OPUS)]
    for place, how, number in spoiled:
        packet = bytearray(packets[place % len(packets)])
        if how == "cut":
            del packet[number % (len(packet) + 1) :]
        elif packet:
            at = number % min(len(packet), 60) if how == "flip" else number % len(packet)
            packet[at] ^= 1 + number % 255
        packets[place % len(packets)] = bytes(packet)
    track = track_of(form(codec))
    for index, packet in enumerate(packets):
        track.receive(packet, now_us=index * MS)
        track.poll(now_us=index * MS)


def test_what_is_no_packet_is_counted() -> None:
    track = track_of(form(Codec.H264))
    assert track.receive(b"\x80junk", now_us=0) == []
    assert track.poll(now_us=0).counts == {"rtp_malformed": 1}


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        (Codec.H264, b"\x7c\x05" + bytes(1_000)),
        (Codec.HEVC, b"\x62\x01\x13" + bytes(1_000)),
        (Codec.AV1, b"\xd0" + bytes(1_000)),
        (Codec.H264, b"\x41"),
    ],
)
def test_frame_without_end_is_given_up_and_the_next_key_frame_is_taken(codec: Codec, payload: bytes) -> None:
    track = track_of(form(codec), limits=IncomingLimits(unit_bytes=200_000))
    sender = rtp.Sender()
    begin = {Codec.H264: b"\x7c\x85a", Codec.HEVC: b"\x62\x01\x93a", Codec.AV1: b"\x58a"}[codec]
    head = {Codec.H264: [b"\x09\xf0"], Codec.HEVC: [b"\x46\x01\x50"], Codec.AV1: []}[codec]
    if payload != b"\x41":
        head = [*head, begin]
    for packet in sender.unit([*head, *[payload] * 4_000], 0, marker=False):
        assert track.receive(packet, now_us=0) == []
        assert track._units._assembler.size_bytes <= 202_000  # type: ignore[union-attr]
    assert track.poll(now_us=0).counts["video_frame_too_large"] == 1
    if codec is Codec.H264:
        outputs = [
            each for p in sender.unit(rtp.h264_payloads(key_unit()), 3_000) for each in track.receive(p, now_us=0)
        ]
        assert len(outputs) == 2


def test_held_beginning_of_a_track_is_bounded() -> None:
    track = track_of(form(Codec.H264), timeline=Timeline(), limits=IncomingLimits(unit_bytes=50_000))
    sender = rtp.Sender()
    unit = rtp.h264_payloads(key_unit(10_000))
    counts = [
        sum(len(track.receive(each, now_us=0)) for each in sender.unit(unit, 3_000 * index)) for index in range(8)
    ]
    assert counts[:4] == [0, 0, 0, 0]
    assert sum(counts) >= 5

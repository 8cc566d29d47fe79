from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest

from hls_packager.model import HlsSettings, HostWarning
from hls_packager.origin import Origin
from hls_packager.packager import Packager
from streamd.media.frames import EncodedFrame
from tests.hls_packager.stage import is_contiguous
from tests.support import coded, mp4_boxes
from tests.support import hls_media as media
from tests.support.clock import FakeClock
from tests.support.hls_media import AUDIO_44100, OTHER_VIDEO, START_MS, interleaved, pictures, sounds
from tests.support.hls_reader import StrictReader, parse


class Log:
    """Keeps the names of events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def _keep(self, event: str, **_fields: object) -> None:
        self.events.append(event)

    debug = info = warning = error = exception = _keep


class Programme:
    """A packager with its store, on a clock that follows the frames."""

    def __init__(self, **settings: int) -> None:
        self.clock = FakeClock(utc_ms=START_MS)
        chosen = HlsSettings(**settings)
        self.origin = Origin(clock=self.clock, settings=chosen)
        self.store = self.origin.open("room")
        self.log = Log()
        self.packager = Packager(room="room", store=self.store, settings=chosen, log=self.log)
        self.versions = 0

    def versions_of(self, frames: Iterable[EncodedFrame]) -> Iterator[int]:
        """Push; yields with every new version of the playlist."""
        for frame in frames:
            behind = frame.dts * 1_000 // frame.track.timescale_hz - self.clock.utc_ms()
            self.clock.advance(max(behind, 0))
            self.packager.on_frame(frame)
            if self.store.playable and self.store.version != self.versions:
                self.versions = self.store.version
                yield self.versions

    def push(self, frames: Iterable[EncodedFrame]) -> Programme:
        for _ in self.versions_of(frames):
            pass
        return self

    def listed(self) -> list[tuple[int, bytes, list[bytes]]]:
        """Number, initialisation segment and parts of every segment listed whole."""
        found = []
        for segment in parse(self.store.rendering().body.decode()).segments:
            chunks = self.store.segment(segment.msn)
            if chunks is not None and not segment.gap:
                init = self.store.init(int(segment.map_uri[5:-4]))
                assert init is not None
                found.append((segment.msn, init, list(chunks)))
        return found

    def movie(self) -> bytes:
        """Everything listed as one file; only for programmes of one configuration."""
        listed = self.listed()
        return listed[0][1] + b"".join(chunk for _, _, chunks in listed for chunk in chunks)


def eventful(seconds: int, fps: Fraction) -> list[Sequence[EncodedFrame]]:
    """Publications in turn: key frames out of turn, sound that is away, other sizes, short and long breaks."""
    rate = float(fps)
    whole = pictures(fps, seconds=seconds, keys=lambda i: i % round(rate * 2) == 0 or i % 171 == 170)
    talk = [
        frame for frame in sounds(seconds=seconds) if not 20 < float(media.seconds_of(frame)) - START_MS / 1_000 < 33
    ]
    first = list(interleaved(whole, talk))
    second_ms = START_MS + seconds * 1_000 + 200
    second = list(
        interleaved(
            pictures(fps, seconds=seconds, start_ms=second_ms, gop=round(rate * 2), milliseconds=True),
            sounds(seconds=seconds, start_ms=second_ms),
        )
    )
    third_ms = second_ms + seconds * 1_000 + 9_000
    third = list(
        interleaved(
            pictures(25, seconds=seconds, start_ms=third_ms, gop=250, track=OTHER_VIDEO),
            sounds(seconds=seconds, start_ms=third_ms, track=AUDIO_44100),
        )
    )
    return [first, second, third]


def uneventful(fps: Fraction, seconds: int, **how: object) -> list[Sequence[EncodedFrame]]:
    track = how.pop("track", media.AUDIO)
    assert isinstance(track, media.AudioTrack)
    video = pictures(fps, seconds=seconds, gop=round(fps * 2), size_bytes=40, **how)  # type: ignore[arg-type]
    return [list(interleaved(video, sounds(seconds=seconds, size_bytes=8, track=track)))]


JITTER = [0, 130, -90, 60, -150, 20, 110, -40, 170, -130, 90]


@pytest.mark.parametrize(
    "publications",
    [
        pytest.param(
            lambda: uneventful(Fraction(24_000, 1_001), 505, milliseconds=True, track=AUDIO_44100), id="23.976"
        ),
        pytest.param(lambda: uneventful(Fraction(30_000, 1_001), 505), id="29.97"),
        pytest.param(
            lambda: uneventful(Fraction(60_000, 1_001), 505, jitter=lambda i: JITTER[i % 11]), id="59.94, jitter"
        ),
        pytest.param(lambda: eventful(170, Fraction(30)), id="eventful"),
    ],
)
def test_a_strict_reader_has_nothing_to_object_to_in_a_thousand_reloads(publications: object) -> None:
    programme, reader = Programme(), StrictReader()
    assert callable(publications)
    promises: set[str] = set()
    for frames in publications():
        for version in programme.versions_of(frames):
            skip = version % 3 != 0 and reader.reloads > 0
            text = programme.store.rendering(skip=skip).body.decode()
            reader.read(text)
            promises.add(text[: text.index("#EXT-X-MEDIA-SEQUENCE")])
        programme.packager.on_pause()
        reader.read(programme.store.rendering().body.decode())
    assert reader.reloads >= 1_000
    assert len(promises) == 1, "promises are byte-identical"
    assert reader.short_parts == 0
    programme.packager.on_end()
    assert reader.read(programme.store.rendering().body.decode()).ended
    for msn, _, parts in programme.listed():
        assert all(programme.store.part(msn, index) is part for index, part in enumerate(parts))


def test_each_real_change_makes_one_discontinuity_and_one_initialisation_segment() -> None:
    programme, reader = Programme(window_segments=400), StrictReader()
    for frames in eventful(60, Fraction(30)):
        programme.push(frames)
        programme.packager.on_pause()
    playlist = reader.read(programme.store.rendering().body.decode())
    numbers = [segment.discontinuity_sequence for segment in playlist.segments]
    assert numbers[-1] - numbers[0] == 1, "a break, and another configuration with it; a quick return is none"
    assert len({segment.map_uri for segment in playlist.segments}) == 2


def test_the_frame_rate_of_a_changed_configuration_is_measured_anew() -> None:
    programme = Programme()
    programme.push(interleaved(pictures(30, seconds=7), sounds(seconds=7)))
    assert programme.store.frame_rate == 30
    second = pictures(Fraction(60_000, 1_001), seconds=7, gop=120, start_ms=START_MS + 7_000, track=OTHER_VIDEO)
    programme.push(interleaved(second, sounds(seconds=7, start_ms=START_MS + 7_000)))
    variant = programme.store.variant()
    assert variant is not None
    assert f"{variant.frame_rate:.3f}" == "59.940"
    assert (variant.width, variant.height) == (720, 1280)


def test_what_a_host_should_know_is_counted_and_logged_once() -> None:
    programme = Programme()
    video = pictures(30, seconds=30, keys={0, 60}.__contains__)
    programme.push(interleaved(video, sounds(seconds=30)))
    assert programme.packager.warnings[HostWarning.GOP_TOO_LONG] > 5
    assert programme.log.events.count("hls.gop_too_long") == 1


def test_times_are_those_of_the_given_wall_clock() -> None:
    clock = FakeClock(utc_ms=START_MS)
    settings = HlsSettings()
    store = Origin(clock=clock, settings=settings).open("room")
    packager = Packager(room="room", store=store, settings=settings, log=Log(), utc_ms=lambda ms: ms + 3_000)
    for frame in interleaved(pictures(30, seconds=5), sounds(seconds=5)):
        packager.on_frame(frame)
    first = parse(store.rendering().body.decode()).segments[0]
    assert first.date_time == "2027-01-15T08:00:03.000Z"


def test_the_next_programme_of_a_room_starts_without_a_wait() -> None:
    programme = Programme()
    programme.push(interleaved(pictures(30, seconds=20, gop=250), sounds(seconds=20)))
    programme.packager.on_end()
    store = programme.origin.open("room")
    again = Packager(room="room", store=store, settings=HlsSettings(), log=Log())
    for frame in interleaved(pictures(30, seconds=0.6), sounds(seconds=0.6)):
        again.on_frame(frame)
    listed = parse(store.rendering().body.decode())
    assert listed.target_duration == 9
    assert [segment.gap for segment in listed.segments] == [True, False]


# --- real encoders, real readers ---

X264 = (("g", "60"), ("sc_threshold", "0"))
ENCODERS = {
    "H.264 and AAC": {"audio": "aac", "options": X264},
    "H.264 with B-frames": {"audio": "aac", "options": (("g", "60"), ("bf", "2"), ("preset", "veryfast"))},
    "H.264 at 29.97": {"audio": "aac", "options": X264, "fps": Fraction(30_000, 1_001), "rate": 44_100},
    "H.264 without sound": {"options": X264},
    "HEVC and AAC": {"video": "libx265", "audio": "aac"},
    "AV1 and Opus": {"video": "libsvtav1", "audio": "libopus", "options": (("g", "60"),)},
    "AAC alone": {"video": None, "audio": "aac"},
    "Opus alone": {"video": None, "audio": "libopus"},
}


@pytest.fixture(params=ENCODERS)
def real(request: pytest.FixtureRequest) -> tuple[Programme, list[EncodedFrame]]:
    frames = media.real_frames(coded.flv_of(seconds=5, **ENCODERS[request.param]))
    programme = Programme().push(frames)
    programme.packager.on_pause()
    return programme, frames


def test_every_frame_arrives_and_times_are_unbroken(real: tuple[Programme, list[EncodedFrame]]) -> None:
    programme, frames = real
    read: dict[int, list[mp4_boxes.Sample]] = {}
    sequence = 0
    for _, _, parts in programme.listed():
        for part in parts:
            for fragment in mp4_boxes.fragments(part):
                assert fragment.sequence == sequence + 1
                sequence = fragment.sequence
                for track_id, samples in fragment.samples.items():
                    known = read.setdefault(track_id, [])
                    if known and track_id == 1:
                        assert samples[0].dts == known[-1].dts + known[-1].duration
                    known += samples
    video = [frame for frame in frames if frame.track.is_video]
    begin = media.seconds_of(video[0]) if video else 0
    audio = [frame for frame in frames if not frame.track.is_video and media.seconds_of(frame) >= begin]
    assert [sample.payload for sample in read.get(1, [])] == [frame.payload for frame in video]
    if audio:
        step = audio[0].track.samples_per_frame  # type: ignore[union-attr]
        heard = [sample.payload for sample in read[2]]
        assert heard[-len(audio) :] == [frame.payload for frame in audio]
        assert is_contiguous(
            [EncodedFrame(audio[0].track, s.dts, 0, True, b"") for s in read[2]], step=step, tolerance=step
        )


def test_pyav_decodes_every_frame(real: tuple[Programme, list[EncodedFrame]]) -> None:
    programme, frames = real
    with av.open(io.BytesIO(programme.movie())) as container:
        decoded = [frame for frame in container.decode() if isinstance(frame, av.VideoFrame)]
    assert len(decoded) == sum(frame.track.is_video for frame in frames)
    assert all(not frame.is_corrupt for frame in decoded)


def test_ffprobe_reads_what_the_tracks_say(real: tuple[Programme, list[EncodedFrame]], tmp_path: Path) -> None:
    programme, frames = real
    path = tmp_path / "programme.mp4"
    path.write_bytes(programme.movie())
    asked = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    probe = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
    assert probe.stderr == ""
    streams = {stream["codec_type"]: stream for stream in json.loads(probe.stdout)["streams"]}
    for frame in frames:
        track = frame.track
        stream = streams["video" if track.is_video else "audio"]
        assert stream["codec_name"] == {"h264": "h264", "hevc": "hevc", "av1": "av1"}.get(track.codec, track.codec)
        if isinstance(track, media.VideoTrack):
            assert (stream["width"], stream["height"]) == (track.width, track.height)
            assert stream["codec_tag_string"] == {"h264": "avc1", "hevc": "hvc1", "av1": "av01"}[track.codec]
        else:
            assert int(stream["sample_rate"]) == track.sample_rate_hz
    assert abs(float(next(iter(streams.values()))["start_time"]) - START_MS / 1_000) < 0.2


def test_a_player_may_start_at_any_segment(real: tuple[Programme, list[EncodedFrame]]) -> None:
    programme, _ = real
    for _, init, parts in programme.listed():
        with av.open(io.BytesIO(init + b"".join(parts))) as container:
            first = next(container.decode(container.streams[0]))
        assert not getattr(first, "is_corrupt", False)

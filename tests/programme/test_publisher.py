"""The programme keeps step with the clock, gives way to a real encoder, and comes back."""

from __future__ import annotations

import pytest

from rtmp_ingest.errors import PUBLISH_BAD_NAME, PUBLISH_DENIED, PUBLISH_REJECTED, RtmpRefusedError
from streamd.errors import InvalidError, StreamdError, UnavailableError
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track, VideoTrack
from streamd.programme.card import TestCard
from streamd.programme.publisher import Outlet, Programme
from tests.support.clock import FakeClock

FPS = 25


class EnoughError(Exception):
    """The test has seen what it wanted."""


class Recorder:
    """An outlet that notes when frames arrive, and ends after `most` drains."""

    def __init__(self, clock: FakeClock, most: int, *, end: Exception) -> None:
        self.tracks: list[Track] = []
        self.pushed: list[tuple[int, EncodedFrame]] = []
        self.closed = False
        self._clock, self._most, self._end = clock, most, end

    def announce(self, track: Track) -> None:
        self.tracks.append(track)

    def push(self, frame: EncodedFrame) -> None:
        assert frame.track in self.tracks
        self.pushed.append((self._clock.utc_ms(), frame))

    async def drain(self) -> None:
        self._most -= 1
        if self._most <= 0:
            raise self._end

    async def close(self) -> None:
        self.closed = True


def programme(clock: FakeClock, answers: list[Outlet | Exception], *, slept: list[float] | None = None) -> Programme:
    async def connect() -> Outlet:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(seconds: float) -> None:
        if slept is not None:
            slept.append(seconds)
        clock.advance(round(seconds * 1000))

    return Programme(
        card=lambda: TestCard(width=320, height=180, fps=FPS),
        gop_s=2,
        most_bps=500_000,
        connect=connect,
        clock=clock,
        sleep=sleep,
    )


async def test_no_frame_leaves_before_its_moment_and_none_much_later() -> None:
    clock = FakeClock(utc_ms=1_795_176_000_007)
    recorder = Recorder(clock, 60, end=EnoughError())
    with pytest.raises(EnoughError):
        await programme(clock, [recorder]).run()
    pictures = [(at, frame) for at, frame in recorder.pushed if isinstance(frame.track, VideoTrack)]
    first_at = pictures[0][0]
    assert [at - first_at for at, _ in pictures] == [frame.dts // 90 for _, frame in pictures]
    assert first_at % (1000 // FPS) == 0
    assert recorder.closed


async def test_a_suspended_machine_leaves_a_gap_and_not_a_rush() -> None:
    clock = FakeClock(utc_ms=1_795_176_000_000)

    class Suspended(Recorder):
        async def drain(self) -> None:
            await super().drain()
            if self._most == 20:
                clock.advance(60_000)

    recorder = Suspended(clock, 40, end=EnoughError())
    with pytest.raises(EnoughError):
        await programme(clock, [recorder]).run()
    pictures = [(at, frame.dts // 90) for at, frame in recorder.pushed if isinstance(frame.track, VideoTrack)]
    assert len(pictures) == 40
    lateness = [at - dts for at, dts in pictures]
    assert max(lateness) - min(lateness) <= 1000 // FPS


async def test_it_waits_politely_while_a_real_encoder_is_on_air_and_returns_when_it_is_gone() -> None:
    clock = FakeClock()
    slept: list[float] = []
    occupied = RtmpRefusedError("the room belongs to its encoder", status_code=PUBLISH_BAD_NAME)
    recorder = Recorder(clock, 3, end=EnoughError())
    with pytest.raises(EnoughError):
        await programme(clock, [occupied, occupied, occupied, recorder], slept=slept).run()
    assert slept[:3] == [2.0, 2.0, 2.0]
    assert len(recorder.tracks) == 2


async def test_it_comes_back_after_it_was_put_off_air() -> None:
    clock = FakeClock()
    occupied = RtmpRefusedError("the room belongs to its encoder", status_code=PUBLISH_BAD_NAME)
    taken_over = Recorder(clock, 3, end=UnavailableError("closed by the server"))
    again = Recorder(clock, 3, end=EnoughError())
    with pytest.raises(EnoughError):
        await programme(clock, [taken_over, occupied, again]).run()
    assert taken_over.closed
    first_picture = next(frame for _, frame in again.pushed if isinstance(frame.track, VideoTrack))
    assert (first_picture.dts, first_picture.is_sync) == (0, True)


@pytest.mark.parametrize(
    "away",
    [
        ConnectionRefusedError(),
        UnavailableError("nobody listens"),
        RtmpRefusedError("not now", status_code=PUBLISH_REJECTED),
    ],
)
async def test_a_server_that_is_away_is_tried_again_with_growing_patience(away: Exception) -> None:
    clock = FakeClock()
    slept: list[float] = []
    with pytest.raises(EnoughError):
        await programme(clock, [*[away] * 7, Recorder(clock, 1, end=EnoughError())], slept=slept).run()
    assert slept[:7] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    "refusal", [RtmpRefusedError("no such key", status_code=PUBLISH_DENIED), InvalidError("not an address")]
)
async def test_what_waiting_cannot_mend_ends_it_in_the_servers_words(refusal: StreamdError) -> None:
    with pytest.raises(type(refusal), match=refusal.what):
        await programme(FakeClock(), [refusal]).run()

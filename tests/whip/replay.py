"""Replaying caught packets into an `IncomingTrack`, over a network that loses, doubles and reorders."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from typing import NamedTuple

from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Codec, Track
from streamd.whip.incoming import Feedback, IncomingLimits, IncomingTrack, Output
from streamd.whip.rtp import PayloadFormat
from streamd.whip.timeline import Timeline

MS = 1_000


def format_of(codec: Codec, *, payload_type: int = 96, rtx: int | None = None, **fmtp: str) -> PayloadFormat:
    return PayloadFormat(
        payload_type=payload_type,
        codec=codec,
        clock_hz=48_000 if codec is Codec.OPUS else 90_000,
        fmtp={name.replace("_", "-"): value for name, value in fmtp.items()},
        rtx_payload_type=rtx,
    )


def track_of(
    form: PayloadFormat, *, timeline: Timeline | None = None, limits: IncomingLimits | None = None
) -> IncomingTrack:
    return IncomingTrack(formats=[form], timeline=timeline or Timeline(tracks_count=1), limits=limits)


class Replay(NamedTuple):
    """What came of it."""

    outputs: list[Output]
    feedback: list[tuple[int, Feedback]]

    @property
    def frames(self) -> list[EncodedFrame]:
        return [each for each in self.outputs if isinstance(each, EncodedFrame)]

    @property
    def tracks(self) -> list[Track]:
        return [each for each in self.outputs if not isinstance(each, EncodedFrame)]

    def counted(self, word: str) -> int:
        return sum(each.counts.get(word, 0) for _, each in self.feedback)

    def key_requests(self) -> list[int]:
        return [now_us for now_us, each in self.feedback if each.wants_key_frame]


def replay(
    track: IncomingTrack,
    packets: Sequence[bytes],
    *,
    step_us: int = 2 * MS,
    lost: float = 0.0,
    doubled: float = 0.0,
    jitter_us: int = 0,
    answers_after_us: int | None = None,
    keeps: int = 1,
    seed: int = 1,
) -> Replay:
    """Send `packets` at a steady pace. The first `keeps` are never lost or delayed: a source begins with what comes
    first. `answers_after_us`: the sender answers questions for lost packets, with the same loss."""
    chance = random.Random(seed)
    queue: list[tuple[int, int, bytes]] = []
    history = {int.from_bytes(each[2:4], "big"): each for each in packets}
    for index, each in enumerate(packets):
        if index >= keeps and chance.random() < lost:
            continue
        for _ in range(2 if chance.random() < doubled else 1):
            delay_us = chance.randint(0, jitter_us) if index >= keeps else 0
            queue.append((index * step_us + delay_us, len(queue), each))
    heapq.heapify(queue)
    done = Replay([], [])
    serial = len(packets) * 2
    last_us = 0
    while queue:
        last_us, _, each = heapq.heappop(queue)
        done.outputs.extend(track.receive(each, now_us=last_us))
        if track.poll_due_us > last_us:
            continue
        feedback = track.poll(now_us=last_us)
        done.feedback.append((last_us, feedback))
        for sequence in feedback.nacks if answers_after_us is not None else ():
            if sequence in history and chance.random() >= lost:
                serial += 1
                heapq.heappush(queue, (last_us + (answers_after_us or 0), serial, history[sequence]))
    done.feedback.append((last_us + 1, track.poll(now_us=last_us + 1)))
    return done

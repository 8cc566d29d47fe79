"""The synthetic programme by WHIP: `python -m loadtest.whip_programme DOOR KEY GOP_S`.

The programme's own pictures, cut into RTP packets; its sound made into Opus, as a browser would send it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from fractions import Fraction

import av
import uvloop

from loadtest.rtp_recording import Source, bodies_of, parameter_sets
from loadtest.whip_peer import WhipPeer
from loadtest.whip_publishers import post_offer
from streamd.clock import SystemClock
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track
from streamd.programme.card import TestCard
from streamd.programme.publisher import Programme

_REPORT_EVERY_S = 1.0
_CHECK_EVERY_S = 5.0
_OPUS_FRAME_SAMPLES = 960


class WhipOutlet:
    """Implements `streamd.programme.publisher.Outlet`."""

    def __init__(self, peer: WhipPeer) -> None:
        self._peer = peer
        self._video, self._audio = Source(is_video=True), Source(is_video=False)
        self._sets: list[bytes] = []
        self._decoder = av.CodecContext.create("aac", "r")
        self._encoder = av.CodecContext.create("libopus", "w")
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = 48_000, "stereo", "s16"
        self._resampler = av.AudioResampler("s16", "stereo", 48_000, frame_size=_OPUS_FRAME_SAMPLES)
        self._began_s = time.monotonic()
        self._report_s = self._check_s = 0.0

    @classmethod
    async def connect(cls, door: str, key: str) -> WhipOutlet:
        """Raises OSError."""
        return await asyncio.to_thread(cls._connect, door, key)

    @classmethod
    def _connect(cls, door: str, key: str) -> WhipOutlet:
        peer = WhipPeer()
        answer, _ = post_offer(door, key, peer.offering.sdp())
        peer.connect(answer)
        return cls(peer)

    def announce(self, track: Track) -> None:
        """Parameter sets stand before key frames; the sound's description is its decoder's."""
        if track.is_video:
            self._sets = parameter_sets(track.config)
        else:
            self._decoder.extradata = track.config

    def push(self, frame: EncodedFrame) -> None:
        """Send it now."""
        at_ms = frame.dts * 1_000 / frame.track.timescale_hz
        if frame.track.is_video:
            bodies = list(bodies_of(frame.payload, self._sets if frame.is_sync else []))
            for index, body in enumerate(bodies):
                self._peer.send(self._video.packet(body, marker=index == len(bodies) - 1, at_ms=at_ms))
            self._report(at_ms)
        else:
            self._push_sound(frame)

    def _push_sound(self, frame: EncodedFrame) -> None:
        packet = av.Packet(frame.payload)
        packet.pts, packet.time_base = frame.dts, Fraction(1, frame.track.timescale_hz)
        for decoded in self._decoder.decode(packet):
            for samples in self._resampler.resample(decoded):
                at_ms = float((samples.pts or 0) * (samples.time_base or 0) * 1_000)
                for encoded in self._encoder.encode(samples):
                    self._peer.send(self._audio.packet(bytes(encoded), marker=False, at_ms=at_ms))

    def _report(self, at_ms: float) -> None:
        now_s = time.monotonic() - self._began_s
        if now_s >= self._report_s:
            self._report_s = now_s + _REPORT_EVERY_S
            for source in (self._video, self._audio):
                self._peer.send_control(source.report(at_ms, time.time()))
        if now_s >= self._check_s:
            self._check_s = now_s + _CHECK_EVERY_S
            self._peer.check()
            self._peer.received()

    async def drain(self) -> None:
        """What the kernel has no room for is lost."""

    async def close(self) -> None:
        self._peer.close()


async def main(door: str, key: str, gop_s: int) -> None:
    """Until killed."""
    await Programme(
        card=lambda: TestCard(width=1280, height=720, fps=30),
        gop_s=gop_s,
        most_bps=2_000_000,
        connect=lambda: WhipOutlet.connect(door, key),
        clock=SystemClock(),
    ).run()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

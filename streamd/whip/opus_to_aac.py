"""Opus to AAC: the one thing that streamd decodes.

In: Opus frames on the session's timeline, as `streamd.whip.incoming` gives them. Out: the AAC track and its frames,
on the same timeline. Native Opus is not kept beside it: FLV, mini-programs and Apple's players want AAC, and a stream
has one sound. Always AAC-LC at 48 kHz, with as many channels as the first packet has, so that the configuration never
changes within a programme. A browser's microphone is mono: that costs half of OBS's stereo, here and on viewers' lines.
 - Time is exact: an AAC frame's `dts` is where its samples stand, the encoder's delay taken off; every sample of the
   Opus timeline is there once. What is missing is concealed by the decoder for a tenth of a second and is silence after
   that; only a hole of more than three seconds, or a clock set back by more than one, begins anew.
 - Work is done by a thread for all streams, never by the loop. A stream's packets are converted one batch at a
   time, so their order is kept. Streams wait for each other, at most `round_ms`: waking a thread for every packet costs
   as much as converting it.
 - A stream's queue is bounded; when the thread cannot keep up its oldest packet is dropped and concealed.
FFmpeg's "fast" AAC coder: at such rates its manual calls it the better one, and it costs half of the other.
Source: RFC 6716 3.1 (the byte that says how long and of how many channels) and 4.4 (a packet without data asks for
concealment).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import av

from streamd.media import aac, opus
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack
from streamd.rounds import Rounds

Output: TypeAlias = EncodedFrame | AudioTrack
Deliver: TypeAlias = Callable[[list[Output]], None]

RATE_HZ = opus.RATE_HZ
_TICK = Fraction(1, RATE_HZ)
SAMPLES_PER_FRAME = 1_024
_LAYOUTS = ("mono", "stereo")
_STEREO = 0x04  # in a packet's first byte
_DECODED, _ENCODED = "s16", "fltp"  # how libopus gives samples, and how the AAC encoder takes them
_TOLERANCE = 120  # 2.5 ms, the shortest Opus frame: less is rounding
_LONGEST_CONCEALMENT = RATE_HZ // 10
_LONGEST_HOLE = 3 * RATE_HZ
_LONGEST_OVERLAP = RATE_HZ
_SILENCE_STEP = 4_800
_WORDS = ("audio_unreadable", "audio_begun_anew", "audio_overlap", "audio_concealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundSettings:
    """How sound is converted on this worker."""

    # One has time for about sixty streams in stereo, as many as the loop has. Two get in each other's way for the
    # interpreter, which costs a tenth more.
    threads_count: int = 1
    queue_packets: int = 100  # of one stream: 2 s
    channel_bps: int = 64_000
    # Each stream adds `share_ms` to how long packets may wait for company: who is alone gains nothing by it.
    share_ms: float = 4.0
    round_ms: float = 60.0


class OpusToAac:
    """One stream, on whatever thread; one call at a time."""

    def __init__(self, *, channel_bps: int) -> None:
        self.counts = dict.fromkeys(_WORDS, 0)  # grow for ever; read from the loop while a thread counts
        self._channel_bps = channel_bps
        self._channels_count = 0  # until the first packet has come
        self._end = 0  # where the samples decoded so far end
        self._toc = 0  # of the last packet: how the decoder conceals

    def convert(self, frames: Iterable[EncodedFrame]) -> list[Output]:
        """What these frames, in order, complete."""
        outputs: list[Output] = []
        for frame in frames:
            try:
                outputs += self._take(frame)
            except av.FFmpegError:
                self.counts["audio_unreadable"] += 1  # the next packet finds a hole and conceals it
        return outputs

    def _take(self, frame: EncodedFrame) -> Iterator[Output]:
        at = frame.dts
        if not self._channels_count:
            self._channels_count = 2 if frame.payload[0] & _STEREO else 1
            self._begin(at)
            self._track = aac.track_from_config(bytes(self._encoder.extradata or b""))
            yield self._track
        hole = at - self._end
        if hole > _LONGEST_HOLE or hole < -_LONGEST_OVERLAP:
            self.counts["audio_begun_anew"] += 1
            yield from self._finish()
            self._begin(at)
        elif hole <= -_TOLERANCE:
            self.counts["audio_overlap"] += 1
            return
        elif hole >= _TOLERANCE:
            self.counts["audio_concealed"] += 1
            yield from self._fill(hole)
        yield from self._decode(frame.payload)
        self._toc = frame.payload[0]

    def _begin(self, at: int) -> None:
        """Fresh codecs, whose first sample stands at `at`. Any packet can be decoded to either layout (RFC 6716 3)."""
        self._layout = _LAYOUTS[self._channels_count - 1]
        self._decoder = av.CodecContext.create("libopus", "r")
        self._decoder.sample_rate = RATE_HZ
        self._decoder.layout = self._layout
        self._encoder = av.CodecContext.create("aac", "w")
        self._encoder.sample_rate = RATE_HZ
        self._encoder.layout = self._layout
        self._encoder.format = _ENCODED
        self._encoder.bit_rate = self._channel_bps * self._channels_count
        self._encoder.time_base = _TICK
        self._encoder.options = {"aac_coder": "fast"}
        self._encoder.open()
        self._begun = self._end = at

    def _decode(self, packet: bytes) -> Iterator[Output]:
        for samples in self._decoder.decode(av.Packet(packet)):
            yield from self._add(samples)

    def _fill(self, hole: int) -> Iterator[Output]:
        """Exactly `hole` samples in the place of packets that did not come."""
        empty = bytes((self._toc & 0xFC,))
        step = opus.packet_samples(empty)
        concealed = min(hole, _LONGEST_CONCEALMENT)
        end = self._end + hole
        while concealed >= step:
            yield from self._decode(empty)
            concealed -= step
        while self._end < end:
            yield from self._add(self._silence(min(end - self._end, _SILENCE_STEP)))

    def _add(self, samples: av.AudioFrame) -> Iterator[Output]:
        """Samples that stand behind those before them. PyAV makes planes and whole frames of them, by a filter."""
        samples.pts, samples.time_base = self._end, _TICK
        self._end += samples.samples
        yield from self._encode(samples)

    def _encode(self, samples: av.AudioFrame | None) -> Iterator[Output]:
        for packet in self._encoder.encode(samples):
            if packet.pts is not None:
                yield EncodedFrame(self._track, packet.pts, 0, True, bytes(packet))

    def _finish(self) -> Iterator[Output]:
        """What is still inside, filled up with silence to a whole frame."""
        missing = (self._begun - self._end) % SAMPLES_PER_FRAME
        if missing:
            yield from self._add(self._silence(missing))
        yield from self._encode(None)

    def _silence(self, count: int) -> av.AudioFrame:
        frame = av.AudioFrame(_DECODED, self._layout, count)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = RATE_HZ
        return frame


class SoundLine:
    """One stream's way through the threads. Made by `SoundWorkshop.open`; used on the loop alone."""

    def __init__(self, *, workshop: SoundWorkshop, rounds: Rounds, deliver: Deliver, settings: SoundSettings) -> None:
        self._workshop = workshop
        self._rounds = rounds
        self._deliver = deliver
        self._converter = OpusToAac(channel_bps=settings.channel_bps)
        self._queue: deque[EncodedFrame] = deque()
        self._most = settings.queue_packets
        self._is_busy = self._is_waiting = self._is_closed = False
        self._dropped = 0
        self._told: dict[str, int] = {}

    def push(self, frame: EncodedFrame) -> None:
        """An Opus frame. Never blocks; a no-op after `close`."""
        if self._is_closed:
            return
        if len(self._queue) >= self._most:
            self._queue.popleft()
            self._dropped += 1
        self._queue.append(frame)
        self._await_turn()

    def counts(self) -> dict[str, int]:
        """What was dropped and mended since the last call, for `Publication.count`."""
        totals = {**self._converter.counts, "audio_overload": self._dropped}
        news = {word: total - self._told.get(word, 0) for word, total in totals.items()}
        self._told = totals
        return {word: amount for word, amount in news.items() if amount}

    def close(self) -> None:
        """Nothing is delivered any more. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.clear()
            self._rounds.leave()

    def _await_turn(self) -> None:
        """While a batch is being converted, packets wait for that as well."""
        if not self._is_waiting and not self._is_busy:
            self._is_waiting = True
            self._rounds.join(self._send)

    def _send(self) -> None:
        self._is_waiting = False
        if self._is_closed:
            return
        batch = tuple(self._queue)
        self._queue.clear()
        self._is_busy = True
        self._workshop.submit(self._converter, batch, self._arrive)

    def _arrive(self, done: Future[list[Output]]) -> None:
        self._is_busy = False
        if self._is_closed or done.cancelled():
            return
        if self._queue:
            self._await_turn()
        outputs = done.result()  # an error is a fault of ours: the loop's handler reports it, the line goes on
        if outputs:
            self._deliver(outputs)


class SoundWorkshop:
    """The threads that convert sound for all streams of this worker. `close` ends them."""

    def __init__(self, *, settings: SoundSettings | None = None) -> None:
        self._settings = settings or SoundSettings()
        self._threads = ThreadPoolExecutor(self._settings.threads_count, thread_name_prefix="opus-to-aac")
        self._rounds = Rounds(each_ms=self._settings.share_ms, longest_ms=self._settings.round_ms)
        self._is_closed = False

    def open(self, deliver: Deliver) -> SoundLine:
        """A line for one stream; `deliver` is called on the loop with what comes out, in order."""
        self._rounds.enter()
        return SoundLine(workshop=self, rounds=self._rounds, deliver=deliver, settings=self._settings)

    def submit(
        self, converter: OpusToAac, batch: tuple[EncodedFrame, ...], arrive: Callable[[Future[list[Output]]], None]
    ) -> None:
        """Convert `batch` on a thread, then call `arrive` on the loop. For `SoundLine`."""
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        done = self._threads.submit(converter.convert, batch)
        done.add_done_callback(lambda future: loop.call_soon_threadsafe(arrive, future))

    def close(self) -> None:
        """End the threads: waits for the batches that are being worked on, some milliseconds. Idempotent."""
        self._is_closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)

"""Plain counters of one kind of media on one stream.

Written by the hub for every frame, so nothing but integers; read once a second by the health sampler and at scrape
time by the metrics. Counters only grow for as long as the stream lives, across republishes.
"""

from __future__ import annotations


class Meter:
    """What has gone on air of one kind (video or audio)."""

    __slots__ = ("bytes", "cts", "cts_changes", "frames", "gop_ticks", "key_dts", "key_frames", "last_dts")

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.last_dts = 0  # stream timeline, ticks of the track
        self.key_frames = 0
        self.key_dts = 0  # of the newest key frame
        self.gop_ticks = 0  # between the two newest key frames of one publication; 0: not known yet
        self.cts = 0  # of the newest frame
        self.cts_changes = 0  # how often it differed from its predecessor's: grows only where frames are reordered

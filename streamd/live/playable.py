"""A live stream as the fan-out sees it: made in this worker (`LiveStream`), or mirrored from another (`relay`)."""

from __future__ import annotations

from typing import Protocol

from streamd.live.gop import GopCache
from streamd.media.ports import FrameSink
from streamd.media.tracks import Track


class Playable(Protocol):
    """See `LiveStream` for what each of these means."""

    room: str
    origin_ms: int
    tracks_version: int
    gop: GopCache

    @property
    def has_pictures(self) -> bool: ...
    def tracks(self) -> tuple[Track, ...]: ...
    def settled(self) -> bool: ...
    def attach(self, sink: FrameSink) -> None: ...
    def detach(self, sink: FrameSink) -> None: ...

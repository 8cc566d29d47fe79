"""All there is to know of a store, as a value, and of its changes, as calls: what a mirror of it is made of."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from hls_packager.bitrate import BitrateState
from hls_packager.model import Epoch, TrackSet
from hls_packager.playlist import PlaylistState


class StoreState(NamedTuple):
    """A store at one version. The lists and dicts are the receiver's to keep; bytes are shared."""

    first_msn: int
    first_discontinuity: int
    window_segments: int
    epoch: Epoch | None  # None: nothing was promised yet, and there is no playlist
    playlist: PlaylistState | None
    tracks: TrackSet
    init_number: int
    inits: dict[int, bytes]
    init_of: dict[int, int]  # by segment
    media: dict[int, list[bytes]]  # parts by segment
    leaving: list[tuple[int, int]]  # milliseconds left, segment
    longest_us: int
    bitrate: BitrateState
    frame_rate: float
    has_ended: bool


class StoreWatcher(Protocol):
    """Hears of every change of a store, in the words of its writer and in the same call."""

    def on_begin(self, epoch: Epoch) -> None: ...
    def on_open(self, tracks: TrackSet, *, utc_ms: int, independent: bool, discontinuity: bool) -> None: ...
    def on_part(self, data: bytes, *, duration_us: int, independent: bool) -> None: ...
    def on_close(self) -> None: ...
    def on_publish(self, *, frame_rate: float) -> None: ...
    def on_finish(self) -> None: ...
    def on_withdraw(self) -> None: ...

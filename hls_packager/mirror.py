"""A store on its way to another worker, as records, and the store there that becomes the same.

In, at the owner: the changes of a `SegmentStore`. Out: records; the first are its whole state. In, at the mirror: those
records. Out: a `SegmentStore` whose playlists, parts and numbers are the owner's to the byte, because it is written
with the same calls in the same order and differs in nothing that they depend on.

Parts cross as the owner's bytes and are never copied on the way out. Not here: connections, who mirrors what.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Any

from hls_packager.bitrate import BitrateState
from hls_packager.model import Epoch, TrackSet
from hls_packager.playlist import PlaylistState, SegmentState
from hls_packager.store import SegmentStore
from hls_packager.store_state import StoreState
from streamd.media.records import RecordError, pack_json, record, track_from_json, track_to_json
from streamd.media.tracks import AudioTrack, VideoTrack


class Kind(IntEnum):
    """What a record says."""

    STATE = 1
    STATE_INIT = 2
    STATE_PART = 3
    STATE_END = 4
    BEGIN = 5
    OPEN = 6
    PART = 7
    CLOSE = 8
    PUBLISH = 9
    FINISH = 10
    WITHDRAW = 11


_NUMBER = Struct(">Q")
_PART = Struct(">Q?")
_RATE = Struct(">d")


class StoreJournal:
    """Turns one store's changes into records for `write`. Implements `StoreWatcher`."""

    def __init__(self, write: Callable[[Iterable[bytes]], None]) -> None:
        self._write = write

    def on_begin(self, epoch: Epoch) -> None:
        self._write(record(Kind.BEGIN, pack_json(_epoch_to_json(epoch))))

    def on_open(self, tracks: TrackSet, *, utc_ms: int, independent: bool, discontinuity: bool) -> None:
        self._write(record(Kind.OPEN, pack_json([_tracks_to_json(tracks), utc_ms, independent, discontinuity])))

    def on_part(self, data: bytes, *, duration_us: int, independent: bool) -> None:
        self._write(record(Kind.PART, _PART.pack(duration_us, independent), data))

    def on_close(self) -> None:
        self._write(record(Kind.CLOSE))

    def on_publish(self, *, frame_rate: float) -> None:
        self._write(record(Kind.PUBLISH, _RATE.pack(frame_rate)))

    def on_finish(self) -> None:
        self._write(record(Kind.FINISH))

    def on_withdraw(self) -> None:
        self._write(record(Kind.WITHDRAW))


def state_records(state: StoreState) -> Iterable[bytes]:
    """A whole store as records, to come before those of its journal."""
    head = {
        "first": [state.first_msn, state.first_discontinuity],
        "window": state.window_segments,
        "epoch": _epoch_to_json(state.epoch) if state.epoch is not None else None,
        "playlist": state.playlist,
        "tracks": _tracks_to_json(state.tracks),
        "init": state.init_number,
        "init_of": list(state.init_of.items()),
        "leaving": state.leaving,
        "longest_us": state.longest_us,
        "bitrate": state.bitrate,
        "frame_rate": state.frame_rate,
        "ended": state.has_ended,
    }
    yield from record(Kind.STATE, pack_json(head))
    for number, data in state.inits.items():
        yield from record(Kind.STATE_INIT, _NUMBER.pack(number), data)
    for msn, parts in state.media.items():
        for part in parts:
            yield from record(Kind.STATE_PART, _NUMBER.pack(msn), part)
    yield from record(Kind.STATE_END)


class StoreMirror:
    """Writes a store by another one's records. `was_withdrawn`: that other one is not the room's any more."""

    def __init__(self, store: SegmentStore) -> None:
        self.store = store
        self.was_withdrawn = False
        self._head: dict[str, Any] | None = None
        self._inits: dict[int, bytes] = {}
        self._media: dict[int, list[bytes]] = {}
        self._tracks = TrackSet()

    def apply(self, kind: int, body: bytes) -> None:
        """One record, in order. Raises RecordError."""
        try:
            if kind <= Kind.STATE_END:
                self._gather(kind, body)
            else:
                self._write(kind, body)
        except (ValueError, KeyError, TypeError, AssertionError, StructError) as error:
            raise RecordError(f"record {kind} does not fit: {error}") from error

    def _gather(self, kind: int, body: bytes) -> None:
        match kind:
            case Kind.STATE:
                self._head, self._inits, self._media = json.loads(body), {}, {}
            case Kind.STATE_INIT:
                self._inits[_NUMBER.unpack_from(body)[0]] = body[_NUMBER.size :]
            case Kind.STATE_PART:
                self._media.setdefault(_NUMBER.unpack_from(body)[0], []).append(body[_NUMBER.size :])
            case _:
                head, self._head = self._head, None
                if head is None:
                    raise RecordError("a state that never began")
                state = _state_from(head, self._inits, self._media)
                self._tracks = state.tracks
                self.store.adopt(state)

    def _write(self, kind: int, body: bytes) -> None:
        store = self.store
        match kind:
            case Kind.BEGIN:
                store.begin(Epoch(**json.loads(body)))
            case Kind.OPEN:
                tracks, utc_ms, independent, discontinuity = json.loads(body)
                self._take_tracks(_tracks_from_json(tracks))
                store.open_segment(
                    tracks=self._tracks, utc_ms=utc_ms, independent=independent, discontinuity=discontinuity
                )
            case Kind.PART:
                duration_us, independent = _PART.unpack_from(body)
                store.add_part(body[_PART.size :], duration_us=duration_us, independent=independent)
            case Kind.CLOSE:
                store.close_segment()
            case Kind.PUBLISH:
                store.frame_rate = _RATE.unpack(body)[0]
                store.publish()
            case Kind.FINISH:
                store.finish()
            case Kind.WITHDRAW:
                self.was_withdrawn = True
            case _:
                raise RecordError("a kind that does not exist")

    def _take_tracks(self, tracks: TrackSet) -> None:
        if tracks != self._tracks:  # the object stays while it is equal: a store makes an init segment of each
            self._tracks = tracks


def _epoch_to_json(epoch: Epoch) -> dict[str, int]:
    return {
        "target_duration_s": epoch.target_duration_s,
        "part_target_ms": epoch.part_target_ms,
        "part_us": epoch.part_us,
    }


def _tracks_to_json(tracks: TrackSet) -> list[dict[str, Any]]:
    return [track_to_json(track) for track in (tracks.video, tracks.audio) if track is not None]


def _tracks_from_json(values: list[dict[str, Any]]) -> TrackSet:
    tracks = [track_from_json(value) for value in values]
    return TrackSet(
        video=next((track for track in tracks if isinstance(track, VideoTrack)), None),
        audio=next((track for track in tracks if isinstance(track, AudioTrack)), None),
    )


def _segment_from(fields: list[Any]) -> SegmentState:
    return SegmentState._make([*fields[:-1], tuple(fields[-1])])


def _playlist_from(fields: list[Any]) -> PlaylistState:
    *numbers, segments, opening = fields
    last = _segment_from(opening) if opening is not None else None
    return PlaylistState._make([*numbers, tuple(map(_segment_from, segments)), last])


def _state_from(head: dict[str, Any], inits: dict[int, bytes], media: dict[int, list[bytes]]) -> StoreState:
    first_msn, first_discontinuity = head["first"]
    return StoreState(
        first_msn=first_msn,
        first_discontinuity=first_discontinuity,
        window_segments=head["window"],
        epoch=Epoch(**head["epoch"]) if head["epoch"] is not None else None,
        playlist=_playlist_from(head["playlist"]) if head["playlist"] is not None else None,
        tracks=_tracks_from_json(head["tracks"]),
        init_number=head["init"],
        inits=inits,
        init_of=dict(map(tuple, head["init_of"])),
        media=media,
        leaving=[(left_ms, msn) for left_ms, msn in head["leaving"]],
        longest_us=head["longest_us"],
        bitrate=BitrateState(*head["bitrate"]),
        frame_rate=head["frame_rate"],
        has_ended=head["ended"],
    )

"""The doors between the ways in (RTMP, WHIP), the live stream, and the ways out.

Ingest packages know only these protocols; `streamd.live` implements them; `streamd.app` joins the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """Who wants to publish what, as the encoder said it.

    RTMP: `app` without outer slashes ("live"), `name` the stream name before `?` (the stream key, or the room when
    `query` holds `key`). WHIP: `app` is "live", `name` the room and `query["key"]` the bearer token.
    """

    protocol: str  # "rtmp" | "whip"
    app: str
    name: str
    query: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""  # "address:port", for logs and for limits by address
    encoder: str = ""  # flashVer or User-Agent


class Publisher(Protocol):
    """An ingest session as the gate sees it: something that can be told to leave."""

    def evict(self, reason: str) -> None:
        """End the session at once, without waiting for its peer. Idempotent; must not call `Publication.close`
        synchronously with anything but the same reason."""
        ...


class Publication(Protocol):
    """The right to put one room on air, held by one ingest session. After `close` or eviction every call is a no-op."""

    @property
    def room(self) -> str:
        """The room's slug."""
        ...

    def announce(self, track: Track) -> None:
        """A codec configuration arrived. Called before the first frame of that revision; repeats are harmless."""
        ...

    def push(self, frame: EncodedFrame) -> None:
        """One frame in decode order of its track. Never blocks and never raises for what a frame holds."""
        ...

    def hint(self, metadata: Mapping[str, object]) -> None:
        """onMetaData or its like: shown to the host, never trusted."""
        ...

    def count(self, repair: str, amount: int = 1) -> None:
        """The ingest session repaired or dropped something; `repair` is a snake_case word shown to the host."""
        ...

    def close(self, reason: str) -> None:
        """The encoder is gone ("peer_eof", "unpublish", "timeout", ...). Idempotent."""
        ...


class PublishGate(Protocol):
    """Decides who may publish. The decision is made before the encoder hears `Publish.Start`."""

    async def open(self, request: PublishRequest, publisher: Publisher) -> Publication:
        """Admit or refuse. Cancel-safe: yes.

        Raises UnauthenticatedError (no such key), ForbiddenError (known, not allowed: banned, cut), ConflictError
        (another encoder holds the room and will not be replaced), LimitedError (flapping, too many attempts).
        """
        ...


class FrameSink(Protocol):
    """What inside this worker takes every on-air frame of one stream, synchronously: the packager, a relay."""

    def on_track(self, track: Track) -> None:
        """A revision was announced; frames may follow."""
        ...

    def on_frame(self, frame: EncodedFrame) -> None:
        """One repaired frame, on the stream's timeline."""
        ...

    def on_pause(self) -> None:
        """The encoder is gone; it may come back within the grace time. No frame is outstanding."""
        ...

    def on_end(self) -> None:
        """The grace time ran out: the programme has ended."""
        ...


class WireFormat(Protocol):
    """How frames look on one kind of connection (FLV over chunked HTTP, FLV in WebSocket frames, RTMP messages).

    Depends on nothing a single viewer has, so that every viewer of a stream in this format is written the same bytes.
    Timestamps on the wire are `dts` in milliseconds minus `origin_ms`.
    """

    @property
    def name(self) -> str:
        """Viewers whose formats have the same name share bytes."""
        ...

    def start(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        """All that comes before the first frame: header, metadata, sequence headers at timestamp `at_ms`."""
        ...

    def tracks(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        """Changed configuration in mid-stream: the sequence headers of `tracks`."""
        ...

    def frames(self, frames: Sequence[EncodedFrame], *, origin_ms: int) -> bytes:
        """Media, in order."""
        ...

    def finish(self) -> bytes:
        """The last bytes of a programme that has ended."""
        ...


class Viewer(Protocol):
    """One connection that is written ready-made bytes. Implemented over a transport; nothing here blocks."""

    def write(self, data: bytes) -> None:
        """Queue bytes in order. Silently ignored after close."""
        ...

    def backlog_bytes(self) -> int:
        """Bytes written and not yet taken by the kernel."""
        ...

    def close(self, reason: str) -> None:
        """No more bytes will come. "ended" lets what is queued drain; any other reason aborts. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayRequest:
    """What a viewer wants to see."""

    room: str
    query: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""
    from_next_key: bool = False  # start at the next key frame instead of the cached group of pictures
    audio: bool = True
    video: bool = True
    # The container says at its start which kinds of media there are (FLV): when sound or pictures appear later or cease
    # for good, the play ends, and the player's next one has a truthful start.
    kinds_fixed: bool = False


class Playback(Protocol):
    """One viewer's place in the fan-out."""

    def close(self) -> None:
        """The viewer left. Idempotent."""
        ...


class PlayGate(Protocol):
    """Admits viewers of continuous streams (FLV, RTMP)."""

    async def play(self, request: PlayRequest, wire: WireFormat, viewer: Viewer) -> Playback:
        """Start writing to `viewer`. Cancel-safe: yes.

        Raises NotFoundError (`retry_after_ms` set when the room exists and is not live), ForbiddenError, LimitedError.
        """
        ...

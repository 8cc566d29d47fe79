"""A stream's health in JSON: `streamd.live.health.StreamHealth` in the words of the API.

The names are promises to the front end and to operators' scripts; the internal value may change without them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamd.live.health import StreamHealth


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class VideoView(_View):
    """The pictures."""

    codec: str = Field(description="h264, hevc or av1")
    codec_string: str = Field(description="RFC 6381: avc1.640028")
    width: int
    height: int
    video_range: str = Field(description="SDR, PQ or HLG")
    fps: float = Field(description="over the last ten seconds of the stream's own timeline")
    bitrate_bps: int = Field(description="over the last ten seconds")
    gop_ms: int | None = Field(description="time between key frames; null while not known")
    b_frames: bool
    flowing: bool = Field(description="whether frames of it come just now")


class AudioView(_View):
    """The sound."""

    codec: str = Field(description="aac or opus")
    codec_string: str
    sample_rate_hz: int
    channel_count: int
    bitrate_bps: int
    flowing: bool


class TrackView(_View):
    """A track that is received and not on air."""

    kind: Literal["video", "audio"]
    track_id: int
    codec: str
    frames: int
    bytes: int


class WarningView(BaseModel):
    """A remark for the host that names its remedy."""

    code: str = Field(description="a stable word for programs")
    level: str = Field(description="warning: viewers suffer; info: they may")
    message: str
    message_zh: str


class StreamView(_View):
    """A stream, now. A room without one has `state` offline and zeroes."""

    room: str
    state: Literal["on_air", "paused", "offline"] = "offline"
    on_air: bool = False
    server_time_ms: int = Field(
        description="the server's UTC clock, the same that EXT-X-PROGRAM-DATE-TIME is read from"
    )
    started_at_ms: int = 0
    uptime_ms: int = 0
    publications: Annotated[int, Field(description="how often an encoder has taken the programme up")] = 0
    paused_ms: Annotated[int, Field(description="how long the encoder has been gone")] = 0
    protocol: str = ""
    encoder: Annotated[str, Field(description="what the encoder calls itself")] = ""
    video: VideoView | None = None
    audio: AudioView | None = None
    bitrate_bps: int = 0
    pace: Annotated[float | None, Field(description="seconds of media received per second; 1.0 is real time")] = None
    drift_ms: Annotated[int, Field(description="the encoder's clock against the server's")] = 0
    repairs: Annotated[dict[str, int], Field(description="what was mended or dropped, by kind")] = {}
    tracks: list[TrackView] = []
    hints: Annotated[
        dict[str, str | int | float | bool], Field(description="what the encoder claims (onMetaData)")
    ] = {}
    warnings: list[WarningView] = []

    @classmethod
    def of(cls, health: StreamHealth, *, server_time_ms: int) -> StreamView:
        """The view of a stream that is live."""
        words = [
            WarningView(code=advice.code, level=advice.level, message=advice.en, message_zh=advice.zh)
            for advice in health.warnings
        ]
        shared = {name: getattr(health, name) for name in cls.model_fields if hasattr(health, name)}
        return cls.model_validate({**shared, "warnings": words, "server_time_ms": server_time_ms})

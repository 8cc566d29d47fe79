"""What a host should know about their encoder, in words that name the remedy. English and Chinese.

In: a `Reading` of one stream. Out: `Advice`, most urgent first. A `code` is an API: front end and tests know it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

_LONG_GOP_MS = 4_000
_SILENT_MS = 5_000
_SLOW_PACE = 0.93
_DECLARED_SHARE = 0.5
_FPS_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One remark. `level`: "warning" (viewers suffer) or "info" (they may)."""

    code: str
    level: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The figures that advice depends on, of a stream that is on air."""

    gop_ms: int | None = None
    b_frames: bool = False
    silent_ms: int = 0  # since the last audio frame, or since the publication began
    blind_ms: int = 0  # the same for video
    pace: float | None = None  # media seconds per second
    fps: float = 0.0
    fps_spread: float = 0.0  # 0 where nothing unusual
    bitrate_bps: int = 0
    mended_lately: int = 0  # timestamps repaired in the last ten seconds
    unsupported: tuple[str, ...] = ()
    hints: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def advise(reading: Reading) -> tuple[Advice, ...]:
    """All that applies."""
    remarks = (
        _starved(reading),
        _blind(reading),
        _silent(reading),
        _long_gop(reading),
        _unstable(reading),
        _mended(reading),
        _unsupported(reading),
        _b_frames(reading),
    )
    return tuple(remark for remark in remarks if remark is not None)


def _starved(reading: Reading) -> Advice | None:
    if reading.pace is not None and reading.pace < _SLOW_PACE:
        percent = round(reading.pace * 100)
        return Advice(
            code="bitrate_starved",
            level="warning",
            en=f"the upload is too slow: only {percent} % of the stream arrives in time. "
            "Lower the bitrate or use a better network",
            zh=f"上行带宽不足：只有 {percent}% 的画面按时到达。请降低码率或更换网络",
        )
    declared_bps = 1_000 * (_number(reading, "videodatarate") + _number(reading, "audiodatarate"))
    declared_fps = _number(reading, "framerate")
    # Either alone may be honest: a resting picture needs few bits, and a screen at rest few frames.
    if 0 < reading.bitrate_bps < declared_bps * _DECLARED_SHARE and 0 < reading.fps < declared_fps * _FPS_SHARE:
        return Advice(
            code="bitrate_starved",
            level="warning",
            en=f"the encoder drops frames: {reading.bitrate_bps // 1_000} of {round(declared_bps / 1_000)} kb/s and "
            f"{reading.fps:g} of {declared_fps:g} frames/s arrive. Lower the bitrate or use a better network",
            zh=f"编码器正在丢帧：码率 {reading.bitrate_bps // 1_000}/{round(declared_bps / 1_000)} kb/s，"
            f"帧率 {reading.fps:g}/{declared_fps:g}。请降低码率或更换网络",
        )
    return None


def _blind(reading: Reading) -> Advice | None:
    if reading.blind_ms < _SILENT_MS:
        return None
    seconds = reading.blind_ms // 1_000
    return Advice(
        code="no_video",
        level="warning",
        en=f"no picture for {seconds} s: check the camera and the scene",
        zh=f"已有 {seconds} 秒没有画面：请检查摄像头和场景",
    )


def _silent(reading: Reading) -> Advice | None:
    if reading.silent_ms < _SILENT_MS:
        return None
    seconds = reading.silent_ms // 1_000
    return Advice(
        code="no_audio",
        level="warning",
        en=f"no sound for {seconds} s: check the microphone and the audio track",
        zh=f"已有 {seconds} 秒没有声音：请检查麦克风和音轨",
    )


def _long_gop(reading: Reading) -> Advice | None:
    if reading.gop_ms is None or reading.gop_ms <= _LONG_GOP_MS:
        return None
    seconds = round(reading.gop_ms / 1_000)
    return Advice(
        code="long_gop",
        level="warning",
        en=f"key frames every {seconds} s: set the keyframe interval to 2 s",
        zh=f"关键帧间隔 {seconds} 秒：请把关键帧间隔设为 2 秒",
    )


def _unstable(reading: Reading) -> Advice | None:
    if not reading.fps_spread:
        return None
    return Advice(
        code="fps_unstable",
        level="warning",
        en=f"the frame rate swings by {reading.fps_spread:g} frames/s: the encoder is overloaded or set to a variable "
        "rate. Choose a faster preset and a constant frame rate",
        zh=f"帧率波动达 {reading.fps_spread:g} 帧/秒：编码器过载或使用了可变帧率。请选择更快的预设并使用固定帧率",
    )


def _mended(reading: Reading) -> Advice | None:
    if not reading.mended_lately:
        return None
    return Advice(
        code="timestamps_repaired",
        level="info",
        en=f"{reading.mended_lately} timestamps were repaired in the last 10 s: the encoder's clock jumps. "
        "Restart the encoder if picture and sound drift apart",
        zh=f"最近 10 秒修复了 {reading.mended_lately} 个时间戳：编码器时钟跳变。若音画不同步，请重启编码器",
    )


def _unsupported(reading: Reading) -> Advice | None:
    if not reading.unsupported:
        return None
    return Advice(
        code="unsupported_track",
        level="warning",
        en="the encoder sends a track that cannot go on air. Use H.264, HEVC or AV1 video and AAC or Opus audio",
        zh="编码器发送了无法播出的音轨或视频轨。请使用 H.264、HEVC 或 AV1 视频以及 AAC 或 Opus 音频",
    )


def _b_frames(reading: Reading) -> Advice | None:
    if not reading.b_frames:
        return None
    return Advice(
        code="b_frames",
        level="info",
        en="the video has B-frames: HLS and FLV play them, WebRTC does not, and they add delay. "
        "Set B-frames to 0 for the lowest latency",
        zh="视频含有 B 帧：HLS 和 FLV 可正常播放，WebRTC 不支持，并会增加延迟。如需最低延迟，请将 B 帧设为 0",
    )


def _number(reading: Reading, name: str) -> float:
    """A declared figure; 0 where there is none or it is no number. Some encoders write numbers as text."""
    try:
        value = float(reading.hints.get(name, 0))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0

"""Command lines for ffmpeg and ffprobe. In: what is wanted; out: an argv list, never a shell string.

The only importer of ffmpeg-python, which is used to build arguments and nothing else: its own `run` blocks and its
errors hide the reason. Whoever runs an argv uses `asyncio.create_subprocess_exec` (or subprocess in tools and tests)
and owns the process. Every argv starts with the full path of the binary, is quiet but for errors, never reads the
terminal, and opens nothing but files for reading.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from streamd.errors import StreamdError

_QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")
# A file may name other resources (playlists, references); nothing we read may reach for the network through them.
_READ_ONLY_FILES = ("-protocol_whitelist", "file,pipe")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSpec:
    """A test clip: moving picture and a steady tone, H.264 and AAC at constant rates, closed GOPs."""

    seconds: int = 60
    width: int = 1280
    height: int = 720
    fps: int = 30
    video_bps: int = 1_872_000
    audio_bps: int = 128_000
    gop_s: int = 2
    b_frame_count: int = 0
    sample_rate_hz: int = 48_000


def find_binary(name: str) -> str:
    """The full path of `ffmpeg` or `ffprobe`. Raises StreamdError (`ffmpeg_missing`) when it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise StreamdError(
            f"{name} was not found",
            why="it is a program of its own, called for test clips, restreaming and probing, and is not on PATH",
            fix="apt-get install ffmpeg (Debian, Ubuntu) or brew install ffmpeg (macOS)",
            code="ffmpeg_missing",
        )
    return path


def push_argv(source: Path, url: str, *, loop: bool = False) -> list[str]:
    """Push a file to an RTMP server in real time, without transcoding; for ever when `loop`."""
    repeat = {"stream_loop": -1} if loop else {}
    stream = ffmpeg.input(str(source), re=None, **repeat)
    output = ffmpeg.output(stream, url, c="copy", f="flv", flvflags="no_duration_filesize")
    return _ffmpeg_argv(output, _READ_ONLY_FILES)


def clip_argv(target: Path, spec: ClipSpec) -> list[str]:
    """Make a test clip at `target`; the container follows from its suffix (.flv, .mp4, .ts)."""
    picture = ffmpeg.input(f"testsrc2=size={spec.width}x{spec.height}:rate={spec.fps}", f="lavfi")
    # Grain: without it the picture is too easy to encode to need the bit rate that was asked for.
    picture = picture.filter("noise", alls=14, allf="t")
    sound = ffmpeg.input(f"sine=frequency=440:sample_rate={spec.sample_rate_hz}", f="lavfi")
    gop = spec.gop_s * spec.fps
    output = ffmpeg.output(
        picture,
        sound,
        str(target),
        t=spec.seconds,
        vcodec="libx264",
        preset="veryfast",
        pix_fmt="yuv420p",
        g=gop,
        keyint_min=gop,
        sc_threshold=0,
        bf=spec.b_frame_count,
        acodec="aac",
        ac=2,
        **{"b:v": spec.video_bps, "maxrate": spec.video_bps, "bufsize": spec.video_bps, "b:a": spec.audio_bps},
    )
    return _ffmpeg_argv(ffmpeg.overwrite_output(output))


def still_argv(form: str, *, side_px: int) -> list[str]:
    """One picture of an elementary stream on standard input (`form`: h264, hevc, obu) as a JPEG on standard output.

    At most `side_px` on its longer side; one thread, which is what a single picture can use.
    """
    picture = ffmpeg.input("pipe:0", f=form, threads=1)
    fitted = picture.filter(
        "scale", w=f"min({side_px},iw)", h=f"min({side_px},ih)", force_original_aspect_ratio="decrease"
    )
    output = ffmpeg.output(
        fitted, "pipe:1", vframes=1, f="image2pipe", vcodec="mjpeg", pix_fmt="yuvj420p", threads=1, **{"q:v": 3}
    )
    return _ffmpeg_argv(output, ("-protocol_whitelist", "pipe"))


def probe_argv(source: Path) -> list[str]:
    """Describe a file's streams and format as JSON on standard output."""
    return [
        find_binary("ffprobe"),
        *("-hide_banner", "-loglevel", "error"),
        *_READ_ONLY_FILES,
        *("-of", "json", "-show_format", "-show_streams", str(source)),
    ]


def _ffmpeg_argv(output: object, reading: tuple[str, ...] = ()) -> list[str]:
    """Compile, and put in front what holds for the whole run and for the (only) input."""
    compiled: list[str] = ffmpeg.compile(output, cmd=find_binary("ffmpeg"))
    return [compiled[0], *_QUIET, *reading, *compiled[1:]]

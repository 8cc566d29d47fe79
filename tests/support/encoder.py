"""Real encoders for tests: clips made once by ffmpeg, pushed by ffmpeg or by a child process that runs PyAV.

PyAV never writes to the network inside the test process: it holds the interpreter lock while it waits.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

CLIPS = Path(gettempdir()) / "streamd-test-clips"


def clip(
    *,
    seconds: int = 6,
    fps: str = "30",
    gop: int = 60,
    b_frames: int = 0,
    size: str = "320x180",
    audio: bool = True,
    video: bool = True,
) -> Path:
    """An FLV file of a moving test picture and a tone; made on first use, kept between runs."""
    name = f"{seconds}s-{fps.replace('/', '_')}-g{gop}-b{b_frames}-{size}-{'a' if audio else ''}{'v' if video else ''}"
    path = CLIPS / f"{name}.flv"
    if path.exists():
        return path
    CLIPS.mkdir(exist_ok=True)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    if video:
        command += ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}"]
    if audio:
        command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    command += ["-t", str(seconds)]
    if video:
        command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "400k", "-g", str(gop)]
        command += ["-keyint_min", str(gop), "-sc_threshold", "0", "-bf", str(b_frames)]
    if audio:
        command += ["-c:a", "aac", "-b:a", "64k", "-ac", "2"]
    partial = path.with_suffix(".part")
    subprocess.run([*command, "-f", "flv", str(partial)], check=True, timeout=60)
    partial.replace(path)
    return path


class Encoder:
    """A running encoder process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def kill(self) -> None:
        """As a crash does it: no FCUnpublish, no FIN from the program."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """As a person does it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def wait(self, seconds: float) -> int:
        return self.process.wait(seconds)

    def complaints(self) -> str:
        """What it wrote to standard error; only after it ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode(errors="replace")


@contextmanager
def pushing(url: str, source: Path, *, loop: bool = True) -> Iterator[Encoder]:
    """ffmpeg pushes `source` in real time, without encoding."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re"]
    command += ["-stream_loop", "-1"] if loop else []
    command += ["-i", str(source), "-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url]
    yield from _running(command)


@contextmanager
def pushing_enhanced(url: str, *, video: str, audio: str = "aac", seconds: int = 12) -> Iterator[Encoder]:
    """PyAV in a process of its own pushes Enhanced RTMP: `video` libx265 or libsvtav1, `audio` aac or libopus."""
    yield from _running([sys.executable, "-m", "tests.support.enhanced_push", url, video, audio, str(seconds)])


def _running(command: list[str]) -> Iterator[Encoder]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    encoder = Encoder(process)
    try:
        yield encoder
    finally:
        encoder.stop()
        assert process.stderr is not None
        process.stderr.close()


def probe(url: str, *, seconds: float = 4, timeout: float = 25) -> dict[str, dict[str, str]]:
    """What ffprobe sees in `seconds` of a live address: fields of each stream by "video" and "audio"."""
    command = ["ffprobe", "-v", "error", "-count_packets", "-show_streams", "-read_intervals", f"%+{seconds}"]
    result = subprocess.run([*command, "-i", url], capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result.stderr
    streams: dict[str, dict[str, str]] = {}
    for block in result.stdout.split("[STREAM]")[1:]:
        fields = dict(line.split("=", 1) for line in block.split("[/STREAM]")[0].split() if "=" in line)
        streams[fields["codec_type"]] = fields
    return streams


def decode_errors(url: str, *, seconds: float = 4, timeout: float = 30) -> str:
    """What ffmpeg complains of while it decodes `seconds` of a live address; empty when the stream is clean.

    Pictures keep their own times: rounded to the nominal rate, two of an irregular camera could fall on one tick, and
    ffmpeg would blame the stream for its own rounding.
    """
    as_timed = ["-fps_mode", "passthrough", "-enc_time_base", "-1"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-t", str(seconds), "-i", url, *as_timed, "-f", "null", "-"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result.stderr
    return result.stderr

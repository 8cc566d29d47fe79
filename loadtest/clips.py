"""The source that every publisher pushes, and a thin one for thousands: made once by ffmpeg, kept in the cache folder.

24 seconds: at 30 fps and 48 kHz, 720 pictures and 1125 AAC frames last exactly that long, and it is a whole number of
two-second groups of pictures, so that a loop has no seam.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from streamd.ffmpeg import ClipSpec, clip_argv

SECONDS = 24
SPEC = ClipSpec(seconds=SECONDS)
# As few frames as make a stream: thousands of these fit on one core of publishers.
THIN = ClipSpec(seconds=SECONDS, width=160, height=90, fps=5, video_bps=48_000, audio_bps=16_000, sample_rate_hz=8_000)
TOTAL_BPS = SPEC.video_bps + SPEC.audio_bps


def cache_folder() -> Path:
    """Where clips stay between runs."""
    folder = Path(tempfile.gettempdir()) / "streamd-loadtest"
    folder.mkdir(exist_ok=True)
    return folder


def source_clip(spec: ClipSpec = SPEC) -> Path:
    """The 2 Mb/s clip, or another, as FLV, made on first use (a few seconds)."""
    kbps = (spec.video_bps + spec.audio_bps) // 1000
    target = cache_folder() / f"source-{spec.height}p{spec.fps}-{kbps}k-{SECONDS}s.flv"
    if not target.exists():
        unfinished = target.with_suffix(".part.flv")
        subprocess.run(clip_argv(unfinished, spec), check=True)
        unfinished.rename(target)
    return target

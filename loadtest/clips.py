"""The one source that every publisher pushes: made once by ffmpeg, kept in the cache folder.

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
TOTAL_BPS = SPEC.video_bps + SPEC.audio_bps


def cache_folder() -> Path:
    """Where clips stay between runs."""
    folder = Path(tempfile.gettempdir()) / "streamd-loadtest"
    folder.mkdir(exist_ok=True)
    return folder


def source_clip() -> Path:
    """The 2 Mb/s clip as FLV, made on first use (a few seconds)."""
    target = cache_folder() / f"source-{SPEC.height}p{SPEC.fps}-{TOTAL_BPS // 1000}k-{SECONDS}s.flv"
    if not target.exists():
        unfinished = target.with_suffix(".part.flv")
        subprocess.run(clip_argv(unfinished, SPEC), check=True)
        unfinished.rename(target)
    return target

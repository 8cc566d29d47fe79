"""Command lines for ffmpeg do what their builders promise, by the real ffmpeg."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from streamd.errors import StreamdError
from streamd.ffmpeg import ClipSpec, clip_argv, find_binary, probe_argv, push_argv


def test_a_clip_is_what_was_ordered(tmp_path: Path) -> None:
    clip = tmp_path / "clip.flv"
    subprocess.run(clip_argv(clip, ClipSpec(seconds=2, width=320, height=180, video_bps=400_000, gop_s=1)), check=True)
    said = json.loads(subprocess.run(probe_argv(clip), check=True, capture_output=True).stdout)
    streams = {stream["codec_type"]: stream for stream in said["streams"]}
    assert (streams["video"]["codec_name"], streams["video"]["width"], streams["video"]["height"]) == ("h264", 320, 180)
    assert streams["video"]["avg_frame_rate"] == "30/1"
    assert streams["video"]["has_b_frames"] == 0
    assert (streams["audio"]["codec_name"], streams["audio"]["sample_rate"]) == ("aac", "48000")
    assert 2.0 <= float(said["format"]["duration"]) < 2.1
    assert 350_000 < int(said["format"]["bit_rate"]) < 650_000


def test_a_push_reads_files_only_in_real_time_and_copies(tmp_path: Path) -> None:
    argv = push_argv(tmp_path / "clip.flv", "rtmp://127.0.0.1:1935/live/key", loop=True)
    assert argv[0] == find_binary("ffmpeg")
    assert argv[-1] == "rtmp://127.0.0.1:1935/live/key"
    before_input = argv[: argv.index("-i")]
    assert "-re" in before_input
    assert before_input[before_input.index("-stream_loop") + 1] == "-1"
    assert before_input[before_input.index("-protocol_whitelist") + 1] == "file,pipe"
    assert argv[argv.index("-c") + 1] == "copy"
    assert "-stream_loop" not in push_argv(tmp_path / "clip.flv", "rtmp://127.0.0.1:1935/live/key")


def test_a_file_that_points_at_the_network_is_refused(tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    refused = subprocess.run(probe_argv(playlist), check=False, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "not on whitelist" in refused.stderr


def test_a_missing_binary_says_what_why_and_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(StreamdError) as caught:
        find_binary("ffmpeg")
    assert caught.value.code == "ffmpeg_missing"
    assert caught.value.why
    assert "apt-get install ffmpeg" in caught.value.fix

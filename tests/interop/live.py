"""The questions that these tests ask a running server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.support.web import eventually, get


def stream(http_url: str, room: str = "demo") -> dict[str, Any]:
    """Ingest health as the API tells it."""
    answer = get(f"{http_url}/api/v1/rooms/{room}/stream")
    assert answer.status == 200, answer.text
    health: dict[str, Any] = answer.json()
    return health


def wait_on_air(http_url: str, room: str = "demo", *, seconds: float = 15) -> dict[str, Any]:
    return eventually(lambda: stream(http_url, room), lambda s: bool(s["on_air"]), seconds=seconds, what="on air")


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    text: str
    media_sequence: int
    discontinuity_sequence: int
    segments: tuple[str, ...]

    @property
    def frozen_tags(self) -> tuple[str, ...]:
        names = ("#EXT-X-TARGETDURATION", "#EXT-X-PART-INF", "#EXT-X-SERVER-CONTROL")
        return tuple(line for line in self.text.splitlines() if line.startswith(names))

    @property
    def maps(self) -> tuple[str, ...]:
        return tuple(line for line in self.text.splitlines() if line.startswith("#EXT-X-MAP"))

    @property
    def last_msn(self) -> int:
        return self.media_sequence + len(self.segments) - 1


def playlist(http_url: str, room: str = "demo", query: str = "") -> MediaPlaylist | None:
    """The media playlist, or None while there is none."""
    answer = get(f"{http_url}/live/{room}/source/media.m3u8{query}")
    if answer.status != 200:
        return None
    text = answer.text

    def number(tag: str) -> int:
        found = re.search(rf"^#{tag}:(\d+)", text, re.M)
        return int(found[1]) if found else 0

    return MediaPlaylist(
        text=text,
        media_sequence=number("EXT-X-MEDIA-SEQUENCE"),
        discontinuity_sequence=number("EXT-X-DISCONTINUITY-SEQUENCE"),
        segments=tuple(re.findall(r"^(seg-[^\s?]+)", text, re.M)),
    )


def wait_playlist(http_url: str, room: str = "demo", *, segments: int = 1, seconds: float = 20) -> MediaPlaylist:
    found = eventually(
        lambda: playlist(http_url, room),
        lambda p: p is not None and len(p.segments) >= segments,
        seconds=seconds,
        what=f"playlist with {segments} segments",
    )
    assert found is not None
    return found

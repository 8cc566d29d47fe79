"""`/api/v1/rooms` and below."""

from __future__ import annotations

from typing import Any

import pytest

from streamd.accounts.rooms import Rooms
from streamd.live.advice import Advice
from streamd.live.health import AudioHealth, ExtraTrackHealth, StreamHealth, VideoHealth
from tests.api.support import Programme, serve


def health(room: str, **changes: Any) -> StreamHealth:
    video = VideoHealth(
        codec="h264",
        codec_string="avc1.640028",
        width=1280,
        height=720,
        video_range="SDR",
        fps=29.97,
        bitrate_bps=2_000_000,
        gop_ms=10_000,
        b_frames=True,
        flowing=True,
    )
    audio = AudioHealth(
        codec="aac", codec_string="mp4a.40.2", sample_rate_hz=48_000, channel_count=2, bitrate_bps=128_000, flowing=True
    )
    facts: dict[str, Any] = {
        "room": room,
        "state": "on_air",
        "on_air": True,
        "protocol": "rtmp",
        "encoder": "FMLE/3.0",
        "started_at_ms": 1_800_000_000_000,
        "uptime_ms": 65_000,
        "publications": 2,
        "paused_ms": 0,
        "video": video,
        "audio": audio,
        "bitrate_bps": 2_128_000,
        "pace": 1.001,
        "drift_ms": -3,
        "repairs": {"dts_jump": 1},
        "tracks": (ExtraTrackHealth(kind="video", track_id=1, codec="h264", frames=10, bytes=2_000),),
        "hints": {"encoder": "obs-output", "width": 1280.0, "stereo": True},
        "warnings": (Advice(code="long_gop", level="warning", en="key frames every 10 s", zh="关键帧间隔 10 秒"),),
    }
    return StreamHealth(**facts | changes)


async def test_rooms_come_in_pages_that_a_cursor_joins(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        first = await (await client.get("/api/v1/rooms?limit=2")).json()
        assert [item["room"] for item in first["items"]] == ["demo", "quiet"]
        second = await (await client.get("/api/v1/rooms", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [item["room"] for item in second["items"]] == ["summer"]
        assert second["next_cursor"] is None
        assert second["server_time_ms"] == 1_800_000_000_000


async def test_last_page_that_is_exactly_full_ends_the_list(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        page = await (await client.get("/api/v1/rooms?limit=3")).json()
    assert (len(page["items"]), page["next_cursor"]) == (3, None)


async def test_list_tells_who_is_on_air_and_can_be_asked_for_those_only(rooms: Rooms) -> None:
    programme = Programme()
    programme.streams = {"summer": health("summer"), "quiet": health("quiet", on_air=False, state="paused")}
    async with serve(rooms, programme=programme) as client:
        everyone = await (await client.get("/api/v1/rooms")).json()
        assert {item["room"]: item["on_air"] for item in everyone["items"]} == {
            "demo": False,
            "quiet": False,
            "summer": True,
        }
        only = await (await client.get("/api/v1/rooms?on_air=true")).json()
        assert [item["room"] for item in only["items"]] == ["summer"]


async def test_room_is_shown_without_its_key(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        answer = await client.get("/api/v1/rooms/demo")
        assert await answer.json() == {
            "room": "demo",
            "title": "The demo show",
            "owner": "alice",
            "on_air": False,
            "created_at_ms": 1_800_000_000_000,
            "announcement": "",
            "starts_at_ms": None,
            "cover": None,
            "access": "public",
            "cut_until_ms": 0,
        }


@pytest.mark.parametrize("path", ["/api/v1/rooms/nowhere", "/api/v1/rooms/nowhere/stream", "/api/v1/rooms/No%20Room"])
async def test_unknown_room_is_a_problem_that_says_what_to_do(rooms: Rooms, path: str) -> None:
    async with serve(rooms) as client:
        answer = await client.get(path)
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
        body = await answer.json()
    assert set(body) == {"type", "title", "status", "code", "detail", "fix"}
    assert (body["status"], body["code"], body["type"]) == (404, "room_unknown", "urn:streamd:problem:room_unknown")


async def test_stream_health_is_told_in_the_words_of_the_api(rooms: Rooms) -> None:
    programme = Programme()
    programme.streams["demo"] = health("demo")
    async with serve(rooms, programme=programme) as client:
        body = await (await client.get("/api/v1/rooms/demo/stream")).json()
    assert (body["state"], body["on_air"], body["server_time_ms"]) == ("on_air", True, 1_800_000_000_000)
    assert body["video"] == {
        "codec": "h264",
        "codec_string": "avc1.640028",
        "width": 1280,
        "height": 720,
        "video_range": "SDR",
        "fps": 29.97,
        "bitrate_bps": 2_000_000,
        "gop_ms": 10_000,
        "b_frames": True,
        "flowing": True,
    }
    assert body["audio"]["channel_count"] == 2
    assert (body["pace"], body["drift_ms"], body["repairs"]) == (1.001, -3, {"dts_jump": 1})
    assert body["tracks"] == [{"kind": "video", "track_id": 1, "codec": "h264", "frames": 10, "bytes": 2_000}]
    assert body["hints"] == {"encoder": "obs-output", "width": 1280.0, "stereo": True}
    assert body["warnings"] == [
        {"code": "long_gop", "level": "warning", "message": "key frames every 10 s", "message_zh": "关键帧间隔 10 秒"}
    ]


async def test_room_without_a_stream_is_offline_and_not_a_problem(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        answer = await client.get("/api/v1/rooms/quiet/stream")
        body = await answer.json()
    assert (answer.status, body["state"], body["on_air"], body["video"]) == (200, "offline", False, None)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=many", "on_air=perhaps", "cursor=%21%21", "cursor=Demo"]
)
async def test_query_that_cannot_be_meant_is_refused_by_name(rooms: Rooms, query: str) -> None:
    async with serve(rooms) as client:
        answer = await client.get(f"/api/v1/rooms?{query}")
        body = await answer.json()
    assert answer.status == 400
    assert query.partition("=")[0] in body["detail"]

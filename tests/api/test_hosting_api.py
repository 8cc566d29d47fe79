"""What a host does to a room, over HTTP."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from streamd.errors import ForbiddenError
from tests.api.support import ORIGIN, Client, Stage, body_of

ROOMS, ROOM = "/api/v1/rooms", "/api/v1/rooms/demo"


def picture(kind: str = "PNG", size: tuple[int, int] = (2_000, 1_000), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "#c03050").save(out, kind, **options)
    return out.getvalue()


async def test_host_opens_a_room_and_is_shown_its_key_once(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("rival")
    body = {"room": "summer", "title": "夏 🎉", "announcement": "Line one\nline two", "starts_at_ms": 1_900_000_000_000}
    status, made = await body_of(client, "POST", ROOMS, headers=headers, json=body)
    assert (status, made["room"]["owner"], made["room"]["title"]) == (201, "rival", "夏 🎉")
    assert made["encoder"]["rtmp_url"] == "rtmp://live.example.com:1935/live"
    assert (await stage.accounts.keys.check(made["encoder"]["stream_key"])).room == "summer"
    status, shown = await body_of(client, "GET", f"{ROOMS}/summer")
    assert (shown["announcement"], shown["starts_at_ms"]) == (body["announcement"], body["starts_at_ms"])
    assert made["encoder"]["stream_key"] not in repr(shown)
    assert (await body_of(client, "POST", ROOMS, headers=headers, json=body))[1]["code"] == "room_exists"
    assert await stage.accounts.members.role((await stage.accounts.users.named("rival")).id, "summer") == "host"


async def test_title_and_show_are_changed_and_the_show_is_taken_back(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("assistant")
    change = {"title": "Autumn", "starts_at_ms": 1_900_000_000_000}
    assert (await body_of(client, "PATCH", ROOM, headers=headers, json=change))[1]["starts_at_ms"] is not None
    _, room = await body_of(client, "PATCH", ROOM, headers=headers, json={"starts_at_ms": None})
    assert (room["title"], room["starts_at_ms"]) == ("Autumn", None)
    assert (await body_of(client, "PATCH", f"{ROOMS}/nowhere", headers=headers, json=change))[0] == 403
    admin = await stage.sign_in("admin")
    assert (await body_of(client, "PATCH", f"{ROOMS}/nowhere", headers=admin, json=change))[0] == 404


async def test_rotated_key_replaces_the_old_one(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host")
    _, first = await body_of(client, "POST", f"{ROOM}/stream-key", headers=headers)
    _, second = await body_of(client, "POST", f"{ROOM}/stream-key", headers=headers)
    assert first["stream_key"] != second["stream_key"]
    assert (await stage.accounts.keys.check(second["stream_key"])).room == "demo"


async def test_cut_room_lets_no_encoder_in_until_the_time_is_over_or_the_host_says_so(
    stage: Stage, client: Client
) -> None:
    headers = await stage.sign_in("host")
    _, made = await body_of(client, "POST", f"{ROOM}/stream-key", headers=headers)
    status, cut = await body_of(client, "POST", f"{ROOM}/cut", headers=headers, json={"for_s": 60, "reason": "rude"})
    assert (status, cut["until_ms"], stage.programme.cuts) == (200, stage.clock.utc_ms() + 60_000, ["demo"])
    with pytest.raises(ForbiddenError) as caught:
        await stage.accounts.keys.check(made["stream_key"])
    assert caught.value.code == "room_cut"
    stage.clock.advance(60_000)
    assert await stage.accounts.keys.check(made["stream_key"])
    await body_of(client, "POST", f"{ROOM}/cut", headers=headers, json={})
    assert (await body_of(client, "DELETE", f"{ROOM}/cut", headers=headers))[0] == 204
    assert await stage.accounts.keys.check(made["stream_key"])


async def test_signed_room_is_watched_with_a_token_that_can_be_revoked(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host")
    access = {"access": "signed"}
    assert (await body_of(client, "PUT", f"{ROOM}/playback", headers=headers, json=access))[0] == 200
    assert (await body_of(client, "GET", ROOM))[1]["access"] == "signed"
    path = f"{ROOM}/playback-tokens"
    _status, made = await body_of(client, "POST", path, headers=headers, json={"expires_in_s": 60})
    assert made["hls_url"] == f"{ORIGIN}/live/demo/index.m3u8?token={made['token']}"
    await stage.accounts.playback.check("demo", made["token"], "")
    assert (await body_of(client, "DELETE", path, headers=headers))[0] == 204
    with pytest.raises(ForbiddenError):
        await stage.accounts.playback.check("demo", made["token"], "")


async def test_chat_is_changed_in_part_kept_and_told_to_the_room(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("moderator")
    path = f"{ROOM}/chat"
    change = {"slow_mode_ms": 5_000, "words": ["spam", {"text": "loan", "action": "mask"}]}
    status, chat = await body_of(client, "PATCH", path, headers=headers, json=change)
    assert (status, chat["slow_mode_ms"], chat["muted_all"]) == (200, 5_000, False)
    assert chat["words"] == [{"text": "spam", "action": "block"}, {"text": "loan", "action": "mask"}]
    await body_of(client, "PATCH", path, headers=headers, json={"muted_all": True})
    _, chat = await body_of(client, "GET", path, headers=headers)
    assert (chat["slow_mode_ms"], chat["muted_all"], len(chat["words"])) == (5_000, True, 2)
    assert [(room, told.muted_all) for room, told in stage.gateway.told] == [("demo", False), ("demo", True)]
    assert (await body_of(client, "PATCH", path, headers=headers, json={"slow_mode_ms": 999_999}))[0] == 400


# --- covers ---


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_cover_is_made_anew_bounded_and_shown(stage: Stage, client: Client, kind: str) -> None:
    headers = await stage.sign_in("host")
    assert (await client.get("/live/demo/cover.jpg")).status == 404
    stage.clock.advance(5_000)
    status, cover = await body_of(client, "PUT", f"{ROOM}/cover", headers=headers, data=picture(kind))
    assert (status, cover["cover"]) == (200, (await body_of(client, "GET", ROOM))[1]["cover"])
    answer = await client.get("/live/demo/cover.jpg")
    shown = Image.open(io.BytesIO(await answer.read()))
    assert (shown.format, shown.size, answer.content_type) == ("JPEG", (1_280, 640), "image/jpeg")
    again = await client.get("/live/demo/cover.jpg", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    named = await client.get(cover["cover"].removeprefix(ORIGIN))
    assert "immutable" in named.headers["Cache-Control"]
    assert (await body_of(client, "DELETE", f"{ROOM}/cover", headers=headers))[0] == 204
    assert (await body_of(client, "GET", ROOM))[1]["cover"] is None


async def test_cover_is_taken_from_what_is_on_air(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("assistant")
    assert (await body_of(client, "POST", f"{ROOM}/cover/frame", headers=headers))[0] == 404
    stage.programme.still = picture("JPEG", (640, 360))
    status, cover = await body_of(client, "POST", f"{ROOM}/cover/frame", headers=headers)
    assert (status, cover["cover"]) == (200, (await body_of(client, "GET", ROOM))[1]["cover"])
    answer = await client.get("/live/demo/cover.jpg")
    assert Image.open(io.BytesIO(await answer.read())).size == (640, 360)
    assert stage.programme.asked == []


async def test_room_without_a_cover_shows_what_is_on_air(stage: Stage, client: Client) -> None:
    assert (await client.get("/live/demo/cover.jpg")).status == 404
    stage.programme.still = picture("JPEG", (640, 360))
    answer = await client.get("/live/demo/cover.jpg")
    assert (answer.status, await answer.read()) == (200, stage.programme.still)
    assert answer.headers["Cache-Control"] == "public, max-age=30"
    again = await client.get("/live/demo/cover.jpg", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


async def test_room_for_those_with_a_token_shows_nothing_of_its_programme(stage: Stage, client: Client) -> None:
    await stage.accounts.playback.set_access("demo", "signed")
    stage.programme.still = picture("JPEG", (640, 360))
    assert (await client.get("/live/demo/cover.jpg")).status == 404
    assert stage.programme.asked == []


async def test_cover_holds_nothing_of_the_picture_but_the_picture(stage: Stage, client: Client) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera of somebody"
    exif[0x0112] = 6  # turned
    data = picture("JPEG", (400, 200), exif=exif, comment=b"where I live")
    headers = await stage.sign_in("host")
    await body_of(client, "PUT", f"{ROOM}/cover", headers=headers, data=data)
    jpeg = await (await client.get("/live/demo/cover.jpg")).read()
    assert b"Camera" not in jpeg
    assert b"where I live" not in jpeg
    assert Image.open(io.BytesIO(jpeg)).size == (200, 400)


def bomb() -> bytes:
    """A PNG of 30 000 × 30 000 pixels by its header, with hardly anything in it."""
    data = bytearray(picture(size=(1, 1)))
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a" + bytes(100), b"<svg/>", picture()[:200], picture() + bytes(9 * 1024 * 1024), bomb()],
    ids=["nothing", "gif", "svg", "cut short", "too large", "bomb"],
)
async def test_what_is_no_fit_picture_is_refused(stage: Stage, client: Client, data: bytes) -> None:
    headers = await stage.sign_in("host")
    status, problem = await body_of(client, "PUT", f"{ROOM}/cover", headers=headers, data=data)
    assert (status, problem["code"]) == (400, "picture")

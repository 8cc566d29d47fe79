"""The show board over HTTP."""

from __future__ import annotations

import csv
import io

import pytest
from sqlalchemy import insert, update

from streamd.board.attendance import Seat
from streamd.db.board_tables import card_minutes, shows
from streamd.db.shop_tables import products, room_products
from tests.api.support import Client, Stage, body_of

ROOM = "/api/v1/rooms/demo"


class Nobody:
    def seats(self, room: str) -> list[Seat]:
        return []

    def online(self, room: str) -> int:
        return 0

    def state(self, room: str, key: str) -> None:
        return None


@pytest.fixture(autouse=True)
async def shown(stage: Stage) -> None:
    """Three programmes of room 1, of which the last one runs; and a product."""
    now_ms = stage.clock.utc_ms()
    async with stage.engine.begin() as connection:
        for number in range(1, 4):
            row = {"room_id": 1, "title": "直播", "node": "n", "started_at_ms": now_ms - 60_000, "seen_at_ms": now_ms}
            await connection.execute(insert(shows).values(**row, ended_at_ms=None if number == 3 else now_ms))
        await connection.execute(update(shows).where(shows.c.id == 3).values(open_room_id=1))
        goods = {
            "owner": "host",
            "title": "T恤",
            "description": "",
            "currency": "CNY",
            "status": "active",
            "version": 1,
        }
        await connection.execute(insert(products).values(**goods, created_at_ms=1, updated_at_ms=1))
        await connection.execute(insert(room_products).values(room_id=1, product_id=1, position=1))
        counted = {"product_id": 1, "minute_ms": now_ms, "exposures": 9, "clicks": 4}
        await connection.execute(insert(card_minutes).values(show_id=3, **counted))


async def test_programmes_come_page_by_page(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("assistant")
    status, page = await body_of(client, "GET", f"{ROOM}/shows?limit=2", headers=headers)
    assert (status, [each["id"] for each in page["items"]]) == (200, [3, 2])
    assert [each["ended_at_ms"] is None for each in page["items"]] == [True, False]
    _, rest = await body_of(client, "GET", f"{ROOM}/shows?cursor={page['next_cursor']}", headers=headers)
    assert ([each["id"] for each in rest["items"]], rest["next_cursor"]) == ([1], None)


async def test_board_is_of_the_newest_programme_or_of_the_one_that_is_named(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host")
    status, board = await body_of(client, "GET", f"{ROOM}/board", headers=headers)
    assert (status, board["show"]["id"], board["exposures"], board["clicks"]) == (200, 3, 9, 4)
    assert [(each["id"], each["title"], each["clicks"]) for each in board["products"]] == [(1, "T恤", 4)]
    _, board = await body_of(client, "GET", f"{ROOM}/board?show=1", headers=headers)
    assert (board["show"]["id"], board["exposures"], board["products"]) == (1, 0, [])
    assert (await body_of(client, "GET", f"{ROOM}/board?show=99", headers=headers))[0] == 404
    # A room that is theirs, and a programme that is not its own.
    rival = await stage.sign_in("rival")
    assert (await body_of(client, "GET", "/api/v1/rooms/other/board?show=3", headers=rival))[0] == 404


async def test_board_is_a_file_for_spreadsheets_too(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host")
    async with client.get(f"{ROOM}/board.csv?lang=zh", headers=headers) as answer:
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/csv", "utf-8")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="demo-3.csv"'
        data = await answer.read()
    assert data.startswith("\ufeff".encode())
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert dict(zip(rows[0], rows[1], strict=True))["商品卡点击次数"] == "4"


async def test_everybody_may_tap_a_card_of_what_the_room_sells(stage: Stage, client: Client) -> None:
    await stage.attendance.write(Nobody())
    assert (await body_of(client, "POST", f"{ROOM}/card/clicks", json={"product_id": 1}))[0] == 204
    for room, product, status in (("demo", 2, 404), ("other", 1, 404), ("demo", "x", 400), ("demo", "1", 400)):
        path = f"/api/v1/rooms/{room}/card/clicks"
        assert (await body_of(client, "POST", path, json={"product_id": product}))[0] == status
    await stage.attendance.write(Nobody())
    headers = await stage.sign_in("host")
    _, board = await body_of(client, "GET", f"{ROOM}/board", headers=headers)
    assert board["clicks"] == 5

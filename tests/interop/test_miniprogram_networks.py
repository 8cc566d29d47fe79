"""The built mini-program in a room over bad networks, and in one that is very loud.

What its viewer sees meanwhile, and what is not lost.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

from danmaku.conduct import ChatSettings, Identity
from danmaku.gateway import RoomGateway
from tests.support.phone import ROOM, Phone, phone, texts
from tests.support.rooms import room_node
from tests.support.weak_network import weak_network

HOST = Identity(id="u-host", name="Host", role="host")
TUNNEL_S = 5


async def open_to_guests(gateway: RoomGateway) -> None:
    await gateway.set_chat("demo", ChatSettings(guests_may_speak=True, shown_per_s=1_000))


async def pin(gateway: RoomGateway, number: int) -> None:
    product = {"id": number, "title": f"mug {number}", "price_minor": 990, "currency": "CNY", "stock": 5}
    await gateway.publish("demo", "card", {"version": number, "product": product})


def shows(number: int, *said: str) -> Any:
    def holds(data: Any) -> bool:
        card = data["card"] and data["card"]["title"] == f"mug {number}"
        return bool(card and not data["banner"] and all(texts(data).count(text) == 1 for text in said))

    return holds


async def test_three_segments_of_ten_lost_lose_no_card_and_no_word(built: Path) -> None:
    """Twenty announcements, ten cards and five words of one's own, while every third segment is sent again."""
    async with room_node() as node, weak_network(node.port, lost=0.3) as network:
        await open_to_guests(node.gateway)
        async with phone(built, network.url, "oFar") as far:
            await far.enter("demo")
            for number in range(1, 11):
                await pin(node.gateway, number)
                for part in ("a", "b"):
                    await node.gateway.publish("demo", "notice", {"text": f"notice {number}{part}"})
                if number % 2:
                    await far.begin_to_say(f"word {number}")
                await asyncio.sleep(0.1)
            told = [f"notice {number}{part}" for number in range(1, 11) for part in ("a", "b")]
            own = [f"word {number}" for number in range(1, 11, 2)]
            data = await far.sees(ROOM, lambda data: shows(10, *told, *own)(data) and unsettled(data) == [], what="all")
            assert [text for text in texts(data) if text in told] == told
            assert [text for text in texts(data) if text in own] == own
            assert (await far.do("phone"))["mostSockets"] == 1
        assert network.lost_count > network.segments / 5


def unsettled(data: Any) -> list[str]:
    """Words of one's own that still bear a note: on their way, or not sent."""
    return [line["text"] for line in data["lines"] if line["note"]]


async def test_five_seconds_in_a_tunnel_and_another_network_lose_no_card_and_no_word(built: Path) -> None:
    """One phone's network stands still; the other's changes, and its socket is never told. Together, to be quick."""
    async with room_node() as node, weak_network(node.port, lost=0) as tunnel, weak_network(node.port, lost=0) as old:
        await open_to_guests(node.gateway)
        async with phone(built, tunnel.url, "oTunnel") as inside, phone(built, old.url, "oRoaming") as roaming:
            for one in (inside, roaming):
                await one.enter("demo")
            tunnel.hold()
            old.strand()
            await roaming.do("roam")
            await pin(node.gateway, 7)
            await node.gateway.say("demo", HOST, "while you were in there")
            await inside.begin_to_say("from the tunnel")
            await inside.sees(ROOM, lambda data: unsettled(data) == ["from the tunnel"], what="words on their way")
            await asyncio.sleep(TUNNEL_S)
            tunnel.release()
            said = ("while you were in there", "from the tunnel")
            for one in (inside, roaming):
                await one.sees(ROOM, shows(7, *said), what="card and words", within_s=4)
            await inside.sees(ROOM, lambda data: unsettled(data) == [], what="words that arrived")
            assert await sockets(inside) == (1, 1), "a socket that outlives the tunnel is kept"
            assert await sockets(roaming) == (2, 1), "a socket that did not is replaced by one"


async def sockets(one: Phone) -> tuple[int, int]:
    """Opened, and at most at once."""
    seen = await one.do("phone")
    return seen["opened"], seen["mostSockets"]


async def test_a_hundred_messages_a_second_are_five_paintings(built: Path) -> None:
    async with room_node() as node:
        await open_to_guests(node.gateway)
        async with phone(built, node.url, "oLoud") as viewer:
            await viewer.enter("demo")
            before = len(await viewer.do("painted", ROOM))
            for number in range(30):
                for part in range(10):
                    crowd = Identity(id=f"u-{part}", name=f"viewer {part}", role="viewer")
                    await node.gateway.say("demo", crowd, f"message {number}.{part}")
                await asyncio.sleep(0.1)
            data = await viewer.sees(ROOM, lambda data: "message 29.9" in texts(data), what="the last message")
            painted = (await viewer.do("painted", ROOM))[before:]
            # A fifth of a second, less what the timer before was late by.
            assert min(after["atMs"] - first["atMs"] for first, after in pairwise(painted)) >= 170
            assert len(painted) <= 5 * (painted[-1]["atMs"] - painted[0]["atMs"]) / 1_000 + 1
            assert len(painted) > 5
            assert texts(data) == [f"message {number}.{part}" for number in range(26, 30) for part in range(10)]
            assert 0 < len(data["bullets"]) <= 24

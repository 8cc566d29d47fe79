"""One node, real sockets: joining, speaking, liking, cards, sanctions."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest

from danmaku.conduct import ChatSettings, Sanction
from danmaku.gateway import kick
from danmaku.moderation import Word, WordList
from danmaku.session import WebSocketSession
from danmaku.settings import RoomSettings
from danmaku.socket import TransportSettings
from streamd.clock import SystemClock
from streamd.errors import InvalidError, NotFoundError
from streamd.telemetry.metrics import Metrics
from tests.support.rooms import RawClient, room_node


def say(text: str, ident: str = "") -> dict[str, str]:
    return {"id": ident or f"id-{text.encode().hex()[:60]}", "text": text}


async def test_first_event_is_welcome_with_all_that_a_page_needs() -> None:
    async with room_node() as node:
        client = await RawClient.open(node.port)
        opening = await client.packet()
        assert opening.startswith('0{"sid":')
        assert "permessage-deflate" not in client.head
        client.send('40{"room":"demo","token":"alice"}')
        assert (await client.turn()).startswith('40{"sid":')
        await client.turn()
        [(name, welcome)] = client.events
        assert name == "welcome"
        assert set(welcome) == {
            *("room", "title", "live", "epoch", "seq", "online", "likes", "card", "pinned", "history"),
            *("recovered", "me", "limits", "pacing"),
        }
        assert welcome["me"] == {"id": "u-alice", "name": "alice", "role": "viewer", "muted_until_ms": 0}
        assert (welcome["room"], welcome["title"], welcome["live"]) == ("demo", "Room demo", True)
        assert welcome["recovered"] is False
        await client.close()


async def test_compression_is_never_agreed_to() -> None:
    async with room_node() as node:
        client = await RawClient.open(
            node.port, headers="Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        )
        assert "101" in client.head
        assert "extensions" not in client.head.lower()
        first, _ = await client.frame()
        assert first == 0x81
        await client.close()


async def test_danmaku_reaches_everybody_with_number_author_and_time_and_is_acknowledged_behind() -> None:
    async with room_node() as node:
        alice = await RawClient.join(node.port, token="alice")
        bob = await RawClient.join(node.port)
        ack = await alice.call("danmaku", {"id": "1", "text": "  你好   world ", "color": "#FF0000", "mode": "top"})
        assert ack == {"ok": True, "seq": 1}
        [own] = alice.named("danmaku")[0]
        [seen] = await bob.event("danmaku")
        assert own == seen
        assert seen["user"] == {"id": "u-alice", "name": "alice", "role": "viewer", "level": 3}
        assert (seen["seq"], seen["id"], seen["text"]) == (1, "1", "你好 world")
        assert (seen["color"], seen["mode"]) == ("#ff0000", "top")
        assert abs(seen["at_ms"] - SystemClock().utc_ms()) < 5_000
        await alice.close()
        await bob.close()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (None, "invalid"),
        ({"id": 5, "text": "x"}, "invalid"),
        ({"id": "1", "text": ""}, "empty"),
        ({"id": "1", "text": " \u3000 "}, "empty"),
        ({"id": "1", "text": "x" * 101}, "too_long"),
        ({"id": "1", "text": "x", "mode": "spin"}, "invalid"),
        ({"id": "1", "text": "x", "color": "red"}, "invalid"),
        ({"id": "i" * 65, "text": "x"}, "invalid"),
    ],
)
async def test_danmaku_out_of_shape_is_refused_with_its_reason(payload: object, code: str) -> None:
    async with room_node() as node:
        client = await RawClient.join(node.port, token="alice")
        ack = await client.call("danmaku", payload)
        assert ack["ok"] is False
        assert ack["code"] == code
        assert ack["message"]
        await client.close()


async def test_guest_reads_and_is_told_to_sign_in_to_speak_unless_the_room_lets_guests() -> None:
    async with room_node() as node:
        guest = await RawClient.join(node.port)
        assert (await guest.call("danmaku", say("hi")))["code"] == "sign_in"
        await node.gateway.set_chat("demo", ChatSettings(guests_may_speak=True))
        assert (await guest.event("chat"))["guests_may_speak"] is True
        assert (await guest.call("danmaku", say("hi")))["ok"] is True
        await guest.close()


async def test_retry_of_the_same_client_id_is_one_message_with_one_number() -> None:
    async with room_node() as node:
        alice = await RawClient.join(node.port, token="alice")
        first = await alice.call("danmaku", say("once", "same"))
        second = await alice.call("danmaku", say("once", "same"))
        again = await RawClient.join(node.port, token="alice")
        third = await again.call("danmaku", say("once", "same"))
        other = await RawClient.join(node.port, token="bob")
        fourth = await other.call("danmaku", say("other", "same"))
        assert first == second == third == {"ok": True, "seq": 1}
        assert fourth == {"ok": True, "seq": 2}
        await alice.idle(0.05)
        assert len(alice.named("danmaku")) == 2
        for client in (alice, again, other):
            await client.close()


async def test_fast_sender_is_told_how_long_to_wait_and_others_are_not_held_up() -> None:
    async with room_node() as node:
        alice = await RawClient.join(node.port, token="alice")
        bob = await RawClient.join(node.port, token="bob")
        acks = [await alice.call("danmaku", say(f"m{n}")) for n in range(8)]
        assert [ack["ok"] for ack in acks] == [True] * 5 + [False] * 3
        assert acks[-1]["code"] == "rate_user"
        assert 0 < acks[-1]["retry_after_ms"] <= 1_000
        assert (await bob.call("danmaku", say("calm")))["ok"] is True
        await alice.close()
        await bob.close()


async def test_slow_mode_holds_the_audience_and_not_the_staff() -> None:
    async with room_node() as node:
        await node.gateway.set_chat("demo", ChatSettings(slow_mode_ms=30_000))
        alice = await RawClient.join(node.port, token="alice")
        host = await RawClient.join(node.port, token="ann/host")
        assert (await alice.call("danmaku", say("one")))["ok"] is True
        ack = await alice.call("danmaku", say("two"))
        assert ack["code"] == "slow_mode"
        assert 25_000 < ack["retry_after_ms"] <= 30_000
        for n in range(3):
            assert (await host.call("danmaku", say(f"h{n}")))["ok"] is True
        await alice.close()
        await host.close()


async def test_words_of_the_site_are_for_hosts_too_and_come_on_top_of_the_rooms() -> None:
    everywhere = WordList([Word("骗子", "block"), Word("坑", "mask")])
    async with room_node(site_words=lambda: everywhere) as node:
        await node.gateway.set_chat("demo", ChatSettings(words=(Word("丑", "mask"),)))
        joined = [await RawClient.join(node.port, token=token) for token in ("alice", "ann/host", "root/admin")]
        alice, host, admin = joined
        assert (await alice.call("danmaku", say("骗 子")))["code"] == "blocked_word"
        assert (await host.call("danmaku", say("骗子")))["code"] == "blocked_word"
        assert (await admin.call("danmaku", say("no 骗子 here")))["ok"] is True
        assert (await alice.call("danmaku", say("丑坑货", "a1")))["ok"] is True
        assert (await host.call("danmaku", say("丑坑货", "h1")))["ok"] is True
        shown: dict[str, str] = {}
        while len(shown) < 3:
            shown |= {message["id"]: message["text"] for message in await alice.event("danmaku")}
        assert (shown["a1"], shown["h1"]) == ("**货", "丑*货")
        for client in joined:
            await client.close()


async def test_words_are_blocked_masked_or_held_and_the_sender_learns_which() -> None:
    async with room_node() as node:
        words = (Word("坏", "block"), Word("丑", "mask"), Word("加微信", "hold"))
        await node.gateway.set_chat("demo", ChatSettings(words=words))
        alice = await RawClient.join(node.port, token="alice")
        assert (await alice.call("danmaku", say("坏人")))["code"] == "blocked_word"
        assert (await alice.call("danmaku", say("丑东西")))["ok"] is True
        assert (await alice.event("danmaku"))[0]["text"] == "*东西"
        assert (await alice.call("danmaku", say("加 微 信 x", "held-1")))["code"] == "held"
        [held] = await node.gateway.held("demo")
        assert held["text"] == "加 微 信 x"
        # The acknowledgement was lost, and the client asks again: it is still one message.
        assert (await alice.call("danmaku", say("加 微 信 x", "held-1")))["code"] == "held"
        assert len(await node.gateway.held("demo")) == 1
        await node.gateway.review("demo", "held-1", show=True)
        assert (await alice.event("danmaku"))[0]["id"] == "held-1"
        with pytest.raises(NotFoundError):
            await node.gateway.review("demo", "held-1", show=True)
        await alice.close()


async def test_muted_person_is_told_reads_on_and_stays_muted_after_coming_back() -> None:
    async with room_node() as node:
        alice = await RawClient.join(node.port, token="alice")
        until_ms = SystemClock().utc_ms() + 60_000
        mute = Sanction(user_id="u-alice", kind="mute", until_ms=until_ms, reason="spam", by="ann")
        await node.gateway.sanction("demo", mute)
        told = await alice.event("sanction")
        assert (told["kind"], told["reason"], told["until_ms"]) == ("mute", "spam", until_ms)
        ack = await alice.call("danmaku", say("still here"))
        assert (ack["code"], ack["message"]) == ("muted", "spam")
        await alice.close()
        again = await RawClient.open(node.port)
        await again.packet()
        again.send('40{"room":"demo","token":"alice"}')
        welcome = await again.event("welcome")
        assert welcome["me"]["muted_until_ms"] == until_ms
        await node.gateway.sanction("demo", replace(mute, until_ms=0))
        assert (await again.call("danmaku", say("back")))["ok"] is True
        await again.close()


async def test_banned_person_hears_why_before_the_door_closes_and_does_not_come_back() -> None:
    async with room_node() as node:
        alice = await RawClient.join(node.port, token="alice")
        bob = await RawClient.join(node.port, token="bob")
        await node.gateway.sanction("demo", Sanction(user_id="u-alice", kind="ban", reason="fraud"))
        assert (await alice.event("sanction"))["reason"] == "fraud"
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await alice.idle(3)
        again = await RawClient.join(node.port, token="alice")
        assert again.refusal["data"]["code"] == "banned"
        assert again.refusal["message"] == "fraud"
        assert (await bob.call("danmaku", say("fine")))["ok"] is True
        assert bob.named("sanction") == []
        await node.gateway.sanction("demo", kick("u-bob", utc_ms=SystemClock().utc_ms(), reason="calm down"))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await bob.idle(3)
        kicked = await RawClient.join(node.port, token="bob")
        assert 50_000 < kicked.refusal["data"]["retry_after_ms"] <= 60_000
        for client in (alice, bob, again, kicked):
            await client.close()


async def test_ban_of_an_address_leaves_those_in_who_run_the_show() -> None:
    async with room_node() as node:
        host = await RawClient.join(node.port, token="h/host")
        guest = await RawClient.join(node.port)
        await node.gateway.sanction("demo", Sanction(user_id="address:127.0.0.1", kind="ban"))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await guest.idle(3)
        again = await RawClient.join(node.port)
        assert again.refusal["data"]["code"] == "banned"
        assert (await host.call("danmaku", say("still here")))["ok"] is True
        back = await RawClient.join(node.port, token="h/host")
        assert back.refusal is None
        for client in (host, guest, again, back):
            await client.close()


async def test_muted_room_lets_only_the_staff_speak() -> None:
    async with room_node() as node:
        await node.gateway.set_chat("demo", ChatSettings(muted_all=True))
        alice = await RawClient.join(node.port, token="alice")
        helper = await RawClient.join(node.port, token="hal/assistant")
        assert (await alice.call("danmaku", say("hi")))["code"] == "muted_all"
        assert (await helper.call("danmaku", say("welcome")))["ok"] is True
        await alice.close()
        await helper.close()


async def test_likes_are_clamped_summed_and_told_without_naming_anyone() -> None:
    settings = RoomSettings(likes_pulse_ms=50)
    async with room_node(settings=settings) as node:
        alice = await RawClient.join(node.port, token="alice")
        bob = await RawClient.join(node.port, token="bob")
        assert await alice.call("like", {"count": 7}) == {"ok": True, "accepted": 7}
        assert (await alice.call("like", {"count": 500}))["accepted"] <= 14
        assert (await bob.call("like", {"count": 3}))["accepted"] == 3
        assert (await bob.call("like", {"count": -1}))["code"] == "invalid"
        total = 0
        async with asyncio.timeout(30):
            while total < 23:
                total = (await bob.event("likes"))["total"]
        assert total in (23, 24)
        await alice.close()
        await bob.close()


async def test_online_and_peak_are_told_and_visitors_counted_once() -> None:
    async with room_node(settings=RoomSettings(likes_pulse_ms=50, pulse_ms=100)) as node:
        first = await RawClient.join(node.port, token="alice")
        second = await RawClient.join(node.port, token="alice")
        third = await RawClient.join(node.port, token="bob")
        async with asyncio.timeout(30):
            while (await first.event("online"))["count"] != 3:
                pass
        await second.close()
        await third.close()
        async with asyncio.timeout(30):
            while (told := await first.event("online"))["count"] != 1:
                pass
        assert told["peak"] == 3
        stats = node.gateway.room_stats("demo")
        assert stats is not None
        assert (stats.unique, stats.online, stats.members_here) == (2, 1, 1)
        await first.close()


async def test_card_is_told_kept_for_those_who_come_later_and_taken_away() -> None:
    async with room_node() as node:
        early = await RawClient.join(node.port)
        card = {"version": 1, "at_ms": 5, "product": {"id": 7, "title": "杯子"}}
        seq = await node.gateway.publish("demo", "card", card)
        assert await early.event("card") == {"seq": seq, **card}
        late = await RawClient.open(node.port)
        await late.packet()
        late.send('40{"room":"demo"}')
        assert (await late.event("welcome"))["card"] == {"seq": seq, **card}
        await node.gateway.publish("demo", "card", {"version": 2, "at_ms": 6, "product": None})
        assert (await late.event("card"))["product"] is None
        await node.gateway.publish("demo", "live", {"on_air": False})
        assert (await late.event("live"))["on_air"] is False
        last = await RawClient.open(node.port)
        await last.packet()
        last.send('40{"room":"demo"}')
        welcome = await last.event("welcome")
        assert (welcome["card"], welcome["live"]) == (None, False)
        for client in (early, late, last):
            await client.close()


async def test_retracted_message_leaves_screens_and_history() -> None:
    async with room_node() as node:
        alice = await RawClient.join(node.port, token="alice")
        await alice.call("danmaku", say("oops", "m1"))
        await alice.call("danmaku", say("fine", "m2"))
        await node.gateway.retract("demo", ["m1"])
        assert (await alice.event("retract"))["ids"] == ["m1"]
        late = await RawClient.open(node.port)
        await late.packet()
        late.send('40{"room":"demo"}')
        assert [each["id"] for each in (await late.event("welcome"))["history"]] == ["m2"]
        await alice.close()
        await late.close()


async def test_unknown_room_and_bad_token_and_missing_room_are_refused_with_a_fix() -> None:
    async with room_node() as node:
        for room, token, code in (("nowhere", "", "room_not_found"), ("demo", "bad", "unauthenticated")):
            client = await RawClient.join(node.port, room, token=token)
            assert client.refusal["data"]["code"] == code
            assert client.refusal["data"]["fix"]
            await client.close()
        client = await RawClient.open(node.port)
        await client.packet()
        client.send("40")
        await client.turn()
        assert client.refusal["data"]["code"] == "room_required"
        client.send("40/admin,")
        assert await client.packet() == '44/admin,{"message":"Invalid namespace"}'
        await client.close()
        with pytest.raises(NotFoundError):
            await node.gateway.publish("nowhere", "notice", {"text": "hi"})


async def test_crowd_at_the_door_is_told_when_to_come_back() -> None:
    async with room_node(settings=RoomSettings(joins_per_s=10, join_burst=3)) as node:
        clients = [await RawClient.join(node.port) for _ in range(6)]
        refused = [client.refusal["data"] for client in clients if client.refusal]
        assert len(refused) >= 2
        assert {each["code"] for each in refused} == {"busy"}
        assert all(200 <= each["retry_after_ms"] <= 3_000 for each in refused)
        for client in clients:
            await client.close()


async def test_one_person_in_too_many_tabs_is_refused_and_leaving_makes_room() -> None:
    async with room_node(settings=RoomSettings(max_connections_per_user=2)) as node:
        first, second, third = [await RawClient.join(node.port, token="alice") for _ in range(3)]
        assert third.refusal["data"]["code"] == "too_many_connections"
        await first.close()
        await asyncio.sleep(0.05)
        fourth = await RawClient.join(node.port, token="alice")
        assert fourth.refusal is None
        for client in (second, third, fourth):
            await client.close()


async def test_connections_beyond_the_cap_of_an_address_get_503() -> None:
    settings = RoomSettings(transport=TransportSettings(max_connections_per_address=2))
    async with room_node(settings=settings) as node:
        clients = [await RawClient.open(node.port) for _ in range(3)]
        assert ["101" in client.head for client in clients] == [True, True, False]
        assert "503" in clients[2].head
        assert "Retry-After" in clients[2].head
        for client in clients:
            await client.close()


async def test_resume_gives_what_was_missed_once_on_the_second_and_third_time_too() -> None:
    async with room_node() as node:
        stays = await RawClient.join(node.port)
        await node.gateway.publish("demo", "notice", {"n": 0})
        await stays.event("notice")
        epoch = node.gateway.room_stats("demo").epoch  # type: ignore[union-attr]
        position, got = 1, [0]
        for turn in range(1, 4):
            await node.gateway.publish("demo", "notice", {"n": turn * 10})
            await node.gateway.publish("demo", "notice", {"n": turn * 10 + 1})
            client = await RawClient.open(node.port)
            await client.packet()
            client.send(f'40{{"room":"demo","resume":{{"epoch":"{epoch}","seq":{position}}}}}')
            welcome = await client.event("welcome")
            assert welcome["recovered"] is True
            assert welcome["history"] == []
            for _ in range(2):
                notice = await client.event("notice")
                got.append(notice["n"])
                position = notice["seq"]
            await client.idle(0.05)
            assert client.named("notice") == []
            await client.close()
        assert got == [0, 10, 11, 20, 21, 30, 31]
        lost = await RawClient.open(node.port)
        await lost.packet()
        lost.send('40{"room":"demo","resume":{"epoch":"another","seq":3}}')
        assert (await lost.event("welcome"))["recovered"] is False
        await lost.close()
        await stays.close()


async def test_sync_answers_with_the_missing_events_or_with_a_fresh_welcome() -> None:
    async with room_node() as node:
        client = await RawClient.join(node.port)
        for n in range(3):
            await node.gateway.publish("demo", "notice", {"n": n})
        epoch = node.gateway.room_stats("demo").epoch  # type: ignore[union-attr]
        ack = await client.call("sync", {"epoch": epoch, "seq": 1})
        assert (ack["ok"], ack["recovered"], ack["seq"]) == (True, True, 3)
        assert [(name, payload["n"]) for name, payload in ack["events"]] == [("notice", 1), ("notice", 2)]
        ack = await client.call("sync", {"epoch": "x", "seq": 1})
        assert (ack["ok"], ack["recovered"]) == (True, False)
        assert ack["events"][0][0] == "welcome"
        await client.close()


async def test_message_over_the_budget_is_acknowledged_and_shown_to_its_author_only() -> None:
    async with room_node() as node:
        await node.gateway.set_chat("demo", ChatSettings(shown_per_s=1))
        people = [await RawClient.join(node.port, token=f"p{n}") for n in range(12)]
        watcher = await RawClient.join(node.port)
        for person in people:
            person.send('421["danmaku",{"id":"x","text":"me too"}]')
        for person in people:
            async with asyncio.timeout(30):
                while 1 not in person.acks:
                    await person.turn()
        assert all(person.acks[1]["ok"] for person in people)
        assert len({person.acks[1]["seq"] for person in people}) == 12
        for number, person in enumerate(people):
            assert f"u-p{number}" in [each["user"]["id"] for batch in person.named("danmaku") for each in batch]
        await watcher.idle(1.3)
        shown = [each for batch in watcher.named("danmaku") for each in batch]
        assert 1 <= len(shown) < 12
        for client in (*people, watcher):
            await client.close()


async def test_room_without_members_is_let_go_after_a_while() -> None:
    async with room_node(settings=RoomSettings(linger_ms=100)) as node:
        client = await RawClient.join(node.port)
        await client.close()
        async with asyncio.timeout(30):
            while node.gateway.room_stats("demo") is not None:  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.05)
        again = await RawClient.join(node.port)
        assert again.refusal is None
        await again.close()


async def test_event_that_is_too_large_is_the_callers_error_and_the_room_goes_on() -> None:
    async with room_node() as node:
        client = await RawClient.join(node.port)
        with pytest.raises(InvalidError):
            await node.gateway.publish("demo", "notice", {"text": "x" * 70_000})
        await node.gateway.publish("demo", "notice", {"text": "fine"})
        assert (await client.event("notice"))["text"] == "fine"
        await client.close()


async def test_what_is_said_keeps_no_connection_alive() -> None:
    async with room_node() as node:
        for n in range(20):
            client = await RawClient.join(node.port, token=f"p{n}")
            assert (await client.call("danmaku", say("hello")))["ok"] is True
            await client.close()
        await asyncio.sleep(0.1)
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) is WebSocketSession]


async def test_metrics_count_what_happened() -> None:
    async with room_node() as node:
        client = await RawClient.join(node.port, token="alice")
        await client.call("danmaku", say("hello"))
        await client.call("danmaku", {"id": "x", "text": ""})
        metrics = Metrics()
        metrics.collect_from(node.gateway.metrics)
        page = metrics.render().decode()
        assert "streamd_room_members 1.0" in page
        assert "streamd_room_spoken_total 1.0" in page
        assert 'streamd_room_refused_danmaku_total{code="empty"} 1.0' in page
        assert 'streamd_room_shed_total{class="A"} 0.0' in page
        await client.close()

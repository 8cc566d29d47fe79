"""A room's numbers, log and snapshot: nothing lost, nothing twice, nothing without bounds."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from danmaku.room import Room, Tick
from danmaku.tick import encode_rest
from streamd.cluster.bus import DROP, INTERNAL, STATE, A, B, Batch, C, Draft, Pulse, RoomMemory


def danmaku(ident: str, cls: int = C) -> Draft:
    return Draft(cls, "danmaku", encode_rest({"id": ident, "text": ident}), key=ident)


def card(title: str | None, version: int) -> Draft:
    product = None if title is None else {"title": title}
    return Draft(A, "card", encode_rest({"version": version, "product": product}), "card", STATE if title else DROP)


def fresh(**kwargs: int) -> Room:
    room = Room("demo", **kwargs)
    room.load(RoomMemory(epoch="e1", seq=0, state={}, batches=()))
    return room


def batch(room: Room, *drafts: Draft, unshown: int = 0, at_ms: int = 0) -> Batch:
    return Batch(room.epoch, room.seq, room.seq + 1, len(drafts) + unshown, at_ms, "n:1", drafts)


def told(tick: Tick) -> list[object]:
    return [json.loads(packet.packet[2:]) for packet in tick.packets]


def test_danmaku_of_a_tick_are_one_event_and_the_others_stand_alone() -> None:
    room = fresh()
    tick = room.apply(batch(room, card("mug", 1), danmaku("a"), danmaku("b")))
    assert told(tick) == [
        ["card", {"seq": 1, "version": 1, "product": {"title": "mug"}}],
        ["danmaku", [{"seq": 2, "id": "a", "text": "a"}, {"seq": 3, "id": "b", "text": "b"}]],
    ]
    assert [(packet.cls, packet.events) for packet in tick.packets] == [(A, 1), (C, 2)]
    assert room.seq == 3


def test_staff_and_audience_lines_are_apart_so_that_only_the_latter_are_shed() -> None:
    room = fresh()
    tick = room.apply(batch(room, danmaku("host", B), danmaku("a")))
    assert [(packet.cls, packet.events) for packet in tick.packets] == [(B, 1), (C, 1)]


def test_personal_and_internal_events_are_not_in_the_shared_packets() -> None:
    room = fresh()
    secret = Draft(A, "sanction", encode_rest({"kind": "mute"}), target="u1")
    inner = Draft(A, "chat", encode_rest({"slow_mode_ms": 5}), "chat", STATE | INTERNAL)
    tick = room.apply(batch(room, secret, inner))
    assert tick.packets == ()
    assert [personal.user_id for personal in tick.personal] == ["u1"]
    assert [entry.draft.event for entry in tick.internal] == ["chat"]
    assert room.since("e1", 0, user_id="someone", now_ms=0) == []
    assert len(room.since("e1", 0, user_id="u1", now_ms=0) or []) == 1


def test_snapshot_is_the_same_bytes_until_something_changes() -> None:
    room = fresh()
    room.set_facts(title="新品 <Tee>", live=True)
    first = room.snapshot()
    assert room.snapshot() is first
    room.apply(batch(room, card("mug", 1)))
    second = json.loads(room.snapshot() + b"}")
    assert second == {
        "room": "demo",
        "title": "新品 <Tee>",
        "live": True,
        "epoch": "e1",
        "online": 0,
        "likes": 0,
        "card": {"seq": 1, "version": 1, "product": {"title": "mug"}},
        "pinned": None,
    }
    room.apply(batch(room, card(None, 2), Draft(A, "live", encode_rest({"on_air": False}), "live", STATE)))
    third = json.loads(room.snapshot() + b"}")
    assert third["card"] is None
    assert third["live"] is False


def test_messages_shown_to_nobody_are_told_as_a_gap_once_a_second() -> None:
    room = fresh()
    first = told(room.apply(batch(room, danmaku("a"), unshown=4, at_ms=5_000)))
    assert first[1] == ["gap", {"from_seq": 1, "to_seq": 5, "dropped": {"C": 4}}]
    assert room.seq == 5
    assert len(told(room.apply(batch(room, danmaku("b"), unshown=2, at_ms=5_500)))) == 1
    later = told(room.apply(batch(room, danmaku("c"), unshown=1, at_ms=6_100)))
    assert later[1] == ["gap", {"from_seq": 6, "to_seq": 10, "dropped": {"C": 3}}]


def test_retracted_message_is_in_no_history_and_no_replay() -> None:
    room = fresh()
    room.apply(batch(room, danmaku("bad"), danmaku("good")))
    room.apply(batch(room, Draft(A, "retract", encode_rest({"ids": ["bad"]}))))
    assert [entry["id"] for entry in json.loads(room.history())] == ["good"]
    assert [told_["id"] for told_ in json.loads((room.since("e1", 0, now_ms=0) or [])[0].packet[2:])[1]] == ["good"]


def test_resume_is_refused_when_the_log_is_too_short_the_epoch_is_another_or_the_number_is_from_the_future() -> None:
    room = fresh(log_events=10)
    for n in range(25):
        room.apply(batch(room, danmaku(f"m{n}")))
    assert room.since("e1", 14, now_ms=0) is None
    assert len(room.entries_since("e1", 15, now_ms=0) or []) == 10
    assert room.since("e1", 25, now_ms=0) == []
    assert room.since("e1", 26, now_ms=0) is None
    assert room.since("e0", 20, now_ms=0) is None


def test_renamed_room_still_knows_those_who_come_from_before() -> None:
    room = fresh()
    room.apply(batch(room, danmaku("a")))
    room.rename("alone")
    room.apply(batch(room, danmaku("b")))
    assert len(room.entries_since("e1", 0, now_ms=0) or []) == 2
    assert len(room.entries_since("alone", 1, now_ms=0) or []) == 1
    assert room.since("e1", 2, now_ms=0) is None


def test_log_forgets_by_age() -> None:
    room = fresh(log_age_ms=60_000)
    room.apply(batch(room, danmaku("old"), at_ms=0))
    room.apply(batch(room, danmaku("new"), at_ms=50_000))
    assert room.since("e1", 0, now_ms=60_000) is not None
    assert room.since("e1", 0, now_ms=60_001) is None
    assert len(room.entries_since("e1", 1, now_ms=60_001) or []) == 1


def test_counts_are_told_only_when_they_change_and_likes_never_go_back() -> None:
    room = fresh()
    assert room.count(Pulse("e1", 0, 3, 3, 10, 2, 1)) == [
        b'42["likes",{"total":10,"delta":0}]',
        b'42["online",{"count":3,"peak":3}]',
    ]
    assert room.count(Pulse("e1", 0, 3, 3, 10, 2, 1)) == []
    assert room.count(Pulse("e1", 0, 2, 3, 25, 2, 1)) == [
        b'42["likes",{"total":25,"delta":15}]',
        b'42["online",{"count":2,"peak":3}]',
    ]
    assert room.count(Pulse("e1", 0, 2, 3, 20, 2, 1)) == []


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=30), st.data())
def test_what_was_seen_and_what_is_replayed_are_together_everything_once(
    shape: list[tuple[int, int]], data: st.DataObject
) -> None:
    room = fresh(log_events=40)
    seen: list[int] = []
    marks = [0]
    for count, unshown in shape:
        drafts = [danmaku(f"{room.seq}-{n}") for n in range(count)]
        tick = room.apply(batch(room, *drafts, unshown=unshown))
        seen += range(tick.first, tick.first + count)
        marks.append(room.seq)
    mark = data.draw(st.sampled_from(marks))
    entries = room.entries_since("e1", mark, now_ms=0)
    if entries is not None:
        assert [number for number in seen if number <= mark] + [entry.seq for entry in entries] == seen
    else:
        assert len([number for number in seen if number > mark]) > 40


def test_node_that_begins_late_knows_what_the_others_know() -> None:
    first = fresh()
    batches = []
    for n in range(5):
        batches.append(batch(first, danmaku(f"m{n}"), card(f"c{n}", n)))
        first.apply(batches[-1])
    second = Room("demo")
    second.load(RoomMemory(epoch="e1", seq=10, state=first.state, batches=tuple(batches[2:]), likes=7, peak=3))
    first.likes = 7
    first.touch()
    assert second.snapshot() == first.snapshot()
    assert second.since("e1", 4, now_ms=0) == first.since("e1", 4, now_ms=0)
    assert second.since("e1", 3, now_ms=0) is None


def snapshot(room: Room) -> dict[str, object]:
    seen: dict[str, object] = json.loads(room.snapshot() + b"}")
    return seen


def test_room_that_opens_shows_the_card_that_the_catalogue_knows() -> None:
    room = fresh()
    room.set_facts(title="T", live=False, card={"version": 7, "at_ms": 5, "product": {"title": "茶"}})
    assert snapshot(room)["card"] == {"seq": 0, "version": 7, "at_ms": 5, "product": {"title": "茶"}}
    room.apply(batch(room, card("Cup", 8)))
    assert snapshot(room)["card"] == {"seq": 1, "version": 8, "product": {"title": "Cup"}}


def test_card_that_the_line_told_or_took_away_is_newer_than_the_catalogues() -> None:
    known = {"version": 7, "product": {"title": "old"}}
    room = fresh()
    room.apply(batch(room, card("new", 8)))
    shown = snapshot(room)["card"]
    room.set_facts(title="T", live=False, card=known)
    assert snapshot(room)["card"] == shown
    room.apply(batch(room, card(None, 9)))
    room.set_facts(title="T", live=False, card=known)
    assert snapshot(room)["card"] is None

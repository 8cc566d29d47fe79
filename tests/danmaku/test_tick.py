"""Who is shown when there are more messages than places, and what is told once instead of twice."""

from __future__ import annotations

import json

from danmaku.tick import Sampler, TickQueue, encode_rest
from streamd.cluster.bus import A, B, C, Draft


def danmaku(text: str, cls: int = C) -> Draft:
    return Draft(cls, "danmaku", encode_rest({"text": text}), key=text)


def test_a_flooder_takes_one_place_and_not_the_room() -> None:
    sampler = Sampler()
    shown: dict[str, int] = {}
    now_ms = 0
    for second in range(20):
        for tenth in range(10):
            now_ms = second * 1_000 + tenth * 100
            senders = ["flooder"] * 10 + [f"quiet-{tenth}-{n}" for n in range(6)]
            for index in sampler.choose(senders, per_s=40, now_ms=now_ms):
                shown[senders[index]] = shown.get(senders[index], 0) + 1
    quiet = [count for sender, count in shown.items() if sender != "flooder"]
    assert shown.get("flooder", 0) <= 2 * max(quiet)
    assert max(quiet) - min(quiet) <= 10


def test_no_second_shows_more_than_the_budget_and_its_burst() -> None:
    sampler = Sampler()
    total = 0
    for tick in range(100):
        total += len(sampler.choose([f"s{n}" for n in range(50)], per_s=40, now_ms=tick * 100))
    assert 380 <= total <= 40 * 10 + 20


def test_everything_is_shown_while_the_room_is_under_its_budget() -> None:
    sampler = Sampler()
    for tick in range(50):
        assert sampler.choose(["a", "b", "a"], per_s=40, now_ms=tick * 100) == {0, 1, 2}


def test_time_that_passed_before_the_first_message_gives_no_more_than_the_burst() -> None:
    assert len(Sampler().choose(["x"] * 500, per_s=40, now_ms=10**9)) == 20


def test_precious_events_come_first_and_all_pass() -> None:
    queue: TickQueue[int] = TickQueue()
    for n in range(100):
        queue.add_danmaku(danmaku(f"d{n}"), sender=f"s{n}", waiter=n)
    queue.add_event(Draft(A, "order", b'"x":1}'), {"x": 1}, waiter=1_000)
    queue.add_danmaku(danmaku("host", B), sender="host", waiter=1_001)
    plan = queue.drain(shown_per_s=40, now_ms=0)
    assert [w.draft.event for w in plan.shown[:3]] == ["order", "danmaku", "danmaku"]
    assert plan.shown[1].draft.key == "host"
    assert len(plan.shown) == 22
    assert len(plan.unshown) == 80
    assert [w.waiters[0] for w in plan.shown[2:]] == sorted(w.waiters[0] for w in plan.shown[2:])
    assert len(queue) == 0


def test_patches_of_one_product_in_one_tick_become_one_with_all_fields() -> None:
    queue: TickQueue[str] = TickQueue()
    for waiter, payload in (("x", {"id": 7, "stock": 5, "price_minor": 100}), ("y", {"id": 7, "stock": 4})):
        queue.add_event(Draft(A, "product", encode_rest(payload), key="product:7"), payload, waiter=waiter)
    queue.add_event(Draft(A, "product", encode_rest({"id": 8}), key="product:8"), {"id": 8}, waiter="z")
    plan = queue.drain(shown_per_s=40, now_ms=0)
    assert [json.loads(w.draft.body(1)) for w in plan.shown] == [
        {"seq": 1, "id": 7, "stock": 4, "price_minor": 100},
        {"seq": 1, "id": 8},
    ]
    assert [w.waiters for w in plan.shown] == [("x", "y"), ("z",)]
    queue.add_event(Draft(A, "product", encode_rest({"id": 7}), key="product:7"), {"id": 7}, waiter="w")
    assert json.loads(queue.drain(shown_per_s=40, now_ms=0).shown[0].draft.body(2)) == {"seq": 2, "id": 7}

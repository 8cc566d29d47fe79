"""The jitter buffer: order, questions, deadlines, bounds."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.whip.jitter import NEVER_US, JitterBuffer, JitterLimits

MS = 1_000


def buffer_of(**limits: int) -> JitterBuffer[int]:
    return JitterBuffer(limits=JitterLimits(**limits))


def feed(buffer: JitterBuffer[int], numbers: list[int], *, now_us: int = 0, size_bytes: int = 100) -> list[int | None]:
    """Each number is its own packet; sequence numbers are its lower 16 bits."""
    out: list[int | None] = []
    for number in numbers:
        out += buffer.add(number & 0xFFFF, number, size_bytes, now_us=now_us)
    return out


def test_packets_in_their_turn_pass_straight_through() -> None:
    buffer = buffer_of()
    assert feed(buffer, list(range(65_530, 65_560))) == list(range(65_530, 65_560))
    assert buffer.nack_due_us == NEVER_US


@given(st.integers(0, 70_000), st.integers(1, 60), st.integers(0, 1 << 30))
@settings(max_examples=80)
def test_reordered_and_doubled_packets_come_out_once_and_in_order(first: int, reach: int, seed: int) -> None:
    chance = random.Random(seed)
    numbers = list(range(first + 1, first + 200))
    keyed = sorted((number + chance.uniform(0, reach), number) for number in numbers * 2)
    buffer = buffer_of()
    out = feed(buffer, [first, *(number for _, number in keyed)])
    assert out == [first, *numbers]
    assert buffer.given_up == 0
    assert buffer.expected == buffer.received == 200


@given(st.sets(st.integers(1, 150)), st.integers(0, 1 << 30))
@settings(max_examples=80)
def test_lost_packets_become_holes_and_the_rest_keeps_its_order(lost: set[int], seed: int) -> None:
    chance = random.Random(seed)
    numbers = [number for number in range(65_400, 65_600) if number - 65_400 not in lost]
    keyed = sorted((number + chance.uniform(0, 5), number) for number in numbers[1:])
    buffer = buffer_of(deadline_us=100 * MS)
    out = feed(buffer, [numbers[0], *(number for _, number in keyed)])
    out += feed(buffer, [65_600], now_us=200 * MS)
    assert [each for each in out if each is not None] == [*numbers, 65_600]
    assert buffer.given_up == len(lost)
    holes = out.count(None)
    assert (holes > 0) == bool(lost)
    assert holes <= len(lost)


def test_question_is_asked_after_a_wait_and_again_by_the_round_trip() -> None:
    buffer = buffer_of(first_nack_us=10 * MS, longest_repeat_us=100 * MS, nacks_count=3, deadline_us=10_000 * MS)
    feed(buffer, [1, 2, 5])
    assert buffer.nacks(now_us=9 * MS) == []
    assert buffer.nack_due_us == 10 * MS
    assert buffer.nacks(now_us=10 * MS) == [3, 4]
    assert buffer.nacks(now_us=60 * MS) == []
    assert buffer.nacks(now_us=110 * MS) == [3, 4]
    assert buffer.nacks(now_us=210 * MS) == [3, 4]
    assert buffer.nack_due_us == NEVER_US
    assert buffer.nacks(now_us=900 * MS) == []


def test_round_trip_is_learnt_from_the_answers() -> None:
    buffer = buffer_of()
    for index in range(60):
        now_us = index * 1_000 * MS
        feed(buffer, [3 * index, 3 * index + 2], now_us=now_us)
        asked = buffer.nacks(now_us=now_us + 10 * MS)
        assert asked == [3 * index + 1]
        assert feed(buffer, asked, now_us=now_us + 40 * MS) == [3 * index + 1, 3 * index + 2]
    assert 29 * MS <= buffer.round_trip_us <= 32 * MS
    assert buffer.recovered == 60


def test_hole_is_given_up_at_its_deadline_and_a_late_packet_is_late() -> None:
    buffer = buffer_of(deadline_us=300 * MS)
    assert feed(buffer, [1, 3]) == [1]
    assert feed(buffer, [4], now_us=299 * MS) == []
    assert feed(buffer, [5], now_us=300 * MS) == [None, 3, 4, 5]
    assert feed(buffer, [2], now_us=301 * MS) == []
    assert (buffer.late, buffer.given_up) == (1, 1)


def test_key_frame_of_two_megabytes_waits_behind_its_first_packet() -> None:
    buffer = buffer_of()
    numbers = list(range(65_000, 66_800))
    assert feed(buffer, [64_999, *numbers[1:]], size_bytes=1_200) == [64_999]
    assert feed(buffer, numbers[:1], size_bytes=1_200) == numbers


def test_flood_behind_a_hole_is_bounded_in_packets_bytes_and_holes() -> None:
    for limits, step, size in (
        ({"packets_count": 50}, 1, 10),
        ({"bytes": 5_000}, 1, 100),
        ({"holes_count": 500}, 100, 10),
    ):
        buffer = buffer_of(**limits)
        out = feed(buffer, [0, *range(2, 2 + 400 * step, step)], size_bytes=size)
        assert None in out
        assert len(out) >= 300


def test_leap_is_believed_only_when_a_second_packet_confirms_it() -> None:
    buffer = buffer_of()
    assert feed(buffer, [10, 11, 30_000, 12]) == [10, 11, 12]
    assert buffer.restarts == 0
    assert feed(buffer, [40_000, 40_001, 40_002]) == [None, 40_001, 40_002]
    assert buffer.restarts == 1
    assert buffer.expected == buffer.received == 2


def test_sender_that_starts_again_with_lower_numbers_is_followed() -> None:
    buffer = buffer_of()
    assert feed(buffer, [50_000, 50_001, 5, 6, 7]) == [50_000, 50_001, None, 6, 7]


def test_packet_sent_again_fills_its_hole_and_never_moves_the_window() -> None:
    buffer = buffer_of()
    feed(buffer, [1, 2, 4])
    assert buffer.add(900, 900, 1, now_us=0, is_repeat=True) == ()
    assert buffer.add(30_000, 30_000, 1, now_us=0, is_repeat=True) == ()
    assert buffer.add(30_001, 30_001, 1, now_us=0, is_repeat=True) == ()
    assert buffer.add(3, 3, 1, now_us=0, is_repeat=True) == [3, 4]
    assert buffer.add(2, 2, 1, now_us=0, is_repeat=True) == ()
    assert (buffer.expected, buffer.received, buffer.late) == (4, 3, 0)


@given(st.lists(st.integers(0, 0xFFFF), max_size=300))
@settings(max_examples=100)
def test_any_numbers_keep_the_promise_of_order(numbers: list[int]) -> None:
    buffer: JitterBuffer[int] = buffer_of(deadline_us=5 * MS, packets_count=40)
    taken = 0
    for index, number in enumerate(numbers):
        out = buffer.add(number, index, 10, now_us=index * MS)
        taken += sum(each is not None for each in out)
        assert len(buffer.nacks(now_us=index * MS)) <= 500
    assert taken <= len(numbers)

"""Transport-wide feedback, read back by a decoder of the draft's own tables."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.whip.transport_feedback import TransportFeedback

START_US = 1_000_000_000


def decode(message: bytes) -> tuple[int, int, dict[int, int]]:
    """First number, message count, and number -> arrival in units of 250 µs. By the draft's section 3.1."""
    assert message[0] & 0x1F == 15
    assert message[1] == 205
    assert int.from_bytes(message[2:4], "big") * 4 + 4 == len(message)
    first, count = int.from_bytes(message[12:14], "big"), int.from_bytes(message[14:16], "big")
    reference = int.from_bytes(message[16:19], "big") * 256
    symbols: list[int] = []
    at = 20
    while len(symbols) < count:
        chunk = int.from_bytes(message[at : at + 2], "big")
        at += 2
        if chunk >> 15 == 0:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        else:
            assert chunk >> 14 == 3
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
    arrivals = {}
    for index, symbol in enumerate(symbols[:count]):
        if symbol == 1:
            reference += message[at]
            at += 1
        elif symbol == 2:
            reference += int.from_bytes(message[at : at + 2], "big", signed=True)
            at += 2
        else:
            assert symbol == 0
            continue
        arrivals[(first + index) & 0xFFFF] = reference
    padding = message[-1] if message[0] & 0x20 else 0
    assert at + padding == len(message)
    return first, message[19], arrivals


def test_nothing_arrived_is_nothing_to_say() -> None:
    assert TransportFeedback(sender_ssrc=1).message(media_ssrc=2) == b""


def test_losses_and_arrivals_are_told_once_each() -> None:
    feedback = TransportFeedback(sender_ssrc=1)
    for number in (65_534, 65_535, 1, 2, 5):
        feedback.arrived(number, START_US + (number & 0xFF) * 250)
    first, count, arrivals = decode(feedback.message(media_ssrc=2))
    assert (first, count, sorted(arrivals)) == (65_534, 0, [1, 2, 5, 65_534, 65_535])
    feedback.arrived(6, START_US + 90_000)
    first, count, arrivals = decode(feedback.message(media_ssrc=2))
    assert (first, count, sorted(arrivals)) == (6, 1, [6])


def test_what_was_lost_is_told_by_the_next_message() -> None:
    feedback = TransportFeedback(sender_ssrc=1)
    feedback.arrived(10, START_US)
    feedback.message(media_ssrc=2)
    feedback.arrived(13, START_US + 20_000)
    first, _, arrivals = decode(feedback.message(media_ssrc=2))
    assert (first, sorted(arrivals)) == (11, [13])


@pytest.mark.parametrize("count", [1, 6, 7, 8, 50, 600])
def test_long_runs_are_short_messages(count: int) -> None:
    feedback = TransportFeedback(sender_ssrc=1)
    for number in range(count):
        feedback.arrived(number, START_US + number * 1_000)
    message = feedback.message(media_ssrc=2)
    assert len(decode(message)[2]) == count
    assert len(message) <= 28 + count


def test_a_leap_in_numbers_stays_within_bounds() -> None:
    feedback = TransportFeedback(sender_ssrc=1)
    feedback.arrived(0, START_US)
    feedback.arrived(30_000, START_US + 1_000)
    first, _, arrivals = decode(feedback.message(media_ssrc=2))
    assert 30_000 in arrivals
    assert 30_000 - first < 1_000
    for number in range(5_000):
        feedback.arrived(number * 13 & 0xFFFF, START_US)
    assert len(feedback.message(media_ssrc=2)) < 1_500


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 300_000)), min_size=1, max_size=80),
    st.integers(0, 0xFFFF),
)
def test_every_arrival_is_told_to_a_quarter_of_a_millisecond(steps: list[tuple[int, int]], start: int) -> None:
    feedback = TransportFeedback(sender_ssrc=1)
    number, now_us = start + 2_000, START_US
    sent: dict[int, int] = {}
    for step, later in steps:
        number, now_us = number + step, now_us + later
        if number & 0xFFFF not in sent:
            sent[number & 0xFFFF] = now_us
        feedback.arrived(number & 0xFFFF, now_us)
    _, _, arrivals = decode(feedback.message(media_ssrc=2))
    assert set(arrivals) <= set(sent)
    # Beyond 8 s between neighbours a delta does not fit; those are told as near as can be.
    if now_us - START_US < 8_000_000:
        assert {number: at_us // 250 for number, at_us in sent.items()} == arrivals

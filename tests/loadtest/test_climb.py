"""The search for what a machine carries comes near the true value in few steps, and never says more than it saw."""

from __future__ import annotations

import pytest

from loadtest.climb import Climb


def found(true: int, *, start: int, most: int) -> tuple[Climb, int]:
    """Climb on a server that carries exactly `true`, whose core fills evenly."""
    climb = Climb(start, most=most)
    steps = 0
    while not climb.is_over:
        steps += 1
        climb.judge(holds=climb.load <= true, busy=min(1.0, climb.load / max(true, 1)))
    return climb, steps


@pytest.mark.parametrize("true", [120, 333, 1_000, 7_500])
def test_it_comes_within_an_eighth_in_few_steps(true: int) -> None:
    climb, steps = found(true, start=100, most=100_000)
    assert true / 1.125 <= climb.held <= true
    assert climb.held < climb.broke
    assert steps <= 12


def test_a_first_load_that_is_too_much_is_followed_by_less() -> None:
    climb, _ = found(40, start=400, most=1_000)
    assert 0 < climb.held <= 40


def test_a_server_that_carries_nothing_ends_the_search() -> None:
    climb, steps = found(0, start=60, most=1_000)
    assert (climb.held, steps <= 6) == (0, True)


def test_the_largest_load_that_is_asked_for_ends_it() -> None:
    climb, _ = found(10**9, start=100, most=500)
    assert (climb.held, climb.broke) == (500, 0)

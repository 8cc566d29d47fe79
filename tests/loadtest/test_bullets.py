"""A trace taken apart into frames: every task counted once, where it belongs."""

from __future__ import annotations

from loadtest.scenarios.bullets import _per_frame


def test_task_counts_for_the_frame_it_draws_and_idle_ones_for_the_frame_they_follow() -> None:
    begins = [100.0, 16_700.0, 33_400.0, 50_000.0]
    tasks = [
        (0.0, 50.0),  # before the first frame: nobody's
        (90.0, 2_000.0),  # draws the first
        (9_000.0, 500.0),
        (16_650.0, 4_000.0),  # draws the second
        (33_300.0, 1_000.0),
        (50_100.0, 7_000.0),  # of a frame whose end was not seen
    ]
    assert _per_frame(begins, tasks) == [2.5, 4.0, 1.0]

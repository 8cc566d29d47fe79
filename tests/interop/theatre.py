"""Two real nodes, the second of two workers, with Redis between them, a real encoder, and viewers by the RFC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadtest.scenarios.faults import Theatre
from loadtest.stage import open_stage
from tests.support.encoder import clip
from tests.support.hls_reader import StrictReader


def strict() -> Callable[[str], object]:
    """A reader that objects to whatever RFC 8216bis forbids between two reloads."""
    return StrictReader().read


@contextmanager
def open_theatre() -> Iterator[Theatre]:
    with open_stage() as stage:
        theatre = Theatre(stage, clip(), read=strict)
        theatre.wait_on_air(theatre.first)
        theatre.wait_on_air(theatre.second)
        yield theatre

"""Claims on streams."""

from __future__ import annotations

from streamd.live.directory import InProcessDirectory
from tests.support.clock import FakeClock


async def test_every_claim_has_a_larger_epoch_than_any_before_also_after_a_restart() -> None:
    clock = FakeClock()
    directory = InProcessDirectory(worker="w", clock=clock)
    first = await directory.claim("demo")
    second = await directory.claim("demo")
    clock.advance(5)
    restarted = await InProcessDirectory(worker="w", clock=clock).claim("demo")
    assert first.epoch < second.epoch < restarted.epoch


async def test_superseded_claim_cannot_release_its_successor() -> None:
    directory = InProcessDirectory(worker="w", clock=FakeClock())
    old = await directory.claim("demo")
    new = await directory.claim("demo")
    await directory.release(old)
    assert await directory.owner("demo") == new
    await directory.release(new)
    assert await directory.owner("demo") is None

"""Takeover between workers follows the rules of one worker: two gates that see each other, without a network."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamd.errors import ConflictError, LimitedError
from streamd.live.directory import Claim
from streamd.live.gate import StreamGate
from streamd.live.hub import Turn
from tests.live.stage import Stage


class OtherStage:
    """The gate of another worker, asked without a network in between."""

    def __init__(self) -> None:
        self.gate: StreamGate | None = None
        self.asked: list[bool] = []
        self.told: list[Claim] = []

    async def challenge(self, room: str, *, synthetic: bool) -> Sequence[int]:
        self.asked.append(synthetic)
        return await self.gate.challenge(room, synthetic=synthetic) if self.gate is not None else ()

    def seated(self, claim: Claim) -> None:
        self.told.append(claim)
        if self.gate is not None:
            self.gate.give_up(claim.room, epoch=claim.epoch)


def two_workers() -> tuple[Stage, Stage]:
    """Two stages that see each other's gates; time and epochs are the first one's."""
    first_sees, second_sees = OtherStage(), OtherStage()
    first, second = Stage(elsewhere=first_sees), Stage(elsewhere=second_sees)
    second.clock = second.hub._clock = second.gate._clock = first.clock
    second.hub._directory = first.hub._directory
    first_sees.gate, second_sees.gate = second.gate, first.gate
    return first, second


async def test_encoder_that_comes_to_another_worker_takes_the_room_and_the_zombie_is_sent_away() -> None:
    first, second = two_workers()
    zombie = await first.encoder()
    zombie.run(200)
    first.clock.advance(2_000)
    await second.encoder()
    assert zombie.publisher.evicted == ["replaced"]
    assert first.hub.find("demo") is None
    assert second.hub.find("demo") is not None
    assert [fact.turn for fact in first.facts] == [Turn.STARTED], (
        "for viewers the programme goes on: nobody hears an end"
    )
    before = first.sinks[-1].frames[-1]
    zombie.picture()
    assert first.sinks[-1].frames[-1] is before, "what the zombie still sends reaches nobody"


async def test_programme_yields_to_an_encoder_on_another_worker() -> None:
    first, second = two_workers()
    await first.encoder()
    with pytest.raises(ConflictError):
        await second.encoder(kind="programme")
    await second.encoder("other", kind="programme")
    await first.encoder("other")
    assert second.hub.find("other") is None


async def test_two_encoders_fighting_over_a_room_by_way_of_two_workers_are_damped() -> None:
    first, second = two_workers()
    stages = [first, second]
    holder = await first.encoder()
    holder.run(400)
    for turn in range(3):
        to = stages[(turn + 1) % 2]
        holder = await to.encoder()
        holder.run(400)
    newcomer = stages[(stages.index(holder.stage) + 1) % 2]
    holder.stage.while_asleep = lambda: holder.picture(key=True)
    with pytest.raises(LimitedError):
        await newcomer.encoder()
    assert holder.publisher.evicted == []


async def test_late_news_of_an_older_claim_takes_nothing_away() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    stage.gate.give_up("demo", epoch=stage.stream().claim.epoch)
    stage.gate.give_up("demo", epoch=stage.stream().claim.epoch - 1)
    stage.gate.give_up("nobody", epoch=1 << 60)
    assert encoder.publisher.evicted == []
    stage.gate.give_up("demo", epoch=stage.stream().claim.epoch + 1)
    assert encoder.publisher.evicted == ["replaced"]

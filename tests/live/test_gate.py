"""Who may put a room on air."""

from __future__ import annotations

import asyncio
import random

import pytest

from streamd.errors import ConflictError, ForbiddenError, LimitedError, UnauthenticatedError, UnavailableError
from streamd.live.directory import Claim, InProcessDirectory
from streamd.live.gate import Grant
from streamd.live.hub import HubSettings
from streamd.live.stream import StreamState
from streamd.media.ports import PublishRequest
from tests.live.stage import PaperEncoder, PaperPublisher, Stage, frames_of


async def test_unknown_key_is_refused_and_leaves_nothing_behind() -> None:
    stage = Stage()
    with pytest.raises(UnauthenticatedError):
        await stage.gate.open(PublishRequest(protocol="rtmp", app="live", name="nonsense"), PaperPublisher())
    assert stage.hub.streams() == ()
    assert stage.sinks == []


async def test_same_key_takes_over_at_once_and_the_zombie_is_told() -> None:
    stage = Stage()
    zombie = await stage.encoder()
    zombie.run(1_000)
    before = stage.clock.now_ms()
    newcomer = await stage.encoder()
    assert stage.clock.now_ms() == before
    assert zombie.publisher.evicted == ["replaced"]
    assert newcomer.publisher.evicted == []
    assert stage.stream().state is StreamState.ON_AIR


async def test_zombie_can_neither_send_nor_close_after_it_was_replaced() -> None:
    stage = Stage()
    zombie = await stage.encoder()
    zombie.run(1_000)
    newcomer = await stage.encoder()
    newcomer.run(1_000)
    aired = len(stage.sinks[0].frames)
    zombie.announce()
    zombie.picture()
    zombie.publication.hint({"encoder": "zombie"})
    zombie.publication.count("zombie")
    zombie.publication.close("timeout")
    assert len(stage.sinks[0].frames) == aired
    assert stage.stream().state is StreamState.ON_AIR
    assert "zombie" not in stage.stream().hints.values()
    assert "zombie" not in stage.stream().repairs()


async def test_takeover_goes_on_with_the_same_stream_without_a_pause() -> None:
    stage = Stage()
    (await stage.encoder()).run(1_000)
    stream = stage.stream()
    (await stage.encoder()).run(1_000)
    assert stage.stream() is stream
    assert stage.sinks[0].turns == []
    assert [fact.turn for fact in stage.facts] == ["started"]


async def test_publisher_that_fails_to_leave_does_not_keep_its_successor_out() -> None:
    stage = Stage()

    class Stubborn(PaperPublisher):
        def evict(self, reason: str) -> None:
            raise RuntimeError("no")

    await stage.gate.open(PublishRequest(protocol="rtmp", app="live", name="demo-key"), Stubborn())
    newcomer = await stage.encoder()
    newcomer.picture()
    assert frames_of(stage.sinks[0]) == "K"
    assert stage.log.exceptions == ["live.evict_failed"]


async def test_closing_twice_pauses_once() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(100)
    encoder.publication.close("unpublish")
    encoder.publication.close("peer_eof")
    assert stage.sinks[0].turns == ["pause"]
    assert stage.stream().pause_reason == "unpublish"


# --- two encoders with one key ---


async def fight(stage: Stage, rounds: int) -> PaperEncoder:
    """Encoders that take the room from each other every two seconds, each sending until it is evicted."""
    holder = await stage.encoder()
    holder.run(2_000)
    for _ in range(rounds):
        holder = await stage.encoder()
        holder.run(2_000)
    return holder


async def test_three_contested_takeovers_are_free_and_the_fourth_is_refused_while_the_holder_sends() -> None:
    stage = Stage()
    holder = await fight(stage, 3)
    stage.while_asleep = holder.picture
    with pytest.raises(LimitedError) as refused:
        await stage.encoder()
    assert refused.value.code == "encoders_fighting"
    assert holder.publisher.evicted == []


async def test_refused_fighter_that_insists_stays_out_for_longer() -> None:
    stage = Stage()
    holder = await fight(stage, 3)
    for _ in range(10):
        holder.run(20_000)
        stage.while_asleep = holder.picture
        with pytest.raises(LimitedError):
            await stage.encoder()
    stage.while_asleep = lambda: None
    holder.run(31_000)
    await stage.encoder()
    assert holder.publisher.evicted == ["replaced"]


async def test_single_encoder_that_reconnects_time_and_again_is_never_refused() -> None:
    """Every connection breaks while frames were on their way; the encoder never sends on one that it has left."""
    stage = Stage()
    for _ in range(20):
        encoder = await stage.encoder()
        encoder.run(300)
    assert stage.stream().publications == 20
    assert max(stage.sleeps) <= 0.5
    assert stage.stream().state is StreamState.ON_AIR


async def test_frames_still_under_way_on_the_old_connection_do_not_make_a_fight() -> None:
    stage = Stage()
    holder = await fight(stage, 3)
    late = [holder.picture, holder.picture]
    stage.while_asleep = lambda: late.pop()() if len(late) > 1 else None
    newcomer = await stage.encoder()
    assert holder.publisher.evicted == ["replaced"]
    assert newcomer.publisher.evicted == []


async def test_taking_over_from_a_silent_holder_never_counts_as_a_contest() -> None:
    stage = Stage()
    for _ in range(10):
        encoder = await stage.encoder()
        encoder.run(500)
        stage.clock.advance(1_500)
    assert stage.sleeps == []


async def test_old_contests_are_forgotten() -> None:
    stage = Stage()
    holder = await fight(stage, 3)
    holder.run(31_000)
    await stage.encoder()
    assert stage.sleeps == []


# --- the synthetic programme ---


async def test_programme_yields_to_an_encoder_and_gets_no_second_chance_while_that_is_on_air() -> None:
    stage = Stage()
    programme = await stage.encoder(kind="programme")
    programme.run(1_000)
    encoder = await stage.encoder()
    encoder.run(1_000)
    assert programme.publisher.evicted == ["replaced"]
    with pytest.raises(ConflictError):
        await stage.encoder(kind="programme")
    assert encoder.publisher.evicted == []


async def test_programme_is_known_by_its_encoder_name_too() -> None:
    stage = Stage()
    (await stage.encoder()).run(100)
    with pytest.raises(ConflictError):
        await stage.encoder(encoder="streamd-programme/1.0")


async def test_programme_waits_while_an_encoder_may_come_back() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(1_000)
    encoder.publication.close("peer_eof")
    with pytest.raises(ConflictError):
        await stage.encoder(kind="programme")
    stage.seconds(46)
    await stage.encoder(kind="programme")


async def test_programme_comes_back_at_once_after_a_clean_stop() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(1_000)
    encoder.publication.close("unpublish")
    programme = await stage.encoder(kind="programme")
    programme.run(100)
    assert stage.stream().publications == 2


async def test_programme_that_restarts_takes_its_own_place() -> None:
    stage = Stage()
    (await stage.encoder(kind="programme")).run(1_000)
    (await stage.encoder(kind="programme")).publication.close("peer_eof")
    await stage.encoder(kind="programme")


async def test_yielding_of_the_programme_is_no_contest() -> None:
    stage = Stage()
    for _ in range(6):
        (await stage.encoder(kind="programme")).run(400)
        encoder = await stage.encoder()
        encoder.run(400)
        encoder.publication.close("unpublish")
    assert stage.sleeps == []


# --- cut, drain, limits ---


async def test_cut_sends_the_encoder_away_and_ends_the_programme_without_grace() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(1_000)
    stage.gate.cut("demo")
    assert encoder.publisher.evicted == ["cut"]
    assert stage.hub.find("demo") is None
    assert stage.sinks[0].turns == ["pause", "end"]
    encoder.picture()
    assert frames_of(stage.sinks[0]).count("K") == 1


async def test_cut_of_a_room_that_waits_for_its_encoder_ends_it_too() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.publication.close("peer_eof")
    stage.gate.cut("demo")
    assert stage.hub.streams() == ()


async def test_room_cut_while_a_publisher_is_being_admitted_stays_cut() -> None:
    stage = Stage()
    at_the_door = asyncio.Event()
    go_on = asyncio.Event()
    plain_check = stage.keys.check

    async def slow_check(request: PublishRequest) -> Grant:
        grant = await plain_check(request)
        at_the_door.set()
        await go_on.wait()
        return grant

    stage.keys.check = slow_check  # type: ignore[method-assign]  # a slower one of the same
    opening = asyncio.ensure_future(stage.encoder())  # noqa: TID251  # awaited below
    await at_the_door.wait()
    stage.keys.banned.add("demo")
    stage.gate.cut("demo")
    go_on.set()
    with pytest.raises(ForbiddenError):
        await opening
    assert stage.hub.streams() == ()


async def test_draining_node_sends_encoders_away_and_admits_none_without_ending_programmes() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(1_000)
    stage.gate.drain()
    assert encoder.publisher.evicted == ["shutdown"]
    assert stage.sinks[0].turns == ["pause"]
    with pytest.raises(UnavailableError):
        await stage.encoder("other")


async def test_full_node_refuses_new_rooms_and_not_returning_encoders() -> None:
    stage = Stage(hub=HubSettings(max_streams=2))
    await stage.encoder("one")
    (await stage.encoder("two")).publication.close("peer_eof")
    with pytest.raises(LimitedError) as refused:
        await stage.encoder("three")
    assert refused.value.code == "too_many_streams"
    await stage.encoder("two")


class SlowDirectory(InProcessDirectory):
    """One whose answers take a turn of the loop, as those of a remote one do."""

    async def claim(self, room: str) -> Claim:
        await asyncio.sleep(0)
        claim = await super().claim(room)
        await asyncio.sleep(0)
        return claim

    async def release(self, claim: Claim) -> None:
        await asyncio.sleep(0)
        await super().release(claim)


async def test_publishers_that_come_together_end_with_one_stream_and_one_holder() -> None:
    stage = Stage()
    stage.hub._directory = directory = SlowDirectory(worker="w", clock=stage.clock)
    encoders = await asyncio.gather(*(stage.encoder() for _ in range(20)))
    assert len(stage.sinks) == 1
    assert sum(encoder.publisher.evicted == [] for encoder in encoders) == 1
    owner = await directory.owner("demo")
    assert owner == stage.stream().claim


async def test_full_node_keeps_its_bound_when_many_rooms_come_at_once() -> None:
    stage = Stage(hub=HubSettings(max_streams=5))
    stage.hub._directory = directory = SlowDirectory(worker="w", clock=stage.clock)
    results = await asyncio.gather(*(stage.encoder(f"r{n}") for n in range(20)), return_exceptions=True)
    assert sum(isinstance(result, LimitedError) for result in results) == 15
    assert len(stage.hub.streams()) == 5
    owners = [await directory.owner(f"r{n}") for n in range(20)]
    assert sum(owner is not None for owner in owners) == 5


@pytest.mark.parametrize("seed", range(30))
async def test_any_interleaving_of_opening_closing_and_cutting_keeps_the_room_consistent(seed: int) -> None:
    stage = Stage()
    stage.hub._directory = directory = SlowDirectory(worker="w", clock=stage.clock)
    chance = random.Random(seed)
    opened: list[PaperEncoder] = []

    async def somebody() -> None:
        for _ in range(10):
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            match chance.randrange(6):
                case 0 | 1 | 2:
                    opened.append(await stage.encoder())
                case 3 if opened:
                    chance.choice(opened).publication.close("peer_eof")
                case 4 if opened:
                    chance.choice(opened).picture(key=True)
                case 5:
                    stage.gate.cut("demo")
            stage.clock.advance(chance.choice((0, 50, 2_000)))

    await asyncio.gather(*(somebody() for _ in range(5)))
    stream = stage.hub.find("demo")
    holders = [encoder for encoder in opened if encoder.publication.open]  # type: ignore[attr-defined]  # our own kind
    assert len(holders) == (1 if stream is not None and stream.state is StreamState.ON_AIR else 0)
    for encoder in opened:
        assert len(encoder.publisher.evicted) <= 1
        encoder.publication.close("end")
    stage.seconds(50)
    await stage.hub.release_ended()
    assert stage.hub.streams() == ()
    assert await directory.owner("demo") is None
    assert all(sink.turns[-1:] == ["end"] for sink in stage.sinks)

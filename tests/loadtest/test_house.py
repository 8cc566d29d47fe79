"""A small show on a real server: everybody is there, and what they see is told in stretches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.house import House
from loadtest.stage import Stage, open_stage


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened


@pytest.fixture(scope="module")
def house(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> House:
    built: Path = tmp_path_factory.mktemp("house")
    house = House(stage, built, buyers=5)
    house.go_on_air()
    return house


def test_everybody_sees_the_show_and_is_counted(house: House) -> None:
    house.open_members(120, say_per_s=20, slow=2, stalled=1, change_per_s=4)
    house.open_players(3)
    house.open_listeners(2)
    shop = house.open_shop(20)
    house.wait(1.0, "settling")
    seen = house.wait(3.0, "watching")
    house.pin(3)
    house.stage.wait(0.5, "the card comes")
    house.close(shop)
    members = house.close(house.members[0])
    assert seen.danmaku.count > 100  # of fifty who are asked
    assert 0 < seen.danmaku.percentile_ms(0.5) < 2_000
    assert seen.placed > 20
    assert (seen.failed, seen.lost, seen.cut_off) == (0, 0, 0)
    assert 500 < seen.latency_ms < 6_000
    used = house.stage.meter.usages
    assert {"streamd", "chatters", "hls_crowd", "viewers", "api_callers"} <= set(used)
    assert used["streamd"].cpu_s > 0.1
    (version,) = house.pins_us
    assert len(members["pinned_us"][str(version)]) >= 110  # all but slow and stalled ones and who is just changing


def test_tasks_are_counted_by_the_server(house: House) -> None:
    assert house.metric("streamd_tasks") > 5
    assert house.metric("streamd_live_viewers") >= 0
    assert house.metric("streamd_no_such_thing") == 0

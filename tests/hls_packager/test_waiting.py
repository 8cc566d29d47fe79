from __future__ import annotations

import asyncio

import pytest

from hls_packager.waiting import WaitingRoom


async def test_viewers_are_woken_by_what_they_wait_for_and_no_other() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(room.wait((1, 0), 5_000))
        second = tasks.create_task(room.wait((2, None), 5_000))
        await asyncio.sleep(0)
        room.wake(lambda msn, _: msn == 1)
        assert await first
        assert not second.done()
        assert len(room) == 1
        room.wake_all()
    assert second.result()
    assert len(room) == 0


async def test_who_waits_too_long_is_told_so() -> None:
    room = WaitingRoom()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await room.wait((1, 0), 30) is False
    assert 0.03 <= loop.time() - began < 0.5
    assert len(room) == 0


async def test_a_crowd_is_woken_in_batches_between_which_the_loop_does_other_work() -> None:
    room = WaitingRoom()
    turns = 0

    def other_work() -> None:
        nonlocal turns
        turns += 1
        if len(answered) < 1_000:
            loop.call_soon(other_work)

    answered: list[bool] = []

    async def viewer() -> None:
        answered.append(await room.wait((1, 0), 5_000))

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(1_000):
            tasks.create_task(viewer())
        await asyncio.sleep(0)
        assert len(room) == 1_000
        loop.call_soon(other_work)
        room.wake_all()
    assert answered == [True] * 1_000
    assert turns > 10


async def test_a_viewer_who_leaves_harms_nobody() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as tasks:
        leaver = tasks.create_task(room.wait((1, 0), 5_000))
        stayer = tasks.create_task(room.wait((1, 0), 5_000))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        room.wake_all()
        assert await stayer


async def test_groups_are_gone_when_their_time_is_over() -> None:
    room = WaitingRoom()
    assert await asyncio.gather(*(room.wait((n, None), 20) for n in range(50))) == [False] * 50
    assert room._groups == {}

"""Viewers who wait for a playlist to grow: who they are, what they wait for, when they have waited long enough.

One future a viewer, in groups by what they wait for and when they give up, so that a thousand viewers of one stream
cost one timer each 50 ms at most. They are woken a batch an iteration of the loop: between batches the loop reads its
sockets, and an encoder's frames never queue behind a thousand answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

_SLICE_MS = 50
_BATCH = 64

Target: TypeAlias = tuple[int, int | None]


class _Group:
    __slots__ = ("futures", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.futures: list[asyncio.Future[bool]] = []
        self.timer = timer


class WaitingRoom:
    """See the module's promise."""

    def __init__(self) -> None:
        self._groups: dict[Target, dict[int, _Group]] = {}
        self._to_wake: deque[asyncio.Future[bool]] = deque()

    def __len__(self) -> int:
        """How many wait; those who gave up by themselves count until their time is over."""
        return sum(len(group.futures) for groups in self._groups.values() for group in groups.values())

    async def wait(self, target: Target, timeout_ms: int) -> bool:
        """True when woken because of `target`, False when `timeout_ms` is over (late by 50 ms at most).

        Cancel-safe: yes.
        """
        loop = asyncio.get_running_loop()
        deadline = int(loop.time() * 1_000 + timeout_ms) // _SLICE_MS + 1
        groups = self._groups.setdefault(target, {})
        group = groups.get(deadline)
        if group is None:
            timer = loop.call_at(deadline * _SLICE_MS / 1_000, self._give_up, target, deadline)
            group = groups[deadline] = _Group(timer)
        future: asyncio.Future[bool] = loop.create_future()
        group.futures.append(future)
        return await future

    def wake(self, reached: Callable[[int, int | None], bool]) -> None:
        """Answer all whose target `reached` says is there."""
        for target in [target for target in self._groups if reached(*target)]:
            for group in self._groups.pop(target).values():
                group.timer.cancel()
                self._to_wake.extend(group.futures)
        if self._to_wake:
            self._wake_batch()

    def wake_all(self) -> None:
        """Nobody has anything to wait for any more."""
        self.wake(lambda _msn, _part: True)

    def _wake_batch(self) -> None:
        waiting = self._to_wake
        for _ in range(min(_BATCH, len(waiting))):
            future = waiting.popleft()
            if not future.done():
                future.set_result(True)
        if waiting:
            asyncio.get_running_loop().call_soon(self._wake_batch)

    def _give_up(self, target: Target, deadline: int) -> None:
        groups = self._groups.get(target, {})
        group = groups.pop(deadline, None)
        if not groups:
            self._groups.pop(target, None)
        if group is not None:
            for future in group.futures:
                if not future.done():
                    future.set_result(False)

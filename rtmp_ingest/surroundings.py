"""What every connection of a server shares, and how it tells the server that it came and went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from rtmp_ingest.address_limits import AddressLimits
from rtmp_ingest.limits import RtmpSettings
from streamd.clock import Clock
from streamd.media.ports import PlayGate, PublishGate
from streamd.rounds import Rounds
from streamd.telemetry.log import Log
from streamd.telemetry.metrics import Metrics


class Peer(Protocol):
    """A connection, as the server sees it."""

    @property
    def address(self) -> str:
        """Without the port."""
        ...

    def sweep(self, now_ms: int) -> None:
        """Look after time: called about once a second."""
        ...

    def shut_down(self, reason: str) -> None:
        """The server is about to stop."""
        ...

    def abort(self) -> None:
        """Close without another byte."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Made by the server. `opened` says whether there is room for one more."""

    gate: PublishGate
    play_gate: PlayGate
    clock: Clock
    log: Log
    metrics: Metrics
    settings: RtmpSettings
    addresses: AddressLimits
    rounds: Rounds
    spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]]
    opened: Callable[[Peer], bool]
    closed: Callable[[Peer], None]

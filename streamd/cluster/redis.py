"""The bus over Redis: one server, or a cluster with sharded pub/sub.

Commands have time-outs and no hidden retries; publications come through `Ears`, which prove by canaries that they hear.
`ready()` is that round trip, nothing less.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any, Final, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis.exceptions import NoScriptError

from streamd.clock import Clock
from streamd.cluster import scripts
from streamd.cluster.bus import (
    DROP,
    STATE,
    Admission,
    Batch,
    Draft,
    Limit,
    Pulse,
    PulseReport,
    RoomMemory,
    StateEntry,
    Verdict,
    pack_draft,
    unpack_drafts,
)
from streamd.cluster.redis_connection import FAILURES, open_client, unavailable
from streamd.cluster.redis_ears import Ears
from streamd.telemetry.log import get_log

_log: Final = get_log("bus")
IDENT_TTL_MS: Final = 600_000
KEEP_MS: Final = 7 * 86_400_000  # how long a silent room's numbers, state and counts are remembered
_RECALL_BATCHES: Final = 500
_COMMAND_TIMEOUT_S: Final = 2.0


@lru_cache(maxsize=64)
def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


class RedisBus:
    """RoomBus over Redis. `run` must be running; `aclose` after it ended."""

    def __init__(
        self, url: str, *, clock: Clock, prefix: str = "streamd", log_batches: int = 2_000, log_age_ms: int = 600_000
    ) -> None:
        self._clock = clock
        self._prefix = prefix
        self._log_batches = log_batches
        self._log_age_ms = log_age_ms
        self.is_cluster = url.startswith("redis+cluster://")
        self._commands = open_client(url, timeout_s=_COMMAND_TIMEOUT_S)
        self._ears = Ears(
            url, commands=self._commands, clock=clock, prefix=prefix, hear=self._hear, on_return=self._tell_return
        )
        self._listeners: dict[str, list[Callable[[Batch], None]]] = {}
        self._returns: list[Callable[[], None]] = []
        self.received_bytes = 0

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hear, until cancelled. Cancel-safe: yes."""
        await self._ears.run()

    @property
    def breaks(self) -> int:
        """How often something that was heard was not any more."""
        return self._ears.breaks

    def _tell_return(self) -> None:
        for call in self._returns:
            call()

    async def aclose(self) -> None:
        """Let go of the connections. Cancel-safe: no."""
        await self._commands.aclose()

    def ready(self) -> bool:
        """See RoomBus."""
        return self._ears.ready()

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        yield GaugeMetricFamily("streamd_bus_heard", "1 while Redis was heard lately, by its canary", int(self.ready()))
        yield CounterMetricFamily("streamd_bus_breaks", "Times that Redis was not heard any more", value=self.breaks)
        read = "Bytes of publications that Redis sent to this worker"
        yield CounterMetricFamily("streamd_bus_received_bytes", read, value=self.received_bytes)

    def on_return(self, call: Callable[[], None]) -> None:
        """See RoomBus. Also called when the bus is heard for the first time."""
        self._returns.append(call)

    # -- rooms ---------------------------------------------------------------------------------------------------

    def _channel(self, room: str) -> str:
        return f"{self._prefix}:{{{room}}}:line"

    def _keys(self, room: str, *names: str) -> list[str]:
        return [f"{self._prefix}:{{{room}}}:{name}" for name in names]

    async def run_script(self, script: str, keys: Sequence[str], *arguments: object) -> Any:
        """Lua, atomically: `KEYS` and `ARGV`. Raises UnavailableError. Cancel-safe: it may have run."""
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                try:
                    return await self._commands.evalsha(_sha(script), len(keys), *keys, *cast("Any", arguments))
                except NoScriptError:
                    return await self._commands.eval(script, len(keys), *keys, *cast("Any", arguments))
        except FAILURES as error:
            raise unavailable(error) from error

    async def append(
        self, room: str, drafts: Sequence[Draft], *, taken: int, batch_id: str, min_seq: int, at_ms: int
    ) -> Batch:
        """See RoomBus."""
        packed = [pack_draft(draft) for draft in drafts]
        states: list[object] = []
        for offset, draft in enumerate(drafts):
            if draft.flags & DROP:
                states += ["del", draft.key, 0, b""]
            elif draft.flags & STATE:
                states += ["set", draft.key, offset, packed[offset]]
        node, _, count = batch_id.rpartition(":")
        head: bytes = await self.run_script(
            scripts.APPEND,
            self._keys(room, "meta", "log", "state"),
            secrets.token_hex(6),
            KEEP_MS,
            node,
            count,
            taken,
            min_seq,
            at_ms,
            batch_id,
            b"".join(packed),
            self._log_batches,
            self._log_age_ms,
            "SPUBLISH" if self.is_cluster else "PUBLISH",
            self._channel(room),
            *states,
        )
        return _batch(head, tuple(drafts))

    async def replay(self, room: str, *, epoch: str, after_seq: int) -> tuple[Batch, ...] | None:
        """See RoomBus."""
        found = await self.run_script(scripts.REPLAY, self._keys(room, "meta", "log"), epoch, after_seq)
        return None if found is None else tuple(_unpack(message) for message in found)

    async def recall(self, room: str) -> RoomMemory:
        """See RoomBus. The tail of the log is bounded: a long show is resumed from the last 500 batches."""
        epoch, seq, likes, peak, unique, state, batches = await self.run_script(
            scripts.RECALL,
            self._keys(room, "meta", "log", "state", "visitors"),
            secrets.token_hex(6),
            KEEP_MS,
            _RECALL_BATCHES,
        )
        return RoomMemory(
            epoch=epoch.decode(),
            seq=int(seq),
            state={key.decode(): _state(value) for key, value in zip(state[::2], state[1::2], strict=True)},
            batches=tuple(_unpack(message) for message in batches),
            likes=int(likes),
            peak=int(peak),
            unique=int(unique),
        )

    async def listen(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """See RoomBus. Returns once Redis has confirmed; the wish is kept when it cannot be reached."""
        self._listeners.setdefault(room, []).append(deliver)
        await self._ears.listen(self._channel(room))

    async def unlisten(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """See RoomBus."""
        listeners = [each for each in self._listeners.get(room, ()) if each != deliver]
        if listeners:
            self._listeners[room] = listeners
            return
        self._listeners.pop(room, None)
        await self._ears.ignore(self._channel(room))

    def _hear(self, channel: str, data: bytes) -> None:
        self.received_bytes += len(data)
        room = channel[len(self._prefix) + 2 : -len("}:line")]
        listeners = self._listeners.get(room)
        if listeners:
            batch = _unpack(data)
            for deliver in listeners:
                try:
                    deliver(batch)
                except Exception:
                    # A listener's fault must not make all of the node's rooms deaf.
                    _log.exception("bus.listener_failed", room=room)

    async def pulse(self, room: str, report: PulseReport) -> Pulse:
        """See RoomBus."""
        epoch, seq, online, peak, likes, unique, nodes = await self.run_script(
            scripts.PULSE,
            self._keys(room, "meta", "nodes", "visitors"),
            secrets.token_hex(6),
            KEEP_MS,
            report.node,
            report.number,
            report.online,
            report.likes,
            report.now_ms,
            report.ttl_ms,
            *report.visitors,
        )
        return Pulse(epoch.decode(), int(seq), int(online), int(peak), int(likes), int(unique), int(nodes))

    async def admit(self, room: str, admissions: Sequence[Admission], *, now_ms: int) -> list[Verdict]:
        """See RoomBus."""
        arguments: list[object] = []
        for admission in admissions:
            arguments += [admission.ident, len(admission.limits)]
            for limit in admission.limits:
                arguments += limit
        verdicts = await self.run_script(scripts.ADMIT, self._keys(room, "in"), now_ms, IDENT_TTL_MS, *arguments)
        return [Verdict(kind.decode(), int(seq), name.decode(), int(wait)) for kind, seq, name, wait in verdicts]

    async def settle(self, room: str, numbers: dict[str, int], *, now_ms: int) -> None:  # noqa: ARG002 - Redis has the time
        """See RoomBus."""
        pairs = [part for pair in numbers.items() for part in pair]
        await self.run_script(scripts.SETTLE, self._keys(room, "in"), IDENT_TTL_MS, *pairs)

    async def charge(self, limits: Sequence[Limit]) -> int:
        """Limits of no room (signing in, calls of the API): 0 when all allow it and are charged, else ms to wait.

        Raises UnavailableError. Cancel-safe: they may have been charged.
        """
        keys = [f"{self._prefix}:{{rates}}:{limit.name}" for limit in limits]
        bounds = [bound for limit in limits for bound in (limit.interval_ms, limit.burst)]
        return int(await self.run_script(scripts.CHARGE, keys, *bounds))


def _batch(head: bytes, drafts: tuple[Draft, ...]) -> Batch:
    epoch, prev, first, taken, at_ms, batch_id = head.decode().split(" ")
    return Batch(epoch, int(prev), int(first), int(taken), int(at_ms), batch_id, drafts)


def _unpack(message: bytes) -> Batch:
    end = message.index(b"\n")
    return _batch(message[:end], unpack_drafts(message, end + 1))


def _state(value: bytes) -> StateEntry:
    end = value.index(b" ")
    return StateEntry(int(value[:end]), unpack_drafts(value, end + 1)[0])

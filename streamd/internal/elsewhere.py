"""This worker's word to the owners on others: challenges, questions about health, news that must arrive.

Implements `streamd.live.gate.Elsewhere` and `streamd.stills.Elsewhere`. News (a room was taken over, is to be cut)
are sent by `run`, each tried a few times; an owner that never hears of a takeover learns of it at its next beat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from streamd.errors import StreamdError, UnavailableError
from streamd.internal.peers import Peers
from streamd.live.directory import Claim
from streamd.live.health import StreamHealth
from streamd.live.shared_directory import SharedDirectory
from streamd.telemetry.log import Log

# A challenge may take as long as the owner puts newcomers to the proof, and some.
CHALLENGE_MS = 1_800
_NEWS_WAITING = 1_000
_TRIES = 3
_AGAIN_S = 0.3


class _News(NamedTuple):
    worker: str
    path: str
    body: dict[str, object]


class OtherOwners:
    """See the module's promise."""

    def __init__(self, *, directory: SharedDirectory, peers: Peers, log: Log) -> None:
        self._directory = directory
        self._peers = peers
        self._log = log
        self._news: asyncio.Queue[_News] = asyncio.Queue(_NEWS_WAITING)

    async def challenge(self, room: str, *, synthetic: bool) -> Sequence[int]:
        """See `Elsewhere`."""
        owner = await self._directory.find(room, afresh=True)
        if owner is None:
            return ()
        path = f"/internal/streams/{room}/challenge"
        try:
            ages_ms = await self._peers.ask(
                owner.worker, "POST", path, {"synthetic": synthetic}, answer_ms=CHALLENGE_MS
            )
        except UnavailableError as error:
            self._log.info("elsewhere.owner_silent", room=room, owner=owner.worker, reason=error.why)
            return ()
        return [int(age_ms) for age_ms in ages_ms]

    def seated(self, claim: Claim) -> None:
        """See `Elsewhere`."""
        path, body = f"/internal/streams/{claim.room}/owned", {"worker": claim.worker, "epoch": claim.epoch}
        if claim.unheard:
            for worker in self._directory.others():
                self._tell(worker, path, body)
        elif claim.before is not None:
            self._tell(claim.before.worker, path, body)

    def cut(self, room: str, reason: str) -> None:
        """The room is to go off air, whoever owns it. Never blocks."""
        owner = self._directory.known(room)
        if owner is not None and owner.worker != self._directory.worker:
            self._tell(owner.worker, f"/internal/streams/{room}/cut", {"reason": reason})

    async def health(self, room: str) -> StreamHealth | None:
        """How a stream on another worker is doing; None where there is none. Cancel-safe: yes."""
        owner = await self._directory.find(room)
        if owner is None:
            return None
        try:
            said = await self._peers.ask(owner.worker, "GET", f"/internal/streams/{room}/health")
        except StreamdError:
            return None  # it has just ended, moved, or died: nothing is live for this answer
        return StreamHealth.from_dict(said) if said is not None else None

    def is_on_air(self, room: str) -> bool:
        """Whether another worker has an encoder for it, by the last table."""
        owner = self._directory.known(room)
        return owner is not None and owner.is_on_air and owner.worker != self._directory.worker

    async def key_frame(self, room: str) -> tuple[str, bytes] | None:
        """The newest of a stream on another worker, for a still; None where it cannot be had. Cancel-safe: yes."""
        owner = await self._directory.find(room)
        if owner is None:
            return None
        try:
            said: bytes = await self._peers.ask(owner.worker, "GET", f"/internal/streams/{room}/key-frame")
        except StreamdError:
            return None
        form, _, data = said.partition(b"\n")
        return form.decode(), data

    async def run(self) -> None:
        """Deliver news, for ever. Cancel-safe: yes; what is untold then is learnt at a beat."""
        while True:
            await self._deliver(await self._news.get())

    def _tell(self, worker: str, path: str, body: dict[str, object]) -> None:
        try:
            self._news.put_nowait(_News(worker, path, body))
        except asyncio.QueueFull:
            self._log.warning("elsewhere.news_dropped", worker=worker, path=path)

    async def _deliver(self, news: _News) -> None:
        for left in reversed(range(_TRIES)):
            try:
                await self._peers.ask(news.worker, "POST", news.path, news.body, answer_ms=1_000)
            except StreamdError as error:
                if not left or (error.code == "worker_gone" and self._directory.address(news.worker) is None):
                    self._log.info("elsewhere.untold", worker=news.worker, path=news.path, reason=error.why)
                    return
                await asyncio.sleep(_AGAIN_S)
            else:
                return

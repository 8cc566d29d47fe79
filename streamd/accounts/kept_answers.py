"""Answers kept for a day, so that a request that is sent again (Idempotency-Key) is answered again and not done again.

The first request of a key claims it; one that comes while it is under way is told to wait; one that comes later gets
the first one's answer, and one that says something else under the same key is refused. Answers are sealed: they may
hold a secret that is shown once. A claim whose process died may be taken over after `CLAIM_MS`; so what must never
happen twice (an order) keeps its key in its own transaction as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.vault import Vault
from streamd.clock import Clock
from streamd.db.small_steps import delete_step
from streamd.db.tables import stored_answers
from streamd.errors import ConflictError, UnavailableError

KEEP_MS: Final = 24 * 3_600_000
CLAIM_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """Status and JSON text."""

    status: int
    body: bytes


class KeptAnswers:
    """Keys are by caller: nobody is answered what somebody else asked."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, vault: Vault) -> None:
        self._engine = engine
        self._clock = clock
        self._vault = vault

    async def claim(self, *, caller: str, key: str, request: bytes) -> tuple[str, KeptAnswer | None]:
        """A handle for `keep` or `drop`, and the answer if there is one already. Cancel-safe: yes.

        `request` is what was asked: method, path and body. Raises ConflictError (another request used this key),
        UnavailableError (the first one is under way).
        """
        now_ms = self._clock.utc_ms()
        handle = hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()
        request_hash = hashlib.sha256(request).hexdigest()
        row = {
            "key": handle,
            "request_hash": request_hash,
            "claimed_at_ms": now_ms,
            "expires_at_ms": now_ms + KEEP_MS,
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(stored_answers).values(row))
        except IntegrityError:
            return handle, await self._answered(row, now_ms)
        return handle, None

    async def _answered(self, claim: Mapping[str, Any], now_ms: int) -> KeptAnswer | None:
        """The first request's answer; None where its claim was taken over."""
        handle = claim["key"]
        mine = stored_answers.c.key == handle
        async with self._engine.begin() as connection:
            row = (await connection.execute(select(stored_answers).where(mine))).first()
            if row is None:
                raise _under_way()  # it was given up a moment ago: the next try claims it
            same = mine & (stored_answers.c.claimed_at_ms == row.claimed_at_ms)
            if row.expires_at_ms <= now_ms:
                anew = {**claim, "status": None, "answer_sealed": None}
                if not (await connection.execute(update(stored_answers).where(same).values(anew))).rowcount:
                    raise _under_way()
                return None
            if row.request_hash != claim["request_hash"]:
                raise ConflictError(
                    "this Idempotency-Key was used for another request",
                    why="a key stands for one request, and this one says something else",
                    fix="use a new key for a new request",
                    code="idempotency_key_reused",
                )
            if row.status is not None:
                body = self._vault.open(row.answer_sealed, place=f"stored_answers.{handle}")
                return KeptAnswer(status=row.status, body=body)
            stale = same & stored_answers.c.status.is_(None)
            takes_over = update(stored_answers).where(stale).values(claimed_at_ms=now_ms)
            if now_ms - row.claimed_at_ms < CLAIM_MS or not (await connection.execute(takes_over)).rowcount:
                raise _under_way()
            return None

    async def keep(self, handle: str, answer: KeptAnswer) -> None:
        """The request is done. Cancel-safe: yes; then the claim stays until it is stale."""
        sealed = self._vault.seal(answer.body, place=f"stored_answers.{handle}")
        change = update(stored_answers).where(stored_answers.c.key == handle)
        async with self._engine.begin() as connection:
            await connection.execute(change.values(status=answer.status, answer_sealed=sealed))

    async def drop(self, handle: str) -> None:
        """Nothing was done: the same key may try again."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(stored_answers).where(stored_answers.c.key == handle))

    async def forget(self, before_ms: int) -> bool:
        """Delete some that are over since then; whether there may be more."""
        return await delete_step(self._engine, stored_answers, stored_answers.c.expires_at_ms < before_ms)


def _under_way() -> UnavailableError:
    return UnavailableError(
        "the first request with this Idempotency-Key is under way",
        fix="send it again in a moment",
        code="idempotency_under_way",
        retry_after_ms=1_000,
    )

"""The audit log: what staff did, in a chain that cannot be changed without being noticed.

Every entry's hash is an HMAC over the hash before it and the entry itself, keyed with the installation's secret: who
can write to the database and has not the data folder can neither change, insert nor remove an entry. The last entries
could be cut off together with the head; so an operator notes the head from time to time (`streamd audit verify` prints
it) and asks whether a later chain still holds it.

Entries are appended within the transaction of the caller, or in one of their own; appending waits for whoever appends.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.accounts.node_secret import NodeSecret
from streamd.clock import Clock
from streamd.db.tables import audit_head, audit_log
from streamd.errors import ConflictError, UnavailableError

TARGET_LIMIT = 200
DETAIL_LIMIT = 4_000
_PAGE_COUNT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is to be recorded. `detail` holds no secrets."""

    actor: str  # account name; "operator" for the command line
    role: str
    action: str
    room: str = ""
    target: str = ""
    detail: Mapping[str, Any] | None = None
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A link of the chain."""

    seq: int
    at_ms: int
    actor: str
    role: str
    action: str
    room: str
    target: str
    detail: str
    address: str
    request_id: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of a chain that holds: how long it is, and its head."""

    count: int
    head: str


class AuditLog:
    """Appends and verifies."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, secret: NodeSecret) -> None:
        self._engine = engine
        self._clock = clock
        self._secret = secret

    async def record(self, deed: Deed) -> int:
        """Append in a transaction of its own; the entry's number. Cancel-safe: whole or not at all."""
        async with self._engine.begin() as connection:
            return await self.append(connection, deed)

    async def append(self, connection: AsyncConnection, deed: Deed) -> int:
        """Append within the caller's transaction; do it late, for others wait until that ends."""
        await connection.execute(update(audit_head).where(audit_head.c.id == 1).values(seq=audit_head.c.seq + 1))
        head = (await connection.execute(select(audit_head).where(audit_head.c.id == 1))).first()
        if head is None:
            raise UnavailableError(
                "the audit log has lost its head",
                why="the one row of audit_head is gone, so what is done now could not be recorded",
                fix="restore the database from a backup",
                code="audit_head",
            )
        row: dict[str, Any] = {
            "seq": head.seq,
            "at_ms": self._clock.utc_ms(),
            "actor": deed.actor,
            "role": deed.role,
            "action": deed.action,
            "room": deed.room,
            "target": deed.target[:TARGET_LIMIT],
            "detail": _json(deed.detail or {}),
            "address": deed.address[:64],
            "request_id": deed.request_id[:64],
        }
        row["hash"] = self._hash(head.hash, row)
        await connection.execute(insert(audit_log).values(row))
        await connection.execute(update(audit_head).where(audit_head.c.id == 1).values(hash=row["hash"]))
        return int(head.seq)

    async def page(self, *, before: int | None = None, room: str = "", limit: int) -> list[Entry]:
        """Entries, newest first."""
        query = select(audit_log).order_by(audit_log.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(audit_log.c.seq < before)
        if room:
            query = query.where(audit_log.c.room == room)
        async with self._engine.connect() as connection:
            return [Entry(**row._mapping) for row in await connection.execute(query)]

    async def verify(self, *, head: str = "") -> Verdict:
        """Walk the whole chain. With `head`, an earlier one must still be in it.

        Raises ConflictError that names the first entry that does not fit. Cancel-safe: yes.
        """
        # Read first: entries may be added while we walk, and what it names must be among them.
        async with self._engine.connect() as connection:
            end = (await connection.execute(select(audit_head).where(audit_head.c.id == 1))).first()
        if end is None:
            raise _broken("the head is gone")
        count, previous, is_met = 0, "", not head
        while rows := await self._after(count):
            for row in rows:
                previous = self._checked(row, count, previous)
                count += 1
                is_met = is_met or previous == head
                if count == end.seq and previous != end.hash:
                    raise _broken(f"the head does not belong to entry {count}")
        if count < end.seq:
            raise _broken(f"entries after {count} are missing")
        if not is_met:
            raise _broken("the head that was noted earlier is not in it")
        return Verdict(count=count, head=previous)

    async def _after(self, seq: int) -> Sequence[Row[Any]]:
        query = select(audit_log).where(audit_log.c.seq > seq).order_by(audit_log.c.seq).limit(_PAGE_COUNT)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).all()

    def _checked(self, row: Row[Any], count: int, previous: str) -> str:
        """The hash of the entry that comes after `count`, if it is whole."""
        if row.seq != count + 1:
            raise _broken(f"entry {count + 1} is missing")
        if not hmac.compare_digest(row.hash, self._hash(previous, row._asdict())):
            raise _broken(f"entry {row.seq} ({row.action} by {row.actor}) is not what was written")
        return str(row.hash)

    def _hash(self, previous: str, row: Mapping[str, Any]) -> str:
        facts = {name: row[name] for name in Entry.__slots__ if name != "hash"}
        return self._secret.sign("audit", previous, json.dumps(facts, sort_keys=True)).hex()


def _json(detail: Mapping[str, Any]) -> str:
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True, default=str)
    if len(text) <= DETAIL_LIMIT:
        return text
    return json.dumps({"shortened": text[: DETAIL_LIMIT // 2]}, ensure_ascii=False)


def _broken(what: str) -> ConflictError:
    return ConflictError(
        "the audit log was tampered with",
        why=what,
        fix="compare with a backup of the database; entries before that one are as they were written",
        code="audit_broken",
    )

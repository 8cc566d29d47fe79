"""Deletes (or blanks) many old rows a few at a time: no statement holds the database, or its one writer, for long.

In: which rows; out: whether there may be more. Rows are looked up first and changed by their keys, for MySQL has no
LIMIT in a subquery and SQLite none in DELETE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

STEP_ROWS: Final = 500


async def delete_step(engine: AsyncEngine, table: Table, old: ColumnElement[bool]) -> bool:
    """Delete some of the `old` rows; whether there may be more. Raises UnavailableError. Cancel-safe: yes."""
    return await _step(engine, table, old, None)


async def blank_step(engine: AsyncEngine, table: Table, old: ColumnElement[bool], changes: Mapping[str, Any]) -> bool:
    """Change some of the `old` rows so that they are no longer among them; whether there may be more."""
    return await _step(engine, table, old, changes)


async def _step(engine: AsyncEngine, table: Table, old: ColumnElement[bool], changes: Mapping[str, Any] | None) -> bool:
    columns = list(table.primary_key)
    async with engine.connect() as connection:
        keys = (await connection.execute(select(*columns).where(old).limit(STEP_ROWS))).all()
    if not keys:
        return False
    if len(columns) == 1:
        chosen = columns[0].in_([key[0] for key in keys])
    else:
        chosen = tuple_(*columns).in_([tuple(key) for key in keys])
    # Asked again: what is no longer old (a job that was tried again) stays.
    change = delete(table) if changes is None else update(table).values(changes)
    async with engine.begin() as connection:
        await connection.execute(change.where(chosen, old))
    return len(keys) == STEP_ROWS

"""Bytes in a column, on SQLite and on MariaDB."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.tables import pictures


@pytest.mark.parametrize(
    "content", [b"", b"\0", bytes(range(256)), b"'\"\\%s %(a)s", "图".encode(), b"\xff" * 1_000_000]
)
async def test_bytes_come_back_as_they_went_in(engine: AsyncEngine, content: bytes) -> None:
    row = {"id": "p1", "width": 1, "height": 1, "jpeg": content, "created_at_ms": 0}
    async with engine.begin() as connection:
        await connection.execute(pictures.insert().values(row))
    async with engine.begin() as connection:
        assert await connection.scalar(select(pictures.c.jpeg)) == content
        await connection.execute(update(pictures).values(jpeg=content + b"!"))
        assert await connection.scalar(select(pictures.c.jpeg).where(pictures.c.jpeg == content + b"!"))

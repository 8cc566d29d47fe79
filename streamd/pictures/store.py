"""Where pictures are kept: in the database, which all nodes share, named by their content.

The same picture uploaded twice is one row. A few that were asked for lately are kept in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.clock import Clock
from streamd.db.tables import pictures
from streamd.pictures.recode import SIDE_LIMIT_PX, recode

KEPT_LIMIT_BYTES = 32 * 1024 * 1024
_AT_ONCE_COUNT = 2


class Pictures:
    """All pictures. Every coroutine is cancel-safe."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE_COUNT)
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0

    async def add(self, data: bytes, *, side_px: int = SIDE_LIMIT_PX) -> str:
        """Make a stranger's picture ours; its id. Raises InvalidError."""
        async with self._turns:
            picture = await asyncio.to_thread(recode, data, side_px=side_px)
        name = hashlib.sha256(picture.jpeg).hexdigest()[:32]
        row = {
            "id": name,
            "width": picture.width,
            "height": picture.height,
            "jpeg": picture.jpeg,
            "created_at_ms": self._clock.utc_ms(),
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(pictures).values(row))
        except IntegrityError:
            return name  # it is there already, byte for byte
        return name

    async def get(self, name: str) -> bytes | None:
        """The JPEG, or None."""
        jpeg = self._kept.get(name)
        if jpeg is not None:
            self._kept.move_to_end(name)
            return jpeg
        async with self._engine.connect() as connection:
            jpeg = await connection.scalar(select(pictures.c.jpeg).where(pictures.c.id == name))
        if jpeg is not None:
            self._keep(name, jpeg)
        return jpeg

    def _keep(self, name: str, jpeg: bytes) -> None:
        if name in self._kept:
            return
        self._kept[name] = jpeg
        self._kept_bytes += len(jpeg)
        while self._kept_bytes > KEPT_LIMIT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

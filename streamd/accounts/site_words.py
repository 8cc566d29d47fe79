"""The words that no room of this site wants, as they are kept: one list with a version.

In and out: what the chat makes of a list, as JSON; its meaning is not known here. A list is replaced as a whole, by
whoever saw the newest one: of two administrators who change the same list, the second is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.tables import site_words
from streamd.errors import ConflictError, UnavailableError


class SavedWords(NamedTuple):
    """`version` grows with every change; 0 while there never was one."""

    version: int
    words: Sequence[Mapping[str, str]]


class SiteWordShelf:
    """See the module's promise. Every coroutine is cancel-safe: whole or not at all."""

    def __init__(self, *, engine: AsyncEngine) -> None:
        self._engine = engine

    async def version(self) -> int:
        """Cheap: to be asked often. Raises UnavailableError."""
        try:
            async with self._engine.connect() as connection:
                return int((await connection.execute(select(func.max(site_words.c.version)))).scalar() or 0)
        except (SQLAlchemyError, OSError) as error:
            raise UnavailableError("the database cannot be asked", why=type(error).__name__) from error

    async def load(self) -> SavedWords:
        """The newest list."""
        newest = select(site_words.c.version, site_words.c.words).order_by(site_words.c.version.desc()).limit(1)
        async with self._engine.connect() as connection:
            row = (await connection.execute(newest)).first()
        return SavedWords(row.version, row.words) if row is not None else SavedWords(0, [])

    async def replace(self, words: Sequence[Mapping[str, str]], *, seen_version: int) -> int:
        """The new version. Raises ConflictError when the list has changed since `seen_version`."""
        conflict = ConflictError(
            "the list of words has changed since you loaded it",
            why="another administrator saved it meanwhile",
            fix="load it again and repeat the change",
            code="version_stale",
        )
        if await self.version() != seen_version:
            raise conflict
        row = {"version": seen_version + 1, "words": [dict(word) for word in words]}
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(site_words).values(row))
                await connection.execute(delete(site_words).where(site_words.c.version <= seen_version))
        except IntegrityError as error:
            raise conflict from error
        return seen_version + 1

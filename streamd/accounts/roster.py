"""All accounts, page by page, as administrators look through them: by the beginning of the name, or any part of what
others read.

Personal data are not here: a phone number is found by its index (`users.Users.with_phone`), without opening any.
"""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.users import User, user_of
from streamd.db.tables import users


class Roster:
    """Reads only. Coroutines are cancel-safe."""

    def __init__(self, *, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, *, search: str, role: str, after: str, limit: int) -> list[User]:
        """Accounts in the order of their names, those after the name `after`; empty words restrict nothing."""
        query = select(users).where(users.c.name > after).order_by(users.c.name).limit(limit)
        if search:
            query = query.where(
                or_(
                    users.c.name.startswith(search.lower(), autoescape=True),
                    users.c.display_name.contains(search, autoescape=True),
                )
            )
        if role:
            query = query.where(users.c.role == role)
        async with self._engine.connect() as connection:
            return [user_of(row) for row in await connection.execute(query)]

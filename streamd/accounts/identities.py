"""Who holds an access token, and what they are in a room: asked by the API for every request and by rooms for every
connection, and answered from memory nearly always.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.accounts.access_tokens import AccessTokens
from streamd.accounts.members import Members
from streamd.accounts.roles import ADMIN, VIEWER
from streamd.accounts.sessions import Sessions
from streamd.accounts.users import User, Users, user_id_in
from streamd.errors import ForbiddenError, UnauthenticatedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is signed in."""

    user: User
    session: str


class Identities:
    """Every coroutine is cancel-safe."""

    def __init__(self, *, tokens: AccessTokens, users: Users, members: Members, sessions: Sessions) -> None:
        self._tokens = tokens
        self._users = users
        self._members = members
        self._sessions = sessions

    async def person(self, access_token: str) -> Person:
        """Whose token this is. Raises UnauthenticatedError, ForbiddenError (the account is disabled)."""
        claims = self._tokens.verify(access_token)
        user = await self._users.known(claims.user_id)
        if user is not None and user.disabled_at_ms is not None:
            raise ForbiddenError(
                "this account is disabled", fix="ask whoever runs this server", code="account_disabled"
            )
        if user is None or user.generation != claims.generation or self._sessions.has_ended(claims.session):
            raise UnauthenticatedError(
                "this session has ended",
                why="it was signed out of, here or everywhere, or the password was changed",
                fix="sign in again",
                code="session_ended",
            )
        return Person(user=user, session=claims.session)

    async def role(self, user: User, room: str) -> str:
        """What somebody is in a room: admin, host, assistant, moderator or viewer."""
        if user.role == ADMIN:
            return ADMIN
        return await self._members.role(user.id, room)

    async def role_of(self, public_id: str, room: str) -> str:
        """The same for somebody who is not here, by the id that rooms call them by. Guests and unknown ids: viewer."""
        user_id = user_id_in(public_id)
        user = None if user_id is None else await self._users.known(user_id)
        return VIEWER if user is None else await self.role(user, room)

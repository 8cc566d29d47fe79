"""Signing in and staying signed in.

A sign-in begins a *family*: an access token for 15 minutes and a refresh token that is good once. Refreshing gives a
new pair and uses the old one up; a refresh token that comes a second time was copied, by whomever, and ends the whole
family (RFC 9700, 4.14.2). A changed password and "sign out everywhere" end all families of the account and void its
access tokens.

A sign-out voids the session's access tokens too: at once in this process; another one may take them until they expire.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.accounts.access_tokens import LIFETIME_MS, AccessTokens
from streamd.accounts.passwords import Passwords
from streamd.accounts.recent import Recent
from streamd.accounts.texts import is_account_name
from streamd.accounts.throttle import Throttle, charge, sign_in_allowances
from streamd.accounts.users import User, Users, user_of
from streamd.clock import Clock
from streamd.db.busy import in_transaction
from streamd.db.tables import refresh_tokens, users
from streamd.errors import ForbiddenError, UnauthenticatedError
from streamd.telemetry.log import Log

REFRESH_LIFETIME_MS: Final = 30 * 24 * 3_600_000
ENDED_LIMIT_COUNT = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What somebody who is signed in holds."""

    user: User
    access_token: str
    refresh_token: str
    expires_in_ms: int


class Sessions:
    """All sessions. Coroutines are cancel-safe unless they say otherwise."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        clock: Clock,
        users: Users,
        passwords: Passwords,
        tokens: AccessTokens,
        throttle: Throttle,
        log: Log,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._users = users
        self._passwords = passwords
        self._tokens = tokens
        self._throttle = throttle
        self._log = log
        self._ended: Recent[str, bool] = Recent(clock=clock, keep_ms=LIFETIME_MS, limit_count=ENDED_LIMIT_COUNT)

    async def sign_in(self, name: str, password: str, *, address: str) -> Tokens:
        """Begin a session.

        Raises UnauthenticatedError (name or password; which one is not told, neither by words nor by time),
        ForbiddenError (the account is disabled), LimitedError, UnavailableError (too many at once).
        """
        await charge(self._throttle, sign_in_allowances(name[:64], address), what="attempts to sign in")
        row = None
        if is_account_name(name):
            async with self._engine.connect() as connection:
                row = (await connection.execute(select(users).where(users.c.name == name))).first()
        if not await self._passwords.matches(password, row.password_hash if row else None) or row is None:
            self._log.info("accounts.sign_in_refused", account=name[:64], peer=address)
            raise UnauthenticatedError(
                "name or password is wrong", fix="check both; the name is all lower case", code="credentials"
            )
        user = user_of(row)
        check_enabled(user)
        if self._passwords.is_dated(row.password_hash):
            await self._rehash(user.id, await self._passwords.hash(password), was=row.password_hash)
        return await in_transaction(self._engine, lambda connection: self._begin(connection, user))

    async def begin(self, user: User) -> Tokens:
        """A session for somebody who was proved to be this user. Raises ForbiddenError (the account is disabled)."""
        check_enabled(user)
        return await in_transaction(self._engine, lambda connection: self._begin(connection, user))

    async def refresh(self, refresh_token: str) -> Tokens:
        """The next pair. Raises UnauthenticatedError. Cancel-safe: no; a token that was sent once is used up."""
        tokens, row = await in_transaction(self._engine, lambda connection: self._use(connection, refresh_token))
        if tokens is not None:
            return tokens
        if row is not None and row.used_at_ms is not None and row.revoked_at_ms is None:
            await self._end(row.family)
            self._log.warning("accounts.refresh_reused", user=f"u{row.user_id}", session=row.family)
        raise UnauthenticatedError(
            "this refresh token is not valid",
            why="it has expired, was used before, or the session was ended",
            fix="sign in again",
            code="refresh_token",
        )

    async def _use(self, connection: AsyncConnection, refresh_token: str) -> tuple[Tokens | None, Row[Any] | None]:
        """The next pair, where this one may still be used; and what is known of it."""
        now_ms = self._clock.utc_ms()
        mine = refresh_tokens.c.token_hash == _hash(refresh_token)
        use = (
            update(refresh_tokens)
            .where(mine, refresh_tokens.c.used_at_ms.is_(None), refresh_tokens.c.revoked_at_ms.is_(None))
            .where(refresh_tokens.c.expires_at_ms > now_ms)
            .values(used_at_ms=now_ms)
        )
        # The update comes first and decides: of two at once, one finds the token unused.
        is_fresh = (await connection.execute(use)).rowcount == 1
        row = (await connection.execute(select(refresh_tokens).where(mine))).first()
        if row is None or not is_fresh:
            return None, row
        user = user_of((await connection.execute(select(users).where(users.c.id == row.user_id))).one())
        if user.disabled_at_ms is not None:
            return None, row
        return await self._begin(connection, user, family=row.family), row

    async def end(self, session: str) -> None:
        """Sign out of one session."""
        await self._end(session)

    async def end_all(self, user_id: int) -> None:
        """Sign out everywhere."""
        await in_transaction(self._engine, lambda connection: self._void(connection, user_id))
        self._users.forget(user_id)

    async def change_password(self, user_id: int, *, current: str, new: str, address: str) -> Tokens:
        """Another password; every session ends, and a new one begins.

        Raises UnauthenticatedError (not the current one), InvalidError (the new one), LimitedError.
        """
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(users).where(users.c.id == user_id))).one()
        await charge(self._throttle, sign_in_allowances(row.name, address), what="attempts with a password")
        if not await self._passwords.matches(current, row.password_hash):
            raise UnauthenticatedError("this is not your password", fix="check it", code="credentials")
        hashed = await self._passwords.hash(new)

        async def change(connection: AsyncConnection) -> Tokens:
            await self._replace_password(connection, user_id, hashed)
            user = user_of((await connection.execute(select(users).where(users.c.id == user_id))).one())
            return await self._begin(connection, user)

        tokens = await in_transaction(self._engine, change)
        self._users.forget(user_id)
        return tokens

    async def set_password(self, user_id: int, new: str) -> None:
        """Another password by an administrator's word; every session ends. Raises InvalidError, UnavailableError."""
        hashed = await self._passwords.hash(new)
        await in_transaction(self._engine, lambda connection: self._replace_password(connection, user_id, hashed))
        self._users.forget(user_id)

    def has_ended(self, session: str) -> bool:
        """Whether a session ended in this process lately."""
        return self._ended.get(session) is not None

    async def _begin(self, connection: AsyncConnection, user: User, *, family: str = "") -> Tokens:
        now_ms = self._clock.utc_ms()
        family = family or secrets.token_hex(16)
        refresh_token = secrets.token_urlsafe(32)
        row = {
            "user_id": user.id,
            "family": family,
            "token_hash": _hash(refresh_token),
            "issued_at_ms": now_ms,
            "expires_at_ms": now_ms + REFRESH_LIFETIME_MS,
        }
        # Looked for without locks, deleted by id: a delete that searches waits for the rows of the person's other
        # devices, and theirs for ours.
        outdated = (refresh_tokens.c.user_id == user.id) & (refresh_tokens.c.expires_at_ms <= now_ms)
        ids = (await connection.execute(select(refresh_tokens.c.id).where(outdated).order_by("id"))).scalars().all()
        if ids:
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.id.in_(ids)))
        await connection.execute(insert(refresh_tokens).values(row))
        access_token = self._tokens.issue(user_id=user.id, generation=user.generation, session=family)
        return Tokens(user=user, access_token=access_token, refresh_token=refresh_token, expires_in_ms=LIFETIME_MS)

    async def _end(self, family: str) -> None:
        self._ended.put(family, True)
        standing = (refresh_tokens.c.family == family) & refresh_tokens.c.revoked_at_ms.is_(None)
        revoke = update(refresh_tokens).where(standing).values(revoked_at_ms=self._clock.utc_ms())
        await in_transaction(self._engine, lambda connection: connection.execute(revoke))

    async def _replace_password(self, connection: AsyncConnection, user_id: int, hashed: str) -> None:
        await connection.execute(update(users).where(users.c.id == user_id).values(password_hash=hashed))
        await self._void(connection, user_id)

    async def _void(self, connection: AsyncConnection, user_id: int) -> None:
        standing = (refresh_tokens.c.user_id == user_id) & refresh_tokens.c.revoked_at_ms.is_(None)
        await connection.execute(update(refresh_tokens).where(standing).values(revoked_at_ms=self._clock.utc_ms()))
        await connection.execute(update(users).where(users.c.id == user_id).values(generation=users.c.generation + 1))

    async def _rehash(self, user_id: int, hashed: str, *, was: str) -> None:
        unchanged = (users.c.id == user_id) & (users.c.password_hash == was)
        async with self._engine.begin() as connection:
            await connection.execute(update(users).where(unchanged).values(password_hash=hashed))


def check_enabled(user: User) -> None:
    """Raises ForbiddenError when the account is disabled."""
    if user.disabled_at_ms is not None:
        raise ForbiddenError("this account is disabled", fix="ask whoever runs this server", code="account_disabled")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

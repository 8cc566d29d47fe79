"""Signing in by the word of somebody else: an identity provider says who it is, and an account stands behind that.

At the first sign-in an account is made, without a password: its name is drawn, and what others read may be changed.
What the provider calls the person is personal data; the table holds a keyed hash of it, which finds and does not tell.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.accounts.roles import VIEWER
from streamd.accounts.sessions import Sessions, Tokens
from streamd.accounts.throttle import Allowance, Throttle, charge
from streamd.accounts.users import User, user_id_of, user_of
from streamd.accounts.vault import Vault
from streamd.clock import Clock
from streamd.db.busy import in_transaction
from streamd.db.tables import identities, users
from streamd.errors import ConflictError, NotFoundError

# Not in the PHC format, so no password ever fits.
NO_PASSWORD: Final = "!"  # noqa: S105
_TRIES: Final = 3


class IdentityProvider(Protocol):
    """Somebody else who knows people."""

    @property
    def name(self) -> str:
        """In addresses: `/api/v1/sessions/NAME`; at most 16 of a-z and digits."""
        ...

    async def subject(self, code: str) -> str:
        """Who brings this code, in the provider's words and for ever the same.

        Raises UnauthenticatedError, ForbiddenError, UnavailableError.
        """
        ...


class OutsideIdentities:
    """Sessions that begin elsewhere. Every coroutine is cancel-safe; a code may be used up."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        clock: Clock,
        vault: Vault,
        sessions: Sessions,
        throttle: Throttle,
        providers: Sequence[IdentityProvider] = (),
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._vault = vault
        self._sessions = sessions
        self._throttle = throttle
        self._providers = {provider.name: provider for provider in providers}

    async def sign_in(self, provider: str, code: str, *, address: str) -> Tokens:
        """Begin a session, with a new account where there is none yet.

        Raises NotFoundError (no such provider here), LimitedError, UnauthenticatedError, ForbiddenError (also: the
        account is disabled), UnavailableError.
        """
        found = self._providers.get(provider)
        if found is None:
            raise NotFoundError(
                "this server does not sign in that way",
                why=f"no identity provider {provider[:16]!r} is set up here",
                fix="sign in with name and password; an operator sets STREAMD_WECHAT_APP_ID for WeChat",
                code="provider_unknown",
            )
        allowance = Allowance(name=f"sign-in:{address}", interval_ms=250, burst=120)
        await charge(self._throttle, [allowance], what="attempts to sign in")
        subject = await found.subject(code)
        index = self._vault.index(subject, column=f"identities.{provider}")
        return await self._sessions.begin(await self._account(provider, index))

    async def _account(self, provider: str, index: str) -> User:
        for _ in range(_TRIES):
            user = await self._known(provider, index)
            if user is not None:
                return user
            try:
                await self._create(provider, index)
            except IntegrityError:
                continue  # twice at once, or the drawn name is taken
        raise ConflictError("this account could not be made", fix="try again", code="account_not_made")

    async def _known(self, provider: str, index: str) -> User | None:
        query = (
            select(users)
            .join(identities, identities.c.user_id == users.c.id)
            .where(identities.c.provider == provider, identities.c.subject_index == index)
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else user_of(row)

    async def _create(self, provider: str, index: str) -> None:
        now_ms = self._clock.utc_ms()
        drawn = secrets.token_hex(6)
        name = f"{provider}-{drawn}"
        row = {
            "name": name,
            "display_name": f"{provider}-{drawn[:4]}",
            "role": VIEWER,
            "level": 0,
            "generation": 0,
            "password_hash": NO_PASSWORD,
            "created_at_ms": now_ms,
        }

        async def create(connection: AsyncConnection) -> None:
            await connection.execute(insert(users).values(row))
            user_id = await user_id_of(connection, name)
            identity = {"provider": provider, "subject_index": index, "user_id": user_id, "created_at_ms": now_ms}
            await connection.execute(insert(identities).values(identity))

        # Two phones of one person at once may also meet as a deadlock, not only as a row that is there already.
        await in_transaction(self._engine, create)

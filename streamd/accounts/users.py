"""Accounts: made, found, changed. What proves that somebody is one is in `sessions`; what they may do, in `members`.

Phone number and address are sealed (`vault`), and given out by `personal` only. Whatever ends the right to be signed in
(a disabled account, another role, a new password) raises the account's generation, which voids its access tokens: at
once in this process, in the others when what they remember of the account is `KNOWN_KEEP_MS` old.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.accounts.passwords import Passwords
from streamd.accounts.recent import Recent
from streamd.accounts.roles import ACCOUNT_ROLES, VIEWER, check_role
from streamd.accounts.texts import check_account_name, check_text, is_account_name, normal_phone
from streamd.accounts.vault import Vault
from streamd.clock import Clock
from streamd.db.tables import users
from streamd.errors import ConflictError, NotFoundError

DISPLAY_NAME_LIMIT = 40
ADDRESS_LIMIT = 400
FOUND_LIMIT_COUNT = 50
_PUBLIC_ID = re.compile(r"u[1-9][0-9]{0,17}")
KNOWN_KEEP_MS = 5_000
KNOWN_LIMIT_COUNT = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account, without its password and personal data."""

    id: int
    name: str
    display_name: str
    role: str
    level: int
    generation: int
    created_at_ms: int
    disabled_at_ms: int | None

    @property
    def public_id(self) -> str:
        """As rooms and the API call it."""
        return f"u{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """What the law calls personal data; empty where nothing was given."""

    phone: str
    address: str


class Users:
    """All accounts. Every coroutine is cancel-safe; a cancelled change happens whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, passwords: Passwords, vault: Vault) -> None:
        self._engine = engine
        self._clock = clock
        self._passwords = passwords
        self._vault = vault
        self._known: Recent[int, User] = Recent(clock=clock, keep_ms=KNOWN_KEEP_MS, limit_count=KNOWN_LIMIT_COUNT)
        # Counts changes, so that an answer that was under way during one is not remembered.
        self._changes = 0

    async def create(self, name: str, *, password: str, role: str = VIEWER, display_name: str = "") -> User:
        """A new account. Raises InvalidError (name, password), ConflictError (the name is taken)."""
        check_account_name(name)
        check_role(role, ACCOUNT_ROLES)
        shown = check_text("display name", display_name.strip() or name, DISPLAY_NAME_LIMIT, code="display_name")
        row = {
            "name": name,
            "display_name": shown,
            "role": role,
            "level": 0,
            "generation": 0,
            "password_hash": await self._passwords.hash(password),
            "created_at_ms": self._clock.utc_ms(),
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(users).values(row))
        except IntegrityError as error:
            fix = "choose another name, or sign in"
            raise ConflictError(f"there is an account {name!r} already", fix=fix, code="account_exists") from error
        return await self.named(name)

    async def named(self, name: str) -> User:
        """One account. Raises NotFoundError."""
        if is_account_name(name):
            async with self._engine.connect() as connection:
                row = (await connection.execute(select(users).where(users.c.name == name))).first()
            if row is not None:
                return user_of(row)
        raise unknown_account(name)

    async def exists(self, name: str) -> bool:
        """Whether there is such an account."""
        try:
            await self.named(name)
        except NotFoundError:
            return False
        return True

    async def known(self, user_id: int) -> User | None:
        """The account, as it was within the last `KNOWN_KEEP_MS`."""
        found = self._known.get(user_id)
        if found is None:
            changes = self._changes
            async with self._engine.connect() as connection:
                row = (await connection.execute(select(users).where(users.c.id == user_id))).first()
            if row is None:
                return None
            found = user_of(row)
            if changes == self._changes:
                self._known.put(user_id, found)
        return found

    def forget(self, user_id: int) -> None:
        """The account was changed."""
        self._changes += 1
        self._known.forget(user_id)

    # --- changes ---

    async def rename(self, user_id: int, display_name: str) -> None:
        """What others read. Raises InvalidError."""
        shown = check_text("display name", display_name.strip(), DISPLAY_NAME_LIMIT, code="display_name")
        if shown:
            await self._change(user_id, {"display_name": shown})

    async def set_role(self, name: str, role: str) -> User:
        """Another role for the account, which has to sign in again. Raises InvalidError, NotFoundError."""
        user = await self.named(name)
        if user.role != check_role(role, ACCOUNT_ROLES):
            await self._change(user.id, {"role": role, "generation": users.c.generation + 1})
        return await self.named(name)

    async def set_disabled(self, name: str, disabled: bool) -> User:
        """Keep somebody from signing in, and void what they hold; or let them again. Raises NotFoundError."""
        user = await self.named(name)
        if (user.disabled_at_ms is not None) != disabled:
            at_ms = self._clock.utc_ms() if disabled else None
            await self._change(user.id, {"disabled_at_ms": at_ms, "generation": users.c.generation + 1})
        return await self.named(name)

    async def _change(self, user_id: int, values: dict[str, Any]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(update(users).where(users.c.id == user_id).values(values))
        self.forget(user_id)

    # --- personal data ---

    async def personal(self, user_id: int) -> Personal:
        """The account's own data, opened."""
        query = select(users.c.phone_sealed, users.c.address_sealed).where(users.c.id == user_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one()
        return Personal(
            phone=self._opened(row.phone_sealed, "phone", user_id),
            address=self._opened(row.address_sealed, "address", user_id),
        )

    async def set_personal(self, user_id: int, *, phone: str | None = None, address: str | None = None) -> None:
        """Change what is given (None: leave it; empty: remove it). Raises InvalidError."""
        values: dict[str, Any] = {}
        if phone is not None:
            number = normal_phone(phone) if phone.strip() else ""
            values["phone_sealed"] = self._sealed(number, "phone", user_id)
            values["phone_index"] = self._vault.index(number, column="users.phone") if number else None
        if address is not None:
            line = check_text("address", address.strip(), ADDRESS_LIMIT, code="address")
            values["address_sealed"] = self._sealed(line, "address", user_id)
        if values:
            await self._change(user_id, values)

    async def with_phone(self, phone: str) -> list[User]:
        """The accounts that gave this number, oldest first, found without opening any. Raises InvalidError."""
        index = self._vault.index(normal_phone(phone), column="users.phone")
        query = select(users).where(users.c.phone_index == index).order_by(users.c.id).limit(FOUND_LIMIT_COUNT)
        async with self._engine.connect() as connection:
            return [user_of(row) for row in await connection.execute(query)]

    def _sealed(self, text: str, column: str, user_id: int) -> str | None:
        return self._vault.seal_text(text, place=f"users.{column}.{user_id}") if text else None

    def _opened(self, sealed: str | None, column: str, user_id: int) -> str:
        return self._vault.open_text(sealed, place=f"users.{column}.{user_id}") if sealed else ""


def user_of(row: Row[Any]) -> User:
    """A row of `users` as a value."""
    return User(**{name: getattr(row, name) for name in User.__slots__})


async def user_id_of(connection: AsyncConnection, name: str) -> int:
    """The id behind a name, within a transaction of the caller's. Raises NotFoundError."""
    if is_account_name(name):
        found: int | None = await connection.scalar(select(users.c.id).where(users.c.name == name))
        if found is not None:
            return found
    raise unknown_account(name)


def user_id_in(public_id: str) -> int | None:
    """The other way round than `User.public_id`; None for what is no account's (a guest, an address)."""
    return int(public_id[1:]) if _PUBLIC_ID.fullmatch(public_id) else None


def unknown_account(name: str) -> NotFoundError:
    """There is no account of this name."""
    return NotFoundError(
        f"there is no account {name[:64]!r}",
        why="nobody has registered by this name",
        fix=f"check it, or make it: streamd user create {name}" if is_account_name(name) else "check the name",
        code="account_unknown",
    )

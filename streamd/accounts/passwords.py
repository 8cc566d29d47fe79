"""Passwords: Argon2id, in threads, a few at a time.

A hash takes tens of milliseconds of a core and 19 MiB on purpose (OWASP's second parameter set, equal in strength to
the 46 MiB of the first and kinder to a server where thousands sign in when a show begins). Two run at a time; who comes
when too many wait is told to come back, because a queue of hashes is a queue of seconds.
"""

from __future__ import annotations

import asyncio
import unicodedata
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from streamd.errors import InvalidError, UnavailableError

SHORTEST, LONGEST = 8, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordSettings:
    """What a hash costs, and how many may be under way and waiting."""

    time_cost: int = 2
    memory_kib: int = 19_456
    at_once_count: int = 2
    waiting_count: int = 100


class Passwords:
    """Hashes and checks. Every coroutine is cancel-safe; the thread finishes its hash."""

    def __init__(self, settings: PasswordSettings | None = None) -> None:
        settings = settings or PasswordSettings()
        self._hasher = PasswordHasher(
            time_cost=settings.time_cost, memory_cost=settings.memory_kib, parallelism=1, hash_len=32, salt_len=16
        )
        self._turns = asyncio.Semaphore(settings.at_once_count)
        self._places = settings.at_once_count + settings.waiting_count
        self._taken = 0
        self._nobodys = ""

    async def hash(self, password: str) -> str:
        """What is stored. Raises InvalidError (length), UnavailableError (too many at once)."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InvalidError(
                "this password cannot be used",
                why=f"a password is {SHORTEST} to {LONGEST} characters",
                fix="choose another one; a few words are easier to keep than one odd word",
                code="password_length",
            )
        return await self._in_turn(password, None)

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether it is this one. With None (no such account) it is not, after the same time.

        Raises UnavailableError (too many at once).
        """
        if not self._nobodys:
            self._nobodys = await self._in_turn("a password that nobody has", None)
        found = await self._in_turn(password[: LONGEST + 1], stored or self._nobodys)
        return bool(found) and stored is not None and len(password) <= LONGEST

    def is_dated(self, stored: str) -> bool:
        """Whether it was made with other costs than are in force now."""
        return self._hasher.check_needs_rehash(stored)

    async def _in_turn(self, password: str, stored: str | None) -> str:
        if self._taken >= self._places:
            raise UnavailableError(
                "too many people sign in at this moment", fix="try again in a moment", code="sign_in_busy"
            )
        self._taken += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(self._work, unicodedata.normalize("NFC", password), stored)
        finally:
            self._taken -= 1

    def _work(self, password: str, stored: str | None) -> str:
        """The hash of `password`; with `stored`, that if it fits and nothing if it does not."""
        secret = password.encode("utf-8", "surrogatepass")
        if stored is None:
            return self._hasher.hash(secret)
        try:
            self._hasher.verify(stored, secret)
        except (VerificationError, InvalidHashError):
            return ""
        return stored

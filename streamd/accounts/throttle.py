"""How often one may try: the limits of signing in and registering, and the protocol of whoever counts.

A wrong guess costs the same as a right one. Three counts stand in the way of guessing: of one account from one address
(somebody forgot), of one account from everywhere (many machines, one victim), of one address (one machine, many
victims; generous, because a phone network shows thousands of people by one address).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamd.errors import LimitedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """At most `burst` at once, and one more every `interval_ms` (the generic cell rate algorithm)."""

    name: str
    interval_ms: int
    burst: int


class Throttle(Protocol):
    """Counts, for one process or for all of them."""

    async def charge(self, allowances: Sequence[Allowance]) -> int:
        """0 when all of them allow it (and are charged), else milliseconds to wait; then none is. Cancel-safe: yes."""
        ...


async def charge(throttle: Throttle, allowances: Sequence[Allowance], *, what: str) -> None:
    """Raises LimitedError when one of them is used up."""
    wait_ms = await throttle.charge(allowances)
    if wait_ms:
        raise LimitedError(
            f"too many {what}",
            why="what is allowed in this time is used up",
            fix="wait, and try again",
            code="rate_limited",
            retry_after_ms=wait_ms,
        )


def sign_in_allowances(name: str, address: str) -> list[Allowance]:
    """What a try to sign in is charged against."""
    return [
        Allowance(name=f"sign-in:{name}:{address}", interval_ms=10_000, burst=6),
        Allowance(name=f"sign-in:{name}", interval_ms=5_000, burst=30),
        Allowance(name=f"sign-in:{address}", interval_ms=250, burst=120),
    ]


def register_allowances(address: str) -> list[Allowance]:
    """What a new account is charged against."""
    return [Allowance(name=f"register:{address}", interval_ms=2_000, burst=60)]

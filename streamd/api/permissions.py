"""Who may call a route, declared beside it in the table and enforced in one place (`border`).

    Route(..., require=require("host", "assistant", room="room"))   # by role in the room that the path names
    Route(..., require=require("host"))                             # by role of the account
    Route(..., require=SIGNED_IN)                                   # anybody who has an account
    Route(...)                                                      # everybody, signed in or not

Admins may call everything. A role is one of the names of `streamd.accounts.roles`; `viewer` in a room is everybody who
is signed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.accounts.roles import ADMIN, GUEST
from streamd.accounts.users import User
from streamd.errors import ForbiddenError, UnauthenticatedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """Some roles; none given: every one. `room` is the path parameter that says in which room, empty: anywhere."""

    roles: frozenset[str]
    room: str = ""

    def allows(self, role: str) -> bool:
        """Whether somebody of this role may."""
        return role == ADMIN or (role != GUEST and (not self.roles or role in self.roles))


def require(*roles: str, room: str = "") -> Require:
    """See the module's promise."""
    return Require(roles=frozenset(roles), room=room)


SIGNED_IN = require()
ADMINS = require(ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who calls: what handlers are given. `user` is None for a guest.

    `role` is by what the route asks for: in the room that the path names, else of the account; `guest` without one.
    """

    user: User | None
    role: str
    session: str
    address: str
    request_id: str

    @property
    def caller(self) -> str:
        """One name a person, or an address for all guests behind it: what limits and kept answers are by."""
        return self.user.public_id if self.user else f"address:{self.address}"

    @property
    def account(self) -> User:
        """The account of one who is signed in. Raises UnauthenticatedError."""
        if self.user is None:
            raise sign_in_first()
        return self.user


def sign_in_first() -> UnauthenticatedError:
    """Nobody is signed in."""
    return UnauthenticatedError(
        "this is for people who are signed in",
        fix="sign in at POST /api/v1/sessions and send `Authorization: Bearer ACCESS_TOKEN`",
        code="unauthenticated",
    )


def refuse(actor: Actor, wanted: Require) -> None:
    """Raises UnauthenticatedError or ForbiddenError unless the actor may."""
    if actor.user is None:
        raise sign_in_first()
    if not wanted.allows(actor.role):
        where = "in this room" if wanted.room else "on this server"
        raise ForbiddenError(
            f"{actor.user.name} is {actor.role} {where}, and this is for {' or '.join(sorted(wanted.roles))}",
            fix="ask the host of the room, or an administrator",
            code="role_required",
        )

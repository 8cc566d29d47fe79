"""Roles: of an account everywhere, and of a person in a room.

An account is `viewer`, `assistant`, `host` or `admin`; a host's may open rooms, an admin's may do everything. In a room
one is `host`, `assistant` or `moderator` by membership, else `viewer`; who is not signed in is a `guest`.
"""

from __future__ import annotations

from typing import Final, Literal

from streamd.errors import InvalidError

AccountRole = Literal["admin", "host", "assistant", "viewer"]
MemberRole = Literal["host", "assistant", "moderator"]

ADMIN: Final = "admin"
HOST: Final = "host"
ASSISTANT: Final = "assistant"
MODERATOR: Final = "moderator"
VIEWER: Final = "viewer"
GUEST: Final = "guest"

ACCOUNT_ROLES: Final = (ADMIN, HOST, ASSISTANT, VIEWER)
MEMBER_ROLES: Final = (HOST, ASSISTANT, MODERATOR)
# In a room, from the lowest. Guests rank with viewers: neither is above the other.
_RANKS: Final = {VIEWER: 0, MODERATOR: 1, ASSISTANT: 2, HOST: 3, ADMIN: 4}


def outranks(role: str, other: str) -> bool:
    """Whether somebody of `role` in a room stands above somebody of `other` there."""
    return _RANKS.get(role, 0) > _RANKS.get(other, 0)


def check_role(role: str, among: tuple[str, ...]) -> str:
    """`role`, if it is one of them. Raises InvalidError."""
    if role in among:
        return role
    raise InvalidError(f"there is no role {role[:32]!r}", fix=f"choose one of {', '.join(among)}", code="role")

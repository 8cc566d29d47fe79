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


def check_role(role: str, among: tuple[str, ...]) -> str:
    """`role`, if it is one of them. Raises InvalidError."""
    if role in among:
        return role
    raise InvalidError(f"there is no role {role[:32]!r}", fix=f"choose one of {', '.join(among)}", code="role")

"""How rooms are named: lower-case letters, digits and dashes, at most 63, as a DNS label would be."""

from __future__ import annotations

import re

from streamd.errors import InvalidError, NotFoundError

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def is_slug(text: str) -> bool:
    """Whether a room could have this name: asked before any query."""
    return _SLUG.fullmatch(text) is not None


def check_slug(text: str) -> str:
    """`text`, if a room could have this name. Raises InvalidError."""
    if is_slug(text):
        return text
    raise InvalidError(
        f"a room cannot be called {text[:64]!r}",
        why="a name is 1 to 63 lower-case letters, digits and dashes, and does not begin with a dash",
        fix="choose a name like summer-sale",
        code="room_name",
    )


def unknown_room(slug: str) -> NotFoundError:
    """There is no room of this name."""
    return NotFoundError(
        f"there is no room {slug[:64]!r}",
        why="nobody has created it on this server",
        fix=f"check the address, or create it: streamd room create {slug}" if is_slug(slug) else "check the address",
        code="room_unknown",
    )

"""The doors of the rooms, joined to the accounts: who is in them (`Identify`), and how they talk (`ConductBook`).

`danmaku` declares what it asks; `streamd.accounts` knows people and knows nothing of chat but the JSON it keeps for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from danmaku.conduct import ChatSettings, Identity, Sanction
from danmaku.history import SanctionShelf
from streamd.accounts.identities import Identities
from streamd.accounts.roles import ADMIN, outranks
from streamd.accounts.rooms import Rooms
from streamd.errors import ForbiddenError, NotFoundError, UnauthenticatedError


class RoomIdentify:
    """Implements `danmaku.ports.Identify`."""

    def __init__(self, *, identities: Identities) -> None:
        self._identities = identities

    async def __call__(self, token: str, room: str) -> Identity | None:
        """The person with their role in this room; None when the token is not good (any more). Cancel-safe: yes."""
        try:
            user = (await self._identities.person(token)).user
        except (UnauthenticatedError, ForbiddenError):
            return None
        role = await self._identities.role(user, room)
        return Identity(id=user.public_id, name=user.display_name, role=role, level=user.level)


class RoomBook:
    """Implements `danmaku.ports.ConductBook`: settings and sanctions are kept in the database."""

    def __init__(self, *, rooms: Rooms, shelf: SanctionShelf) -> None:
        self._rooms = rooms
        self._shelf = shelf

    async def load(self, room: str) -> tuple[ChatSettings, list[Sanction]]:
        """See ConductBook."""
        try:
            saved = await self._rooms.chat(room)
        except NotFoundError:
            saved = {}
        return ChatSettings.from_mapping(saved), await self._shelf.load(room)

    async def save_chat(self, room: str, chat: ChatSettings) -> None:
        """See ConductBook."""
        await self._rooms.save_chat(room, chat.to_mapping())

    async def save_sanction(self, room: str, sanction: Sanction) -> None:
        """See ConductBook."""
        await self._shelf.save(room, sanction)


class ChatTeller(Protocol):
    """What tells a room how it talks from now on: `danmaku.gateway.RoomGateway`."""

    async def set_chat(self, room: str, chat: ChatSettings) -> None:
        """Save it, and tell everybody who is there."""
        ...


class RoomWarden(Protocol):
    """What carries sanctions out: `danmaku.gateway.RoomGateway`."""

    async def sanction(self, room: str, sanction: Sanction) -> None:
        """On all nodes, now and after a return."""
        ...

    async def retract(self, room: str, message_ids: Sequence[str]) -> int:
        """From screens, history and replay."""
        ...

    async def held(self, room: str) -> list[dict[str, object]]:
        """What waits for a moderator."""
        ...

    async def review(self, room: str, message_id: str, *, show: bool) -> None:
        """Show it, or drop it."""
        ...


class RoomOrder:
    """Implements `streamd.api.moderation.Orderly`."""

    def __init__(self, *, rooms: Rooms, identities: Identities, warden: RoomWarden) -> None:
        self._rooms = rooms
        self._identities = identities
        self._warden = warden

    async def sanction(
        self, room: str, *, user_id: str, kind: str, until_ms: int, reason: str, by: str, by_role: str
    ) -> None:
        """Mute, ban, or lift. Raises NotFoundError, ForbiddenError."""
        await self._rooms.get(room)
        await self._check_rank(room, user_id, by_role=by_role, is_lift=until_ms == 0)
        imposed = Sanction(user_id=user_id, kind=kind, until_ms=until_ms, reason=reason, by=by)
        await self._warden.sanction(room, imposed)

    async def _check_rank(self, room: str, user_id: str, *, by_role: str, is_lift: bool) -> None:
        role = await self._identities.role_of(user_id, room)
        # Somebody muted may have become admin since, and nobody stands above an admin: another one may let them off.
        if not outranks(by_role, role) and not (is_lift and by_role == ADMIN):
            raise ForbiddenError(
                f"{user_id[:80]} is {role} in this room, and you are {by_role}",
                why="nobody sanctions or lets off somebody of the same or a higher rank",
                fix="ask somebody above both of you: a host of the room, or an administrator",
                code="rank",
            )

    async def retract(self, room: str, message_ids: list[str]) -> None:
        """Take back. Raises NotFoundError."""
        await self._rooms.get(room)
        await self._warden.retract(room, message_ids)

    async def held(self, room: str) -> list[dict[str, object]]:
        """What waits. Raises NotFoundError."""
        await self._rooms.get(room)
        return await self._warden.held(room)

    async def review(self, room: str, message_id: str, *, show: bool) -> None:
        """Show or drop. Raises NotFoundError."""
        await self._rooms.get(room)
        await self._warden.review(room, message_id, show=show)


class ChatDesk:
    """Implements `streamd.api.broadcasting.ChatDesk`."""

    def __init__(self, *, rooms: Rooms, teller: ChatTeller) -> None:
        self._rooms = rooms
        self._teller = teller

    async def chat(self, room: str) -> Mapping[str, Any]:
        """The settings in force. Raises NotFoundError."""
        return ChatSettings.from_mapping(await self._rooms.chat(room)).to_mapping()

    async def change_chat(self, room: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change what is named. Raises InvalidError, NotFoundError."""
        settings = ChatSettings.from_mapping({**await self.chat(room), **changes})
        await self._teller.set_chat(room, settings)
        return settings.to_mapping()

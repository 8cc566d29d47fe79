"""Who runs a room, invitations to run it, and what they did: `/rooms/ROOM/members`, `…/invitations`, `/audit`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr

from streamd.accounts.audit import AuditLog
from streamd.accounts.invitations import Invitation, Invitations
from streamd.accounts.members import Members
from streamd.accounts.roles import ADMIN, HOST
from streamd.api.bodies import WHOLE, Body
from streamd.api.permissions import ADMINS, SIGNED_IN, Actor, require
from streamd.api.routes import Route
from streamd.errors import ConflictError, ForbiddenError, NotFoundError

Role = Literal["host", "assistant", "moderator"]
_STAFF = require("host", "assistant", "moderator", room="room")
_HOST = require("host", room="room")


class RoleGiven(Body):
    """What somebody is to be in the room."""

    role: Role


class InvitationRequest(Body):
    """What the one who opens the link becomes."""

    role: Role
    expires_in_s: Annotated[int, Field(ge=60, le=30 * 24 * 3_600), WHOLE] = 7 * 24 * 3_600


class Acceptance(Body):
    """What stands in the link behind `#invitation=`."""

    token: Annotated[SecretStr, Field(max_length=200)]


class MemberView(BaseModel):
    """Somebody who runs the room."""

    name: str
    display_name: str
    role: Role
    added_at_ms: int


class MemberList(BaseModel):
    """Those who run the room."""

    items: list[MemberView]


class InvitationView(BaseModel):
    """An invitation, without its secret."""

    id: int
    room: str
    role: Role
    created_by: str
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None
    used_by: str | None
    revoked_at_ms: int | None


class InvitationMade(BaseModel):
    """A new invitation. Its link is shown this once."""

    invitation: InvitationView
    link: str


class InvitationList(BaseModel):
    """The room's invitations, newest first."""

    items: list[InvitationView]


class AuditEntry(BaseModel):
    """What somebody of the staff did."""

    seq: int
    at_ms: int
    actor: str
    role: str
    action: str
    room: str
    target: str
    detail: dict[str, Any]
    address: str
    request_id: str
    hash: str


class AuditPage(BaseModel):
    """Some entries, newest first."""

    items: list[AuditEntry]
    next_cursor: int | None = Field(description="ask again with `cursor` set to it; null on the last page")


class AuditQuery(BaseModel):
    """Which entries."""

    cursor: Annotated[int, Field(ge=1, le=1 << 53, description="`next_cursor` of the page before")] = 1 << 53
    room: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$", description="of one room only")] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class StaffApi:
    """The handlers."""

    def __init__(self, *, members: Members, invitations: Invitations, audit: AuditLog, origin: str) -> None:
        self._members = members
        self._invitations = invitations
        self._audit = audit
        self._origin = origin

    def routes(self) -> list[Route]:
        return [*self._member_routes(), *self._invitation_routes(), self._audit_route()]

    def _member_routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/members",
                handler=self.members,
                summary="Those who run the room",
                require=_STAFF,
                problems=(NotFoundError,),
            ),
            Route(
                method="PUT",
                path="/api/v1/rooms/{room}/members/{name}",
                handler=self.appoint,
                summary="Make somebody assistant or moderator (an administrator: host)",
                require=_HOST,
                audit="room.member.put",
                problems=(NotFoundError,),
            ),
            Route(
                method="DELETE",
                path="/api/v1/rooms/{room}/members/{name}",
                handler=self.dismiss,
                summary="Make somebody a viewer again",
                require=_HOST,
                audit="room.member.remove",
                problems=(NotFoundError, ConflictError),
            ),
        ]

    def _invitation_routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/invitations",
                handler=self.invitations,
                summary="The room's invitations",
                require=_HOST,
            ),
            Route(
                method="POST",
                path="/api/v1/rooms/{room}/invitations",
                handler=self.invite,
                summary="A link that makes whoever opens it assistant or moderator, once",
                require=_HOST,
                audit="room.invitation.create",
                problems=(NotFoundError,),
                status=201,
            ),
            Route(
                method="DELETE",
                path="/api/v1/rooms/{room}/invitations/{invitation}",
                handler=self.revoke,
                summary="Take an invitation back",
                require=_HOST,
                audit="room.invitation.revoke",
                problems=(NotFoundError,),
            ),
            Route(
                method="POST",
                path="/api/v1/invitations/accept",
                handler=self.accept,
                summary="Join a room by an invitation",
                require=SIGNED_IN,
                audit="room.invitation.accept",
                problems=(NotFoundError,),
            ),
        ]

    def _audit_route(self) -> Route:
        return Route(
            method="GET",
            path="/api/v1/audit",
            handler=self.audit,
            summary="What staff did",
            require=ADMINS,
        )

    async def members(self, *, room: str) -> MemberList:
        found = await self._members.of_room(room)
        items = [
            {"name": one.name, "display_name": one.display_name, "role": one.role, "added_at_ms": one.added_at_ms}
            for one in found
        ]
        return MemberList.model_validate({"items": items})

    async def appoint(self, *, room: str, name: str, body: RoleGiven, actor: Actor) -> MemberList:
        self._refuse_new_hosts(body.role, actor)
        await self._members.put(room, name, body.role)
        return await self.members(room=room)

    async def dismiss(self, *, room: str, name: str) -> None:
        await self._members.remove(room, name)

    async def invitations(self, *, room: str) -> InvitationList:
        return InvitationList(items=[_view(one) for one in await self._invitations.of_room(room)])

    async def invite(self, *, room: str, body: InvitationRequest, actor: Actor) -> InvitationMade:
        self._refuse_new_hosts(body.role, actor)
        made, secret = await self._invitations.create(
            room, role=body.role, by=actor.account.name, keep_ms=body.expires_in_s * 1_000
        )
        return InvitationMade(invitation=_view(made), link=f"{self._origin}/studio/{room}#invitation={secret}")

    async def revoke(self, *, room: str, invitation: str) -> None:
        if not invitation.isascii() or not invitation.isdigit() or len(invitation) > 18:
            raise NotFoundError("there is no such invitation", fix="see the room's list", code="invitation_unknown")
        await self._invitations.revoke(room, int(invitation))

    async def accept(self, *, body: Acceptance, actor: Actor) -> InvitationView:
        return _view(await self._invitations.accept(body.token.get_secret_value(), actor.account))

    async def audit(self, *, query: AuditQuery) -> AuditPage:
        found = await self._audit.page(before=query.cursor, room=query.room, limit=query.limit + 1)
        shown = found[: query.limit]
        items = [
            AuditEntry.model_validate(
                {name: getattr(one, name) for name in AuditEntry.model_fields} | {"detail": json.loads(one.detail)}
            )
            for one in shown
        ]
        return AuditPage(items=items, next_cursor=shown[-1].seq if len(found) > len(shown) else None)

    def _refuse_new_hosts(self, role: str, actor: Actor) -> None:
        if role == HOST and actor.role != ADMIN:
            raise ForbiddenError(
                "hosts are made by administrators", fix="ask one, or choose assistant", code="role_required"
            )


def _view(invitation: Invitation) -> InvitationView:
    return InvitationView.model_validate({name: getattr(invitation, name) for name in InvitationView.model_fields})

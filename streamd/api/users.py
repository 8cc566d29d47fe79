"""Accounts: registering, one's own data, and what administrators change: `/api/v1/users`."""

from __future__ import annotations

import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from streamd.accounts.members import Members
from streamd.accounts.roster import Roster
from streamd.accounts.sessions import Sessions
from streamd.accounts.throttle import Throttle, charge, register_allowances
from streamd.accounts.users import ADDRESS_LIMIT, DISPLAY_NAME_LIMIT, Users
from streamd.api.bodies import AccountName, Body, GivenPassword, Line, NewPassword, Phone
from streamd.api.permissions import ADMINS, SIGNED_IN, Actor
from streamd.api.routes import Route
from streamd.api.sessions import session_view
from streamd.api.views import SessionView, UserView
from streamd.errors import ConflictError, InvalidError, NotFoundError, UnauthenticatedError, UnavailableError

# The name of the last account seen, or nothing.
CURSOR = r"^([a-z0-9][a-z0-9._-]{1,31})?$"
PASSWORD_BYTES = 12

DisplayName = Annotated[Line, Field(max_length=DISPLAY_NAME_LIMIT, description="what others read")]


class Registration(Body):
    """A new account."""

    name: AccountName
    password: NewPassword
    display_name: DisplayName = ""


class ProfileChange(Body):
    """What is to change; what is left out stays."""

    display_name: DisplayName | None = None
    phone: Phone | None = None
    address: Annotated[Line | None, Field(max_length=ADDRESS_LIMIT, description="empty removes it")] = None


class PasswordChange(Body):
    """The old one proves who asks."""

    current_password: GivenPassword
    new_password: NewPassword


class AccountChange(Body):
    """What an administrator changes. The account has to sign in again."""

    role: Literal["admin", "host", "assistant", "viewer"] | None = None
    disabled: bool | None = None


class ProfileView(BaseModel):
    """One's own account."""

    user: UserView
    phone: str
    address: str


class MembershipView(BaseModel):
    """A room that one runs."""

    room: str
    title: str
    role: Literal["host", "assistant", "moderator"]


class MembershipList(BaseModel):
    """The rooms that one runs."""

    items: list[MembershipView]


class UserList(BaseModel):
    """Some accounts."""

    items: list[UserView]
    next_cursor: str | None = Field(description="ask again with `cursor` set to it; null on the last page")


class UsersQuery(BaseModel):
    """Whom to find: by phone number, or page by page in the order of the names."""

    phone: Annotated[Phone, Field(description="the whole number; nothing else counts then")] = ""
    search: Annotated[
        str, Field(max_length=DISPLAY_NAME_LIMIT, description="the beginning of the name, or part of what others read")
    ] = ""
    role: Literal["", "admin", "host", "assistant", "viewer"] = ""
    cursor: Annotated[str, Field(pattern=CURSOR, description="`next_cursor` of the page before")] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class PasswordMade(BaseModel):
    """A password for somebody who has lost theirs. It is shown this once."""

    name: str
    password: str


class UsersApi:
    """The handlers."""

    def __init__(
        self, *, users: Users, roster: Roster, sessions: Sessions, members: Members, throttle: Throttle
    ) -> None:
        self._users = users
        self._roster = roster
        self._sessions = sessions
        self._members = members
        self._throttle = throttle

    def routes(self) -> list[Route]:
        return [*self._own_routes(), *self._admin_routes()]

    def _own_routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/users",
                handler=self.register,
                summary="Register a viewer",
                problems=(ConflictError, UnavailableError),
                status=201,
                repeatable=False,
            ),
            Route(
                method="GET",
                path="/api/v1/users/me",
                handler=self.me,
                summary="Oneself, with personal data",
                require=SIGNED_IN,
            ),
            Route(
                method="PATCH",
                path="/api/v1/users/me",
                handler=self.change_me,
                summary="Change what others read, phone number or address",
                require=SIGNED_IN,
            ),
            Route(
                method="PUT",
                path="/api/v1/users/me/password",
                handler=self.change_password,
                summary="Another password; all sessions end, and a new one begins",
                require=SIGNED_IN,
                problems=(UnauthenticatedError, UnavailableError),
                repeatable=False,
            ),
            Route(
                method="GET",
                path="/api/v1/users/me/rooms",
                handler=self.my_rooms,
                summary="The rooms that one runs",
                require=SIGNED_IN,
            ),
        ]

    def _admin_routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/users",
                handler=self.find,
                summary="Accounts, page by page, or those with a phone number",
                require=ADMINS,
                audit="user.find",
                problems=(InvalidError,),
            ),
            Route(
                method="POST",
                path="/api/v1/users/{name}/password",
                handler=self.reset_password,
                summary="A new password for somebody who lost theirs, shown this once; all their sessions end",
                require=ADMINS,
                audit="user.password.reset",
                problems=(NotFoundError, ConflictError, UnavailableError),
                repeatable=False,
            ),
            Route(
                method="PATCH",
                path="/api/v1/users/{name}",
                handler=self.change,
                summary="Give an account another role, disable it or let it in again",
                require=ADMINS,
                audit="user.change",
                problems=(NotFoundError, ConflictError),
            ),
        ]

    async def register(self, *, body: Registration, actor: Actor) -> UserView:
        await charge(self._throttle, register_allowances(actor.address), what="new accounts from this address")
        password = body.password.get_secret_value()
        return UserView.of(await self._users.create(body.name, password=password, display_name=body.display_name))

    async def find(self, *, query: UsersQuery) -> UserList:
        if query.phone:
            found = await self._users.with_phone(query.phone)
            return UserList(items=[UserView.of(user) for user in found], next_cursor=None)
        found = await self._roster.page(
            search=query.search.strip(), role=query.role, after=query.cursor, limit=query.limit + 1
        )
        shown = found[: query.limit]
        next_cursor = shown[-1].name if len(found) > len(shown) else None
        return UserList(items=[UserView.of(user) for user in shown], next_cursor=next_cursor)

    async def reset_password(self, *, name: str, actor: Actor) -> PasswordMade:
        self._refuse_own(name, actor)
        user = await self._users.named(name)
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        await self._sessions.set_password(user.id, password)
        return PasswordMade(name=user.name, password=password)

    async def me(self, *, actor: Actor) -> ProfileView:
        personal = await self._users.personal(actor.account.id)
        return ProfileView(user=UserView.of(actor.account), phone=personal.phone, address=personal.address)

    async def change_me(self, *, body: ProfileChange, actor: Actor) -> ProfileView:
        user_id = actor.account.id
        await self._users.set_personal(user_id, phone=body.phone, address=body.address)
        if body.display_name is not None:
            await self._users.rename(user_id, body.display_name)
        personal = await self._users.personal(user_id)
        user = await self._users.known(user_id) or actor.account
        return ProfileView(user=UserView.of(user), phone=personal.phone, address=personal.address)

    async def change_password(self, *, body: PasswordChange, actor: Actor) -> SessionView:
        tokens = await self._sessions.change_password(
            actor.account.id,
            current=body.current_password.get_secret_value(),
            new=body.new_password.get_secret_value(),
            address=actor.address,
        )
        return session_view(tokens)

    async def my_rooms(self, *, actor: Actor) -> MembershipList:
        found = await self._members.of_user(actor.account.id)
        items = [{"room": one.room, "title": one.title, "role": one.role} for one in found]
        return MembershipList.model_validate({"items": items})

    async def change(self, *, name: str, body: AccountChange, actor: Actor) -> UserView:
        self._refuse_own(name, actor)
        user = await self._users.named(name)
        if body.role is not None:
            user = await self._users.set_role(name, body.role)
        if body.disabled is not None:
            user = await self._users.set_disabled(name, body.disabled)
        return UserView.of(user)

    def _refuse_own(self, name: str, actor: Actor) -> None:
        if name == actor.account.name:
            # Or the last administrator locks everybody out with one call.
            raise ConflictError(
                "administrators do not change their own account", fix="ask another one", code="own_account"
            )

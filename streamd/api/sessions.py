"""Signing in, staying signed in, signing out: `/api/v1/sessions`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from streamd.accounts.outside import OutsideIdentities
from streamd.accounts.sessions import Sessions, Tokens
from streamd.api.bodies import Body, GivenPassword
from streamd.api.permissions import SIGNED_IN, Actor
from streamd.api.routes import Route
from streamd.api.views import SessionView, UserView
from streamd.errors import ConflictError, ForbiddenError, NotFoundError, UnauthenticatedError, UnavailableError


class Credentials(Body):
    """Who one is, and the proof."""

    name: Annotated[str, Field(max_length=64)]
    password: GivenPassword


class ProviderCode(Body):
    """What an identity provider gave the person's device."""

    code: Annotated[SecretStr, Field(min_length=1, max_length=512)]


class RefreshRequest(Body):
    """What a session goes on by."""

    refresh_token: Annotated[SecretStr, Field(max_length=200)]


class SessionsApi:
    """The handlers."""

    def __init__(self, *, sessions: Sessions, outside: OutsideIdentities) -> None:
        self._sessions = sessions
        self._outside = outside

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/sessions",
                handler=self.sign_in,
                summary="Sign in",
                problems=(UnauthenticatedError, ForbiddenError, UnavailableError),
                repeatable=False,
            ),
            Route(
                method="POST",
                path="/api/v1/sessions/refresh",
                handler=self.refresh,
                summary="The next pair of tokens; the refresh token is used up, and coming twice ends the session",
                problems=(UnauthenticatedError,),
                repeatable=False,
            ),
            Route(
                method="POST",
                path="/api/v1/sessions/{provider}",
                handler=self.sign_in_outside,
                summary="Sign in by a provider's code (`wechat`: of wx.login); the first time makes an account",
                problems=(UnauthenticatedError, ForbiddenError, NotFoundError, ConflictError, UnavailableError),
                repeatable=False,
            ),
            Route(
                method="DELETE",
                path="/api/v1/sessions",
                handler=self.sign_out,
                summary="Sign out of this session",
                require=SIGNED_IN,
                repeatable=False,
            ),
            Route(
                method="DELETE",
                path="/api/v1/sessions/all",
                handler=self.sign_out_everywhere,
                summary="Sign out everywhere",
                require=SIGNED_IN,
                repeatable=False,
            ),
        ]

    async def sign_in(self, *, body: Credentials, actor: Actor) -> SessionView:
        password = body.password.get_secret_value()
        return session_view(await self._sessions.sign_in(body.name, password, address=actor.address))

    async def sign_in_outside(self, *, provider: str, body: ProviderCode, actor: Actor) -> SessionView:
        code = body.code.get_secret_value()
        return session_view(await self._outside.sign_in(provider, code, address=actor.address))

    async def refresh(self, *, body: RefreshRequest) -> SessionView:
        return session_view(await self._sessions.refresh(body.refresh_token.get_secret_value()))

    async def sign_out(self, *, actor: Actor) -> None:
        await self._sessions.end(actor.session)

    async def sign_out_everywhere(self, *, actor: Actor) -> None:
        await self._sessions.end_all(actor.account.id)


def session_view(tokens: Tokens) -> SessionView:
    """What one who signed in is given."""
    return SessionView(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in_s=tokens.expires_in_ms // 1_000,
        user=UserView.of(tokens.user),
    )

"""WeChat as an identity provider: the code of a mini-program's `wx.login` for the person's openid, by `code2session`.

Wire: `GET /sns/jscode2session` with appid, secret, js_code and grant_type; JSON (sent as text/plain, status 200 even
for refusals) with `openid` or `errcode`. The person is the openid: the same for ever within one mini-program. A unionid
is not taken, because it may appear later and would make another person of the same one; the session key is not kept.
The secret stands in the address, so no error repeats an address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from streamd.errors import ForbiddenError, UnauthenticatedError, UnavailableError

DEFAULT_URL: Final = "https://api.weixin.qq.com"
_ANSWER_LIMIT_BYTES: Final = 16 << 10
# From WeChat's documentation of code2session.
_STALE_CODES: Final = {40029, 40163}  # never was one; was used before
_BLOCKED: Final = 40226
_BUSY: Final = {-1, 45011}


@dataclass(frozen=True, slots=True, kw_only=True)
class WechatSettings:
    """Which mini-program, and where WeChat answers."""

    app_id: str
    app_secret: SecretStr
    url: str = DEFAULT_URL
    timeout_s: float = 4.0


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)

    openid: str = Field(default="", max_length=64)
    errcode: int = 0


class WechatProvider:
    """See `streamd.accounts.outside.IdentityProvider`."""

    name = "wechat"

    def __init__(self, settings: WechatSettings) -> None:
        self._settings = settings

    async def subject(self, code: str) -> str:
        """The openid behind a code, which is good once and for five minutes.

        Raises UnauthenticatedError, ForbiddenError, UnavailableError. Cancel-safe: yes; the code may be used up.
        """
        settings = self._settings
        query = {
            "appid": settings.app_id,
            "secret": settings.app_secret.get_secret_value(),
            "js_code": code,
            "grant_type": "authorization_code",
        }
        timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        url = f"{settings.url}/sns/jscode2session"
        try:
            # One connection a sign-in: they are rare, a session lasts a month.
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, params=query, allow_redirects=False) as answer,
            ):
                body = await answer.content.read(_ANSWER_LIMIT_BYTES)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(type(error).__name__) from None  # the cause names the address
        if status != 200:
            raise _away(f"it answered {status}")
        try:
            said = _Said.model_validate_json(body)
        except ValidationError:
            raise _away("its answer cannot be read") from None  # nor repeated: it may hold a session key
        return _openid(said)


def _openid(said: _Said) -> str:
    if said.errcode in _STALE_CODES:
        raise UnauthenticatedError(
            "this sign-in has expired",
            why="a code of wx.login is good once and for five minutes",
            fix="call wx.login again",
            code="code_stale",
        )
    if said.errcode == _BLOCKED:
        raise ForbiddenError("WeChat does not let this account sign in", fix="ask WeChat", code="provider_refused")
    if said.errcode in _BUSY:
        raise _away(f"it is busy (errcode {said.errcode})")
    if said.errcode or not said.openid:
        raise UnavailableError(
            "signing in by WeChat does not work on this server",
            why=f"WeChat does not accept this server's request (errcode {said.errcode})",
            fix="compare STREAMD_WECHAT_APP_ID and STREAMD_WECHAT_APP_SECRET with the mini-program's",
            code="provider_misconfigured",
        )
    return said.openid


def _away(why: str) -> UnavailableError:
    return UnavailableError("WeChat does not answer", why=why, fix="try again in a moment", code="provider_unavailable")

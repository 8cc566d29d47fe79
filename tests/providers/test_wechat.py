"""code2session against a local server that speaks it: who it is, and every way it can fail."""

from __future__ import annotations

import traceback

import pytest
from pydantic import SecretStr

from streamd.errors import ForbiddenError, StreamdError, UnauthenticatedError, UnavailableError
from streamd.providers.wechat import WechatProvider, WechatSettings
from tests.support.ports import free_port
from tests.support.wechat import APP_ID, APP_SECRET, BLOCKED, BUSY, wechat_server


def provider(url: str, *, app_id: str = APP_ID, secret: str = APP_SECRET, timeout_s: float = 4) -> WechatProvider:
    settings = WechatSettings(app_id=app_id, app_secret=SecretStr(secret), url=url, timeout_s=timeout_s)
    return WechatProvider(settings)


async def test_code_is_exchanged_for_the_openid() -> None:
    async with wechat_server() as wechat:
        assert await provider(wechat.url).subject("oABC-1_x:1") == "oABC-1_x"


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        ("nonsense", UnauthenticatedError, "code_stale"),
        (BLOCKED, ForbiddenError, "provider_refused"),
        (BUSY, UnavailableError, "provider_unavailable"),
    ],
)
async def test_refusals_of_wechat_are_told_apart(code: str, kind: type[StreamdError], word: str) -> None:
    async with wechat_server() as wechat:
        with pytest.raises(kind) as caught:
            await provider(wechat.url).subject(code)
        assert caught.value.code == word


async def test_code_is_good_once() -> None:
    async with wechat_server() as wechat:
        await provider(wechat.url).subject("o1:1")
        with pytest.raises(UnauthenticatedError):
            await provider(wechat.url).subject("o1:1")


@pytest.mark.parametrize("settings", [("wx0", APP_SECRET), (APP_ID, "other")])
async def test_wrong_app_or_secret_is_the_operators_to_mend(settings: tuple[str, str]) -> None:
    async with wechat_server() as wechat:
        with pytest.raises(UnavailableError) as caught:
            await provider(wechat.url, app_id=settings[0], secret=settings[1]).subject("o1:1")
        assert caught.value.code == "provider_misconfigured"
        assert "STREAMD_WECHAT_APP_SECRET" in caught.value.fix


@pytest.mark.parametrize(
    ("status", "raw"), [(502, "bad gateway"), (200, "<html>"), (200, "[]"), (200, ""), (302, "{}"), (200, "{}")]
)
async def test_what_is_no_answer_is_unavailable(status: int, raw: str) -> None:
    async with wechat_server() as wechat:
        wechat.status, wechat.raw = status, raw
        with pytest.raises(UnavailableError):
            await provider(wechat.url).subject("o1:1")


async def test_nobody_there_is_unavailable_and_the_secret_stays_untold() -> None:
    with pytest.raises(UnavailableError) as caught:
        await provider(f"http://127.0.0.1:{free_port()}").subject("o1:1")
    assert APP_SECRET not in "".join(traceback.format_exception(caught.value))

"""A server that answers `code2session` as WeChat documents it: text/plain, status 200 for refusals too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

APP_ID, APP_SECRET = "wx0123456789abcdef", "0123456789abcdef0123456789abcdef"
BLOCKED, BUSY = "blocked", "busy"


class Wechat:
    """Codes are `OPENID:NUMBER`, each good once."""

    def __init__(self) -> None:
        self.url = ""
        self.used: set[str] = set()
        self.status = 200
        self.raw: str | None = None

    async def answer(self, request: web.Request) -> web.Response:
        body = self.raw if self.raw is not None else json.dumps(self._judge(request))
        return web.Response(text=body, status=self.status, content_type="text/plain")

    def _judge(self, request: web.Request) -> dict[str, object]:
        query = request.query
        if set(query) != {"appid", "secret", "js_code", "grant_type"} or query["grant_type"] != "authorization_code":
            return {"errcode": 40002, "errmsg": "invalid grant_type"}
        if query["appid"] != APP_ID:
            return {"errcode": 40013, "errmsg": "invalid appid"}
        if query["secret"] != APP_SECRET:
            return {"errcode": 40125, "errmsg": "invalid appsecret"}
        code = query["js_code"]
        if code in (BLOCKED, BUSY):
            return {"errcode": 40226 if code == BLOCKED else -1, "errmsg": code}
        if code in self.used:
            return {"errcode": 40163, "errmsg": "code been used"}
        openid, colon, _ = code.partition(":")
        if not colon:
            return {"errcode": 40029, "errmsg": "invalid code"}
        self.used.add(code)
        return {"openid": openid, "session_key": "tiihtNczf5v6AKRyjwEUhQ=="}


@asynccontextmanager
async def wechat_server() -> AsyncIterator[Wechat]:
    wechat = Wechat()
    application = web.Application()
    application.router.add_get("/sns/jscode2session", wechat.answer)
    async with TestServer(application, host="127.0.0.1") as server:
        wechat.url = f"http://127.0.0.1:{server.port}"
        yield wechat

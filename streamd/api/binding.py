"""From a line of the route table to what aiohttp calls: admitted, parsed, recorded, rendered."""

from __future__ import annotations

import inspect
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from streamd.api.border import Border
from streamd.api.permissions import Actor
from streamd.api.routes import Bound, Route
from streamd.api.uploads import arriving
from streamd.errors import InvalidError


def bind(route: Route, border: Border) -> Bound:
    """The handler as aiohttp calls it."""
    # Pages and the operator's endpoints are for everybody and ask nobody who they are.
    call = _Call(route, border)
    return call.guarded if route.area == "api" and route.documented else call.open


class _Call:
    """One route's way to its handler."""

    def __init__(self, route: Route, border: Border) -> None:
        self._route = route
        self._border = border
        self._query, self._body = route.query, route.body
        wanted = inspect.signature(route.handler).parameters
        self._names = [name for name in route.parameters if name in wanted]
        self._wants_request, self._wants_actor = "request" in wanted, "actor" in wanted

    async def open(self, request: web.Request) -> web.StreamResponse:
        """For everybody."""
        return await self._run(self._arguments(request))

    async def guarded(self, request: web.Request) -> web.StreamResponse:
        """Past the border."""
        route = self._route
        actor = await self._border.admit(request, route.require)
        arguments = self._arguments(request)
        if self._wants_actor:
            arguments["actor"] = actor
        raw = b""
        if self._body is not None:
            raw = await _read(request)
            arguments["body"] = _parse_body(self._body, raw)

        async def do() -> web.StreamResponse:
            return await self._recorded(request, actor, arguments)

        if route.is_mutating and route.repeatable:
            return await self._border.once(request, actor, body=raw, do=do)
        return await do()

    def _arguments(self, request: web.Request) -> dict[str, Any]:
        arguments: dict[str, Any] = {name: request.match_info[name] for name in self._names}
        if self._query is not None:
            arguments["query"] = _parse_query(self._query, request)
        if self._wants_request:
            arguments["request"] = request
        return arguments

    async def _recorded(self, request: web.Request, actor: Actor, arguments: dict[str, Any]) -> web.StreamResponse:
        if not self._route.audit:
            return await self._run(arguments)
        return await self._border.recorded(
            request,
            actor,
            action=self._route.audit,
            detail=arguments.get("body"),
            do=lambda: self._run(arguments),
        )

    async def _run(self, arguments: dict[str, Any]) -> web.StreamResponse:
        result = await self._route.handler(**arguments)
        if isinstance(result, BaseModel):
            text = result.model_dump_json()
            return web.Response(status=self._route.status, text=text, content_type="application/json", charset="utf-8")
        return web.Response(status=204) if result is None else result


async def _read(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        raise InvalidError(
            f"a body of type {request.content_type[:100]!r} is not understood here",
            fix="send JSON with `Content-Type: application/json`",
            code="content_type",
        )
    return await arriving(request.read())


def _parse_body(model: type[BaseModel], raw: bytes) -> BaseModel:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidError(
            f"{name!r} in the body cannot be used" if name else "the body cannot be used",
            why=first["msg"].removeprefix("Value error, "),
            fix="see /api/docs for what it may be",
            code="body",
        ) from error


def _parse_query(model: type[BaseModel], request: web.Request) -> BaseModel:
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidError(
            f"the query parameter {name!r} cannot be used",
            why=first["msg"].removeprefix("Value error, "),
            fix="see /api/docs for what it may be",
            code="query",
        ) from error

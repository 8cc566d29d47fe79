"""The route table: what is served where, by which handler, with which models, in one list that both aiohttp and the
OpenAPI description are made from.

A handler's signature is the contract: parameters named as in the path are strings, `query` is a pydantic model,
`request` the request itself; it returns a pydantic model (rendered as JSON) or an aiohttp response, and raises
`StreamdError`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, get_type_hints

from aiohttp import web
from pydantic import BaseModel, ValidationError

from streamd.errors import InvalidError, StreamdError

Handler: TypeAlias = Callable[..., Awaitable[BaseModel | web.StreamResponse]]
Bound: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PARAMETER = re.compile(r"\{(\w+)[^}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One address."""

    method: str  # GET answers HEAD too
    path: str  # "/api/v1/rooms/{room}", as aiohttp writes it
    handler: Handler
    summary: str
    area: str = "api"  # for metrics, and which headers its answers carry
    problems: tuple[type[StreamdError], ...] = ()  # which of them a caller may expect
    documented: bool = True

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return _PARAMETER.findall(self.path)

    @property
    def plain_path(self) -> str:
        """The path as OpenAPI writes it, without the patterns of its parameters."""
        return _PARAMETER.sub(r"{\1}", self.path)

    @property
    def query(self) -> type[BaseModel] | None:
        """The model of the query string."""
        return _model(get_type_hints(self.handler).get("query"))

    @property
    def returns(self) -> type[BaseModel] | None:
        """The model of the answer; None where the handler renders by itself."""
        return _model(get_type_hints(self.handler)["return"])


def _model(hint: object) -> type[BaseModel] | None:
    return hint if inspect.isclass(hint) and issubclass(hint, BaseModel) else None


def bind(route: Route) -> Bound:
    """The handler as aiohttp calls it: arguments taken from the request, the result made a response."""
    handler, query = route.handler, route.query
    wanted = inspect.signature(handler).parameters
    names = [name for name in route.parameters if name in wanted]
    wants_request = "request" in wanted

    async def answer(request: web.Request) -> web.StreamResponse:
        arguments: dict[str, Any] = {name: request.match_info[name] for name in names}
        if query is not None:
            arguments["query"] = _parse_query(query, request)
        if wants_request:
            arguments["request"] = request
        result = await handler(**arguments)
        if isinstance(result, BaseModel):
            return web.Response(text=result.model_dump_json(), content_type="application/json", charset="utf-8")
        return result

    return answer


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

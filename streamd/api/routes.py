"""The route table: what is served where, by which handler, with which models, in one list that both aiohttp and the
OpenAPI description are made from.

A handler's signature is the contract: parameters named as in the path are strings, `query` and `body` are pydantic
models, `actor` is who calls (`permissions.Actor`), `request` the request itself; it returns a pydantic model (rendered
as JSON), None (204) or an aiohttp response, and raises `StreamdError`. Who may call it, and under which name it is
recorded, stands in the table.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, get_type_hints

from aiohttp import web
from pydantic import BaseModel

from streamd.api.permissions import Require
from streamd.errors import StreamdError

Handler: TypeAlias = Callable[..., Awaitable[BaseModel | web.StreamResponse | None]]
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
    require: Require | None = None  # who may call it; None: everybody
    audit: str = ""  # what staff do here, in the audit log's words: "room.change"
    status: int = 200  # of an answer that is a model
    # Whether Idempotency-Key is heeded. Not where the answer is a credential that is used up, or the body is a file.
    repeatable: bool = True
    # Whether an Idempotency-Key must be there; for a handler that keeps it with what it does, and is not `repeatable`.
    needs_key: bool = False
    upload: tuple[str, ...] = ()  # media types of a body that the handler reads by itself

    @property
    def is_mutating(self) -> bool:
        """Whether calling it changes something."""
        return self.method in ("POST", "PUT", "PATCH", "DELETE")

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
    def body(self) -> type[BaseModel] | None:
        """The model of the request's body."""
        return _model(get_type_hints(self.handler).get("body"))

    @property
    def returns_nothing(self) -> bool:
        """Whether it answers 204."""
        return get_type_hints(self.handler)["return"] is type(None)

    @property
    def returns(self) -> type[BaseModel] | None:
        """The model of the answer; None where the handler renders by itself."""
        return _model(get_type_hints(self.handler)["return"])


def _model(hint: object) -> type[BaseModel] | None:
    return hint if inspect.isclass(hint) and issubclass(hint, BaseModel) else None

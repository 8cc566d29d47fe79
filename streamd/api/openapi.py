"""The API's description: OpenAPI 3.1, made from the route table and the models that its handlers name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from streamd.api import problems
from streamd.api.border import KEY_LIMIT
from streamd.api.routes import Route
from streamd.errors import ForbiddenError, InvalidError, LimitedError, StreamdError, UnauthenticatedError

Document = dict[str, Any]
_SCHEMAS = "#/components/schemas/"


def describe(routes: Sequence[Route], *, version: str, server: str) -> Document:
    """The document of all documented routes."""
    shown = [route for route in routes if route.documented]
    queries = {route.query for route in shown if route.query is not None}
    answers = {route.returns for route in shown if route.returns is not None}
    bodies = {route.body for route in shown if route.body is not None}
    # A query's fields become parameters, so its model is no component; each kind is described in its own direction.
    paths: Document = {}
    for route in shown:
        paths.setdefault(route.plain_path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamd",
            "version": version,
            "summary": "Live commerce: what is on air, and how it is doing",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": _schemas((answers - queries) | {problems.Problem}, bodies),
            "securitySchemes": {
                "access_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "from POST /api/v1/sessions; good for 15 minutes",
                }
            },
        },
    }


def _schemas(answers: set[type[BaseModel]], bodies: set[type[BaseModel]]) -> Document:
    # A model is either sent or received: one that was both would be described in two ways under one name.
    ordered: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "serialization") for model in sorted(answers, key=lambda model: model.__name__)),
        *((model, "validation") for model in sorted(bodies, key=lambda model: model.__name__)),
    ]
    _, found = models_json_schema(ordered, ref_template=_SCHEMAS + "{model}")
    schemas: Document = found["$defs"]
    return schemas


def _operation(route: Route) -> Document:
    answers: Document = (
        {"204": {"description": "Done"}} if route.returns_nothing else {str(route.status): _answer(route.returns)}
    )
    kinds = {*route.problems, *_problems_of_all(route)}
    for status, title in sorted(problems.kind_of(kind) for kind in kinds):
        answers[str(status)] = _problem(title)
    answers["default"] = _problem("Any other problem")
    operation: Document = {
        "operationId": route.handler.__qualname__.replace(".", "_"),
        "summary": route.summary,
        "tags": [route.area],
        "parameters": [*_path_parameters(route), *_query_parameters(route.query), *_header_parameters(route)],
        "responses": answers,
    }
    if route.body is not None:
        schema = {"$ref": _SCHEMAS + route.body.__name__}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.upload:
        content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in route.upload}
        operation["requestBody"] = {"required": True, "content": content}
    if route.require is not None:
        operation["security"] = [{"access_token": []}]
        roles = ", ".join(sorted({*route.require.roles, "admin"})) if route.require.roles else "everybody signed in"
        operation["description"] = f"For {roles}{' (role in the room)' if route.require.room else ''}."
    return operation


def _problems_of_all(route: Route) -> set[type[StreamdError]]:
    """What every guarded route may answer."""
    kinds: set[type[StreamdError]] = set()
    if route.body is not None or route.query is not None or route.upload:
        kinds.add(InvalidError)
    if route.require is not None:
        kinds |= {UnauthenticatedError, ForbiddenError}
    if route.is_mutating:
        kinds |= {LimitedError, InvalidError}
    return kinds


def _header_parameters(route: Route) -> list[Document]:
    if not (route.needs_key or (route.is_mutating and route.repeatable)):
        return []
    about = "the same key with the same request within a day gets the same answer, and nothing is done twice"
    schema = {"type": "string", "minLength": 1, "maxLength": KEY_LIMIT, "pattern": "^[!-~]+$"}
    return [
        {"name": "Idempotency-Key", "in": "header", "required": route.needs_key, "description": about, "schema": schema}
    ]


def _path_parameters(route: Route) -> list[Document]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.parameters]


def _query_parameters(model: type[BaseModel] | None) -> list[Document]:
    if model is None:
        return []
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": details.pop("description", ""),
            "schema": details,
        }
        for name, details in schema["properties"].items()
    ]


def _answer(model: type[BaseModel] | None) -> Document:
    if model is None:
        return {"description": "As text, or as it says by itself"}
    content = {"application/json": {"schema": {"$ref": _SCHEMAS + model.__name__}}}
    return {"description": (model.__doc__ or "").strip(), "content": content}


def _problem(title: str) -> Document:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS + problems.Problem.__name__}}}
    return {"description": title, "content": content}

"""The API's description: OpenAPI 3.1, made from the route table and the models that its handlers name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from streamd.api import problems
from streamd.api.routes import Route

Document = dict[str, Any]
_SCHEMAS = "#/components/schemas/"


def describe(routes: Sequence[Route], *, version: str, server: str) -> Document:
    """The document of all documented routes."""
    shown = [route for route in routes if route.documented]
    queries = {route.query for route in shown if route.query is not None}
    answers = {route.returns for route in shown if route.returns is not None}
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
        "components": {"schemas": _schemas((answers - queries) | {problems.Problem})},
    }


def _schemas(models: set[type[BaseModel]]) -> Document:
    ordered = sorted(models, key=lambda model: model.__name__)
    _, found = models_json_schema([(model, "serialization") for model in ordered], ref_template=_SCHEMAS + "{model}")
    schemas: Document = found["$defs"]
    return schemas


def _operation(route: Route) -> Document:
    answers: Document = {"200": _answer(route.returns)}
    for kind in route.problems:
        status, title = problems.kind_of(kind)
        answers[str(status)] = _problem(title)
    answers["default"] = _problem("Any other problem")
    return {
        "operationId": route.handler.__qualname__.replace(".", "_"),
        "summary": route.summary,
        "tags": [route.area],
        "parameters": [*_path_parameters(route), *_query_parameters(route.query)],
        "responses": answers,
    }


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

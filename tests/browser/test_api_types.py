"""What the pages believe of the API's answers, held against what the server says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import start_server
from tests.support.web import get

SOURCES = Path(__file__).parents[2] / "streamd/web/src"
SCHEMAS = ("api/schema.ts", "shop/schema.ts")
INTERFACE = re.compile(r"export interface (\w+) \{\n(.*?)\n\}", re.DOTALL)
FIELD = re.compile(r"readonly (\w+)(\??): (.+)")


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with start_server(tmp_path_factory.mktemp("types")) as server:
        schemas: dict[str, Any] = get(f"{server.http_url}/api/openapi.json").json()["components"]["schemas"]
        return schemas


def told(schema: dict[str, Any]) -> str:
    """A JSON schema in the page's words, as far as the pages need them."""
    if "anyOf" in schema:
        return " | ".join(sorted({told(each) for each in schema["anyOf"]}, key=lambda each: each == "null"))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    match schema.get("type"):
        case "integer" | "number":
            return "number"
        case "array":
            return f"readonly {told(schema['items'])}[]"
        case "object" if "additionalProperties" in schema:
            return f"Readonly<Record<string, {told(schema['additionalProperties'])}>>"
        case kind:
            return str(kind)


def test_every_field_the_pages_read_is_told_by_the_server_as_they_read_it(described: dict[str, Any]) -> None:
    wrong = []
    interfaces = [
        found for name in SCHEMAS for found in INTERFACE.findall((SOURCES / name).read_text(encoding="utf-8"))
    ]
    assert len(interfaces) > 40
    for name, body in interfaces:
        if name not in described:
            wrong.append(f"{name} is not described")
            continue
        properties, required = described[name]["properties"], described[name].get("required", [])
        for field, optional, kind in FIELD.findall(body):
            said = told(properties[field]) if field in properties else "nothing"
            if said != kind:
                wrong.append(f"{name}.{field}: the page reads {kind}, the server tells {said}")
            elif optional and field in required:
                wrong.append(f"{name}.{field} is always told")
    assert wrong == []

"""The description of the API."""

from __future__ import annotations

from typing import Any

from streamd.accounts.rooms import Rooms
from tests.api.support import ORIGIN, serve


async def fetch(rooms: Rooms) -> dict[str, Any]:
    async with serve(rooms) as client:
        document: dict[str, Any] = await (await client.get("/api/openapi.json")).json()
        return document


async def test_description_is_openapi_31_and_names_every_address(rooms: Rooms) -> None:
    document = await fetch(rooms)
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": ORIGIN}]
    assert set(document["paths"]) == {
        "/api/v1/rooms",
        "/api/v1/rooms/{room}",
        "/api/v1/rooms/{room}/stream",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/openapi.json",
        "/api/docs",
    }


async def test_every_reference_of_the_description_leads_somewhere(rooms: Rooms) -> None:
    document = await fetch(rooms)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(references(value) for value in node.values()), set())
        if isinstance(node, list):
            return set().union(*(references(value) for value in node), set())
        return set()

    assert references(document) <= known
    assert "#/components/schemas/Problem" in references(document)


async def test_query_and_path_are_described_with_their_bounds(rooms: Rooms) -> None:
    paths = (await fetch(rooms))["paths"]
    limit = next(entry for entry in paths["/api/v1/rooms"]["get"]["parameters"] if entry["name"] == "limit")
    assert (limit["in"], limit["required"], limit["schema"]["maximum"], limit["schema"]["default"]) == (
        "query",
        False,
        200,
        50,
    )
    (room,) = paths["/api/v1/rooms/{room}"]["get"]["parameters"]
    assert (room["in"], room["required"]) == ("path", True)
    assert set(paths["/api/v1/rooms/{room}"]["get"]["responses"]) == {"200", "404", "default"}


async def test_page_for_people_needs_no_script_and_nothing_from_elsewhere(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        answer = await client.get("/api/docs")
        page = await answer.text()
    assert "/api/v1/rooms/{room}/stream" in page
    assert "<script" not in page
    assert "http:" not in page
    assert "default-src 'none'; style-src 'sha256-" in answer.headers["Content-Security-Policy"]

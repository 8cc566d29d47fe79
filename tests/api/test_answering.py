"""What all answers have in common."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiohttp import web

from streamd.accounts.rooms import Rooms
from streamd.api.routes import Route
from streamd.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitedError,
    NotFoundError,
    SettingsError,
    StreamdError,
    UnauthenticatedError,
    UnavailableError,
)
from streamd.telemetry.metrics import Metrics
from tests.api.support import ORIGIN, SHOP, serve


class Failing:
    """An area whose one handler raises."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        self._make = make

    def routes(self) -> list[Route]:
        return [Route(method="GET", path="/api/v1/fail", handler=self.fail, summary="Fails")]

    async def fail(self) -> web.StreamResponse:
        raise self._make()


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidError("w", why="y", fix="f"), 400, None),
        (UnauthenticatedError("w", why="y", fix="f"), 401, None),
        (ForbiddenError("w", why="y", fix="f"), 403, None),
        (NotFoundError("w", why="y", fix="f"), 404, None),
        (NotFoundError("w", why="y", fix="f", retry_after_ms=2_001), 404, "3"),
        (ConflictError("w", why="y", fix="f"), 409, None),
        (LimitedError("w", why="y", fix="f", retry_after_ms=400), 429, "1"),
        (UnavailableError("w", why="y", fix="f", retry_after_ms=5_000), 503, "5"),
        (SettingsError("w", why="y", fix="f"), 500, None),
    ],
)
async def test_every_kind_of_error_has_its_status(
    rooms: Rooms, error: StreamdError, status: int, retry_after: str | None
) -> None:
    async with serve(rooms, extra=Failing(lambda: error)) as client:
        answer = await client.get("/api/v1/fail")
        body = await answer.json()
    assert (answer.status, body["status"], answer.headers.get("Retry-After")) == (status, status, retry_after)
    assert (body["detail"], body["fix"], body["code"]) == ("w: y", "f", error.code)
    assert answer.content_type == "application/problem+json"
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


async def test_our_own_mistake_is_told_to_the_log_and_not_to_the_world(
    rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(rooms, extra=Failing(lambda: KeyError("secret detail"))) as client:
        answer = await client.get("/api/v1/fail", headers={"X-Request-ID": "support-case-1"})
        body = await answer.text()
    assert answer.status == 500
    assert "secret detail" not in body
    assert answer.headers["X-Request-ID"] == "support-case-1"


async def test_every_answer_carries_an_id_and_a_strange_one_is_replaced(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        for given in ("", "short", "with space inside", "x" * 65):
            answer = await client.get("/api/v1/rooms", headers={"X-Request-ID": given})
            assert answer.headers["X-Request-ID"] != given
            assert len(answer.headers["X-Request-ID"]) == 16


async def test_headers_keep_browsers_from_guessing_embedding_and_storing(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        headers = (await client.get("/api/v1/rooms")).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        page = (await client.get("/watch/demo")).headers["Content-Security-Policy"]
        assert "script-src 'self';" in page
        assert "'unsafe-eval'" not in page


async def test_only_the_public_origin_may_read_the_api_from_a_browser(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        ours = await client.get("/api/v1/rooms", headers={"Origin": ORIGIN})
        assert ours.headers["Access-Control-Allow-Origin"] == ORIGIN
        listed = await client.get("/api/v1/rooms", headers={"Origin": SHOP})
        assert listed.headers["Access-Control-Allow-Origin"] == SHOP
        other = await client.get("/api/v1/rooms", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert (ours.headers["Vary"], other.headers["Vary"]) == ("Origin", "Origin")
        asked = await client.options("/api/v1/rooms/demo", headers={"Origin": ORIGIN})
        assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]


async def test_address_that_is_not_there_is_a_problem(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        for path in ("/api/v2/x", "/nothing", "/live/demo/strange", "/api/v1/rooms/"):
            answer = await client.get(path)
            assert (answer.status, (await answer.json())["code"]) == (404, "address_unknown")


async def test_method_that_is_not_served_is_told_which_is(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        for path in ("/api/v1/rooms/demo/stream", "/healthz", "/watch/demo"):
            answer = await client.delete(path)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
            assert (await answer.json())["code"] == "method_not_allowed"


async def test_head_is_answered_as_get_without_its_body(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        answer = await client.head("/api/v1/rooms")
        assert (answer.status, await answer.read()) == (200, b"")


async def test_answers_are_counted_by_area_and_status(rooms: Rooms) -> None:
    metrics = Metrics()
    async with serve(rooms, metrics=metrics) as client:
        await client.get("/api/v1/rooms")
        await client.get("/api/v1/rooms/nowhere")
        page = await (await client.get("/metrics")).text()
    assert 'streamd_http_requests_total{area="api",status="200"} 1.0' in page
    assert 'streamd_http_requests_total{area="api",status="404"} 1.0' in page
    assert 'streamd_http_seconds_count{area="api"} 2.0' in page

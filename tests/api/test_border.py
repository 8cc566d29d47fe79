"""What stands before handlers: repeated requests, rates, the audit log."""

from __future__ import annotations

import asyncio
import json

import pytest

from streamd.api.border import CallRates
from tests.api.support import Client, Stage, body_of, serve_areas

ROTATE = "/api/v1/rooms/demo/stream-key"


async def test_repeated_request_is_done_once_and_answered_as_often_as_it_comes(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host") | {"Idempotency-Key": "7f9c"}
    answers = []
    for _ in range(3):
        async with client.post(ROTATE, headers=headers) as answer:
            answers.append((answer.status, await answer.json(), answer.headers.get("Idempotent-Replayed")))
    assert [replayed for *_, replayed in answers] == [None, "true", "true"]
    assert len({body["stream_key"] for _, body, _ in answers}) == 1
    assert (await stage.accounts.audit.verify()).count == 1
    other = await stage.sign_in("host") | {"Idempotency-Key": "7f9d"}
    assert (await body_of(client, "POST", ROTATE, headers=other))[1] != answers[0][1]


async def test_key_with_another_request_is_refused(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host") | {"Idempotency-Key": "7f9c"}
    path = "/api/v1/rooms/demo"
    assert (await body_of(client, "PATCH", path, headers=headers, json={"title": "one"}))[0] == 200
    status, problem = await body_of(client, "PATCH", path, headers=headers, json={"title": "two"})
    assert (status, problem["code"]) == (409, "idempotency_key_reused")
    assert (await stage.accounts.rooms.get("demo")).title == "one"


async def test_refusal_that_stands_is_kept_too(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host") | {"Idempotency-Key": "k"}
    path = "/api/v1/rooms/demo/members/nobody"
    first = await body_of(client, "PUT", path, headers=headers, json={"role": "assistant"})
    async with client.put(path, headers=headers, json={"role": "assistant"}) as answer:
        assert (answer.status, await answer.json()) == first
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Idempotent-Replayed"] == "true"


async def test_of_many_with_one_key_at_once_one_is_done(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host") | {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(body_of(client, "POST", ROTATE, headers=headers) for _ in range(6)))
    assert {status for status, _ in answers} <= {200, 503}
    assert len({body["stream_key"] for status, body in answers if status == 200}) == 1
    assert (await stage.accounts.audit.verify()).count == 1


@pytest.mark.parametrize("key", ["x" * 201, "ключ", "", "a b"])
async def test_key_that_is_none_is_refused(stage: Stage, client: Client, key: str) -> None:
    headers = await stage.sign_in("host") | {"Idempotency-Key": key}
    assert (await body_of(client, "POST", ROTATE, headers=headers))[1]["code"] == "idempotency_key"


async def test_caller_who_asks_too_often_is_told_when_to_come_back(stage: Stage) -> None:
    stage.rates = CallRates(write_burst=3, write_interval_ms=1_500, read_burst=5, read_interval_ms=100)
    async with serve_areas(stage.areas(), border=stage.border(), clock=stage.clock) as client:
        headers = await stage.sign_in("host")
        for _ in range(3):
            assert (await body_of(client, "POST", ROTATE, headers=headers))[0] == 200
        async with client.post(ROTATE, headers=headers) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
            assert (await answer.json())["code"] == "rate_limited"
        assert (await body_of(client, "GET", "/api/v1/rooms", headers=headers))[0] == 200
        stage.clock.advance(1_500)
        assert (await body_of(client, "POST", ROTATE, headers=headers))[0] == 200
        away = {"X-Test-Address": "198.51.100.1"}
        statuses = [(await body_of(client, "GET", "/api/v1/rooms", headers=away))[0] for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        home = {"X-Test-Address": "198.51.100.2"}
        assert (await body_of(client, "GET", "/api/v1/rooms", headers=home))[0] == 200


async def test_what_staff_do_is_recorded_with_who_what_and_where(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host") | {"X-Request-ID": "support-case-1", "X-Test-Address": "198.51.100.1"}
    change = {"role": "moderator"}
    await body_of(client, "PUT", "/api/v1/rooms/demo/members/viewer", headers=headers, json=change)
    (entry,) = await stage.accounts.audit.page(limit=10)
    assert (entry.actor, entry.role, entry.action, entry.room) == ("host", "host", "room.member.put", "demo")
    assert (entry.target, json.loads(entry.detail)) == ("viewer", {"role": "moderator"})
    assert (entry.address, entry.request_id) == ("198.51.100.1", "support-case-1")
    status, page = await body_of(client, "GET", "/api/v1/audit", headers=await stage.sign_in("admin"))
    assert (status, page["items"][0]["detail"], page["next_cursor"]) == (200, change, None)


async def test_deed_that_fails_is_recorded_as_failed_and_one_that_was_not_allowed_is_not(
    stage: Stage, client: Client
) -> None:
    headers = await stage.sign_in("host")
    path = "/api/v1/rooms/demo/members"
    await body_of(client, "DELETE", f"{path}/host", headers=headers)
    await body_of(client, "DELETE", f"{path}/host", headers=await stage.sign_in("viewer"))
    failed, tried = await stage.accounts.audit.page(limit=10)
    assert (tried.action, failed.action) == ("room.member.remove", "room.member.remove.failed")
    assert json.loads(failed.detail) == {"code": "last_host", "entry": tried.seq}


async def test_secrets_are_not_in_the_audit_log(stage: Stage, client: Client) -> None:
    host = await stage.sign_in("host")
    made = await body_of(client, "POST", "/api/v1/rooms/demo/invitations", headers=host, json={"role": "assistant"})
    secret = made[1]["link"].partition("#invitation=")[2]
    viewer = await stage.sign_in("viewer")
    path = "/api/v1/invitations/accept"
    assert (await body_of(client, "POST", path, headers=viewer, json={"token": secret}))[0] == 200
    key = (await body_of(client, "POST", ROTATE, headers=host))[1]["stream_key"]
    entries = repr(await stage.accounts.audit.page(limit=10))
    assert secret not in entries
    assert key not in entries


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"{", "application/json"), (b"{}", "text/plain"), (b"[]", "application/json"), (b"", "application/json")],
)
async def test_body_that_cannot_be_meant_is_a_problem(stage: Stage, client: Client, body: bytes, kind: str) -> None:
    headers = {"Content-Type": kind}
    status, problem = await body_of(client, "POST", "/api/v1/sessions", data=body, headers=headers)
    assert (status, problem["code"] in ("body", "content_type")) == (400, True)


async def test_body_that_is_too_large_is_a_problem(stage: Stage, client: Client) -> None:
    status, problem = await body_of(
        client, "POST", "/api/v1/sessions", data=b'"' + bytes(2_000_000), headers={"Content-Type": "application/json"}
    )
    assert (status, problem["status"]) == (413, 413)


@pytest.mark.parametrize(
    "change",
    [
        {"tittle": "x"},
        {"title": 7},
        {"title": "a\nb"},
        {"starts_at_ms": "soon"},
        {"starts_at_ms": -1},
        {"title": "x" * 201},
    ],
)
async def test_field_that_cannot_be_meant_is_named(stage: Stage, client: Client, change: dict[str, object]) -> None:
    headers = await stage.sign_in("host")
    status, problem = await body_of(client, "PATCH", "/api/v1/rooms/demo", headers=headers, json=change)
    assert (status, next(iter(change)) in problem["detail"]) == (400, True)

"""Every route, by every role: what the table declares is what the border does, and is what was meant."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from streamd.api.permissions import ADMINS, SIGNED_IN, require
from streamd.api.routes import Route
from tests.api.support import Client, Stage, serve_areas

EVERYBODY = {"guest", "viewer", "moderator", "assistant", "host", "rival", "admin"}
PEOPLE = EVERYBODY - {"guest"}
HOST, SHOW, ORDER = {"host", "admin"}, {"assistant", "host", "admin"}, {"moderator", "assistant", "host", "admin"}
HOSTS, ADMIN = {"host", "rival", "admin"}, {"admin"}

# Who may call what. `rival` is the host of another room. A route that is not here fails the test below.
MEANT: dict[str, set[str]] = {
    "GET /api/v1/rooms": EVERYBODY,
    "POST /api/v1/rooms": HOSTS,
    "GET /api/v1/rooms/{room}": EVERYBODY,
    "PATCH /api/v1/rooms/{room}": SHOW,
    "GET /api/v1/rooms/{room}/stream": EVERYBODY,
    "POST /api/v1/rooms/{room}/stream-key": HOST,
    "POST /api/v1/rooms/{room}/cut": HOST,
    "DELETE /api/v1/rooms/{room}/cut": HOST,
    "PUT /api/v1/rooms/{room}/playback": HOST,
    "POST /api/v1/rooms/{room}/playback-tokens": SHOW,
    "DELETE /api/v1/rooms/{room}/playback-tokens": HOST,
    "GET /api/v1/rooms/{room}/chat": ORDER,
    "PATCH /api/v1/rooms/{room}/chat": ORDER,
    "POST /api/v1/rooms/{room}/mutes": ORDER,
    "DELETE /api/v1/rooms/{room}/mutes/{user_id}": ORDER,
    "POST /api/v1/rooms/{room}/bans": ORDER,
    "DELETE /api/v1/rooms/{room}/bans/{user_id}": ORDER,
    "DELETE /api/v1/rooms/{room}/messages/{message_id}": ORDER,
    "GET /api/v1/rooms/{room}/held": ORDER,
    "POST /api/v1/rooms/{room}/held/{message_id}": ORDER,
    "PUT /api/v1/rooms/{room}/pinned": ORDER,
    "DELETE /api/v1/rooms/{room}/pinned": ORDER,
    "POST /api/v1/rooms/{room}/notices": SHOW,
    "GET /api/v1/rooms/{room}/audience": ORDER,
    "GET /api/v1/rooms/{room}/encoder": SHOW,
    "GET /api/v1/rooms/{room}/words/trial": ORDER,
    "PUT /api/v1/rooms/{room}/cover": SHOW,
    "POST /api/v1/rooms/{room}/cover/frame": SHOW,
    "DELETE /api/v1/rooms/{room}/cover": SHOW,
    "GET /api/v1/rooms/{room}/members": ORDER,
    "PUT /api/v1/rooms/{room}/members/{name}": HOST,
    "DELETE /api/v1/rooms/{room}/members/{name}": HOST,
    "GET /api/v1/rooms/{room}/invitations": HOST,
    "POST /api/v1/rooms/{room}/invitations": HOST,
    "DELETE /api/v1/rooms/{room}/invitations/{invitation}": HOST,
    "POST /api/v1/invitations/accept": PEOPLE,
    "POST /api/v1/sessions": EVERYBODY,
    "POST /api/v1/sessions/refresh": EVERYBODY,
    "POST /api/v1/sessions/{provider}": EVERYBODY,
    "DELETE /api/v1/sessions": PEOPLE,
    "DELETE /api/v1/sessions/all": PEOPLE,
    "POST /api/v1/users": EVERYBODY,
    "GET /api/v1/users": ADMIN,
    "GET /api/v1/users/me": PEOPLE,
    "PATCH /api/v1/users/me": PEOPLE,
    "PUT /api/v1/users/me/password": PEOPLE,
    "GET /api/v1/users/me/rooms": PEOPLE,
    "PATCH /api/v1/users/{name}": ADMIN,
    "POST /api/v1/users/{name}/password": ADMIN,
    "POST /api/v1/client-errors": EVERYBODY,
    "GET /api/v1/audit": ADMIN,
    # Whose goods they are decides: tests/api/test_goods_api.py.
    "GET /api/v1/products": PEOPLE,
    "POST /api/v1/products": PEOPLE,
    "GET /api/v1/products/{product}": EVERYBODY,
    "PATCH /api/v1/products/{product}": PEOPLE,
    "PUT /api/v1/products/{product}/image": PEOPLE,
    "DELETE /api/v1/products/{product}/image": PEOPLE,
    "GET /api/v1/rooms/{room}/products": EVERYBODY,
    "PUT /api/v1/rooms/{room}/products": SHOW,
    "PUT /api/v1/rooms/{room}/card": SHOW,
    "DELETE /api/v1/rooms/{room}/card": SHOW,
    "GET /api/v1/rooms/{room}/sales": SHOW,
    "POST /api/v1/rooms/{room}/sales": SHOW,
    "POST /api/v1/rooms/{room}/sales/{sale}/cancel": SHOW,
    "POST /api/v1/rooms/{room}/sales/{sale}/end": SHOW,
    # What somebody may make of an order depends on what they are to it: tests/api/test_orders_api.py.
    "GET /api/v1/orders": PEOPLE,
    "POST /api/v1/orders": PEOPLE,
    "GET /api/v1/orders/{order}": PEOPLE,
    "POST /api/v1/orders/{order}/cancel": PEOPLE,
    "POST /api/v1/orders/{order}/ship": PEOPLE,
    "POST /api/v1/orders/{order}/complete": PEOPLE,
    "POST /api/v1/orders/{order}/refund": PEOPLE,
    "POST /api/v1/orders/{order}/payments": PEOPLE,
    "GET /api/v1/rooms/{room}/orders": SHOW,
    "GET /api/v1/payments/{gateway}/reconciliation": ADMIN,
    "GET /api/v1/rooms/{room}/shows": SHOW,
    "GET /api/v1/rooms/{room}/board": SHOW,
    "GET /api/v1/rooms/{room}/board.csv": SHOW,
    "POST /api/v1/rooms/{room}/card/clicks": EVERYBODY,
    "GET /api/v1/words": ADMIN,
    "PUT /api/v1/words": ADMIN,
    "GET /api/v1/words/trial": ADMIN,
    "GET /api/v1/jobs": ADMIN,
    "POST /api/v1/jobs/{job}/retry": ADMIN,
    "DELETE /api/v1/jobs/{job}": ADMIN,
}


async def reached() -> None:
    """Stands where the handler was."""


def table(stage: Stage) -> list[Route]:
    return [route for area in stage.areas() for route in area.routes() if route.documented]


class Reaching:
    """The whole table, with handlers that do nothing."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def routes(self) -> list[Route]:
        return [replace(route, handler=reached, audit="") for route in table(self._stage)]


@pytest.fixture
async def reaching(stage: Stage) -> AsyncIterator[Client]:
    async with serve_areas([Reaching(stage)], border=stage.border(), clock=stage.clock) as client:
        yield client


def address(route: Route) -> str:
    return re.sub(r"\{room[^}]*\}", "demo", re.sub(r"\{(?!room)\w+[^}]*\}", "1", route.path))


@pytest.mark.parametrize("role", sorted(EVERYBODY))
async def test_every_route_lets_in_whom_it_is_meant_for_and_nobody_else(
    stage: Stage, reaching: Client, role: str
) -> None:
    headers = {} if role == "guest" else await stage.sign_in(role)
    wrong = []
    for route in table(stage):
        name = f"{route.method} {route.plain_path}"
        async with reaching.request(route.method, address(route), headers=headers) as answer:
            expected = 204 if role in MEANT[name] else 401 if role == "guest" else 403
            if answer.status != expected:
                wrong.append((name, answer.status, expected))
    assert wrong == []


async def test_table_of_what_is_meant_names_every_route_and_no_other(stage: Stage) -> None:
    assert {f"{route.method} {route.plain_path}" for route in table(stage)} == set(MEANT)


async def test_every_change_by_staff_is_recorded(stage: Stage) -> None:
    silent = [
        f"{route.method} {route.plain_path}"
        for route in table(stage)
        if route.is_mutating and route.require is not None and route.require.roles and not route.audit
    ]
    assert silent == []


async def test_room_of_a_requirement_is_a_parameter_of_the_path(stage: Stage) -> None:
    for route in table(stage):
        if route.require is not None and route.require.room:
            assert route.require.room in route.parameters


@pytest.mark.parametrize("bad", ["expired", "forged", "ended", "other scheme", "nothing"])
async def test_token_that_is_no_good_is_refused_on_every_route(stage: Stage, reaching: Client, bad: str) -> None:
    headers = await stage.sign_in("admin")
    token = headers["Authorization"].removeprefix("Bearer ")
    if bad == "expired":
        stage.clock.advance(15 * 60_000)
    elif bad == "ended":
        await stage.accounts.sessions.end_all((await stage.accounts.users.named("admin")).id)
    else:
        words = {"forged": f"Bearer {token[:-6]}AAAAAA", "other scheme": f"Basic {token}", "nothing": "Bearer "}
        headers = {"Authorization": words[bad]}
    for route in table(stage):
        async with reaching.request(route.method, address(route), headers=headers) as answer:
            assert (answer.status, answer.content_type) == (401, "application/problem+json"), route.path
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_requirements_read_as_they_are_meant() -> None:
    assert SIGNED_IN.allows("viewer")
    assert not SIGNED_IN.allows("guest")
    assert ADMINS.allows("admin")
    assert not ADMINS.allows("host")
    assert require("host", room="room").allows("admin")
    assert not require("host", room="room").allows("assistant")

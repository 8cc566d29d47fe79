"""Who may keep whom in order: the ranks of a room, over HTTP."""

from __future__ import annotations

import pytest

from tests.api.support import Client, Stage, body_of

ROOM = "/api/v1/rooms/demo"
RANKS = ["viewer", "moderator", "assistant", "host", "admin"]


async def public_id(stage: Stage, name: str) -> str:
    return (await stage.accounts.users.named(name)).public_id


@pytest.mark.parametrize("kind", ["mutes", "bans"])
@pytest.mark.parametrize("by", RANKS[1:])
async def test_sanction_reaches_those_below_and_nobody_else(stage: Stage, client: Client, by: str, kind: str) -> None:
    headers = await stage.sign_in(by)
    for whom in RANKS:
        body = {"user_id": await public_id(stage, whom), "for_s": 60, "reason": "shouting"}
        status, answer = await body_of(client, "POST", f"{ROOM}/{kind}", headers=headers, json=body)
        if RANKS.index(by) > RANKS.index(whom):
            assert status == 200, answer
        else:
            assert (status, answer["code"]) == (403, "rank")
            assert whom in answer["detail"]
            assert "administrator" in answer["fix"]
    below = [await public_id(stage, whom) for whom in RANKS[: RANKS.index(by)]]
    assert [sanction.user_id for _, sanction in stage.gateway.sanctions] == below


async def test_muted_moderator_does_not_let_themselves_off(stage: Stage, client: Client) -> None:
    own = await public_id(stage, "moderator")
    headers = await stage.sign_in("moderator")
    status, answer = await body_of(client, "DELETE", f"{ROOM}/mutes/{own}", headers=headers)
    assert (status, answer["code"]) == (403, "rank")
    host = await stage.sign_in("host")
    assert (await body_of(client, "DELETE", f"{ROOM}/mutes/{own}", headers=host))[0] == 204
    assert [sanction.until_ms for _, sanction in stage.gateway.sanctions] == [0]


async def test_admin_who_was_muted_before_is_let_off_by_an_admin(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("admin")
    own = await public_id(stage, "admin")
    assert (await body_of(client, "DELETE", f"{ROOM}/mutes/{own}", headers=headers))[0] == 204


async def test_host_of_another_room_is_a_viewer_here(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("moderator")
    body = {"user_id": await public_id(stage, "rival"), "for_s": 60}
    assert (await body_of(client, "POST", f"{ROOM}/bans", headers=headers, json=body))[0] == 200


@pytest.mark.parametrize("user_id", ["guest-4f2a", "address:203.0.113.9", "u999999", "u0", "u1x", "u" + "9" * 30])
async def test_guests_addresses_and_ids_of_nobody_rank_with_viewers(stage: Stage, client: Client, user_id: str) -> None:
    headers = await stage.sign_in("moderator")
    body = {"user_id": user_id, "for_s": 60}
    assert (await body_of(client, "POST", f"{ROOM}/mutes", headers=headers, json=body))[0] == 200


async def test_host_who_became_a_viewer_is_ranked_as_one_at_once(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("host")
    body = {"user_id": await public_id(stage, "assistant"), "for_s": 60}
    moderator = await stage.sign_in("moderator")
    assert (await body_of(client, "POST", f"{ROOM}/mutes", headers=moderator, json=body))[0] == 403
    assert (await body_of(client, "DELETE", f"{ROOM}/members/assistant", headers=headers))[0] == 204
    assert (await body_of(client, "POST", f"{ROOM}/mutes", headers=moderator, json=body))[0] == 200


async def test_moderator_reads_what_waits_and_decides(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("moderator")
    status, waiting = await body_of(client, "GET", f"{ROOM}/held", headers=headers)
    user = {"id": "u9", "name": "z", "role": "viewer"}
    assert (status, waiting) == (200, {"items": [{"id": "m1", "user": user, "text": "demo", "at_ms": 1}]})
    for show in (True, False):
        status, _ = await body_of(client, "POST", f"{ROOM}/held/m1", headers=headers, json={"show": show})
        assert status == 204
    assert stage.gateway.reviewed == [("demo", "m1", True), ("demo", "m1", False)]
    assert (await body_of(client, "GET", "/api/v1/rooms/nowhere/held", headers=await stage.sign_in("admin")))[0] == 404

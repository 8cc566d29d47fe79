"""Signing in, registering, one's own account, staff and invitations, over HTTP."""

from __future__ import annotations

from tests.api.support import ORIGIN, Client, Stage, body_of
from tests.support.accounts import PASSWORD

SESSIONS, USERS, ROOM = "/api/v1/sessions", "/api/v1/users", "/api/v1/rooms/demo"


def bearer(session: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


async def test_viewer_registers_signs_in_and_is_known(stage: Stage, client: Client) -> None:
    account = {"name": "mei.lin", "password": "a few words", "display_name": "美琳"}
    status, user = await body_of(client, "POST", USERS, json=account)
    assert (status, user["role"], user["display_name"]) == (201, "viewer", "美琳")
    credentials = {"name": "mei.lin", "password": "a few words"}
    status, session = await body_of(client, "POST", SESSIONS, json=credentials)
    assert (status, session["user"], session["expires_in_s"]) == (200, user, 900)
    status, me = await body_of(client, "GET", f"{USERS}/me", headers=bearer(session))
    assert (status, me["user"], me["phone"]) == (200, user, "")
    assert (await body_of(client, "POST", USERS, json=account))[1]["code"] == "account_exists"


async def test_wrong_password_is_401_and_the_seventh_try_429(stage: Stage, client: Client) -> None:
    wrong = {"name": "viewer", "password": "wrong horse"}
    answers = [await body_of(client, "POST", SESSIONS, json=wrong) for _ in range(7)]
    assert [status for status, _ in answers] == [401] * 6 + [429]
    assert answers[0][1]["code"] == "credentials"


async def test_signing_in_by_a_provider_that_is_not_set_up_says_so(client: Client) -> None:
    status, problem = await body_of(client, "POST", f"{SESSIONS}/wechat", json={"code": "x"})
    assert (status, problem["code"]) == (404, "provider_unknown")


async def test_refresh_rotates_and_reuse_ends_the_session(stage: Stage, client: Client) -> None:
    _, first = await body_of(client, "POST", SESSIONS, json={"name": "viewer", "password": PASSWORD})
    refresh = f"{SESSIONS}/refresh"
    status, second = await body_of(client, "POST", refresh, json={"refresh_token": first["refresh_token"]})
    assert status == 200
    assert (await body_of(client, "POST", refresh, json={"refresh_token": first["refresh_token"]}))[0] == 401
    assert (await body_of(client, "POST", refresh, json={"refresh_token": second["refresh_token"]}))[0] == 401
    assert (await body_of(client, "GET", f"{USERS}/me", headers=bearer(second)))[1]["code"] == "session_ended"


async def test_signing_out_here_and_everywhere(stage: Stage, client: Client) -> None:
    credentials = {"name": "viewer", "password": PASSWORD}
    sessions = [(await body_of(client, "POST", SESSIONS, json=credentials))[1] for _ in range(3)]
    assert (await body_of(client, "DELETE", SESSIONS, headers=bearer(sessions[0])))[0] == 204
    known = [(await body_of(client, "GET", f"{USERS}/me", headers=bearer(one)))[0] for one in sessions]
    assert known == [401, 200, 200]
    assert (await body_of(client, "DELETE", f"{SESSIONS}/all", headers=bearer(sessions[1])))[0] == 204
    assert (await body_of(client, "GET", f"{USERS}/me", headers=bearer(sessions[2])))[0] == 401


async def test_password_is_changed_by_who_knows_it(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("viewer")
    path = f"{USERS}/me/password"
    wrong = {"current_password": "wrong horse", "new_password": "another one"}
    assert (await body_of(client, "PUT", path, headers=headers, json=wrong))[0] == 401
    right = wrong | {"current_password": PASSWORD}
    status, session = await body_of(client, "PUT", path, headers=headers, json=right)
    assert status == 200
    assert (await body_of(client, "GET", f"{USERS}/me", headers=headers))[0] == 401
    assert (await body_of(client, "GET", f"{USERS}/me", headers=bearer(session)))[0] == 200


async def test_personal_data_is_ones_own_and_found_by_administrators(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("viewer")
    change = {"phone": "138 1234 5678", "address": "上海市 徐汇区", "display_name": "V."}
    status, me = await body_of(client, "PATCH", f"{USERS}/me", headers=headers, json=change)
    assert (status, me["phone"], me["address"]) == (200, "+8613812345678", "上海市 徐汇区")
    assert me["user"]["display_name"] == "V."
    admin = await stage.sign_in("admin")
    status, found = await body_of(client, "GET", f"{USERS}?phone=13812345678", headers=admin)
    assert [one["name"] for one in found["items"]] == ["viewer"]
    (entry,) = await stage.accounts.audit.page(limit=5)
    assert (entry.action, "1381" in entry.detail) == ("user.find", False)


async def test_administrator_changes_others_and_not_themselves(stage: Stage, client: Client) -> None:
    admin = await stage.sign_in("admin")
    viewer = await stage.sign_in("viewer")
    path = f"{USERS}/viewer"
    status, user = await body_of(client, "PATCH", path, headers=admin, json={"role": "host"})
    assert (status, user["role"]) == (200, "host")
    assert (await body_of(client, "GET", f"{USERS}/me", headers=viewer))[1]["code"] == "session_ended"
    await body_of(client, "PATCH", path, headers=admin, json={"disabled": True})
    credentials = {"name": "viewer", "password": PASSWORD}
    status, problem = await body_of(client, "POST", SESSIONS, json=credentials)
    assert (status, problem["code"]) == (403, "account_disabled")
    assert (await body_of(client, "PATCH", f"{USERS}/admin", headers=admin, json={"role": "viewer"}))[0] == 409
    assert (await body_of(client, "PATCH", f"{USERS}/nobody", headers=admin, json={"role": "viewer"}))[0] == 404


async def test_members_are_put_listed_and_removed_and_hosts_are_made_by_administrators(
    stage: Stage, client: Client
) -> None:
    host, admin = await stage.sign_in("host"), await stage.sign_in("admin")
    path = f"{ROOM}/members/viewer"
    assert (await body_of(client, "PUT", path, headers=host, json={"role": "host"}))[0] == 403
    assert (await body_of(client, "PUT", path, headers=admin, json={"role": "host"}))[0] == 200
    _status, members = await body_of(client, "PUT", path, headers=host, json={"role": "assistant"})
    roles = {one["name"]: one["role"] for one in members["items"]}
    assert roles == {"assistant": "assistant", "host": "host", "moderator": "moderator", "viewer": "assistant"}
    viewer = await stage.sign_in("viewer")
    mine = (await body_of(client, "GET", f"{USERS}/me/rooms", headers=viewer))[1]
    assert mine == {"items": [{"room": "demo", "title": "The demo show", "role": "assistant"}]}
    assert (await body_of(client, "PATCH", ROOM, headers=viewer, json={"title": "Mine"}))[0] == 200
    assert (await body_of(client, "DELETE", path, headers=host))[0] == 204
    assert (await body_of(client, "PATCH", ROOM, headers=viewer, json={"title": "Mine"}))[0] == 403


async def test_invitation_by_link_makes_a_member_once_and_can_be_taken_back(stage: Stage, client: Client) -> None:
    host, viewer, rival = [await stage.sign_in(name) for name in ("host", "viewer", "rival")]
    path = f"{ROOM}/invitations"
    assert (await body_of(client, "POST", path, headers=host, json={"role": "host"}))[0] == 403
    status, made = await body_of(client, "POST", path, headers=host, json={"role": "assistant"})
    assert (status, made["link"].partition("#")[0]) == (201, f"{ORIGIN}/studio/demo")
    token = {"token": made["link"].partition("#invitation=")[2]}
    accept = "/api/v1/invitations/accept"
    assert (await body_of(client, "POST", accept, headers=viewer, json=token))[1]["room"] == "demo"
    assert (await body_of(client, "POST", accept, headers=rival, json=token))[0] == 404
    _, second = await body_of(client, "POST", path, headers=host, json={"role": "moderator"})
    number = second["invitation"]["id"]
    assert (await body_of(client, "DELETE", f"{path}/{number}", headers=host))[0] == 204
    assert (await body_of(client, "DELETE", f"{path}/x", headers=host))[0] == 404
    _, listed = await body_of(client, "GET", path, headers=host)
    assert [(one["used_by"], one["revoked_at_ms"] is not None) for one in listed["items"]] == [
        (None, True),
        ("viewer", False),
    ]


async def test_administrators_look_through_the_accounts_page_by_page(stage: Stage, client: Client) -> None:
    admin = await stage.sign_in("admin")
    names: list[str] = []
    cursor = ""
    while True:
        status, page = await body_of(client, "GET", f"{USERS}?limit=3&cursor={cursor}", headers=admin)
        assert status == 200
        names += [user["name"] for user in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert names == ["admin", "assistant", "host", "moderator", "rival", "viewer"]
    for query, found in [("search=AS", ["assistant"]), ("role=host", ["host", "rival"]), ("search=%25", [])]:
        _, page = await body_of(client, "GET", f"{USERS}?{query}", headers=admin)
        assert [user["name"] for user in page["items"]] == found, query


async def test_administrator_gives_a_new_password_and_every_session_ends(stage: Stage, client: Client) -> None:
    admin, viewer = await stage.sign_in("admin"), await stage.sign_in("viewer")
    status, made = await body_of(client, "POST", f"{USERS}/viewer/password", headers=admin)
    assert (status, made["name"], len(made["password"]) >= 16) == (200, "viewer", True)
    assert (await body_of(client, "GET", f"{USERS}/me", headers=viewer))[0] == 401
    assert (await body_of(client, "POST", SESSIONS, json=made))[0] == 200
    own = await body_of(client, "POST", f"{USERS}/admin/password", headers=admin)
    assert (own[0], own[1]["code"]) == (409, "own_account")

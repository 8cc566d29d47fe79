"""Work for later, as administrators see it."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update

from streamd.db.shop_tables import jobs
from streamd.db.tables import audit_log
from tests.api.support import Client, Stage, body_of

JOBS = "/api/v1/jobs"


@pytest.fixture(autouse=True)
async def put(stage: Stage) -> None:
    """Seven jobs: dead, running, done, and four that wait."""
    rows = [
        {
            "kind": "order.expire",
            "subject": f"o{number}",
            "payload": '{"n": 1}',
            "status": {1: "dead", 3: "done"}.get(number, "waiting"),
            "lease": "somebody" if number == 2 else "",
            "due_at_ms": 1_000 * number,
            "attempts": 3,
            "error": "ValueError: bad" if number == 1 else "",
            "created_at_ms": number,
            "finished_at_ms": 9 if number in (1, 3) else None,
        }
        for number in range(1, 8)
    ]
    async with stage.engine.begin() as connection:
        await connection.execute(insert(jobs), rows)


async def test_list_comes_page_by_page_and_by_status(stage: Stage, client: Client) -> None:
    admin = await stage.sign_in("admin")
    status, page = await body_of(client, "GET", f"{JOBS}?limit=4", headers=admin)
    assert (status, [job["id"] for job in page["items"]]) == (200, [7, 6, 5, 4])
    _, rest = await body_of(client, "GET", f"{JOBS}?limit=4&cursor={page['next_cursor']}", headers=admin)
    assert ([job["status"] for job in rest["items"]], rest["next_cursor"]) == (["done", "running", "dead"], None)
    for word, ids in {"dead": [1], "running": [2], "done": [3], "waiting": [7, 6, 5, 4]}.items():
        _, page = await body_of(client, "GET", f"{JOBS}?status={word}&kind=order.expire", headers=admin)
        assert [job["id"] for job in page["items"]] == ids
    _, page = await body_of(client, "GET", f"{JOBS}?kind=retention", headers=admin)
    assert page["items"] == []


async def test_dead_one_is_tried_again_and_the_deed_is_recorded(stage: Stage, client: Client) -> None:
    admin = await stage.sign_in("admin")
    status, job = await body_of(client, "POST", f"{JOBS}/1/retry", headers=admin)
    assert (status, job["status"], job["attempts"]) == (200, "waiting", 0)
    assert job["due_at_ms"] == stage.clock.utc_ms()
    async with stage.engine.connect() as connection:
        actions = (await connection.execute(select(audit_log.c.action))).scalars().all()
    assert "job.retry" in actions


async def test_what_was_not_given_up_is_not_tried_by_hand(stage: Stage, client: Client) -> None:
    admin = await stage.sign_in("admin")
    for number, word in ((2, "running"), (3, "done"), (4, "waiting")):
        status, problem = await body_of(client, "POST", f"{JOBS}/{number}/retry", headers=admin)
        assert (status, problem["code"]) == (409, "job_not_dead")
        assert word in problem["detail"]


async def test_dropped_one_is_gone_and_one_that_runs_is_not_dropped(stage: Stage, client: Client) -> None:
    admin = await stage.sign_in("admin")
    assert (await body_of(client, "DELETE", f"{JOBS}/1", headers=admin))[0] == 204
    assert (await body_of(client, "DELETE", f"{JOBS}/1", headers=admin))[0] == 404
    status, problem = await body_of(client, "DELETE", f"{JOBS}/2", headers=admin)
    assert (status, problem["code"]) == (409, "job_running")
    async with stage.engine.begin() as connection:
        await connection.execute(update(jobs).where(jobs.c.id == 2).values(lease=""))
    assert (await body_of(client, "DELETE", f"{JOBS}/2", headers=admin))[0] == 204


@pytest.mark.parametrize("name", ["99", "x", "²", "9" * 30])
async def test_job_that_is_not_there_is_not_found(stage: Stage, client: Client, name: str) -> None:
    admin = await stage.sign_in("admin")
    for method, path in (("POST", f"{JOBS}/{name}/retry"), ("DELETE", f"{JOBS}/{name}")):
        assert (await body_of(client, method, path, headers=admin))[0] == 404

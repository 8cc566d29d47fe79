"""The words that no room wants, over HTTP."""

from __future__ import annotations

from tests.api.support import Client, Stage, body_of

WORDS = "/api/v1/words"


async def test_list_is_replaced_by_who_saw_the_newest_tried_and_audited(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("admin")
    assert await body_of(client, "GET", WORDS, headers=headers) == (200, {"version": 0, "words": []})
    change = {"version": 0, "words": [{"text": "scam"}, {"text": "spam", "action": "mask"}]}
    status, saved = await body_of(client, "PUT", WORDS, headers=headers, json=change)
    assert (status, saved["version"], saved["words"][0]) == (200, 1, {"text": "scam", "action": "block"})
    status, problem = await body_of(client, "PUT", WORDS, headers=headers, json=change)
    assert (status, problem["code"]) == (409, "version_stale")
    status, trial = await body_of(client, "GET", f"{WORDS}/trial?text=s.p.a.m", headers=headers)
    assert (status, trial) == (200, {"action": "mask", "text": "*******", "words": ["spam"]})
    status, audit = await body_of(client, "GET", "/api/v1/audit", headers=headers)
    assert "site.words.change" in [entry["action"] for entry in audit["items"]]

"""What pages tell of their failures."""

from __future__ import annotations

import json

import pytest

from tests.api.support import Client, Stage, body_of

PATH = "/api/v1/client-errors"
FAILURE = {"message": "x is not a function", "page": "/studio/demo", "failed_request": "0123456789abcdef"}


async def test_failure_of_a_page_is_a_line_in_the_log(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    assert (await body_of(client, "POST", PATH, json=FAILURE))[0] == 204
    said = capfd.readouterr()
    assert "page.failed" in said.err + said.out
    assert "0123456789abcdef" in said.err + said.out


async def test_few_are_taken_from_one_address(stage: Stage, client: Client) -> None:
    statuses = [(await body_of(client, "POST", PATH, json=FAILURE))[0] for _ in range(21)]
    assert statuses == [204] * 20 + [429]


@pytest.mark.parametrize("change", [{"message": ""}, {"message": "x" * 301}, {"stack": "x" * 2_001}, {"secret": "x"}])
async def test_long_and_unknown_words_are_refused(client: Client, change: dict[str, str]) -> None:
    body = json.loads(json.dumps(FAILURE | change))
    assert (await body_of(client, "POST", PATH, json=body))[0] == 400

"""Bodies that come late, or not to their end."""

from __future__ import annotations

import asyncio

import pytest

from streamd.api.uploads import arriving
from streamd.errors import InvalidError


async def test_body_that_arrives_is_given() -> None:
    async def body() -> bytes:
        return b"{}"

    assert await arriving(body()) == b"{}"


async def test_body_that_does_not_arrive_in_time_is_the_peers_fault() -> None:
    with pytest.raises(InvalidError) as refused:
        await arriving(asyncio.Event().wait(), within_s=0.01)
    assert refused.value.code == "body_slow"


async def test_connection_that_ends_within_the_body_is_no_failure_of_ours() -> None:
    async def body() -> bytes:
        raise ConnectionResetError

    with pytest.raises(InvalidError) as refused:
        await arriving(body())
    assert refused.value.code == "body_cut_off"

"""Who speaks, and what they say, cannot be changed on the way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import UnauthenticatedError
from streamd.gateways.signing import SKEW_MS, sign, verify

KEY = b"k" * 32
NOW_MS = 1_800_000_000_000
SAID: dict[str, Any] = {"speaker": "gateway", "method": "POST", "path": "/notify", "body": b'{"a":1}'}


def signed(**changes: Any) -> dict[str, str]:
    return sign(**{"key": KEY, "timestamp_ms": NOW_MS, "nonce": "a" * 32, **SAID, **changes})


def check(headers: dict[str, str], **changes: Any) -> None:
    verify(**{"key": KEY, "now_ms": NOW_MS, **SAID, **changes, "headers": headers})


def test_what_was_signed_is_believed_for_five_minutes() -> None:
    for late_ms in (0, SKEW_MS, -SKEW_MS):
        check(signed(), now_ms=NOW_MS + late_ms)
    for late_ms in (SKEW_MS + 1, -SKEW_MS - 1, 24 * 3_600_000):
        with pytest.raises(UnauthenticatedError, match="not from who"):
            check(signed(), now_ms=NOW_MS + late_ms)


@pytest.mark.parametrize(
    "change",
    [{"speaker": "shop"}, {"method": "PUT"}, {"path": "/other"}, {"body": b'{"a":2}'}, {"key": b"x" * 32}],
)
def test_nothing_of_it_can_be_another(change: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        check(signed(), **change)


@pytest.mark.parametrize("name", ["X-Pay-Timestamp", "X-Pay-Nonce", "X-Pay-Signature"])
@pytest.mark.parametrize("value", ["", "0", "zzzz", "9" * 40, "é"])
def test_a_header_that_was_changed_or_left_out_is_refused(name: str, value: str) -> None:
    with pytest.raises(UnauthenticatedError):
        check(signed() | {name: value})
    with pytest.raises(UnauthenticatedError):
        check({key: kept for key, kept in signed().items() if key != name})


@settings(max_examples=60)
@given(st.binary(max_size=80), st.integers(0, 79), st.integers(1, 255))
def test_any_changed_byte_of_the_body_is_noticed(body: bytes, index: int, difference: int) -> None:
    headers = signed(body=body)
    check(headers, body=body)
    changed = bytearray(body or b"\0")
    changed[index % len(changed)] ^= difference
    with pytest.raises(UnauthenticatedError):
        check(headers, body=bytes(changed) if body else b"x")

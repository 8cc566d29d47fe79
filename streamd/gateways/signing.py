"""How the sandbox gateway and a shop prove to each other who speaks: HMAC-SHA256 over who says what, where and when.

Signed is `speaker, method, path, timestamp, nonce, body`, line by line. The speaker ("shop" or "gateway") is in it so
that a message cannot be sent back to its author; the path, so that it cannot be sent somewhere else; the time, so that
it cannot be kept. What is told twice within `SKEW_MS` is for the receiver to notice: messages have ids of their own.
Pure: time and nonce are given.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, Literal

from streamd.errors import UnauthenticatedError

Speaker = Literal["shop", "gateway"]

TIMESTAMP: Final = "X-Pay-Timestamp"
NONCE: Final = "X-Pay-Nonce"
SIGNATURE: Final = "X-Pay-Signature"
SKEW_MS: Final = 300_000
_TIME = re.compile(r"[0-9]{1,16}")
_NONCE = re.compile(r"[0-9a-f]{16,64}")


def sign(
    key: bytes, *, speaker: Speaker, method: str, path: str, body: bytes, timestamp_ms: int, nonce: str
) -> dict[str, str]:
    """The headers that go with it."""
    signature = _signature(key, speaker, method, path, str(timestamp_ms), nonce, body)
    return {TIMESTAMP: str(timestamp_ms), NONCE: nonce, SIGNATURE: signature}


def verify(
    key: bytes,
    *,
    speaker: Speaker,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    now_ms: int,
) -> None:
    """Raises UnauthenticatedError unless `speaker` said just this, here and now."""
    timestamp, nonce = headers.get(TIMESTAMP, ""), headers.get(NONCE, "")
    if not _TIME.fullmatch(timestamp) or not _NONCE.fullmatch(nonce):
        raise _refused("it is not signed")
    expected = _signature(key, speaker, method, path, timestamp, nonce, body)
    if not hmac.compare_digest(expected.encode(), headers.get(SIGNATURE, "").encode("utf-8", "replace")):
        raise _refused("the signature is not that of this message")
    if abs(now_ms - int(timestamp)) > SKEW_MS:
        raise _refused("it was signed too long ago, or the clocks differ")


def _signature(key: bytes, speaker: str, method: str, path: str, timestamp: str, nonce: str, body: bytes) -> str:
    head = "\n".join((speaker, method, path, timestamp, nonce)).encode() + b"\n"
    return hmac.digest(key, head + body, hashlib.sha256).hex()


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        "this message is not from who it says it is from",
        why=why,
        fix="sign it with the key that both sides hold",
        code="signature",
    )

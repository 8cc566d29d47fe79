"""How workers know each other: a bearer that only who shares Redis can make, in a header of its own.

Not `Authorization`, because a forwarded request brings its client's. The internal address is meant for a private
network: what crosses it is not encrypted.
"""

from __future__ import annotations

import hashlib
import hmac

HEADER = "X-Streamd-Worker"


def bearer(secret: bytes) -> str:
    """What the header says."""
    return hmac.digest(secret, b"streamd internal", hashlib.sha256).hex()


def is_known(said: str, secret: bytes) -> bool:
    """Whether who said it shares the secret."""
    return hmac.compare_digest(said.encode(), bearer(secret).encode())

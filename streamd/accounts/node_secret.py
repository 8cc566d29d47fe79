"""The secret of this installation: 32 random bytes in the data folder, made on first use, readable by its owner only.

What it signs is told apart by a purpose, so that one file serves all and a signature made for one thing is worth
nothing for another. Nodes that share a database must share it too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

from streamd.accounts.secret_file import open_secret

FILE_NAME = "node.secret"
_SIZE_BYTES = 32


class NodeSecret:
    """Signs for this installation; every process that shares the data folder has the same one."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, purpose: str, *facts: str) -> bytes:
        """32 bytes that only this installation can make. No fact may hold a NUL."""
        return hmac.digest(self._secret, "\0".join((purpose, *facts)).encode(), hashlib.sha256)

    def programme_pass(self, room: str) -> str:
        """What lets the synthetic programme into `room`: as good as a stream key, but it yields to a real encoder.

        For processes on this machine that can read the data folder: `streamd programme`.
        """
        return base64.b32encode(self.sign("programme", room)[:20]).decode("ascii").lower()

    def payment_key(self) -> bytes:
        """What this installation and a sandbox gateway that shares the data folder sign their messages with."""
        return self.sign("payment")


def open_node_secret(data_dir: Path) -> NodeSecret:
    """Read the secret, or make it. Two processes that make it at once get the same one. Raises SettingsError."""
    return NodeSecret(open_secret(data_dir / FILE_NAME, size_bytes=_SIZE_BYTES))

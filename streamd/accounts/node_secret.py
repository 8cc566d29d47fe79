"""The secret of this installation: 32 random bytes in the data folder, made on first use, readable by its owner only.

What it signs is told apart by a purpose, so that one file serves all and a signature made for one thing is worth
nothing for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from streamd.errors import SettingsError

FILE_NAME = "node.secret"
_SIZE_BYTES = 32


class NodeSecret:
    """Signs for this installation; every process that shares the data folder has the same one."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def programme_pass(self, room: str) -> str:
        """What lets the synthetic programme into `room`: as good as a stream key, but it yields to a real encoder.

        For processes on this machine that can read the data folder: `streamd programme`.
        """
        signature = hmac.digest(self._secret, f"programme\0{room}".encode(), hashlib.sha256)
        return base64.b32encode(signature[:20]).decode("ascii").lower()


def open_node_secret(data_dir: Path) -> NodeSecret:
    """Read the secret, or make it. Two processes that make it at once get the same one. Raises SettingsError."""
    path = data_dir / FILE_NAME
    try:
        _make(path)
        secret = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read or made",
            why=str(error.strerror),
            fix=f"make {data_dir} a folder of the user that runs streamd",
        ) from error
    if len(secret) != _SIZE_BYTES:
        raise SettingsError(
            f"{path} is damaged",
            why=f"it holds {len(secret)} bytes and not {_SIZE_BYTES}",
            fix="remove it: a new one is made, and what was signed with the old one is void",
        )
    return NodeSecret(secret)


def _make(path: Path) -> None:
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SIZE_BYTES))
        # A link fails where the name is taken, so whoever comes first wins, and nobody reads half a secret.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()

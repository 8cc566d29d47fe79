"""Secrets that live in the data folder: random bytes, made on first use, readable by their owner only (mode 0600).

Two processes that make the same one at once end up with the same bytes. What a secret is for is the business of whoever
opens it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from streamd.errors import SettingsError


def open_secret(path: Path, *, size_bytes: int) -> bytes:
    """Read the secret, or make it. Raises SettingsError."""
    secret = read_or_make(path, lambda: secrets.token_bytes(size_bytes))
    if len(secret) != size_bytes:
        raise SettingsError(
            f"{path} is damaged",
            why=f"it holds {len(secret)} bytes and not {size_bytes}",
            fix="restore it from a backup; without one remove it: a new one is made, and what the old one did is void",
        )
    return secret


def read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's bytes; a file that is not there is made of what `make` gives. Raises SettingsError."""
    try:
        if not path.exists():
            put(path, make())
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read or made",
            why=str(error.strerror),
            fix=f"make {path.parent} a folder of the user that runs streamd",
        ) from error


def put(path: Path, content: bytes) -> None:
    """Make the file whole, unless it is there by then."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        # A link fails where the name is taken, so whoever comes first wins, and nobody reads half a secret.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()

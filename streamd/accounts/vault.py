"""Personal data at rest: sealed with AES-256-GCM under a key in the data folder, found again by a blind index.

A stolen database holds neither phone numbers nor addresses, and what is sealed for one place cannot be moved to
another: the place (table, column, row) is authenticated with it. The index is a keyed hash: equal numbers have equal
indexes, and without the key nobody can try numbers out. Both keys are derived from one file; whoever loses it loses the
data, so it belongs into the backup, apart from the database.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streamd.accounts.secret_file import open_secret
from streamd.errors import SettingsError

FILE_NAME = "personal.key"
_NONCE_BYTES = 12
_VERSION = b"\x01"  # of the format and the key: the first byte of everything sealed


class Vault:
    """Seals and opens. Microseconds a call, so no executor."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"seal", hashlib.sha256))
        self._index_key = hmac.digest(key, b"index", hashlib.sha256)

    def seal(self, plain: bytes, *, place: str) -> bytes:
        """What may be stored at `place`; different each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """What was sealed there. Raises SettingsError: another key, another place, or changed bytes."""
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(nonce, body, place.encode())
        except (InvalidTag, ValueError) as error:
            raise SettingsError(
                "stored personal data cannot be opened",
                why=f"it was sealed with another {FILE_NAME}, or was changed in the database",
                fix=f"put the {FILE_NAME} that belongs to this database into the data folder",
                code="vault_key",
            ) from error

    def seal_text(self, text: str, *, place: str) -> str:
        """The same for text, as text."""
        return base64.b64encode(self.seal(text.encode(), place=place)).decode("ascii")

    def open_text(self, sealed: str, *, place: str) -> str:
        """What `seal_text` sealed."""
        return self.open(base64.b64decode(sealed), place=place).decode()

    def index(self, text: str, *, column: str) -> str:
        """64 hex digits, the same for the same text of the same column."""
        return hmac.digest(self._index_key, f"{column}\0{text}".encode(), hashlib.sha256).hex()


def open_vault(data_dir: Path) -> Vault:
    """The vault of this installation; its key is made on first use. Raises SettingsError."""
    return Vault(open_secret(data_dir / FILE_NAME, size_bytes=32))

"""The keys that access tokens are signed with: Ed25519, in the data folder, mode 0600, each named by its key id.

The newest signs, all of them verify: after `add_signing_key` and a restart, tokens of the old key are good until they
expire. A key id is the beginning of the SHA-256 of the public key, so that it says nothing and never repeats.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from streamd.accounts.secret_file import put, read_or_make
from streamd.clock import Clock
from streamd.errors import SettingsError

FOLDER = "signing-keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """`verifying` by key id; `signing` is the one named `key_id`."""

    key_id: str
    signing: Ed25519PrivateKey
    verifying: dict[str, Ed25519PublicKey]


def open_signing_keys(data_dir: Path) -> SigningKeys:
    """The keys of this installation; the first is made on first use. Raises SettingsError."""
    folder = data_dir / FOLDER
    first = folder / "0-first.pem"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not any(folder.glob("*.pem")):
            read_or_make(first, _new_pem)
        paths = sorted(folder.glob("*.pem"), key=lambda path: int(path.name.partition("-")[0]))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the signing keys in {folder} cannot be read",
            why=str(error),
            fix="keep nothing but what `streamd signing-key add` made there, readable by the user that runs streamd",
        ) from error
    keys = [_load(path) for path in paths]
    named = {_key_id(key): key for key in keys}
    newest = keys[-1]
    return SigningKeys(
        key_id=_key_id(newest),
        signing=newest,
        verifying={name: key.public_key() for name, key in named.items()},
    )


def add_signing_key(data_dir: Path, *, clock: Clock) -> str:
    """Make a new key, which signs from the next start on; its key id. Raises SettingsError."""
    open_signing_keys(data_dir)
    put(data_dir / FOLDER / f"{clock.utc_ms()}-added.pem", _new_pem())
    return open_signing_keys(data_dir).key_id


def _new_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read", why=str(error), fix="restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{path} is no Ed25519 key", fix="remove it; `streamd signing-key add` makes one")
    return key


def _key_id(key: Ed25519PrivateKey) -> str:
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(public).hexdigest()[:16]

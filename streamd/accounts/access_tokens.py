"""Access tokens: JSON Web Tokens signed with Ed25519 (RFC 7519, 8037; typed `at+jwt` as RFC 9068 says), for 15 minutes.

In a token: whose it is, which generation of the account and which session it belongs to. Not in it: names and roles,
which are looked up, so that a change does not wait for a token to expire. A token that was verified once is remembered
until it expires: the signature costs 100 µs and more, a look into a table does not.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final, NoReturn

import jwt

from streamd.accounts.recent import Recent
from streamd.accounts.signing_keys import SigningKeys
from streamd.clock import Clock
from streamd.errors import UnauthenticatedError

LIFETIME_MS: Final = 15 * 60_000
# Clocks of two nodes differ; a token is not refused for being from the near future.
LEEWAY_MS: Final = 30_000
VERIFIED_LIMIT_COUNT = 50_000
TOKEN_LIMIT_CHARS = 1_024
_ISSUER: Final = "streamd"
_SUBJECT = re.compile(r"u(\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says."""

    user_id: int
    generation: int
    session: str
    expires_at_ms: int


class AccessTokens:
    """Issues and verifies."""

    def __init__(self, *, keys: SigningKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._verified: Recent[str, Claims] = Recent(clock=clock, keep_ms=LIFETIME_MS, limit_count=VERIFIED_LIMIT_COUNT)

    def issue(self, *, user_id: int, generation: int, session: str) -> str:
        """A token for the next `LIFETIME_MS`."""
        now_s = self._clock.utc_ms() // 1_000
        claims = {
            "iss": _ISSUER,
            "sub": f"u{user_id}",
            "sid": session,
            "gen": generation,
            "iat": now_s,
            "exp": now_s + LIFETIME_MS // 1_000,
            "jti": secrets.token_urlsafe(9),
        }
        headers = {"kid": self._keys.key_id, "typ": "at+jwt"}
        return jwt.encode(claims, self._keys.signing, algorithm="EdDSA", headers=headers)

    def verify(self, token: str) -> Claims:
        """What the token says, if it is ours and in force. Raises UnauthenticatedError."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._read(token)
            self._verified.put(token, claims)
        if claims.expires_at_ms <= self._clock.utc_ms():
            self._verified.forget(token)
            raise UnauthenticatedError(
                "this access token has expired", fix="get a new one with the refresh token", code="token_expired"
            )
        return claims

    def _read(self, token: str) -> Claims:
        try:
            if len(token) > TOKEN_LIMIT_CHARS:
                _refuse()
            header = jwt.get_unverified_header(token)
            key = self._keys.verifying.get(str(header.get("kid")))
            if key is None or header.get("typ") != "at+jwt":
                _refuse()
            body = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],  # whatever the token claims: it does not choose
                issuer=_ISSUER,
                # Against our own clock, below and in `verify`.
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub", "sid", "gen"]},
            )
            subject = _SUBJECT.fullmatch(body["sub"])
            if subject is None or int(body["iat"]) * 1_000 > self._clock.utc_ms() + LEEWAY_MS:
                _refuse()
            return Claims(
                user_id=int(subject[1]),
                generation=int(body["gen"]),
                session=str(body["sid"]),
                expires_at_ms=int(body["exp"]) * 1_000,
            )
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise _refusal() from error


def _refusal() -> UnauthenticatedError:
    return UnauthenticatedError(
        "this access token is not valid",
        why="it was not issued by this server, or is damaged",
        fix="sign in again",
        code="token_invalid",
    )


def _refuse() -> NoReturn:
    raise _refusal()

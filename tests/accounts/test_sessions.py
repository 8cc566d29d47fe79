"""Signing in, refreshing, signing out, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
import json
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.access_tokens import LIFETIME_MS
from streamd.accounts.identities import Person
from streamd.accounts.opening import Accounts
from streamd.accounts.sessions import REFRESH_LIFETIME_MS, Tokens
from streamd.accounts.signing_keys import FOLDER, add_signing_key, open_signing_keys
from streamd.errors import ForbiddenError, InvalidError, LimitedError, UnauthenticatedError
from tests.accounts.test_users import rows
from tests.support.accounts import PASSWORD, accounts_over, person
from tests.support.clock import FakeClock

HOME = "203.0.113.7"


async def sign_in(accounts: Accounts, name: str = "alice", password: str = PASSWORD, address: str = HOME) -> Tokens:
    return await accounts.sessions.sign_in(name, password, address=address)


@pytest.fixture
async def alice(accounts: Accounts) -> Tokens:
    await person(accounts, "alice")
    return await sign_in(accounts)


async def who(accounts: Accounts, tokens: Tokens) -> Person:
    return await accounts.identities.person(tokens.access_token)


async def test_one_who_signed_in_is_known_by_the_token(accounts: Accounts, alice: Tokens) -> None:
    assert (await who(accounts, alice)).user == alice.user
    assert alice.expires_in_ms == 15 * 60_000


async def test_one_person_on_many_devices_at_once_trips_over_nobody(accounts: Accounts, alice: Tokens) -> None:
    """Each begins, and each goes on: they change rows of one account in one moment."""
    begun = await asyncio.gather(*(accounts.sessions.begin(alice.user) for _ in range(12)))
    assert len({tokens.refresh_token for tokens in begun}) == 12
    for _ in range(3):
        begun = await asyncio.gather(*(accounts.sessions.refresh(tokens.refresh_token) for tokens in begun))
    for tokens in begun:
        assert (await who(accounts, tokens)).user == alice.user


async def test_wrong_password_unknown_and_impossible_names_are_told_the_same(accounts: Accounts, alice: Tokens) -> None:
    said = set()
    for name, password in [
        ("alice", "wrong horse"),
        ("nobody", PASSWORD),
        ("No Name!", PASSWORD),
        ("alice", "x" * 500),
    ]:
        with pytest.raises(UnauthenticatedError) as caught:
            await sign_in(accounts, name, password)
        said.add((caught.value.code, caught.value.one_line()))
    assert len(said) == 1


async def test_unknown_name_costs_a_hash_as_a_known_one_does(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = accounts.sessions._passwords
    seen: list[str] = []
    work = passwords._work
    monkeypatch.setattr(passwords, "_work", lambda p, s: (seen.append(s or ""), work(p, s))[1])
    with pytest.raises(UnauthenticatedError):
        await sign_in(accounts, "nobody")
    assert seen[-1].startswith("$argon2id$")


async def test_token_expires_after_fifteen_minutes(accounts: Accounts, alice: Tokens, clock: FakeClock) -> None:
    clock.advance(LIFETIME_MS - 1)
    assert await who(accounts, alice)
    clock.advance(1)
    with pytest.raises(UnauthenticatedError) as caught:
        await who(accounts, alice)
    assert caught.value.code == "token_expired"


def forged(token: str, **changes: object) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4))) | changes
    return f"{head}.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


async def test_forged_tokens_are_refused(accounts: Accounts, alice: Tokens, clock: FakeClock, tmp_path: Path) -> None:
    token = alice.access_token
    claims = jwt.decode(token, options={"verify_signature": False})
    header = {name: jwt.get_unverified_header(token)[name] for name in ("kid", "typ")}
    stranger = Ed25519PrivateKey.generate()
    public = open_signing_keys(tmp_path).verifying[header["kid"]].public_bytes_raw()
    forgeries = [
        forged(token, sub="u999"),
        forged(token, exp=2_000_000_000),
        token[:-4] + "AAAA",
        jwt.encode(claims, stranger, "EdDSA", headers=header),  # our key id, another key
        jwt.encode(claims, stranger, "EdDSA", headers={"kid": "unknown", "typ": "at+jwt"}),
        jwt.encode(claims, None, "none", headers=header),
        # The classic: the public key taken as the secret of an HMAC.
        jwt.encode(claims, public, "HS256", headers=header),
        "",
        "a.b.c",
        "ünïcode",
        "x" * 5_000,
    ]
    for one in forgeries:
        with pytest.raises(UnauthenticatedError):
            await accounts.identities.person(one)


@pytest.mark.parametrize(
    "changes",
    [{"iss": "other"}, {"sub": "alice"}, {"gen": "x"}, {"iat": 1_900_000_000}, {"sid": None}, {"exp": "soon"}],
)
async def test_token_of_ours_that_says_something_odd_is_refused(
    accounts: Accounts, alice: Tokens, tmp_path: Path, changes: dict[str, object]
) -> None:
    claims = jwt.decode(alice.access_token, options={"verify_signature": False}) | changes
    keys = open_signing_keys(tmp_path)
    odd = {name: value for name, value in claims.items() if value is not None}
    headers = {"kid": keys.key_id, "typ": "at+jwt"}
    try:
        token = jwt.encode(odd, keys.signing, "EdDSA", headers=headers)
    except (TypeError, jwt.PyJWTError):
        return
    with pytest.raises(UnauthenticatedError):
        await accounts.identities.person(token)


async def test_token_that_is_not_typed_as_an_access_token_is_refused(
    accounts: Accounts, alice: Tokens, tmp_path: Path
) -> None:
    claims = jwt.decode(alice.access_token, options={"verify_signature": False})
    keys = open_signing_keys(tmp_path)
    with pytest.raises(UnauthenticatedError):
        await accounts.identities.person(jwt.encode(claims, keys.signing, "EdDSA", headers={"kid": keys.key_id}))


async def test_new_key_signs_and_the_old_one_still_verifies(
    engine: AsyncEngine, accounts: Accounts, alice: Tokens, clock: FakeClock, tmp_path: Path
) -> None:
    added = add_signing_key(tmp_path, clock=clock)
    restarted = accounts_over(engine, clock=clock, data_dir=tmp_path)
    fresh = await sign_in(restarted)
    assert jwt.get_unverified_header(fresh.access_token)["kid"] == added
    assert jwt.get_unverified_header(alice.access_token)["kid"] != added
    assert (await who(restarted, alice)).user.name == "alice"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / FOLDER).iterdir()}
    assert modes == {0o600}


async def test_refresh_gives_a_new_pair_of_the_same_session(
    accounts: Accounts, alice: Tokens, clock: FakeClock
) -> None:
    clock.advance(LIFETIME_MS)
    fresh = await accounts.sessions.refresh(alice.refresh_token)
    assert fresh.refresh_token != alice.refresh_token
    assert (await who(accounts, fresh)).user.name == "alice"
    assert await accounts.sessions.refresh(fresh.refresh_token)


async def test_refresh_token_that_comes_twice_ends_the_whole_family(accounts: Accounts, alice: Tokens) -> None:
    fresh = await accounts.sessions.refresh(alice.refresh_token)
    other = await sign_in(accounts)
    for stolen in (alice, fresh):
        with pytest.raises(UnauthenticatedError) as caught:
            await accounts.sessions.refresh(stolen.refresh_token)
        assert caught.value.code == "refresh_token"
    with pytest.raises(UnauthenticatedError):
        await who(accounts, fresh)
    assert await accounts.sessions.refresh(other.refresh_token), "another sign-in is another family"


async def test_of_two_refreshes_at_once_one_wins(accounts: Accounts, alice: Tokens) -> None:
    tries = [accounts.sessions.refresh(alice.refresh_token) for _ in range(4)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Tokens", *["UnauthenticatedError"] * 3]


async def test_refresh_token_expires_and_leaves_no_row(
    accounts: Accounts, alice: Tokens, clock: FakeClock, engine: AsyncEngine
) -> None:
    clock.advance(REFRESH_LIFETIME_MS)
    with pytest.raises(UnauthenticatedError):
        await accounts.sessions.refresh(alice.refresh_token)
    await sign_in(accounts)
    assert (await rows(engine, "refresh_tokens")).count(str(clock.utc_ms())) == 1


async def test_refresh_tokens_are_stored_as_hashes(accounts: Accounts, alice: Tokens, engine: AsyncEngine) -> None:
    assert alice.refresh_token not in await rows(engine, "refresh_tokens")


async def test_signing_out_ends_one_session(accounts: Accounts, alice: Tokens) -> None:
    other = await sign_in(accounts)
    await accounts.sessions.end((await who(accounts, alice)).session)
    with pytest.raises(UnauthenticatedError) as caught:
        await who(accounts, alice)
    assert caught.value.code == "session_ended"
    with pytest.raises(UnauthenticatedError):
        await accounts.sessions.refresh(alice.refresh_token)
    assert await who(accounts, other)


async def test_signing_out_everywhere_ends_all_of_one_account(accounts: Accounts, alice: Tokens) -> None:
    await person(accounts, "bob")
    other, bob = await sign_in(accounts), await sign_in(accounts, "bob")
    await accounts.sessions.end_all(alice.user.id)
    for tokens in (alice, other):
        with pytest.raises(UnauthenticatedError):
            await who(accounts, tokens)
        with pytest.raises(UnauthenticatedError):
            await accounts.sessions.refresh(tokens.refresh_token)
    assert await who(accounts, bob)
    assert await who(accounts, await sign_in(accounts))


async def test_new_password_ends_every_session_and_begins_one(accounts: Accounts, alice: Tokens) -> None:
    change = accounts.sessions.change_password
    with pytest.raises(UnauthenticatedError):
        await change(alice.user.id, current="wrong horse", new="a new password", address=HOME)
    with pytest.raises(InvalidError):
        await change(alice.user.id, current=PASSWORD, new="short", address=HOME)
    assert await who(accounts, alice)
    fresh = await change(alice.user.id, current=PASSWORD, new="a new password", address=HOME)
    assert await who(accounts, fresh)
    with pytest.raises(UnauthenticatedError):
        await who(accounts, alice)
    with pytest.raises(UnauthenticatedError):
        await sign_in(accounts)
    assert await sign_in(accounts, password="a new password")


async def test_disabled_account_is_out_at_once(accounts: Accounts, alice: Tokens) -> None:
    await accounts.users.set_disabled("alice", True)
    with pytest.raises(ForbiddenError):
        await who(accounts, alice)
    with pytest.raises(ForbiddenError):
        await sign_in(accounts)
    with pytest.raises(UnauthenticatedError):
        await accounts.sessions.refresh(alice.refresh_token)
    await accounts.users.set_disabled("alice", False)
    assert await sign_in(accounts)


async def test_guessing_is_throttled_by_account_and_address_and_waiting_helps(
    accounts: Accounts, alice: Tokens, clock: FakeClock
) -> None:
    async def guess(name: str, address: str) -> type[Exception]:
        try:
            await sign_in(accounts, name, "wrong horse", address)
        except (UnauthenticatedError, LimitedError) as error:
            guess.wait_ms = getattr(error, "retry_after_ms", 0)  # type: ignore[attr-defined]
            return type(error)
        raise AssertionError

    own = [await guess("alice", "198.51.100.1") for _ in range(8)]
    assert (own[0], own[-1]) == (UnauthenticatedError, LimitedError)
    clock.advance(guess.wait_ms)  # type: ignore[attr-defined]
    assert await guess("alice", "198.51.100.1") is UnauthenticatedError
    # Many machines, one account; the owner is at home, where nobody has guessed, and yet has to wait.
    many = [await guess("alice", f"198.51.101.{number}") for number in range(40)]
    assert many[-1] is LimitedError
    # One machine, many accounts.
    spray = [await guess(f"user{number}", "192.0.2.9") for number in range(130)]
    assert spray[-1] is LimitedError


async def test_hash_of_old_costs_is_renewed_at_the_next_sign_in(
    accounts: Accounts, alice: Tokens, engine: AsyncEngine, clock: FakeClock, tmp_path: Path
) -> None:
    from streamd.accounts.passwords import Passwords, PasswordSettings

    accounts.sessions._passwords = Passwords(PasswordSettings(time_cost=2, memory_kib=16))
    assert "m=16,t=2" not in await rows(engine, "users")
    await sign_in(accounts)
    assert "m=16,t=2" in await rows(engine, "users")
    assert await sign_in(accounts)

"""All of accounts, joined: what a node and the command line each need once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.access_tokens import AccessTokens
from streamd.accounts.audit import AuditLog
from streamd.accounts.identities import Identities
from streamd.accounts.invitations import Invitations
from streamd.accounts.kept_answers import KeptAnswers
from streamd.accounts.members import Members
from streamd.accounts.node_secret import NodeSecret, open_node_secret
from streamd.accounts.outside import IdentityProvider, OutsideIdentities
from streamd.accounts.passwords import Passwords, PasswordSettings
from streamd.accounts.playback import Playback
from streamd.accounts.rooms import Rooms
from streamd.accounts.sessions import Sessions
from streamd.accounts.signing_keys import open_signing_keys
from streamd.accounts.stream_keys import StreamKeys
from streamd.accounts.throttle import Throttle
from streamd.accounts.users import Users
from streamd.accounts.vault import Vault, open_vault
from streamd.clock import Clock
from streamd.telemetry.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """People, rooms, and what lets the ones into the others."""

    secret: NodeSecret
    vault: Vault
    throttle: Throttle
    users: Users
    members: Members
    sessions: Sessions
    outside: OutsideIdentities
    identities: Identities
    invitations: Invitations
    rooms: Rooms
    keys: StreamKeys
    playback: Playback
    audit: AuditLog
    answers: KeptAnswers


def open_accounts(
    *,
    engine: AsyncEngine,
    clock: Clock,
    data_dir: Path,
    throttle: Throttle,
    log: Log,
    passwords: PasswordSettings | None = None,
    providers: Sequence[IdentityProvider] = (),
) -> Accounts:
    """Everything over one database. Secrets that are not in the data folder yet are made. Raises SettingsError."""
    secret, vault = open_node_secret(data_dir), open_vault(data_dir)
    hasher = Passwords(passwords)
    tokens = AccessTokens(keys=open_signing_keys(data_dir), clock=clock)
    users = Users(engine=engine, clock=clock, passwords=hasher, vault=vault)
    members = Members(engine=engine, clock=clock)
    sessions = Sessions(
        engine=engine, clock=clock, users=users, passwords=hasher, tokens=tokens, throttle=throttle, log=log
    )
    return Accounts(
        secret=secret,
        vault=vault,
        throttle=throttle,
        users=users,
        members=members,
        sessions=sessions,
        outside=OutsideIdentities(
            engine=engine, clock=clock, vault=vault, sessions=sessions, throttle=throttle, providers=providers
        ),
        identities=Identities(tokens=tokens, users=users, members=members, sessions=sessions),
        invitations=Invitations(engine=engine, clock=clock, members=members),
        rooms=Rooms(engine=engine, clock=clock),
        keys=StreamKeys(engine=engine, clock=clock),
        playback=Playback(engine=engine, clock=clock, secret=secret),
        audit=AuditLog(engine=engine, clock=clock, secret=secret),
        answers=KeptAnswers(engine=engine, clock=clock, vault=vault),
    )

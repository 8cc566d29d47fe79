"""The tables, with types that mean the same on SQLite and MySQL.

Times are milliseconds since the Unix epoch in `BigInteger` columns named `_ms`: no dialect has an opinion on those.
What a column holds is said in its comment-like docstring here; how it got there is in `migrations/versions`.
A test holds the two together: migrating an empty database gives exactly these tables.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.types import TypeEngine

from streamd.db.blobs import Blob

# Every constraint has a name on every dialect, so that a later migration can drop it.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up only in a column of exactly INTEGER.
identity: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


def ascii_key(length: int) -> TypeEngine[str]:
    """A short identifier that compares byte for byte; MySQL would otherwise take `Demo` for `demo`."""
    exact = VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


# A unique constraint that ends in the primary key is an index: made in the one statement that makes the table.
INNODB: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_default_charset": "utf8mb4"}

rooms = Table(
    "rooms",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    # The room's name in every address: [a-z0-9][a-z0-9-]{0,62}
    Column("slug", ascii_key(63), nullable=False),
    Column("title", String(200), nullable=False),
    # Name of the account that the room belongs to; empty while nobody's.
    Column("owner", String(64), nullable=False),
    Column("created_at_ms", BigInteger(), nullable=False),
    # SHA-256 of the stream key, in hex. The key itself is shown once and never stored.
    Column("stream_key_hash", ascii_key(64), nullable=False),
    Column("stream_key_rotated_at_ms", BigInteger(), nullable=False),
    # What was learnt about this room's encoder and is worth knowing before its next first frame, e.g. its GOP length.
    Column("hints", JSON(), nullable=False),
    # What the host promises for the next show, and when it begins.
    Column("announcement", String(1000), nullable=False, server_default=""),
    Column("starts_at_ms", BigInteger(), nullable=True),
    # A picture's id.
    Column("cover", ascii_key(32), nullable=True),
    # Who may watch: public, or signed (those who bring a playback token of this generation).
    Column("access", ascii_key(16), nullable=False, server_default="public"),
    Column("playback_generation", Integer(), nullable=False, server_default="0"),
    # No encoder is let in before.
    Column("cut_until_ms", BigInteger(), nullable=False, server_default="0"),
    # How the room talks, as the chat writes it; null while nobody has changed anything.
    Column("chat", JSON(), nullable=True),
    UniqueConstraint("slug"),
    UniqueConstraint("stream_key_hash"),
    **INNODB,
)

users = Table(
    "users",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    # What one signs in with: [a-z0-9][a-z0-9._-]{1,31}. Never changed.
    Column("name", ascii_key(32), nullable=False),
    # What others read.
    Column("display_name", String(64), nullable=False),
    # Of the account, everywhere: admin, host (may open rooms), assistant, viewer.
    Column("role", ascii_key(16), nullable=False),
    Column("level", Integer(), nullable=False),
    # Argon2id with its parameters, in the PHC format.
    Column("password_hash", ascii_key(255), nullable=False),
    # Access tokens of an earlier generation are void: sign out everywhere, a new password, another role.
    Column("generation", Integer(), nullable=False),
    # Personal data, sealed with the key in the data folder; the index finds a phone number without opening anything.
    Column("phone_sealed", Text(), nullable=True),
    Column("phone_index", ascii_key(64), nullable=True),
    Column("address_sealed", Text(), nullable=True),
    Column("created_at_ms", BigInteger(), nullable=False),
    Column("disabled_at_ms", BigInteger(), nullable=True),
    UniqueConstraint("name"),
    UniqueConstraint("phone_index", "id"),
    **INNODB,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("user_id", BigInteger(), ForeignKey("users.id"), nullable=False),
    # One sign-in and all that was refreshed from it.
    Column("family", ascii_key(32), nullable=False),
    # SHA-256 in hex, as of every secret that is handed out.
    Column("token_hash", ascii_key(64), nullable=False),
    Column("issued_at_ms", BigInteger(), nullable=False),
    Column("expires_at_ms", BigInteger(), nullable=False),
    Column("used_at_ms", BigInteger(), nullable=True),
    Column("revoked_at_ms", BigInteger(), nullable=True),
    UniqueConstraint("token_hash"),
    UniqueConstraint("family", "id"),
    UniqueConstraint("user_id", "id"),
    **INNODB,
)

identities = Table(
    "identities",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    # By whom one was known: wechat.
    Column("provider", ascii_key(16), nullable=False),
    # Keyed hash of what the provider calls the person.
    Column("subject_index", ascii_key(64), nullable=False),
    Column("user_id", BigInteger(), ForeignKey("users.id"), nullable=False),
    Column("created_at_ms", BigInteger(), nullable=False),
    UniqueConstraint("provider", "subject_index"),
    UniqueConstraint("user_id", "id"),
    **INNODB,
)

room_members = Table(
    "room_members",
    metadata,
    Column("room_id", BigInteger(), ForeignKey("rooms.id"), primary_key=True, autoincrement=False),
    Column("user_id", BigInteger(), ForeignKey("users.id"), primary_key=True, autoincrement=False),
    # host, assistant or moderator
    Column("role", ascii_key(16), nullable=False),
    Column("added_at_ms", BigInteger(), nullable=False),
    UniqueConstraint("user_id", "room_id"),
    **INNODB,
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("room_id", BigInteger(), ForeignKey("rooms.id"), nullable=False),
    Column("role", ascii_key(16), nullable=False),
    Column("token_hash", ascii_key(64), nullable=False),
    # Account names.
    Column("created_by", ascii_key(32), nullable=False),
    Column("created_at_ms", BigInteger(), nullable=False),
    Column("expires_at_ms", BigInteger(), nullable=False),
    Column("used_at_ms", BigInteger(), nullable=True),
    Column("used_by", ascii_key(32), nullable=True),
    Column("revoked_at_ms", BigInteger(), nullable=True),
    UniqueConstraint("token_hash"),
    UniqueConstraint("room_id", "id"),
    **INNODB,
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger(), primary_key=True, autoincrement=False),  # 1, 2, 3 … without a gap
    Column("at_ms", BigInteger(), nullable=False),
    Column("actor", ascii_key(32), nullable=False),  # account name
    Column("role", ascii_key(16), nullable=False),  # by which the actor was allowed to
    Column("action", ascii_key(64), nullable=False),  # "room.stream_key.rotate"
    Column("room", ascii_key(63), nullable=False),  # empty where none is concerned
    Column("target", String(200), nullable=False),
    Column("detail", Text(), nullable=False),  # JSON, secrets masked
    Column("address", ascii_key(64), nullable=False),
    Column("request_id", ascii_key(64), nullable=False),
    # HMAC over the hash before and everything above.
    Column("hash", ascii_key(64), nullable=False),
    UniqueConstraint("room", "seq"),
    **INNODB,
)

# One row: the last entry. Whoever appends changes it first, and so holds the others off until it commits.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer(), primary_key=True, autoincrement=False),
    Column("seq", BigInteger(), nullable=False),
    Column("hash", ascii_key(64), nullable=False),
    **INNODB,
)

stored_answers = Table(
    "stored_answers",
    metadata,
    # SHA-256 of who asked, what, and their Idempotency-Key.
    Column("key", ascii_key(64), primary_key=True),
    Column("request_hash", ascii_key(64), nullable=False),
    # Null while the first request is under way.
    Column("status", Integer(), nullable=True),
    # Answers may hold a secret that is shown once.
    Column("answer_sealed", Blob(), nullable=True),
    Column("claimed_at_ms", BigInteger(), nullable=False),
    Column("expires_at_ms", BigInteger(), nullable=False),
    UniqueConstraint("expires_at_ms", "key"),
    **INNODB,
)

pictures = Table(
    "pictures",
    metadata,
    # The first half of the SHA-256 of `jpeg`, in hex.
    Column("id", ascii_key(32), primary_key=True),
    Column("width", Integer(), nullable=False),
    Column("height", Integer(), nullable=False),
    Column("jpeg", Blob(), nullable=False),
    Column("created_at_ms", BigInteger(), nullable=False),
    **INNODB,
)

danmaku = Table(
    "danmaku",
    metadata,
    Column("id", identity, primary_key=True, autoincrement=True),
    Column("room", ascii_key(63), nullable=False),
    # Its number in the room's line; 0 for one that was never told (held).
    Column("seq", BigInteger(), nullable=False),
    # The sender's own id: unique together with the sender only.
    Column("message_id", ascii_key(64), nullable=False),
    Column("user_id", ascii_key(64), nullable=False),
    Column("user_name", String(100), nullable=False),
    Column("role", ascii_key(16), nullable=False),
    Column("text", String(500), nullable=False),
    Column("color", ascii_key(7), nullable=False),
    Column("mode", ascii_key(8), nullable=False),
    Column("at_ms", BigInteger(), nullable=False),
    # shown, unshown (over the room's budget), held, retracted.
    Column("status", ascii_key(16), nullable=False),
    UniqueConstraint("room", "at_ms", "id"),
    UniqueConstraint("room", "message_id", "id"),
    UniqueConstraint("at_ms", "id"),
    **INNODB,
)

# One row: the newest list. Two who replace the same one meet at the key.
site_words = Table(
    "site_words",
    metadata,
    Column("version", BigInteger(), primary_key=True, autoincrement=False),
    Column("words", JSON(), nullable=False),
    **INNODB,
)

sanctions = Table(
    "sanctions",
    metadata,
    Column("room", ascii_key(63), primary_key=True),
    # mute or ban
    Column("kind", ascii_key(8), primary_key=True),
    # A user's public id, or "address:" and an address.
    Column("user_id", ascii_key(64), primary_key=True),
    Column("until_ms", BigInteger(), nullable=False),
    Column("reason", String(200), nullable=False),
    # Public id of who imposed it.
    Column("imposed_by", ascii_key(64), nullable=False),
    **INNODB,
)

"""The tables, with types that mean the same on SQLite and MySQL.

Times are milliseconds since the Unix epoch in `BigInteger` columns named `_ms`: no dialect has an opinion on those.
What a column holds is said in its comment-like docstring here; how it got there is in `migrations/versions`.
A test holds the two together: migrating an empty database gives exactly these tables.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.types import TypeEngine

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
    UniqueConstraint("slug"),
    UniqueConstraint("stream_key_hash"),
    mysql_engine="InnoDB",
    mysql_default_charset="utf8mb4",
)

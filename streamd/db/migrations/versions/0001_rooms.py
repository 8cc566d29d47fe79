"""Rooms and their stream keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARCHAR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rooms",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("slug", _ascii_key(63), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("stream_key_hash", _ascii_key(64), nullable=False),
        sa.Column("stream_key_rotated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("hints", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rooms"),
        sa.UniqueConstraint("slug", name="uq_rooms_slug"),
        sa.UniqueConstraint("stream_key_hash", name="uq_rooms_stream_key_hash"),
        mysql_engine="InnoDB",
        mysql_default_charset="utf8mb4",
    )


def _ascii_key(length: int) -> sa.types.TypeEngine[str]:
    exact = VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def downgrade() -> None:
    op.drop_table("rooms")

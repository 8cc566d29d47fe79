"""Danmaku, kept for replay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "danmaku",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("room", ascii_key(63), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("message_id", ascii_key(64), nullable=False),
        sa.Column("user_id", ascii_key(64), nullable=False),
        sa.Column("user_name", sa.String(100), nullable=False),
        sa.Column("role", ascii_key(16), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("color", ascii_key(7), nullable=False),
        sa.Column("mode", ascii_key(8), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", ascii_key(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_danmaku"),
        sa.UniqueConstraint("room", "at_ms", "id", name="uq_danmaku_room_at_ms_id"),
        sa.UniqueConstraint("room", "message_id", "id", name="uq_danmaku_room_message_id_id"),
        sa.UniqueConstraint("at_ms", "id", name="uq_danmaku_at_ms_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("danmaku")

"""Programmes, as the show board counts them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shows",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("room_id", sa.BigInteger(), nullable=False),
        sa.Column("open_room_id", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("node", ascii_key(16), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("kept_viewers", sa.Integer(), nullable=True),
        sa.Column("kept_visits", sa.Integer(), nullable=True),
        sa.Column("kept_watch_ms", sa.BigInteger(), nullable=True),
        sa.Column("kept_messages", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_shows_room_id_rooms"),
        sa.PrimaryKeyConstraint("id", name="pk_shows"),
        sa.UniqueConstraint("open_room_id", name="uq_shows_open_room_id"),
        sa.UniqueConstraint("room_id", "id", name="uq_shows_room_id_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("shows")

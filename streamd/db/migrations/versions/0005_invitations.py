"""Invitations to run a room."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("room_id", sa.BigInteger(), nullable=False),
        sa.Column("role", ascii_key(16), nullable=False),
        sa.Column("token_hash", ascii_key(64), nullable=False),
        sa.Column("created_by", ascii_key(32), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_by", ascii_key(32), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_invitations_room_id_rooms"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
        sa.UniqueConstraint("room_id", "id", name="uq_invitations_room_id_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("invitations")

"""Facts that must reach a room."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("room", ascii_key(63), nullable=False),
        sa.Column("event", ascii_key(32), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("told_at_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("told_at_ms", "id", name="uq_outbox_told_at_ms_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("outbox")

"""Mutes and bans that outlive the process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sanctions",
        sa.Column("room", ascii_key(63), nullable=False),
        sa.Column("kind", ascii_key(8), nullable=False),
        sa.Column("user_id", ascii_key(64), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("imposed_by", ascii_key(64), nullable=False),
        sa.PrimaryKeyConstraint("room", "kind", "user_id", name="pk_sanctions"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("sanctions")

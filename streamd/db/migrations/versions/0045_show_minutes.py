"""The minutes of a programme."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "show_minutes",
        sa.Column("show_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("minute_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("online_peak", sa.Integer(), nullable=False),
        sa.Column("likes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["show_id"], ["shows.id"], name="fk_show_minutes_show_id_shows"),
        sa.PrimaryKeyConstraint("show_id", "minute_ms", name="pk_show_minutes"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("show_minutes")

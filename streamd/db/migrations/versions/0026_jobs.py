"""Work for later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("kind", ascii_key(32), nullable=False),
        sa.Column("subject", ascii_key(64), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", ascii_key(8), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease", ascii_key(32), nullable=False, server_default=""),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", sa.String(500), nullable=False, server_default=""),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("kind", "subject", name="uq_jobs_kind_subject"),
        sa.UniqueConstraint("status", "due_at_ms", "id", name="uq_jobs_status_due_at_ms_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("jobs")

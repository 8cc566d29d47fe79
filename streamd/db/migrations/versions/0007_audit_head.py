"""The end of the audit chain: one row, which whoever appends holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", ascii_key(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("audit_head")

"""Answers kept for repeated requests (Idempotency-Key)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, medium_blob

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stored_answers",
        sa.Column("key", ascii_key(64), nullable=False),
        sa.Column("request_hash", ascii_key(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer_sealed", medium_blob(), nullable=True),
        sa.Column("claimed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_stored_answers"),
        sa.UniqueConstraint("expires_at_ms", "key", name="uq_stored_answers_expires_at_ms_key"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("stored_answers")

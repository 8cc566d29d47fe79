"""What staff did, chained by hashes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", ascii_key(32), nullable=False),
        sa.Column("role", ascii_key(16), nullable=False),
        sa.Column("action", ascii_key(64), nullable=False),
        sa.Column("room", ascii_key(63), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("address", ascii_key(64), nullable=False),
        sa.Column("request_id", ascii_key(64), nullable=False),
        sa.Column("hash", ascii_key(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_log"),
        sa.UniqueConstraint("room", "seq", name="uq_audit_log_room_seq"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("audit_log")

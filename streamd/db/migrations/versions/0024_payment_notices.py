"""What gateways told us."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payment_notices",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("gateway", ascii_key(16), nullable=False),
        sa.Column("notice_id", ascii_key(64), nullable=False),
        sa.Column("reference", ascii_key(64), nullable=False),
        sa.Column("kind", ascii_key(16), nullable=False),
        sa.Column("outcome", ascii_key(32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payment_notices"),
        sa.UniqueConstraint("gateway", "notice_id", name="uq_payment_notices_gateway_notice_id"),
        sa.UniqueConstraint("reference", "id", name="uq_payment_notices_reference_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("payment_notices")

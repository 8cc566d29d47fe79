"""Attempts to pay for an order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payments",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("gateway", ascii_key(16), nullable=False),
        sa.Column("reference", ascii_key(64), nullable=False),
        sa.Column("gateway_reference", ascii_key(64), nullable=False, server_default=""),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", ascii_key(3), nullable=False),
        sa.Column("status", ascii_key(16), nullable=False),
        sa.Column("pay_url", sa.Text(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("paid_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_payments_order_id_orders"),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("reference", name="uq_payments_reference"),
        sa.UniqueConstraint("order_id", "id", name="uq_payments_order_id_id"),
        sa.UniqueConstraint("gateway", "opened_at_ms", "id", name="uq_payments_gateway_opened_at_ms_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("payments")

"""Every step of every order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_steps",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("status", ascii_key(16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", ascii_key(32), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_steps_order_id_orders"),
        sa.PrimaryKeyConstraint("id", name="pk_order_steps"),
        sa.UniqueConstraint("order_id", "id", name="uq_order_steps_order_id_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("order_steps")

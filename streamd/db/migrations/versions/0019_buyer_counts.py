"""How much one buyer holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "buyer_counts",
        sa.Column("scope", ascii_key(4), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("buyer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["buyer_id"], ["users.id"], name="fk_buyer_counts_buyer_id_users"),
        sa.PrimaryKeyConstraint("scope", "scope_id", "buyer_id", name="pk_buyer_counts"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("buyer_counts")

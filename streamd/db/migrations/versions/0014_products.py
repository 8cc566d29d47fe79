"""What is for sale."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("owner", ascii_key(32), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("image", ascii_key(32), nullable=True),
        sa.Column("currency", ascii_key(3), nullable=False),
        sa.Column("status", ascii_key(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.UniqueConstraint("owner", "id", name="uq_products_owner_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("products")

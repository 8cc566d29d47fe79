"""A lower price for a short time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flash_sales",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("room_id", sa.BigInteger(), nullable=False),
        sa.Column("sku_id", sa.BigInteger(), nullable=False),
        sa.Column("open_sku_id", sa.BigInteger(), nullable=True),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("starts_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False),
        sa.Column("buyer_limit", sa.Integer(), nullable=True),
        sa.Column("status", ascii_key(16), nullable=False),
        sa.Column("created_by", ascii_key(32), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_flash_sales_room_id_rooms"),
        sa.ForeignKeyConstraint(["sku_id"], ["skus.id"], name="fk_flash_sales_sku_id_skus"),
        sa.PrimaryKeyConstraint("id", name="pk_flash_sales"),
        sa.UniqueConstraint("open_sku_id", name="uq_flash_sales_open_sku_id"),
        sa.UniqueConstraint("room_id", "id", name="uq_flash_sales_room_id_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("flash_sales")

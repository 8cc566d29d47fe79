"""Orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("number", ascii_key(32), nullable=False),
        sa.Column("room_id", sa.BigInteger(), nullable=False),
        sa.Column("buyer_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("sku_id", sa.BigInteger(), nullable=False),
        sa.Column("sale_id", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("sku_name", sa.String(100), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", ascii_key(3), nullable=False),
        sa.Column("status", ascii_key(16), nullable=False),
        sa.Column("idempotency_hash", ascii_key(64), nullable=False),
        sa.Column("request_hash", ascii_key(64), nullable=False),
        sa.Column("shipping_sealed", sa.Text(), nullable=True),
        sa.Column("tracking", sa.String(100), nullable=False, server_default=""),
        sa.Column("placed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("paid_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_orders_room_id_rooms"),
        sa.ForeignKeyConstraint(["buyer_id"], ["users.id"], name="fk_orders_buyer_id_users"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_orders_product_id_products"),
        sa.ForeignKeyConstraint(["sku_id"], ["skus.id"], name="fk_orders_sku_id_skus"),
        sa.ForeignKeyConstraint(["sale_id"], ["flash_sales.id"], name="fk_orders_sale_id_flash_sales"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("number", name="uq_orders_number"),
        sa.UniqueConstraint("buyer_id", "idempotency_hash", name="uq_orders_buyer_id_idempotency_hash"),
        sa.UniqueConstraint("buyer_id", "id", name="uq_orders_buyer_id_id"),
        sa.UniqueConstraint("room_id", "id", name="uq_orders_room_id_id"),
        sa.UniqueConstraint("status", "expires_at_ms", "id", name="uq_orders_status_expires_at_ms_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("orders")

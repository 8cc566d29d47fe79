"""What a show sells, in its order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "room_products",
        sa.Column("room_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_room_products_room_id_rooms"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_room_products_product_id_products"),
        sa.PrimaryKeyConstraint("room_id", "product_id", name="pk_room_products"),
        sa.UniqueConstraint("product_id", "room_id", name="uq_room_products_product_id_room_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("room_products")

"""What a room's shelf shows now, and its versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "room_counters",
        sa.Column("room_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("list_version", sa.Integer(), nullable=False),
        sa.Column("card_version", sa.Integer(), nullable=False),
        sa.Column("card_product_id", sa.BigInteger(), nullable=True),
        sa.Column("card_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("card_by", ascii_key(32), nullable=False),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_room_counters_room_id_rooms"),
        sa.ForeignKeyConstraint(["card_product_id"], ["products.id"], name="fk_room_counters_card_product_id_products"),
        sa.PrimaryKeyConstraint("room_id", name="pk_room_counters"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("room_counters")

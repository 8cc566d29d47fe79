"""Orders of a room by the time they were placed: what the show board asks for."""

from __future__ import annotations

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_orders_room_id_placed_at_ms", "orders", ["room_id", "placed_at_ms"])


def downgrade() -> None:
    op.drop_index("ix_orders_room_id_placed_at_ms", table_name="orders")

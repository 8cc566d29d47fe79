"""Payment notices by the time they came: what is forgotten in time is found by it."""

from __future__ import annotations

from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_payment_notices_received_at_ms", "payment_notices", ["received_at_ms"])


def downgrade() -> None:
    op.drop_index("ix_payment_notices_received_at_ms", table_name="payment_notices")

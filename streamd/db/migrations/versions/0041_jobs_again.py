"""A job that is asked for again while somebody works at it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("again_at_ms", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "again_at_ms")

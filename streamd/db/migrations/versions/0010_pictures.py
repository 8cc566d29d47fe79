"""Pictures, named by their content."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, medium_blob

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("id", ascii_key(32), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("jpeg", medium_blob(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pictures"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("pictures")

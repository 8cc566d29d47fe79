"""Accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("name", ascii_key(32), nullable=False),
        sa.Column("display_name", sa.String(64), nullable=False),
        sa.Column("role", ascii_key(16), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("password_hash", ascii_key(255), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("phone_sealed", sa.Text(), nullable=True),
        sa.Column("phone_index", ascii_key(64), nullable=True),
        sa.Column("address_sealed", sa.Text(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sa.UniqueConstraint("phone_index", "id", name="uq_users_phone_index_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("users")

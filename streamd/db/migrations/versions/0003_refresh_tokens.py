"""Refresh tokens, in families."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refresh_tokens",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("family", ascii_key(32), nullable=False),
        sa.Column("token_hash", ascii_key(64), nullable=False),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_refresh_tokens_user_id_users"),
        sa.UniqueConstraint("token_hash", name="uq_refresh_tokens_token_hash"),
        sa.UniqueConstraint("family", "id", name="uq_refresh_tokens_family_id"),
        sa.UniqueConstraint("user_id", "id", name="uq_refresh_tokens_user_id_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("refresh_tokens")

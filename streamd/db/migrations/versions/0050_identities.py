"""Who somebody is to an identity provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key, identity

revision = "0050"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("id", identity(), autoincrement=True, nullable=False),
        sa.Column("provider", ascii_key(16), nullable=False),
        sa.Column("subject_index", ascii_key(64), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identities_user_id_users"),
        sa.UniqueConstraint("provider", "subject_index", name="uq_identities_provider_subject_index"),
        sa.UniqueConstraint("user_id", "id", name="uq_identities_user_id_id"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("identities")

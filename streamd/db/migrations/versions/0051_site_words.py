"""Words that no room of the site wants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "site_words",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_site_words"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("site_words")

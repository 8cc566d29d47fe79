"""Until when a node could say who was there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "show_nodes",
        sa.Column("show_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node", ascii_key(16), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["show_id"], ["shows.id"], name="fk_show_nodes_show_id_shows"),
        sa.PrimaryKeyConstraint("show_id", "node", name="pk_show_nodes"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("show_nodes")

"""Who watched a programme, from when to when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.db.migrations.column_types import INNODB, ascii_key

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "visits",
        sa.Column("node", ascii_key(16), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("show_id", sa.BigInteger(), nullable=False),
        sa.Column("viewer", ascii_key(64), nullable=False),
        sa.Column("joined_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("left_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["show_id"], ["shows.id"], name="fk_visits_show_id_shows"),
        sa.PrimaryKeyConstraint("node", "number", name="pk_visits"),
        sa.UniqueConstraint("show_id", "viewer", "node", "number", name="uq_visits_show_id_viewer_node_number"),
        **INNODB,
    )


def downgrade() -> None:
    op.drop_table("visits")
